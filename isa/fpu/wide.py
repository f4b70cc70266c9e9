"""Numbers of any length, for what is calculated with hundreds of bits: (class, sign, e, m) is m * 2**e.

`transcendental` and `remainder` work on Python ints, so they run in the reference engine only. What goes in
and comes out passes here; how it is rounded, `formats` says.
"""

from __future__ import annotations

from isa.consts import M32
from isa.engine.intwords import IntWords, signed
from isa.fpu import formats

Number = tuple[int, int, int, int]
Result = tuple[int, int]

INTS = IntWords()
KEPT = 128  # bits that rounding looks at
NANS = (formats.QUIET, formats.SIGNALLING, formats.UNSUPPORTED)


def opened(x: formats.Number) -> Number:
    """A number of `formats`, its exponent that of the lowest bit."""
    return (x[0], x[1], signed(x[2], 32) - 63, x[3]) if x[3] and x[0] < formats.INFINITE else x


def pack(sign: int, e: int, m: int, control: int, unit: int = formats.EXTENDED_UNIT) -> Result:
    """m * 2**e, m > 0, rounded as an extended real. Whoever has more digits than he can give sets m's lowest bit,
    far below the rounding."""
    extra = m.bit_length() - KEPT
    top = m >> extra | (m & ((1 << extra) - 1) != 0) if extra > 0 else m << -extra
    return formats.pack(INTS, sign, (e + m.bit_length() - 1) & M32, top, control, unit)


def exact(sign: int, e: int, m: int) -> int:
    """m * 2**e, which a normal extended real holds, or zero."""
    if not m:
        return formats.signed_zero(INTS, sign)
    length = m.bit_length()
    return formats.word(
        INTS, sign, e + length - 1 + formats.BIAS, m << 64 - length if length <= 64 else m >> length - 64
    )


def choose_nan(x: Number, y: Number) -> Result:
    return formats.choose_nan(INTS, x, y)


def signed_zero(sign: int) -> int:
    return formats.signed_zero(INTS, sign)


def signed_infinity(sign: int) -> int:
    return formats.signed_infinity(INTS, sign)
