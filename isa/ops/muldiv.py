"""Multiplication and division: MUL IMUL DIV IDIV.

The one-operand forms work on AX, DX:AX or EDX:EAX, a pair of halves here. Multiplication sets CF and OF
where the upper half matters; SF, ZF and PF, undefined in the SDM, follow the lower half. Division leaves
every flag as it was (all are undefined) and faults with #DE before it changes anything.
"""

from __future__ import annotations

from isa import flags
from isa.capstone_ids import X
from isa.consts import AF, ARITHMETIC, EAX, EDX, M16, M32, PF, SF, ZF
from isa.insn import Insn
from isa.language import Builder, Word
from isa.ops.stack import set_register
from isa.table import insn


def _accumulator(b: Builder, w: int) -> tuple[Word, Word]:
    """Low and high half of AX, DX:AX or EDX:EAX."""
    high = b.s[EAX] >> 8 if w == 8 else b.s[EDX]
    return b.trunc(b.s[EAX], w), b.trunc(high, w)


def _set_accumulator(b: Builder, low: Word, high: Word, w: int) -> None:
    if w == 8:
        pair = b.zext(low, 8, 32) | (b.zext(high, 8, 32) << 8)
        b.s[EAX] = (b.s[EAX] & (M32 ^ M16)) | pair
    else:
        set_register(b, EAX, low, w)
        set_register(b, EDX, high, w)


def _sign(b: Builder, low: Word, w: int) -> Word:
    """The upper half that a product has if it fits the lower one."""
    return b.sar(low, w - 1, w)


@insn("mul", X.X86_INS_MUL, sdm="2B MUL", undefined=SF | ZF | AF | PF)
def mul(b: Builder, i: Insn) -> None:
    x, _ = _accumulator(b, i.w)
    low, high = b.umul(x, b.read(i.dst), i.w)
    _set_accumulator(b, low, high, i.w)
    over = high != 0
    b.set_flags(flags.RESULT, i.w, over, over, low)


@insn("imul", X.X86_INS_IMUL, sdm="2A IMUL", undefined=SF | ZF | AF | PF)
def imul(b: Builder, i: Insn) -> None:
    """Signed; with two or three operands only the lower half is kept."""
    if len(i.operands) == 1:
        x, _ = _accumulator(b, i.w)
        low, high = b.smul(x, b.read(i.dst), i.w)
        _set_accumulator(b, low, high, i.w)
    else:
        low, high = b.smul(b.read(i.operands[-2]), b.read(i.operands[-1]), i.w)
        b.write(i.dst, low)
    over = high != _sign(b, low, i.w)
    b.set_flags(flags.RESULT, i.w, over, over, low)


@insn("div", X.X86_INS_DIV, sdm="2A DIV", undefined=ARITHMETIC)
def div(b: Builder, i: Insn) -> None:
    """#DE for a divisor of 0 and for a quotient that does not fit."""
    low, high = _accumulator(b, i.w)
    quotient, remainder = b.udivmod(high, low, b.read(i.dst), i.w)
    _set_accumulator(b, quotient, remainder, i.w)


@insn("idiv", X.X86_INS_IDIV, sdm="2A IDIV", undefined=ARITHMETIC)
def idiv(b: Builder, i: Insn) -> None:
    """Signed: the quotient is cut towards zero, the remainder has the sign of the dividend."""
    low, high = _accumulator(b, i.w)
    quotient, remainder = b.sdivmod(high, low, b.read(i.dst), i.w)
    _set_accumulator(b, quotient, remainder, i.w)
