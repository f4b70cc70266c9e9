"""The arithmetic flags, written once for every engine: lazy records and their formulas.

An instruction does not compute flags; it leaves a record `(kind, w, x, y, r)`: what was done, at which
width, to which operands, with which result. A flag is computed from the record when somebody asks. The
formulas below use only the operators that `language` allows, so they serve Python ints and compiled words
alike. SDM 1, 3.4.3.1 and appendix A.

    kind    x, y                              who
    ADD     operands                          ADD XADD
    ADC     operands (carry is in r)          ADC
    SUB     operands                          SUB CMP NEG CMPXCHG SCAS CMPS
    SBB     operands (borrow is in r)         SBB
    LOGIC   unused: CF = OF = AF = 0          AND OR XOR TEST
    INC     x unused, y = CF as it was        INC
    DEC     x unused, y = CF as it was        DEC
    RESULT  x = CF, y = OF; AF = 0            shifts, multiplications: SF ZF PF follow the result
    PACKED  unused; r has the bits of EFLAGS  POPF SAHF rotates, and whatever mixes flags
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from isa.consts import AF, CF, OF, PF, SF, SIGN, ZF

if TYPE_CHECKING:
    from isa.language import Builder, Word

ADD, ADC, SUB, SBB, LOGIC, INC, DEC, RESULT, PACKED = range(9)
KIND_NAMES = ("ADD", "ADC", "SUB", "SBB", "LOGIC", "INC", "DEC", "RESULT", "PACKED")

Formula = Callable[[int, "Word", "Word", "Word"], "Word"]


def _top(value: Word, w: int) -> Word:
    return (value >> (w - 1)) & 1


def _zero(w: int, x: Word, y: Word, r: Word) -> Word:
    return 0


def _cf_adc(w: int, x: Word, y: Word, r: Word) -> Word:
    return _top((x & y) | ((x | y) & ~r), w)


def _cf_sbb(w: int, x: Word, y: Word, r: Word) -> Word:
    return _top((~x & y) | ((~x | y) & r), w)


def _of_add(w: int, x: Word, y: Word, r: Word) -> Word:
    return _top((x ^ r) & (y ^ r), w)


def _of_sub(w: int, x: Word, y: Word, r: Word) -> Word:
    return _top((x ^ y) & (x ^ r), w)


def _af_carry(w: int, x: Word, y: Word, r: Word) -> Word:
    return ((x ^ y ^ r) >> 4) & 1


CARRY: dict[int, Formula] = {
    ADD: lambda w, x, y, r: r < x,
    ADC: _cf_adc,
    SUB: lambda w, x, y, r: x < y,
    SBB: _cf_sbb,
    LOGIC: _zero,
    INC: lambda w, x, y, r: y,
    DEC: lambda w, x, y, r: y,
    RESULT: lambda w, x, y, r: x,
    PACKED: lambda w, x, y, r: r & 1,
}
OVERFLOW: dict[int, Formula] = {
    ADD: _of_add,
    ADC: _of_add,
    SUB: _of_sub,
    SBB: _of_sub,
    LOGIC: _zero,
    INC: lambda w, x, y, r: r == SIGN[w],
    DEC: lambda w, x, y, r: r == SIGN[w] - 1,
    RESULT: lambda w, x, y, r: y,
    PACKED: lambda w, x, y, r: (r >> 11) & 1,
}
ADJUST: dict[int, Formula] = {
    ADD: _af_carry,
    ADC: _af_carry,
    SUB: _af_carry,
    SBB: _af_carry,
    LOGIC: _zero,
    INC: lambda w, x, y, r: (r & 15) == 0,
    DEC: lambda w, x, y, r: (r & 15) == 15,
    RESULT: _zero,
    PACKED: lambda w, x, y, r: (r >> 4) & 1,
}


def zero(kind: int, w: int, r: Word) -> Word:
    """ZF of a record."""
    return (r >> 6) & 1 if kind == PACKED else r == 0


def sign(kind: int, w: int, r: Word) -> Word:
    """SF of a record."""
    return (r >> 7) & 1 if kind == PACKED else _top(r, w)


def parity(kind: int, w: int, r: Word) -> Word:
    """PF of a record: even parity of the low byte."""
    if kind == PACKED:
        return (r >> 2) & 1
    p = r ^ (r >> 4)
    p = p ^ (p >> 2)
    return ((p ^ (p >> 1)) & 1) ^ 1


def pack(cf: Word, pf: Word, af: Word, zf: Word, sf: Word, of: Word) -> Word:
    """Six flags, each 0 or 1, as bits of EFLAGS."""
    return cf * CF | pf * PF | af * AF | zf * ZF | sf * SF | of * OF


# The sixteen conditions (SDM 2A, B.1.4.7), by their number without the lowest bit, which negates.
CONDITION_NAMES = ("o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g")
_CONDITIONS: tuple[Callable[[Builder], Word], ...] = (
    lambda b: b.of(),
    lambda b: b.cf(),
    lambda b: b.zf(),
    lambda b: b.cf() | b.zf(),
    lambda b: b.sf(),
    lambda b: b.pf(),
    lambda b: b.sf() ^ b.of(),
    lambda b: b.zf() | (b.sf() ^ b.of()),
)


def condition(b: Builder, cc: int) -> Word:
    """1 if condition `cc` holds, else 0."""
    return _CONDITIONS[cc >> 1](b) ^ (cc & 1)
