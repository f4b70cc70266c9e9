"""What each technique does with an instruction, in words, for `vmsim explain`.

The words are about the guest's kernel; its programs run in ring 3 everywhere. They follow from the table
row of the instruction and from what the mode's processor traps.
"""

from __future__ import annotations

from isa.table import BY_NAME, Row, Sensitive
from vmm.modes.base import Mode
from vmm.modes.full import Full
from vmm.modes.naive import Naive
from vmm.modes.native import Native
from vmm.modes.rewrite import Rewrite

SOFTWARE_INTERRUPTS = ("int", "int1", "int3", "into")
TRANSFERS = ("jmp", "call", "jcc", "loop", "loope", "loopne", "jcxz")
IN_CACHE = ("cli", "sti", "pushf", "popf")
SHOWS_SEGMENT = ("push sreg", "mov sreg")
EMULATED = "the monitor runs the definition below on the virtual state"


def treatment(mode: type[Mode], row: Row) -> str:
    """What becomes of an instruction in the guest's kernel under a mode."""
    if mode.paravirtual:
        return _para(row)
    for kind, words in ((Native, _native), (Rewrite, _rewrite), (Naive, _naive), (Full, _full)):
        if issubclass(mode, kind):
            return words(row)
    return mode.title


def _native(row: Row) -> str:
    return "executes in ring 0, as defined below"


def _full(row: Row) -> str:
    if row.name in SOFTWARE_INTERRUPTS:
        return f"traps, since the real interrupt table is the monitor's; {EMULATED}"
    if row.sensitive is Sensitive.INNOCUOUS:
        return "executes directly, in ring 1"
    return f"traps in ring 1, as every sensitive instruction does on this processor; {EMULATED}"


def _naive(row: Row) -> str:
    if row.sensitive is not Sensitive.SILENT or row.name in SOFTWARE_INTERRUPTS:
        return _privileged(row) if row.sensitive is Sensitive.PRIVILEGED else _full(row)
    return "executes in ring 1 on the real state, and nothing traps: it may silently do something else"


def _privileged(row: Row) -> str:
    return f"raises #GP in ring 1, which goes to the monitor; {EMULATED}"


def _rewrite(row: Row) -> str:
    if row.name == "ret":
        return "translated into a look-up of where the guest's return address has its translation"
    if row.name in TRANSFERS:
        return "translated into a jump to the translation of its target; indirect ones look it up"
    if row.name in IN_CACHE:
        return "translated into a short sequence on the virtual flags that stays in the cache"
    if row.name in SHOWS_SEGMENT:
        return "copied if it shows nothing of the monitor, rewritten if it shows CS, SS or GS; loads are call-outs"
    if row.name == "mov cr":
        return f"a read is rewritten to show the virtual register; a write is a call-out: {EMULATED}"
    if row.sensitive is Sensitive.INNOCUOUS:
        return "copied as it stands into the translation"
    return f"translated into a call-out: {EMULATED}"


def _para(row: Row) -> str:
    if row.name in SOFTWARE_INTERRUPTS:
        return (
            "goes straight to the handler that the guest gave to the monitor; INT 82h is the hypercall itself"
        )
    if row.sensitive is Sensitive.SILENT:
        return "a ported kernel does without it: it knows its ring, and keeps its own record of what it asked for"
    if row.sensitive is Sensitive.INNOCUOUS:
        return "executes directly, in ring 1"
    from vmm.xen.emulate import WHITELIST

    if row.index in WHITELIST:
        return "a ported kernel makes a hypercall; if it executes this all the same, it traps and is emulated"
    return "a ported kernel makes a hypercall; if it executes this all the same, it gets #GP"


assert all(name in BY_NAME for name in (*SOFTWARE_INTERRUPTS, *TRANSFERS, *IN_CACHE, *SHOWS_SEGMENT))
