"""Every divergence from an oracle that is accepted: what differs, who is right, and what the manual says.

An entry covers a case if each condition that it has holds (`widths` and the like contain the case's, or the
x87's status word has the bits of `status`), if the case differs in nothing but `differs`, where that is
given, and in all of `needs`. A divergence that no entry covers is a failure.

Oracles: `unicorn` is Unicorn 2.1.4, QEMU 5's translator; `softfloat` its x87; `hardware` the processor that
runs the tests (for the x87: AMD and Intel differ, and the SDM leaves some things open).
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
        for fact, wanted in (("lock", self.lock), ("both_repeats", self.both_repeats)):
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
        vectors=(12, 13), needs=("error",),
    ),
    Accepted(
        "F6 /1 and F7 /1", "unicorn", VMSIM,
        "processors execute them as TEST (SDM 2D A.4.2 leaves them out), QEMU refuses them", "APM 3 TEST",
        names=("test",), needs=("error",), differs=("error", "eip", *FLAGS),
    ),
    Accepted(
        "reserved hints with a register operand", "unicorn", VMSIM,
        "0F 0D and 0F 18 to 0F 1F are NOPs with any operand, QEMU refuses some", "SDM 2B NOP",
        names=("nop",), needs=("error",), differs=("error", "eip"),
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
)  # fmt: skip


def accepted(oracle: str, facts: Mapping[str, Any], found: Iterable[str]) -> Accepted | None:
    """The entry that covers a divergence from `oracle`, if there is one."""
    parts = tuple(found)
    return next((entry for entry in ACCEPTED if entry.oracle == oracle and entry.covers(facts, parts)), None)
