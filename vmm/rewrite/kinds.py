"""What becomes of an instruction in translation. Here is the decision; how it is done is in `sequences`.

Most instructions are innocuous and copied. What depends on where it stands, or shows what the monitor
hides, is re-expressed; what changes the machine leaves the cache and is emulated (AA 3.5). Next: `code`.
"""

from __future__ import annotations

from enum import StrEnum

import isa.ops  # noqa: F401  (fills the table)
from isa import consts as c
from isa import ids
from isa.insn import Insn, Kind
from isa.table import BY_ID, BY_NAME, ROWS, Sensitive
from vmm.monitor.world import SHOW_X87_CS


class Treatment(StrEnum):
    """The kinds of translation, by the names under which they are counted."""

    IDENTICAL = "identical"  # copied byte for byte
    REWRITTEN = "rewritten"  # one other instruction: shows the virtual register instead of the real one
    CHAINED = "chained"  # a direct jump or call, to the translation of its target
    IN_CACHE = "in-cache"  # emulated by a sequence that stays in the cache
    CALL_OUT = "call-out"  # leaves the cache; the monitor emulates it


DIRECT = frozenset(BY_NAME[name].index for name in ("jmp", "call", "jcc", "loop", "loope", "loopne", "jcxz"))
COUNTED_JUMPS = frozenset(BY_NAME[name].index for name in ("loop", "loope", "loopne", "jcxz"))
JMP, CALL, RET, JCC = (BY_NAME[name].index for name in ("jmp", "call", "ret", "jcc"))
CLI, STI, PUSHF, POPF = (BY_NAME[name].index for name in ("cli", "sti", "pushf", "popf"))
PUSH_SEG, MOV_SEG, MOV_CR = (BY_NAME[name].index for name in ("push sreg", "mov sreg", "mov cr"))
UNMODELLED = BY_ID[ids.UNMODELLED].index
# x87: obeys the virtual CR0, and notes where it stands (FIP), which must not be the cache.
FPU = frozenset(row.index for row in ROWS if row.feature == "FPU")
HIDDEN_SEGMENTS = frozenset({c.CS, c.SS, c.GS})  # what the real register holds is the monitor's

# After these the guest goes on elsewhere: a unit ends.
ENDS_UNIT = frozenset(
    BY_NAME[name].index
    for name in ("jmp", "call", "ret", "jcc", "loop", "loope", "loopne", "jcxz", "jmp far", "call far", "retf",
                 "iret", "int", "int1", "int3", "into", "ud2", "hlt")
)  # fmt: skip


def treatment(i: Insn, user: bool) -> Treatment:
    """What becomes of `i`, translated for ring 3 if `user`, else for ring 1."""
    if i.row == UNMODELLED or i.row in FPU:
        return Treatment.CALL_OUT
    if i.row in DIRECT or i.row == RET:
        return _transfer(i)
    if i.segment in (c.CS, c.GS):
        return Treatment.CALL_OUT  # the real CS and GS reach the monitor
    if i.row in SHOW_X87_CS:
        return Treatment.CALL_OUT  # where the x87 executed last is in the cache
    if ROWS[i.row].sensitive is Sensitive.INNOCUOUS:
        return Treatment.IDENTICAL
    return _sensitive(i, user)


def _transfer(i: Insn) -> Treatment:
    if i.w != 32:
        return Treatment.CALL_OUT
    if i.operands and i.dst.kind is Kind.REL:
        return Treatment.CHAINED
    return Treatment.CALL_OUT if i.segment in (c.CS, c.GS) else Treatment.IN_CACHE


def _sensitive(i: Insn, user: bool) -> Treatment:
    if i.row == PUSH_SEG:
        if i.dst.n not in HIDDEN_SEGMENTS:
            return Treatment.IDENTICAL
        return Treatment.REWRITTEN if i.w == 32 else Treatment.CALL_OUT
    if i.row == MOV_SEG and i.dst.kind is not Kind.SEGMENT:
        if i.src.n not in HIDDEN_SEGMENTS:
            return Treatment.IDENTICAL
        return Treatment.REWRITTEN if i.dst.kind is Kind.REG32 else Treatment.CALL_OUT
    if user:
        return Treatment.CALL_OUT
    if i.row == MOV_CR and i.dst.kind is Kind.REG32:
        return Treatment.REWRITTEN
    if i.row in (CLI, STI) or (i.row in (PUSHF, POPF) and i.w == 32):
        return Treatment.IN_CACHE
    return Treatment.CALL_OUT
