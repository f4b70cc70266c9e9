"""Words that no definition holds: the processor's exceptions, the kinds of traps, how runs end.

`vmsim explain` looks here after the table of instructions. A term has the names people use for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from isa import consts as c
from isa.exits import Reason


@dataclass(frozen=True, slots=True)
class Term:
    """Something to explain that is no instruction."""

    name: str
    title: str
    text: str
    facts: tuple[tuple[str, str], ...] = ()
    aliases: tuple[str, ...] = ()


# vector: title, kind, error code, what raises it
EXCEPTIONS: dict[int, tuple[str, str, str, str]] = {
    c.VEC_DE: ("divide error", "fault", "none", "DIV or IDIV by 0, or a quotient that does not fit; AAM 0"),
    c.VEC_DB: ("debug exception", "fault or trap", "none", "TF, after an instruction; debug registers: not yet"),
    2: ("non-maskable interrupt", "interrupt", "none", "the NMI line; no device of this PC pulls it"),
    3: ("breakpoint", "trap", "none", "INT3"),
    4: ("overflow", "trap", "none", "INTO with OF set"),
    c.VEC_BR: ("bound range exceeded", "fault", "none", "BOUND with an index outside its bounds"),
    c.VEC_UD: ("invalid opcode", "fault", "none", "an undefined encoding, UD2, LOCK where it may not stand"),
    c.VEC_NM: ("device not available", "fault", "none", "an x87 instruction while CR0.EM or CR0.TS is set"),
    c.VEC_DF: ("double fault", "abort", "0", "a second contributory fault, or page fault, while one is delivered"),
    c.VEC_TS: ("invalid TSS", "fault", "selector", "a stack or TSS that delivery or a task needs is not sound"),
    c.VEC_NP: ("segment not present", "fault", "selector", "loading a segment or gate with P clear"),
    c.VEC_SS: ("stack fault", "fault", "selector or 0", "beyond the limit of SS, or a stack segment with P clear"),
    c.VEC_GP: ("general protection", "fault", "selector or 0",
               "any other breach of protection: privileged instructions at CPL > 0, segment limits, bad selectors"),
    c.VEC_PF: ("page fault", "fault", "P W U bits", "a page that is absent or may not be used so; CR2: where"),
    16: ("x87 error", "fault", "none", "an x87 exception with CR0.NE set"),
    17: ("alignment check", "fault", "0", "unaligned access at CPL 3 with CR0.AM and EFLAGS.AC"),
}  # fmt: skip

IN_MODES = (
    ("bare", "delivered through the guest's IDT by the processor; the guest's handler runs at once"),
    ("monitored", "goes to the monitor first: it is the guest's own, and reflected through the guest's tables, or "
                  "the monitor's doing (an instruction to emulate, a shadow entry to fill), and hidden"),
)  # fmt: skip

TERMS: tuple[Term, ...] = (
    Term("#PF hidden", "a page fault that the guest never sees",
         "The guest's own tables allow the access, but the shadow table, which the processor really walks, has no "
         "entry yet. The monitor walks the guest's tables, writes the shadow entry and lets the guest go on.",
         aliases=("hidden page fault", "hidden fault", "shadow fault")),
    Term("#PF true", "a page fault of the guest's own",
         "The guest's own tables forbid the access. The monitor found that out by walking them, and reflects the "
         "fault: the guest's handler is entered through the guest's IDT, TSS and stacks.",
         aliases=("true page fault", "true fault")),
    Term("#PF trace", "a write to a page that the monitor watches",
         "The page holds translated code, or page tables that are shadowed. The monitor write-protected it, so the "
         "write faults; it is emulated, and what was derived from the page is thrown away.",
         aliases=("trace fault",)),
    Term("#PF device", "an access to an address without RAM",
         "Nothing but a device could answer there. The instruction is emulated on the virtual machine."),
    Term("callout", "leaving the translation cache for the monitor",
         "A translated instruction that the monitor must emulate calls it, without a trap: no exception is raised, "
         "so it costs less. `callout: out` in the statistics counts those for OUT.",
         aliases=("call-out", "call out")),
    Term("hypercall", "a call from a paravirtual kernel to its monitor",
         "INT 82h with the number in EAX and arguments in EBX, ECX, EDX, ESI, EDI: what a system call is to a "
         "program. It replaces sensitive instructions, and one call may do many of them (a batch).",
         aliases=("int 0x82",)),
    Term("trap", "the processor leaves the guest and the monitor gets control",
         "A fault, a software interrupt or an instruction that the trap policy of the mode wants. They are counted "
         "by kind: the instruction's name, `int 0x80`, a fault such as #GP, #PF hidden or #PF true.",
         aliases=("exit", "vm exit")),
    Term("divergence", "an instruction did something else than on bare hardware, and nothing trapped",
         "Sensitive but unprivileged instructions see the monitor's state, or are ignored, in an outer ring. "
         "Each is run a second time on the virtual state; a difference is reported with the rule behind it.",
         aliases=("silent failure", "silently failing", "silent")),
    Term("triple-fault", "the processor gives up: a fault while a double fault was being delivered",
         "A real PC resets. The report lists the faults that led there; the first one is the cause. Most often the "
         "IDT is missing or too short, or the stack of the handler is not mapped. Exit status 5.",
         aliases=("triple fault", "shutdown")),
    Term("unsupported", "the guest needs something of x86 that vmsim does not have",
         "The run stops there rather than go on wrongly; the report names the instruction. Exit status 5, the same "
         "as for a fault that nobody handled."),
    Term("budget", "the instructions (--budget) or seconds (--timeout) were not enough",
         "The report says where the guest was: an endless loop is found by looking there. Exit status 6."),
)  # fmt: skip


def terms() -> list[Term]:
    """Every term there is to explain: exceptions, kinds of traps, endings, the processor's exit reasons."""
    known = [*map(_exception, EXCEPTIONS), *TERMS]
    names = {name.lower() for term in known for name in (term.name, *term.aliases)}
    for reason in Reason:
        name = reason.name.lower().replace("_", "-")
        if name not in names:
            text = f"The processor comes back to whoever runs it: {reason.value}."
            known.append(Term(name, "a reason for which the processor comes back", text))
    return known


def _exception(vector: int) -> Term:
    title, kind, error, cause = EXCEPTIONS[vector]
    name = c.VECTOR_NAMES.get(vector, f"vector {vector}")
    facts = (("vector", f"{vector} ({vector:#x})"), ("kind", kind), ("error code", error), ("raised by", cause),
             ("SDM", "3A, 6.15"), *IN_MODES)  # fmt: skip
    return Term(
        name, title, "", facts, (name.lstrip("#"), title, str(vector), f"{vector:#x}", f"vector {vector}")
    )
