"""Every divergence from an oracle that is accepted: what differs, who is right, and what the manual says.

An entry covers a case if each condition that it has holds (`widths` and the like contain the case's, or the
x87's status word has the bits of `status`), if the case differs in nothing but `differs`, where that is
given, and in all of `needs`. A divergence that no entry covers is a failure.

Oracles: `unicorn` is Unicorn 2.1.4, QEMU 5's translator; `softfloat` its x87; `hardware` the processor that
runs the tests (for the x87: AMD and Intel differ, and the SDM leaves some things open); `qemu` and `bochs`
the emulators themselves, which print what a kernel tells of its exceptions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

REGISTERS = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
FLAGS = ("CF", "PF", "AF", "ZF", "SF", "OF")
VMSIM, EITHER, NEITHER = "vmsim", "either", "neither"


@dataclass(frozen=True)
class Accepted:
    """One entry. `right` is who is right, `why` on what grounds, `section` where the manual has it."""

    title: str
    oracle: str
    right: str
    why: str
    section: str
    differs: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    widths: tuple[int, ...] = ()
    address_widths: tuple[int, ...] = ()
    segments: tuple[int, ...] = ()
    vectors: tuple[int, ...] = ()
    lock: bool | None = None
    both_repeats: bool | None = None
    wraps: bool | None = None  # an operand reaches from the end of the segment to its beginning
    status: int = 0

    def covers(self, facts: Mapping[str, Any], found: Iterable[str]) -> bool:
        """Whether a case of these `facts` may differ in the parts `found`."""
        parts = set(found)
        if (self.differs and not parts <= set(self.differs)) or not set(self.needs) <= parts:
            return False
        for fact, allowed in (
            ("name", self.names),
            ("width", self.widths),
            ("address_width", self.address_widths),
            ("segment", self.segments),
            ("vector", self.vectors),
        ):
            if allowed and facts.get(fact) not in allowed:
                return False
        for fact, wanted in (
            ("lock", self.lock),
            ("both_repeats", self.both_repeats),
            ("wraps", self.wraps),
        ):
            if wanted is not None and facts.get(fact) is not wanted:
                return False
        return int(facts.get("status", 0)) & self.status == self.status


ACCEPTED = (
    # -- one integer instruction, Unicorn ---------------------------------------------------------------
    Accepted(
        "BSWAP of a 16-bit register", "unicorn", NEITHER,
        "the result is undefined; processors clear the 16 bits, and so do we", "SDM 2A BSWAP",
        names=("bswap",), widths=(16,), differs=REGISTERS,
    ),
    Accepted(
        "a store through CS", "unicorn", VMSIM,
        "a code segment is never writable in protected mode; QEMU checks no segment types", "SDM 3A 5.3",
        segments=(1,), vectors=(13,),
    ),
    Accepted(
        "an access that wraps around 4 GB", "unicorn", EITHER,
        "with a limit of FFFFFFFF it may fault or not; we fault, QEMU wraps", "SDM 3A 5.3",
        vectors=(12, 13), wraps=True,
    ),
    Accepted(
        "F6 /1 and F7 /1", "unicorn", VMSIM,
        "processors execute them as TEST (SDM 2D A.4.2 leaves them out), QEMU refuses them", "APM 3 TEST",
        names=("test",), needs=("error",), differs=("error", "eip", *FLAGS),
    ),
    Accepted(
        "reserved hints with a register operand", "unicorn", VMSIM,
        "0F 0D and 0F 18 to 0F 1F are NOPs with any operand, QEMU refuses some", "SDM 2B NOP",
        names=("hint",), needs=("error",), differs=("error", "eip"),
    ),
    Accepted(
        "RET of more than 32767 bytes", "unicorn", VMSIM,
        "the immediate is unsigned; this QEMU reads it signed", "SDM 2B RET",
        names=("ret",), differs=("esp",),
    ),
    Accepted(
        "flags of LOCK NEG", "unicorn", VMSIM,
        "LOCK changes no result; this QEMU computes the flags from a stale value", "SDM 2A LOCK",
        names=("neg",), lock=True, differs=FLAGS,
    ),
    Accepted(
        "EBP after an ENTER whose operand and stack sizes differ", "unicorn", VMSIM,
        "the operand size decides what of EBP is written, as in Bochs; QEMU takes the stack size", "SDM 2A ENTER",
        names=("enter",), differs=("ebp",),
    ),
    Accepted(
        "F2 and F3 before one string instruction", "unicorn", VMSIM,
        "the last of them counts on processors; QEMU always takes F2", "SDM 2A 2.1.1 (one of a group)",
        names=("cmps", "scas"), both_repeats=True,
    ),
    Accepted(
        "BOUND whose second bound lies beyond 64 KB", "unicorn", VMSIM,
        "a 16-bit address wraps, as in Bochs; QEMU adds without a mask", "SDM 2A BOUND",
        names=("bound",), address_widths=(16,), differs=("vector", "eip"),
    ),
    # -- x87, the processor that runs the tests ---------------------------------------------------------
    Accepted(
        "C1 after FCOMI", "hardware", VMSIM,
        "the SDM clears C1; AMD's processors leave it alone", "SDM 2A FCOMI",
        names=("fcomi", "fcomip", "fucomi", "fucomip"), differs=("C1",),
    ),
    Accepted(
        "condition codes of a remainder that is a NaN", "hardware", EITHER,
        "the SDM says nothing of them; AMD's processors keep C0 and C3, we clear them", "SDM 2A FPREM",
        names=("fprem", "fprem1"), differs=("C0 C2 C3",),
    ),
    Accepted(
        "FLD of a denormal that is not masked", "hardware", VMSIM,
        "TOP is unchanged, and so does Bochs; AMD's processors push the number", "SDM 1 8.5.2",
        names=("fld",), status=0x8082, differs=("TOP", "stack"),
    ),
    # -- x87, Unicorn; in each of these the processor that runs the tests agrees with us -----------------
    Accepted(
        "rounding of constants", "softfloat", VMSIM,
        "constants are rounded as the control word says; this QEMU has each once", "SDM 2A FLD1",
        names=("fldl2t", "fldl2e", "fldpi", "fldlg2", "fldln2"), differs=("stack",),
    ),
    Accepted(
        "remainders", "softfloat", VMSIM,
        "a remainder is exact; this QEMU computes it in double precision", "SDM 2A FPREM",
        names=("fprem", "fprem1"), differs=("stack", "C0 C2 C3"),
    ),
    Accepted(
        "FSCALE by what is no integer", "softfloat", VMSIM,
        "ST(1) is chopped; this QEMU rounds it", "SDM 2A FSCALE",
        names=("fscale",), differs=("stack",),
    ),
    Accepted(
        "FXTRACT of what is not normal", "softfloat", VMSIM,
        "denormals are normalised, infinities and NaNs have results; this QEMU moves fields", "SDM 2A FXTRACT",
        names=("fxtract",), differs=("stack",),
    ),
    Accepted(
        "signalling NaNs in moves", "softfloat", VMSIM,
        "a conversion makes a NaN quiet; this QEMU does not", "SDM 1 table 4-7",
        names=("fld", "fst", "fstp"), status=0x0001, differs=("stack", "memory"),
    ),
    Accepted(
        "FBSTP of what does not fit, and of what rounds to -0", "softfloat", VMSIM,
        "the decimal indefinite, or the sign; this QEMU stores 18 digits of something", "SDM 2A FBSTP",
        names=("fbstp",), differs=("memory",),
    ),
    Accepted(
        "bits of the control word that do not exist", "softfloat", VMSIM,
        "reserved bits read as zero, bit 6 as one; this QEMU keeps what was loaded", "SDM 1 8.1.5",
        names=("fldcw", "fldenv", "frstor"), differs=("control",),
    ),
    Accepted(
        "reserved halves of an environment", "softfloat", VMSIM,
        "they are stored as ones; this QEMU stores zeros", "SDM 1 figure 8-9",
        names=("fnstenv", "fnsave"), differs=("memory",),
    ),
    Accepted(
        "condition codes that should stay", "softfloat", VMSIM,
        "undefined, unchanged on processors; this QEMU clears them, or sets C2 for a negative root",
        "SDM 2A FINCSTP, FSQRT",
        names=("fincstp", "fdecstp", "fsqrt"), differs=("C0 C2 C3",),
    ),
    # -- kernels of whole behaviours (tests/isa/behaviours), QEMU 7.2 and Bochs 2.7: the headings of their lines ---
    Accepted(
        "RF of an instruction that faults", "qemu", VMSIM,
        "every fault but an instruction breakpoint pushes RF set; QEMU leaves it clear", "SDM 3B 17.3.1.1",
        differs=("RF",),
    ),
    Accepted(
        "limits of code in transfers", "qemu", VMSIM,
        "a target beyond the limit of CS is #GP(0) in the caller; QEMU looks at it later, if at all",
        "SDM 2A CALL, INT n",
        names=(
            "call_gates_check_levels_and_presence", "far_returns_go_only_outwards",
            "interrupt_gates_check_levels_and_push_frames",
        ),
        differs=("beyond the limit", "beyond the limit of code"),
    ),
    Accepted(
        "segments that are not present, of stacks", "qemu", VMSIM,
        "#SS(selector); QEMU has #TS, or #NP", "SDM 2A CALL, 2B RET",
        names=("call_gates_check_levels_and_presence", "far_returns_go_only_outwards"),
        differs=("the stack is not present", "SS not present"),
    ),
    Accepted(
        "limits of stacks", "qemu", VMSIM,
        "pushes and pops are checked against the limit of SS; QEMU checks none", "SDM 3A 5.3",
        names=(
            "call_gates_check_levels_and_presence", "call_gates_copy_parameters_between_stacks",
            "stacks_of_many_pushes_check_every_word",
        ),
        differs=(
            "the stack is too small", "the stack is above its limit",
            "parameters below a stack limit fault in the caller", "PUSHAD that reaches below 0",
            "PUSHAD on SP that wraps at 0, 256 bytes", "PUSHAD with an odd SP, 64 KB",
            "PUSHA of 16 bits with SP 1", "PUSHAD below it", "POPAD beyond the end",
            "ENTER whose locals lie below 0", "ENTER whose frame pointers lie beyond",
            "LEAVE beyond the limit", "a far call whose second word does not fit",
        ),
    ),
    Accepted(
        "CS of conforming code through a gate", "qemu", VMSIM,
        "the RPL of CS is the CPL, which stays 3; QEMU has 0", "SDM 2A CALL",
        names=("call_gates_copy_parameters_between_stacks",),
        differs=("to conforming code nothing is copied, and the level stays",),
    ),
    Accepted(
        "DR7.GD", "qemu", VMSIM,
        "a use of a debug register is #DB; QEMU has no general detection", "SDM 3B 17.2.4",
        names=("debug_registers_are_protected",),
        differs=("GD: a read", "GD is clear in the handler", "GD: a write"),
    ),
    Accepted(
        "EXT of what is wrong with a gate", "qemu", VMSIM,
        "set where an exception of the processor was being delivered; QEMU leaves it clear", "SDM 3A 6.13",
        names=("faults_while_delivering_become_double_faults",),
        differs=("#UD, then #NP: serial", "#NM, then #GP: serial", "#BR, then #GP: serial"),
    ),
    Accepted(
        "the accessed bit of descriptors", "qemu", VMSIM,
        "set when a segment register is loaded; QEMU does not for CS and SS of a transfer", "SDM 3A 3.4.5.1",
        names=("lar_lsl_verr_verw_see_what_the_level_allows",), differs=("",),
    ),
    Accepted(
        "P in the error code of a reserved bit", "qemu", VMSIM,
        "a reserved bit is looked at where P is set; QEMU says not present", "SDM 3A 4.7",
        names=("large_pages_map_4_MB", "pae_pages_have_three_levels"),
        differs=(
            "reserved bits 12 to 21", "in ring 3", "a reserved bit in the table", "in the directory",
            "in the directory, a large page, ring 3", "bits 13 to 20 of a large page",
        ),
    ),
    Accepted(
        "the registers of the PAE pointers", "qemu", VMSIM,
        "loaded with CR3, then checked, and used until the next load; QEMU reads memory each time", "SDM 3A 4.4.1",
        names=("pae_pages_have_three_levels",),
        differs=(
            "a pointer with a reserved bit is #GP", "bits 1, 2 and 5 to 8 of a pointer", "the high half",
            "a change in memory counts from the next load of CR3 on", "ends early",
        ),
    ),
    Accepted(
        "null segments in accesses", "qemu", VMSIM,
        "#GP(0); QEMU takes their base for 0", "SDM 3A 3.4.2",
        names=("null_selectors_may_be_loaded_but_not_used",),
        differs=("load FS with 3 and read", "load ES with 2 and store a string"),
    ),
    Accepted(
        "a read-modify-write of a missing page", "qemu", VMSIM,
        "it is a write from the beginning; QEMU reports the read", "SDM 3A 4.7",
        names=("page_faults_tell_what_was_wrong",),
        differs=("a read-modify-write of what is not present is a write",),
    ),
    Accepted(
        "PUSHAD across a missing page", "qemu", VMSIM,
        "nothing is written before all can be; QEMU writes what comes first", "SDM 2B PUSHA",
        names=("page_faults_tell_what_was_wrong",),
        differs=("PUSHAD across a missing page writes nothing", "what it wrote"),
    ),
    Accepted(
        "port breakpoints", "qemu", VMSIM,
        "R/W = 10b is undefined without CR4.DE, and strings meet it in each iteration", "SDM 3B 17.2.4",
        names=("ports_have_breakpoints_with_DE",),
        differs=("without DE nothing", "a string of ports, each iteration"),
    ),
    Accepted(
        "types of segments in accesses", "qemu", VMSIM,
        "a store needs a writable segment; QEMU checks none", "SDM 3A 5.3",
        names=("segment_types_say_what_may_be_done",), differs=("a store through it", "a store through CS"),
    ),
    Accepted(
        "single steps after STI and LSS", "qemu", VMSIM,
        "only MOV SS and POP SS hold debug traps; QEMU takes STI and LSS for such", "SDM 3A 6.8.3",
        names=("single_step_traps_after_each_instruction",), differs=("STI and CLI do not", "LSS does not"),
    ),
    Accepted(
        "MSRs that do not exist", "qemu", VMSIM,
        "#GP(0); QEMU reads 0", "SDM 2B RDMSR",
        names=("system_instructions_belong_to_ring_0",), differs=("an MSR that does not exist", "writing it"),
    ),
    Accepted(
        "LTR of a null selector", "qemu", VMSIM,
        "#GP(0); QEMU takes it", "SDM 2A LTR",
        names=("system_instructions_belong_to_ring_0",), differs=("LTR of null",),
    ),
    Accepted(
        "faults in the context of a new task", "qemu", VMSIM,
        "what is wrong with its segments is a fault of the new task before it begins; QEMU goes back, or on",
        "SDM 3A 7.3",
        names=("task_switches_check_the_new_task",),
        differs=(
            "a gate into the LDT", "CS null", "CS is data", "CS with RPL 3 and DPL 0", "CS not present",
            "CS conforming of ring 3 with RPL 0", "EIP beyond CS", "SS null", "SS with RPL 3",
            "SS not present", "DS not present", "ES beyond the table", "FS is a system descriptor",
            "an LDT that is none", "an LDT in the LDT",
        ),
    ),
    Accepted(
        "debugging across a task switch", "qemu", VMSIM,
        "the T bit traps, L0 to L3 are cleared, the switch itself is not stepped; QEMU knows neither T nor LE",
        "SDM 3B 17.2.4, 17.3.1.5",
        names=("task_switches_end_local_breakpoints_and_trap_by_the_T_bit",),
        differs=(
            "a task with the T bit", "local breakpoints end, global ones stay",
            "under TF the switch itself is not stepped",
        ),
    ),
    Accepted(
        "breakpoints of two bytes, and several at once", "qemu", VMSIM,
        "the low bit of the address counts for nothing; QEMU looks at it, and dies of three on one address",
        "SDM 3B 17.2.5",
        names=("breakpoints_stop_at_execution_and_access",),
        differs=("two bytes watch an even address", "a push meets it", "ends early"),
    ),
    Accepted(
        "alignment checks", "qemu", VMSIM,
        "CR0.AM and EFLAGS.AC ask for them at CPL 3; QEMU has none", "SDM 3A 6.15",
        names=("alignment_is_checked_in_ring_3",),
        differs=(
            "a doubleword", "at an even address", "a word at an odd one", "a store", "a read-modify-write",
            "a byte", "a push", "a string of doublewords stops where it is", "eight bytes",
            "beyond the limit it is #GP",
            "a descriptor that the processor reads is not asked", "AC off", "ring 0 with AC",
            "AC switched on by POPF in ring 3",
        ),
    ),
    Accepted(
        "INT1", "qemu", VMSIM,
        "a debug exception; QEMU does not know it", "SDM 2A INT n",
        names=("int1_traps_without_asking",),
        differs=("ring 0", "ring 3, and a gate of DPL 0", "a gate that is not present: EXT"),
    ),
    Accepted(
        "virtual-8086 mode", "qemu", VMSIM,
        "segments end at 64 KB, and a handler of ring 1 is #GP(CS)", "SDM 3B 20.2, 20.3",
        names=("virtual_8086_mode_leaves_by_exceptions",),
        differs=("beyond 64 KB", "SS beyond 64 KB is #SS", "an interrupt to ring 1"),
    ),
    *(
        Accepted(
            f"IRET into virtual-8086 mode above 64 KB, {peer}", peer, VMSIM,
            "#GP(0); the emulators cut EIP", "SDM 2A IRET",
            names=("virtual_8086_mode_leaves_by_exceptions",), differs=("IRET to a target above 64 KB",),
        )
        for peer in ("qemu", "bochs")
    ),
    Accepted(
        "what QEMU does not come through", "qemu", VMSIM,
        "limits of code, bits of CR0 and CR4 that do not exist, errors through 16-bit gates, FERR#, HLT and TF",
        "SDM 3A 2.5, 5.3, 6.13; 2A HLT",
        names=(
            "control_registers_refuse_what_cannot_be", "segment_limits_hold_for_every_access",
            "interrupt_gates_of_16_bits_push_words", "single_step_leaves_hlt", "x87_errors_are_irq_13_without_NE",
        ),
        differs=("hangs",),
    ),
    Accepted(
        "HLT under TF", "bochs", VMSIM,
        "a debug exception ends HLT; Bochs waits for ever", "SDM 2A HLT",
        names=("single_step_leaves_hlt",), differs=("hangs",),
    ),
    Accepted(
        "RF of a use of protected debug registers", "bochs", VMSIM,
        "only an instruction breakpoint leaves it clear", "SDM 3B 17.3.1.1",
        names=("debug_registers_are_protected",), differs=("RF",),
    ),
    Accepted(
        "RF of a double fault", "bochs", EITHER,
        "an abort pushes RF as it is; Bochs counts the first fault", "SDM 3B 17.3.1.1",
        names=("faults_while_delivering_become_double_faults", "interrupt_gates_check_levels_and_push_frames"),
        differs=("RF",),
    ),
    Accepted(
        "hints on a Pentium", "bochs", VMSIM,
        "0F 0D and 0F 18 to 0F 1F are NOPs from family 6 on; Bochs has most of them everywhere", "SDM 2B NOP",
        names=("hint",), differs=("#UD",),
    ),
    Accepted(
        "MOV SS after MOV SS", "bochs", EITHER,
        "only the first is guaranteed to hold debug traps; here, and in QEMU, each does", "SDM 3A 6.8.3",
        names=("single_step_traps_after_each_instruction",), differs=("MOV SS twice",),
    ),
)  # fmt: skip


def accepted(oracle: str, facts: Mapping[str, Any], found: Iterable[str]) -> Accepted | None:
    """The entry that covers a divergence from `oracle`, if there is one."""
    parts = tuple(found)
    return next((entry for entry in ACCEPTED if entry.oracle == oracle and entry.covers(facts, parts)), None)
