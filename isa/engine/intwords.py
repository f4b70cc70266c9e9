"""Arithmetic on words that are Python ints: the part of the language without state.

`sext`, `sar`, `umul`, … as `language` specifies them, exact for every width. Engines that run on ints
inherit from `IntWords`; compiled engines have their own.
"""

from __future__ import annotations

from math import isqrt

from isa.consts import MASK, SIGN
from isa.faults import DivideError


def signed(x: int, w: int) -> int:
    """A word as a signed number."""
    return (x ^ SIGN[w]) - SIGN[w]


class IntWords:
    """Words are ints below 2**w."""

    def zext(self, x: int, w: int, to: int) -> int:
        return x

    def trunc(self, x: int, to: int) -> int:
        return x & MASK[to]

    def sext(self, x: int, w: int, to: int) -> int:
        return ((x ^ SIGN[w]) - SIGN[w]) & MASK[to]

    def sar(self, x: int, n: int, w: int) -> int:
        return (signed(x, w) >> n) & MASK[w]

    def slt(self, x: int, y: int, w: int) -> int:
        return (x ^ SIGN[w]) < (y ^ SIGN[w])

    def umul(self, x: int, y: int, w: int) -> tuple[int, int]:
        product = x * y
        return product & MASK[w], product >> w

    def smul(self, x: int, y: int, w: int) -> tuple[int, int]:
        product = signed(x, w) * signed(y, w)
        return product & MASK[w], (product >> w) & MASK[w]

    def udivmod(self, high: int, low: int, y: int, w: int) -> tuple[int, int]:
        if y == 0:
            raise DivideError()
        quotient, remainder = divmod(high << w | low, y)
        if quotient > MASK[w]:
            raise DivideError()
        return quotient, remainder

    def sdivmod(self, high: int, low: int, y: int, w: int) -> tuple[int, int]:
        if y == 0:
            raise DivideError()
        x, divisor = signed(high, w) * (1 << w) + low, signed(y, w)
        quotient = abs(x) // abs(divisor)
        if (x < 0) != (divisor < 0):
            quotient = -quotient
        if not -SIGN[w] <= quotient < SIGN[w]:
            raise DivideError()
        return quotient & MASK[w], (x - quotient * divisor) & MASK[w]

    def ctz(self, x: int, w: int) -> int:
        return (x & -x).bit_length() - 1

    def clz(self, x: int, w: int) -> int:
        return w - x.bit_length()

    def isqrt(self, x: int, w: int) -> int:
        return isqrt(x)
