"""Emulation of sensitive instructions: their own definitions, run on the virtual state.

What bare hardware would have done is what the virtual processor does: its state has the guest's CPL, IF,
descriptor tables and control registers, its memory is the guest's. So there is no second POPF here, only
a whitelist of what a monitor is willing to emulate and what each may change; after every emulation the
rest of the state is compared, and a difference is our bug, not the guest's (Xen's
`pv_emulate_privileged_op` works the same way). Comparing is cheap: what may change is copied over the
state before, a few stretches of words, and then the two blocks must be equal.
"""

from __future__ import annotations

from array import array

from isa import consts as c
from isa.cpu import Cpu
from isa.faults import Fault
from isa.insn import Insn
from isa.state import (
    ATTR,
    BASE,
    CPL,
    CR0,
    CR2,
    CR3,
    CR4,
    DR,
    EFLAGS,
    EIP,
    FPU,
    FPU_CONTROL,
    FPU_IGNORED,
    FPU_R,
    FPU_STATUS,
    GDT_BASE,
    GDT_LIMIT,
    HALTED,
    IDT_BASE,
    IDT_LIMIT,
    LIMIT,
    NAMES,
    NMI,
    PDPTE,
    PENDING_DEBUG,
    SEL,
    SHADOW,
    SYSENTER_CS,
    TSC_ADJUST,
    WORDS,
)  # fmt: skip
from isa.table import BY_NAME, ROWS

REGISTERS = frozenset(range(8))
ALWAYS = frozenset({EIP, EFLAGS, PENDING_DEBUG, NMI})  # a device that is touched may answer with an NMI


def _segments(*numbers: int) -> frozenset[int]:
    return frozenset(base + n for n in numbers for base in (SEL, BASE, LIMIT, ATTR))


DATA = _segments(c.ES, c.SS, c.DS, c.FS, c.GS)
FAR = _segments(*range(6)) | {CPL, c.ESP}
TASK = FAR | _segments(c.LDTR, c.TR) | REGISTERS | {CR0, CR3, DR + 7} | set(range(PDPTE, PDPTE + 8))
STRING = frozenset({c.ECX, c.ESI, c.EDI})

# Row name -> state words that its emulation may change, besides those.
MAY_CHANGE: dict[str, frozenset[int]] = {
    "pushf": frozenset({c.ESP}),
    "popf": frozenset({c.ESP}),
    "cli": frozenset(),
    "sti": frozenset({SHADOW}),
    "in": frozenset({c.EAX}),
    "out": frozenset({FPU_IGNORED}),
    "ins": STRING,
    "outs": STRING | {FPU_IGNORED},
    "mov sreg": REGISTERS | DATA | {SHADOW},
    "push sreg": frozenset({c.ESP}),
    "pop sreg": DATA | {c.ESP, SHADOW},
    **dict.fromkeys(("lds", "les", "lfs", "lgs", "lss"), REGISTERS | DATA),
    **dict.fromkeys(("lar", "lsl", "sldt", "str", "smsw"), REGISTERS),
    **dict.fromkeys(("verr", "verw", "sgdt", "sidt"), frozenset[int]()),
    "lgdt": frozenset({GDT_BASE, GDT_LIMIT}),
    "lidt": frozenset({IDT_BASE, IDT_LIMIT}),
    "lldt": _segments(c.LDTR),
    "ltr": _segments(c.TR),
    "mov cr": REGISTERS | {CR0, CR2, CR3, CR4} | set(range(PDPTE, PDPTE + 8)),
    "clts": frozenset({CR0}),
    "lmsw": frozenset({CR0}),
    **dict.fromkeys(("invlpg", "invd", "wbinvd"), frozenset[int]()),
    "mov dr": REGISTERS | set(range(DR, DR + 8)),
    "hlt": frozenset({HALTED}),
    "cpuid": frozenset({c.EAX, c.EBX, c.ECX, c.EDX}),
    "rdtsc": frozenset({c.EAX, c.EDX}),
    "rdmsr": frozenset({c.EAX, c.EDX}),
    "fnstenv": frozenset({FPU_CONTROL, FPU_STATUS}),
    "fnsave": frozenset(range(FPU, FPU_R)),
    "fxsave": frozenset(),
    "wrmsr": frozenset({*range(SYSENTER_CS, SYSENTER_CS + 3), TSC_ADJUST, TSC_ADJUST + 1}),
    **dict.fromkeys(("retf", "sysenter", "sysexit"), FAR),
    **dict.fromkeys(("jmp far", "call far", "iret", "int", "int1", "int3", "into"), TASK),
}
WHITELIST: dict[int, frozenset[int]] = {
    BY_NAME[name].index: words | ALWAYS for name, words in MAY_CHANGE.items()
}
WORD_NAMES = {n: name for name, n in NAMES.items()}
Changes = tuple[tuple[str, int, int], ...]  # word, before, after


def _stretches(words: frozenset[int]) -> tuple[slice, ...]:
    """The same words as slices of the state."""
    ends = [n for n in sorted(words) if n + 1 not in words]
    starts = [n for n in sorted(words) if n - 1 not in words]
    return tuple(slice(first, last + 1) for first, last in zip(starts, ends, strict=True))


_MAY_CHANGE = [_stretches(WHITELIST[row.index]) if row.index in WHITELIST else None for row in ROWS]


class MonitorBug(Exception):
    """The monitor's own postcondition failed; the guest is not to blame."""


def emulate(
    virtual: Cpu, *, detailed: bool = True, after_ss: bool = False
) -> tuple[Insn | None, Fault | None, Changes]:
    """Execute the instruction at the virtual CS:EIP on the virtual state.

    The bytes are fetched once, from the guest's memory, and are what is executed, whatever trapped.
    Returns the instruction, the fault it ends in (or the debug trap after it), and, if `detailed`, what
    changed; `after_ss` as in `Cpu.execute`. Raises `MonitorBug` if something changed that the whitelist
    does not allow, `NotModelled`.
    """
    before = virtual.s[:]
    insn, fault = virtual.execute(after_ss=after_ss)
    changes = _changes(before, virtual.s) if detailed else ()
    if insn is not None and (fault is None or fault.trap):
        allowed = _MAY_CHANGE[insn.row]
        if allowed is not None:
            for words in allowed:
                before[words] = virtual.s[words]
            if before != virtual.s:
                names = ", ".join(name for name, _, _ in _changes(before, virtual.s)) or "an unnamed word"
                raise MonitorBug(f"emulating {ROWS[insn.row].name} changed {names}")
    return insn, fault, changes


def _changes(before: array[int], after: array[int]) -> Changes:
    return tuple(
        (WORD_NAMES[n], before[n], after[n])
        for n in range(WORDS)
        if before[n] != after[n] and n in WORD_NAMES
    )
