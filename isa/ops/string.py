"""String instructions: MOVS CMPS SCAS LODS STOS, one element at a time.

The source is DS:ESI, or the overriding segment's; the destination is always ES:EDI. DF says in which
direction both move, the address size how far they and the counter reach. A repeated instruction does one
element and runs again (`b.repeat`), so that a fault or an interrupt finds the registers between two
elements, as SDM 1, 7.3.9.2 promises. F2 where only REP is defined repeats like F3. INS and OUTS are in `io`.
"""

from __future__ import annotations

from isa import flags
from isa.capstone_ids import X
from isa.consts import DF, DS, EAX, ECX, EDI, ES, ESI, M32, MASK
from isa.insn import REP, Insn
from isa.language import Builder, Word
from isa.table import insn


def exhausted(b: Builder, i: Insn) -> Word:
    """Whether a repeat prefix finds its counter at 0."""
    return (b.s[ECX] & MASK[i.aw]) == 0 if i.rep else False


def source(b: Builder, i: Insn) -> Word:
    """The element at DS:ESI."""
    return b.load(i.segment if i.segment >= 0 else DS, b.s[ESI] & MASK[i.aw], i.w)


def destination(b: Builder, i: Insn) -> Word:
    """The element at ES:EDI."""
    return b.load(ES, b.s[EDI] & MASK[i.aw], i.w)


def advance(b: Builder, i: Insn, *registers: int) -> None:
    """Move ESI, EDI or both by one element, at the address size, in the direction of DF."""
    size, mask = i.w // 8, MASK[i.aw]
    step = -size & M32 if b.system_flags() & DF else size
    for n in registers:
        b.s[n] = (b.s[n] & (M32 ^ mask)) | ((b.s[n] + step) & mask)


def count_down(b: Builder, i: Insn, wanted: Word = 1) -> None:
    """Close one element of a repetition: run again unless the counter is 0 or the flag not as wanted."""
    if i.rep:
        mask = MASK[i.aw]
        left = (b.s[ECX] - 1) & mask
        b.s[ECX] = (b.s[ECX] & (M32 ^ mask)) | left
        if (left != 0) & wanted:
            b.repeat()


@insn("movs", X.X86_INS_MOVSB, X.X86_INS_MOVSW, X.X86_INS_MOVSD, sdm="2B MOVS")
def movs(b: Builder, i: Insn) -> None:
    """Copies an element from DS:ESI to ES:EDI."""
    if exhausted(b, i):
        return
    b.store(ES, b.s[EDI] & MASK[i.aw], source(b, i), i.w)
    advance(b, i, ESI, EDI)
    count_down(b, i)


@insn("stos", X.X86_INS_STOSB, X.X86_INS_STOSW, X.X86_INS_STOSD, sdm="2B STOS")
def stos(b: Builder, i: Insn) -> None:
    """Stores the accumulator at ES:EDI."""
    if exhausted(b, i):
        return
    b.store(ES, b.s[EDI] & MASK[i.aw], b.trunc(b.s[EAX], i.w), i.w)
    advance(b, i, EDI)
    count_down(b, i)


@insn("lods", X.X86_INS_LODSB, X.X86_INS_LODSW, X.X86_INS_LODSD, sdm="2A LODS")
def lods(b: Builder, i: Insn) -> None:
    """Loads the accumulator from DS:ESI."""
    if exhausted(b, i):
        return
    value = source(b, i)
    b.s[EAX] = (b.s[EAX] & (M32 ^ MASK[i.w])) | b.zext(value, i.w, 32)
    advance(b, i, ESI)
    count_down(b, i)


@insn("scas", X.X86_INS_SCASB, X.X86_INS_SCASW, X.X86_INS_SCASD, sdm="2B SCAS")
def scas(b: Builder, i: Insn) -> None:
    """Compares the accumulator with ES:EDI; REPE goes on while equal, REPNE while not."""
    if exhausted(b, i):
        return
    _compare(b, i, b.trunc(b.s[EAX], i.w), destination(b, i), EDI)


@insn("cmps", X.X86_INS_CMPSB, X.X86_INS_CMPSW, X.X86_INS_CMPSD, sdm="2A CMPS")
def cmps(b: Builder, i: Insn) -> None:
    """Compares DS:ESI with ES:EDI; REPE goes on while equal, REPNE while not."""
    if exhausted(b, i):
        return
    x = source(b, i)
    _compare(b, i, x, destination(b, i), ESI, EDI)


def _compare(b: Builder, i: Insn, x: Word, y: Word, *registers: int) -> None:
    b.set_flags(flags.SUB, i.w, x, y, (x - y) & MASK[i.w])
    advance(b, i, *registers)
    count_down(b, i, x == y if i.rep == REP else x != y)
