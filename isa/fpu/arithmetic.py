"""Addition to comparisons: the exact operations of the x87 on extended reals (SDM 1, 8.3.5 and 8.3.7).

Each function takes the control word and unpacked numbers and gives (word, flags): the 80-bit result, and
the exceptions and condition codes it raises. Exceptions that are found before the result exists, invalid,
divide by zero and denormal, end the operation where they are not masked; the flags then hold that one
alone, and the word means nothing (SDM 1, 8.5 and 4.9.2). In the language of `isa.language`.
"""

from __future__ import annotations

from isa.consts import FSW_C0, FSW_C2, FSW_C3, FSW_DE, FSW_IE, FSW_ZE, M32
from isa.fpu.formats import (
    BIAS,
    DENORMAL,
    DOWN,
    INDEFINITE,
    INFINITE,
    INTEGER_BIT,
    PLUS_INFINITY,
    SIGNALLING,
    ZERO,
    Number,
    Result,
    choose_nan,
    exact,
    is_nan,
    jam,
    lost,
    nan_word,
    pack,
    rounded,
    rounding,
    signed_infinity,
    signed_zero,
    unit_of,
    whole,
    word,
)  # fmt: skip
from isa.language import Arithmetic, Word

INVALID: Result = (INDEFINITE, FSW_IE)
FAR = 1 << 30  # below every exponent, if taken away: of a zero
M128 = (1 << 128) - 1


def denormals(x: Number, y: Number) -> Word:
    """DE if an operand is a denormal."""
    return FSW_DE if x[0] == DENORMAL or y[0] == DENORMAL else 0


def stops(flags: Word, control: Word) -> Word:
    """Whether an exception among `flags` is not masked."""
    return (flags & ~control & 0x3F) != 0


def add(b: Arithmetic, control: Word, x: Number, y: Number) -> Result:
    """x + y."""
    if is_nan(x) or is_nan(y):
        return choose_nan(b, x, y)
    if x[0] == INFINITE and y[0] == INFINITE and x[1] != y[1]:
        return INVALID
    flags = denormals(x, y)
    if stops(flags, control):
        return 0, flags
    if x[0] == INFINITE:
        return signed_infinity(b, x[1]), flags
    if y[0] == INFINITE:
        return signed_infinity(b, y[1]), flags
    value, more = _sum(b, control, x, y)
    return value, flags | more


def _sum(b: Arithmetic, control: Word, x: Number, y: Number) -> Result:
    """Of finite numbers. The larger stands at bit 125 of 128; what of the smaller falls out below counts only
    for its being there."""
    ex = -FAR & M32 if x[0] == ZERO else x[2]
    ey = -FAR & M32 if y[0] == ZERO else y[2]
    first = b.slt(ey, ex, 32)
    e, near = (ex, ey) if first else (ey, ex)
    s1, m1, s2, m2 = (x[1], x[3], y[1], y[3]) if first else (y[1], y[3], x[1], x[3])
    large = b.zext(m1, 64, 128) << 62
    small = jam(b, b.zext(m2, 64, 128) << 62, (e - near) & M32)
    sign = s2 if s1 != s2 and small > large else s1
    total = large + small if s1 == s2 else small - large if small > large else large - small
    if total == 0:
        return signed_zero(b, s1 if s1 == s2 else b.trunc(rounding(control) == DOWN, 32)), 0
    zeros = b.trunc(b.clz(total, 128), 32)
    return pack(b, sign, (e + 2 - zeros) & M32, (total << zeros) & M128, control, unit_of(control))


def negated(x: Number) -> Number:
    """-x; a NaN keeps its sign."""
    return x[0], x[1] if is_nan(x) else x[1] ^ 1, x[2], x[3]


def subtract(b: Arithmetic, control: Word, x: Number, y: Number) -> Result:
    """x - y."""
    return add(b, control, x, negated(y))


def subtract_reversed(b: Arithmetic, control: Word, x: Number, y: Number) -> Result:
    """y - x."""
    return subtract(b, control, y, x)


def multiply(b: Arithmetic, control: Word, x: Number, y: Number) -> Result:
    """x * y."""
    if is_nan(x) or is_nan(y):
        return choose_nan(b, x, y)
    sign, infinite, zero = x[1] ^ y[1], x[0] == INFINITE or y[0] == INFINITE, x[0] == ZERO or y[0] == ZERO
    if infinite and zero:
        return INVALID
    flags = denormals(x, y)
    if stops(flags, control):
        return 0, flags
    if infinite:
        return signed_infinity(b, sign), flags
    if zero:
        return signed_zero(b, sign), flags
    product = b.zext(x[3], 64, 128) * b.zext(y[3], 64, 128)
    zeros = b.trunc(b.clz(product, 128), 32)
    e = (x[2] + y[2] + 1 - zeros) & M32
    value, more = pack(b, sign, e, (product << zeros) & M128, control, unit_of(control))
    return value, flags | more


def divide(b: Arithmetic, control: Word, x: Number, y: Number) -> Result:
    """x / y."""
    if is_nan(x) or is_nan(y):
        return choose_nan(b, x, y)
    sign = x[1] ^ y[1]
    if x[0] == y[0] and (x[0] == INFINITE or x[0] == ZERO):
        return INVALID
    if y[0] == ZERO and x[0] != INFINITE:
        return signed_infinity(b, sign), FSW_ZE
    flags = denormals(x, y)
    if stops(flags, control):
        return 0, flags
    if x[0] == INFINITE:
        return signed_infinity(b, sign), flags
    if y[0] == INFINITE or x[0] == ZERO:
        return signed_zero(b, sign), flags
    e, m = _quotient(b, x, y)
    value, more = pack(b, sign, e, m, control, unit_of(control))
    return value, flags | more


def _quotient(b: Arithmetic, x: Number, y: Number) -> tuple[Word, Word]:
    """The exponent and 128 bits: 64 of the quotient, and how the rest compares with half of the last."""
    below = x[3] < y[3]
    high, low = (x[3], 0) if below else (x[3] >> 1, (x[3] & 1) << 63)
    q, rest = b.udivmod(high, low, y[3], 64)
    twice, divisor = b.zext(rest, 64, 128) << 1, b.zext(y[3], 64, 128)
    more = (INTEGER_BIT if twice >= divisor else 0) | (1 if rest != 0 and twice != divisor else 0)
    m = (b.zext(q, 64, 128) << 64) | b.zext(more, 64, 128)
    return (x[2] - y[2] - (1 if below else 0)) & M32, m


def divide_reversed(b: Arithmetic, control: Word, x: Number, y: Number) -> Result:
    """y / x."""
    return divide(b, control, y, x)


def square_root(b: Arithmetic, control: Word, x: Number) -> Result:
    if is_nan(x):
        return choose_nan(b, x, x)
    if x[0] == ZERO:
        return signed_zero(b, x[1]), 0
    if x[1]:
        return INVALID
    flags = denormals(x, x)
    if stops(flags, control) or x[0] == INFINITE:
        return PLUS_INFINITY, flags
    odd = x[2] & 1
    square = b.zext(x[3], 64, 128) << 63
    square = (square << 1) & M128 if odd else square
    root = b.isqrt(square, 128)
    wide = b.zext(root, 64, 128)
    rest = square - wide * wide
    low = (
        INTEGER_BIT | 1 if rest > wide else 1 if rest != 0 else 0
    )  # more than half of the last place is more than root
    m = (wide << 64) | b.zext(low, 64, 128)
    value, more = pack(b, 0, b.sar(x[2], 1, 32), m, control, unit_of(control))
    return value, flags | more


def integral(b: Arithmetic, control: Word, x: Number) -> tuple[Word, Word]:
    """A finite number below 2**64 rounded to an integer, without its sign, and the flags of the rounding."""
    m = jam(b, b.zext(x[3], 64, 128) << 64, (63 - x[2]) & M32)
    q, _carry, inexact, up = rounded(b, x[1], m, 1, rounding(control))
    return q, lost(inexact, up)


def round_to_integer(b: Arithmetic, control: Word, x: Number) -> Result:
    """FRNDINT."""
    if is_nan(x):
        return choose_nan(b, x, x)
    flags = denormals(x, x)
    if x[0] == INFINITE:
        return signed_infinity(b, x[1]), flags
    if stops(flags, control) or x[0] == ZERO:
        return signed_zero(b, x[1]), flags
    if b.slt(62, x[2], 32):
        return exact(b, x), flags
    q, more = integral(b, control, x)
    return exact(b, whole(b, x[1], q)), flags | more


def scale(b: Arithmetic, control: Word, x: Number, y: Number) -> Result:
    """FSCALE: x * 2**y, y chopped to an integer (SDM 2A, table 3-32)."""
    if is_nan(x) or is_nan(y):
        return choose_nan(b, x, y)
    if y[0] == INFINITE and x[0] == (INFINITE if y[1] else ZERO):
        return INVALID
    flags = denormals(x, y)
    if stops(flags, control):
        return 0, flags
    if x[0] == INFINITE or (y[0] == INFINITE and y[1] == 0):
        return signed_infinity(b, x[1]), flags
    if x[0] == ZERO or y[0] == INFINITE:
        return signed_zero(b, x[1]), flags
    e = (x[2] - steps(b, y)) & M32 if y[1] else (x[2] + steps(b, y)) & M32
    value, more = pack(b, x[1], e, b.zext(x[3], 64, 128) << 64, control)
    return value, flags | more


def steps(b: Arithmetic, y: Number) -> Word:
    """A finite number without its sign, chopped; more than any exponent can take is much."""
    if y[0] == ZERO or b.slt(y[2], 0, 32):
        return 0
    if y[2] >= 20:
        return 1 << 20
    return b.trunc(y[3] >> (63 - y[2]), 32)


def exponent(b: Arithmetic, control: Word, x: Number) -> Result:
    """The first result of FXTRACT: the exponent of x as a number."""
    if is_nan(x):
        return choose_nan(b, x, x)
    if x[0] == ZERO:
        return signed_infinity(b, 1), FSW_ZE
    if x[0] == INFINITE:
        return PLUS_INFINITY, 0
    sign = x[2] >> 31
    size = -x[2] & M32 if sign else x[2]
    return exact(b, whole(b, sign, b.zext(size, 32, 64))), denormals(x, x)


def significand(b: Arithmetic, control: Word, x: Number) -> Result:
    """The second result of FXTRACT: x with the exponent 0."""
    if is_nan(x):
        return choose_nan(b, x, x)
    if x[0] == ZERO:
        return signed_zero(b, x[1]), FSW_ZE
    if x[0] == INFINITE:
        return signed_infinity(b, x[1]), 0
    return word(b, x[1], BIAS, x[3]), denormals(x, x)


# -- comparisons: the word is 0, the answer is in the condition codes (SDM 1, table 8-6) -----------

GREATER, LESS, EQUAL, UNORDERED = 0, FSW_C0, FSW_C3, FSW_C0 | FSW_C2 | FSW_C3


def order(b: Arithmetic, x: Number, y: Number) -> Word:
    """Condition codes of numbers that are no NaNs."""
    size_x, size_y = _size(b, x), _size(b, y)
    if size_x == 0 and size_y == 0:
        return EQUAL
    if x[1] != y[1]:
        return LESS if x[1] else GREATER
    if size_x == size_y:
        return EQUAL
    return LESS if (size_x < size_y) == (x[1] == 0) else GREATER


def _size(b: Arithmetic, n: Number) -> Word:
    """A word that is larger for a larger magnitude."""
    if n[0] == ZERO or n[0] == INFINITE:
        return (1 << 127) if n[0] == INFINITE else 0
    return (b.zext((n[2] + FAR) & M32, 32, 128) << 64) | b.zext(n[3], 64, 128)


def compare(b: Arithmetic, control: Word, x: Number, y: Number) -> Result:
    """FCOM: any NaN is an invalid operand."""
    if is_nan(x) or is_nan(y):
        return 0, UNORDERED | FSW_IE
    return 0, order(b, x, y) | denormals(x, y)


def compare_unordered(b: Arithmetic, control: Word, x: Number, y: Number) -> Result:
    """FUCOM: a quiet NaN is compared without complaint."""
    if is_nan(x) or is_nan(y):
        return 0, UNORDERED | (FSW_IE if x[0] >= SIGNALLING or y[0] >= SIGNALLING else 0)
    return 0, order(b, x, y) | denormals(x, y)


# -- moves that convert ----------------------------------------------------------------------------


def load(b: Arithmetic, control: Word, x: Number) -> Result:
    """FLD, FILD: any number as an extended real, which holds it exactly."""
    if is_nan(x):
        return nan_word(b, x[1], x[3]), FSW_IE if x[0] == SIGNALLING else 0
    if x[0] == INFINITE:
        return signed_infinity(b, x[1]), 0
    return exact(b, x), denormals(x, x)
