"""Single bits and their places: BT BTS BTR BTC BSF BSR BSWAP SETcc.

A bit number in a register is signed and reaches outside a memory operand: bit -1 of [x] is the top bit of
the word below x. In a register operand, and as an immediate, it counts modulo the operand size. F3 before
BSF and BSR makes TZCNT and LZCNT on processors that have them; on others, as here, it means nothing.
"""

from __future__ import annotations

from isa import flags
from isa.capstone_ids import X
from isa.consts import AF, CF, M16, MASK, OF, PF, SF, ZF
from isa.insn import Insn, Kind
from isa.language import Builder, Word
from isa.table import insn

UNDEFINED = OF | SF | AF | PF


def _word_at(b: Builder, i: Insn) -> Word:
    """The effective address of the word in which the bit of a memory operand lies."""
    at = b.offset(i.dst)
    if i.src.kind is Kind.IMM:
        return at
    shift = 5 if i.w == 32 else 4
    words = b.sar(b.sext(b.read(i.src), i.w, 32), shift, 32)
    return (at + words * (i.w // 8)) & MASK[i.dst.aw]


def _bit(b: Builder, i: Insn) -> Word:
    return b.read(i.src) & (i.w - 1)


def _change(b: Builder, i: Insn, how: str) -> None:
    """CF from the selected bit, then set, reset or complement it."""
    n = b.zext(_bit(b, i), i.src.w, i.w)
    in_memory = i.dst.kind is Kind.MEM
    at = _word_at(b, i) if in_memory else 0
    x = b.load_rmw(i.dst.n, at, i.w) if in_memory else b.read(i.dst)
    mask = (1 << n) & MASK[i.w]
    if how == "set":
        r = x | mask
    elif how == "reset":
        r = x & ~mask & MASK[i.w]
    else:
        r = x ^ mask
    if in_memory:
        b.store(i.dst.n, at, r, i.w)
    else:
        b.write(i.dst, r)
    b.change_flags(CF, (x >> n) & 1)


@insn("bt", X.X86_INS_BT, sdm="2A BT", undefined=UNDEFINED)
def bt(b: Builder, i: Insn) -> None:
    """CF becomes the selected bit."""
    n = b.zext(_bit(b, i), i.src.w, i.w)
    x = b.load(i.dst.n, _word_at(b, i), i.w) if i.dst.kind is Kind.MEM else b.read(i.dst)
    b.change_flags(CF, (x >> n) & 1)


@insn("bts", X.X86_INS_BTS, sdm="2A BTS", lockable=True, undefined=UNDEFINED)
def bts(b: Builder, i: Insn) -> None:
    """CF becomes the selected bit, the bit 1."""
    _change(b, i, "set")


@insn("btr", X.X86_INS_BTR, sdm="2A BTR", lockable=True, undefined=UNDEFINED)
def btr(b: Builder, i: Insn) -> None:
    """CF becomes the selected bit, the bit 0."""
    _change(b, i, "reset")


@insn("btc", X.X86_INS_BTC, sdm="2A BTC", lockable=True, undefined=UNDEFINED)
def btc(b: Builder, i: Insn) -> None:
    """CF becomes the selected bit, the bit its complement."""
    _change(b, i, "complement")


@insn("bsf", X.X86_INS_BSF, X.X86_INS_TZCNT, sdm="2A BSF", undefined=UNDEFINED | CF)
def bsf(b: Builder, i: Insn) -> None:
    """The number of the lowest set bit. A source of 0 sets ZF and leaves the destination alone."""
    x = b.read(i.src)
    if x != 0:
        b.write(i.dst, b.ctz(x, i.w))
    b.change_flags(ZF, (x == 0) * ZF)


@insn("bsr", X.X86_INS_BSR, X.X86_INS_LZCNT, sdm="2A BSR", undefined=UNDEFINED | CF)
def bsr(b: Builder, i: Insn) -> None:
    """The number of the highest set bit. A source of 0 sets ZF and leaves the destination alone."""
    x = b.read(i.src)
    if x != 0:
        b.write(i.dst, (i.w - 1) - b.clz(x, i.w))
    b.change_flags(ZF, (x == 0) * ZF)


@insn("bswap", X.X86_INS_BSWAP, sdm="2A BSWAP", feature="486")
def bswap(b: Builder, i: Insn) -> None:
    """Reverses the bytes of a register. Of a 16-bit one, which the SDM leaves undefined, comes 0."""
    if i.w == 16:
        b.write(i.dst, 0)
    else:
        x = b.read(i.dst)
        x = ((x & M16) << 16) | (x >> 16)
        b.write(i.dst, ((x & 0x00FF_00FF) << 8) | ((x & 0xFF00_FF00) >> 8))


@insn("setcc", *(getattr(X, f"X86_INS_SET{name.upper()}") for name in flags.CONDITION_NAMES), sdm="2B SETcc")
def setcc(b: Builder, i: Insn) -> None:
    """1 if the condition holds, else 0."""
    b.write(i.dst, 1 if flags.condition(b, i.cc) else 0)
