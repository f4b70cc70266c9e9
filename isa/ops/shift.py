"""Shifts and rotates: SHL SHR SAR ROL ROR RCL RCR SHLD SHRD.

The count is an immediate, CL or an implicit 1, always the last operand, and counts modulo 32; a count of 0
changes no flag and writes nothing. What the SDM leaves undefined is here what falls out of the formula: OF
as for a count of 1, AF 0, CF the bit that left last (0 where only zeros were left). Operands are widened
to 64 bits, so that no count reaches the width. Next: `bits`.
"""

from __future__ import annotations

from isa import flags
from isa.capstone_ids import X
from isa.consts import AF, CF, MASK, OF
from isa.insn import Insn
from isa.language import Builder, Word
from isa.table import insn


def _count(b: Builder, i: Insn) -> Word:
    return b.zext(b.read(i.operands[-1]), 8, 64) & 31


def _top(value: Word, w: int) -> Word:
    return (value >> (w - 1)) & 1


@insn("shl", X.X86_INS_SHL, X.X86_INS_SAL, sdm="2B SAL/SAR/SHL/SHR", undefined=OF | AF | CF)
def shl(b: Builder, i: Insn) -> None:
    x, n, w = b.zext(b.modify(i.dst), i.w, 64), _count(b, i), i.w
    if n == 0:
        return
    wide = x << n
    r = b.trunc(wide, w)
    carry = (wide >> w) & 1
    b.write(i.dst, r)
    b.set_flags(flags.RESULT, w, carry, carry ^ _top(r, w), r)


@insn("shr", X.X86_INS_SHR, sdm="2B SAL/SAR/SHL/SHR", undefined=OF | AF | CF)
def shr(b: Builder, i: Insn) -> None:
    x, n, w = b.zext(b.modify(i.dst), i.w, 64), _count(b, i), i.w
    if n == 0:
        return
    before = x >> (n - 1)
    r = b.trunc(before >> 1, w)
    b.write(i.dst, r)
    b.set_flags(flags.RESULT, w, before & 1, _top(before, w), r)


@insn("sar", X.X86_INS_SAR, sdm="2B SAL/SAR/SHL/SHR", undefined=AF)
def sar(b: Builder, i: Insn) -> None:
    """The sign moves in from above; OF becomes 0."""
    x, n, w = b.sext(b.modify(i.dst), i.w, 64), _count(b, i), i.w
    if n == 0:
        return
    before = b.sar(x, n - 1, 64)
    r = b.trunc(b.sar(before, 1, 64), w)
    b.write(i.dst, r)
    b.set_flags(flags.RESULT, w, before & 1, 0, r)


@insn("rol", X.X86_INS_ROL, sdm="2B RCL/RCR/ROL/ROR", undefined=OF)
def rol(b: Builder, i: Insn) -> None:
    """Only CF and OF change; CF is the bit that went round last."""
    x, n, w = b.zext(b.modify(i.dst), i.w, 64), _count(b, i), i.w
    if n == 0:
        return
    turn = n & (w - 1)
    r = b.trunc((x << turn) | (x >> (w - turn)), w)
    carry = r & 1
    b.write(i.dst, r)
    b.change_flags(CF | OF, carry * CF | (carry ^ _top(r, w)) * OF)


@insn("ror", X.X86_INS_ROR, sdm="2B RCL/RCR/ROL/ROR", undefined=OF)
def ror(b: Builder, i: Insn) -> None:
    """Only CF and OF change; CF is the bit that went round last."""
    x, n, w = b.zext(b.modify(i.dst), i.w, 64), _count(b, i), i.w
    if n == 0:
        return
    turn = n & (w - 1)
    r = b.trunc((x >> turn) | (x << (w - turn)), w)
    carry = _top(r, w)
    b.write(i.dst, r)
    b.change_flags(CF | OF, carry * CF | (carry ^ _top(r, w - 1)) * OF)


def _with_carry(b: Builder, i: Insn) -> tuple[Word, Word]:
    """CF above the operand, as one word of w + 1 bits, and the count modulo w + 1."""
    x, n, w = b.zext(b.modify(i.dst), i.w, 64), _count(b, i), i.w
    _, turn = b.udivmod(0, b.trunc(n, 32), w + 1, 32)
    return x | b.cf() * (1 << w), b.zext(turn, 32, 64)


@insn("rcl", X.X86_INS_RCL, sdm="2B RCL/RCR/ROL/ROR", undefined=OF)
def rcl(b: Builder, i: Insn) -> None:
    """Rotates through CF, which counts as the highest bit; only CF and OF change."""
    w = i.w
    x, turn = _with_carry(b, i)
    if _count(b, i) == 0:
        return
    wide = (x << turn) | (x >> (w + 1 - turn))
    r, carry = b.trunc(wide, w), (wide >> w) & 1
    b.write(i.dst, r)
    b.change_flags(CF | OF, carry * CF | (carry ^ _top(r, w)) * OF)


@insn("rcr", X.X86_INS_RCR, sdm="2B RCL/RCR/ROL/ROR", undefined=OF)
def rcr(b: Builder, i: Insn) -> None:
    """Rotates through CF, which counts as the highest bit; only CF and OF change."""
    w = i.w
    x, turn = _with_carry(b, i)
    if _count(b, i) == 0:
        return
    wide = ((x >> turn) | (x << (w + 1 - turn))) & MASK[64]
    r, carry = b.trunc(wide, w), (wide >> w) & 1
    b.write(i.dst, r)
    b.change_flags(CF | OF, carry * CF | (_top(r, w) ^ _top(r, w - 1)) * OF)


@insn("shld", X.X86_INS_SHLD, sdm="2B SHLD", undefined=OF | AF | CF)
def shld(b: Builder, i: Insn) -> None:
    """Shifts left, filling from the top of the second operand.

    16 bits shifted by more than 16 (undefined in the SDM) are filled from the first operand again, as
    processors do.
    """
    w = i.w
    x, y, n = b.zext(b.modify(i.dst), w, 64), b.zext(b.read(i.src), w, 64), _count(b, i)
    if n == 0:
        return
    pair = (x << 32) | (y if w == 32 else (y << 16) | x)
    r = b.trunc(pair >> (32 - n), w)
    b.write(i.dst, r)
    b.set_flags(flags.RESULT, w, (pair >> (32 + w - n)) & 1, _top(b.trunc(x, w) ^ r, w), r)


@insn("shrd", X.X86_INS_SHRD, sdm="2B SHRD", undefined=OF | AF | CF)
def shrd(b: Builder, i: Insn) -> None:
    """Shifts right, filling from the bottom of the second operand; see SHLD for 16 bits."""
    w = i.w
    x, y, n = b.zext(b.modify(i.dst), w, 64), b.zext(b.read(i.src), w, 64), _count(b, i)
    if n == 0:
        return
    pair = (y << 32) | x if w == 32 else (x << 32) | (y << 16) | x
    r = b.trunc(pair >> n, w)
    b.write(i.dst, r)
    b.set_flags(flags.RESULT, w, (pair >> (n - 1)) & 1, _top(b.trunc(x, w) ^ r, w), r)
