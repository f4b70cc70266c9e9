"""Addition to remainders: the exact operations of the x87 on extended reals (SDM 1, 8.3.5 and 8.3.7).

Each function takes the control word and unpacked numbers and gives (word, flags): the 80-bit result, and
the exceptions and condition codes it raises. Exceptions that are found before the result exists, invalid,
divide by zero and denormal, end the operation where they are not masked; the flags then hold that one
alone, and the word means nothing (SDM 1, 8.5 and 4.9.2).
"""

from __future__ import annotations

from math import isqrt

from isa.consts import FCW_UM, FSW_C0, FSW_C1, FSW_C2, FSW_C3, FSW_DE, FSW_IE, FSW_PE, FSW_ZE
from isa.fpu.formats import (
    BIAS,
    DENORMAL,
    DOWN,
    INDEFINITE,
    INFINITE,
    NANS,
    PLUS_INFINITY,
    SIGNALLING,
    UNSUPPORTED,
    ZERO,
    Number,
    Result,
    choose_nan,
    exact,
    nan_word,
    pack,
    precision,
    round_shift,
    rounding,
    signed_infinity,
    signed_zero,
)  # fmt: skip

INVALID: Result = (INDEFINITE, FSW_IE)
GUARD = 3  # bits below the last one wanted, the lowest of them sticky


def denormals(*numbers: Number) -> int:
    """DE if an operand is a denormal."""
    return FSW_DE if any(n[0] == DENORMAL for n in numbers) else 0


def stops(flags: int, control: int) -> bool:
    """Whether an exception among `flags` is not masked."""
    return bool(flags & ~control & 0x3F)


def add(control: int, x: Number, y: Number) -> Result:
    """x + y."""
    if x[0] in NANS or y[0] in NANS:
        return choose_nan(x, y)
    if x[0] == y[0] == INFINITE and x[1] != y[1]:
        return INVALID
    flags = denormals(x, y)
    if stops(flags, control):
        return 0, flags
    if x[0] == INFINITE or y[0] == INFINITE:
        return signed_infinity(x[1] if x[0] == INFINITE else y[1]), flags
    e = min(x[2], y[2])
    a, b = x[3] << (x[2] - e), y[3] << (y[2] - e)
    total = (-a if x[1] else a) + (-b if y[1] else b)
    if not total:
        same = x[1] == y[1]
        sign = x[1] if same else int(rounding(control) == DOWN)
        return signed_zero(sign), flags
    value, more = pack(int(total < 0), e, abs(total), control, precision(control))
    return value, flags | more


def negated(x: Number) -> Number:
    """-x; a NaN keeps its sign."""
    return x if x[0] in NANS else (x[0], x[1] ^ 1, x[2], x[3])


def subtract(control: int, x: Number, y: Number) -> Result:
    """x - y."""
    return add(control, x, negated(y))


def multiply(control: int, x: Number, y: Number) -> Result:
    """x * y."""
    if x[0] in NANS or y[0] in NANS:
        return choose_nan(x, y)
    kinds, sign = (x[0], y[0]), x[1] ^ y[1]
    if INFINITE in kinds and ZERO in kinds:
        return INVALID
    flags = denormals(x, y)
    if stops(flags, control):
        return 0, flags
    if INFINITE in kinds:
        return signed_infinity(sign), flags
    if ZERO in kinds:
        return signed_zero(sign), flags
    value, more = pack(sign, x[2] + y[2], x[3] * y[3], control, precision(control))
    return value, flags | more


def divide(control: int, x: Number, y: Number) -> Result:
    """x / y."""
    if x[0] in NANS or y[0] in NANS:
        return choose_nan(x, y)
    sign = x[1] ^ y[1]
    if x[0] == y[0] and x[0] in (INFINITE, ZERO):
        return INVALID
    if y[0] == ZERO and x[0] != INFINITE:
        return signed_infinity(sign), FSW_ZE
    flags = denormals(x, y)
    if stops(flags, control):
        return 0, flags
    if x[0] == INFINITE:
        return signed_infinity(sign), flags
    if y[0] == INFINITE or x[0] == ZERO:
        return signed_zero(sign), flags
    shift = max(0, 64 + GUARD + y[3].bit_length() - x[3].bit_length())
    q, rest = divmod(x[3] << shift, y[3])
    value, more = pack(sign, x[2] - y[2] - shift - 1, q << 1 | bool(rest), control, precision(control))
    return value, flags | more


def subtract_reversed(control: int, x: Number, y: Number) -> Result:
    """y - x."""
    return subtract(control, y, x)


def divide_reversed(control: int, x: Number, y: Number) -> Result:
    """y / x."""
    return divide(control, y, x)


def square_root(control: int, x: Number) -> Result:
    kind, sign, e, m = x
    if kind in NANS:
        return choose_nan(x, x)
    if kind == ZERO:
        return signed_zero(sign), 0
    if sign:
        return INVALID
    flags = denormals(x)
    if stops(flags, control) or kind == INFINITE:
        return PLUS_INFINITY, flags
    shift = max(0, 2 * (64 + GUARD) - m.bit_length())
    shift += (e - shift) & 1
    m, e = m << shift, e - shift
    root = isqrt(m)
    value, more = pack(0, (e >> 1) - 1, root << 1 | (root * root != m), control, precision(control))
    return value, flags | more


def round_to_integer(control: int, x: Number) -> Result:
    """FRNDINT."""
    kind, sign, e, m = x
    if kind in NANS:
        return choose_nan(x, x)
    flags = denormals(x)
    if stops(flags, control) or kind in (ZERO, INFINITE):
        return (signed_infinity(sign) if kind == INFINITE else signed_zero(sign)), flags
    q, inexact, up = round_shift(sign, m, -e, rounding(control)) if e < 0 else (m << e, False, False)
    if inexact:
        flags |= FSW_PE | (FSW_C1 if up else 0)
    return exact(sign, 0, q), flags


def scale(control: int, x: Number, y: Number) -> Result:
    """FSCALE: x * 2**y, y chopped to an integer (SDM 2A, table 3-32)."""
    if x[0] in NANS or y[0] in NANS:
        return choose_nan(x, y)
    if y[0] == INFINITE and x[0] == (INFINITE if y[1] else ZERO):
        return INVALID
    flags = denormals(x, y)
    if stops(flags, control):
        return 0, flags
    sign = x[1]
    if x[0] == INFINITE or (y[0] == INFINITE and not y[1]):
        return signed_infinity(sign), flags
    if x[0] == ZERO or y[0] == INFINITE:
        return signed_zero(sign), flags
    steps = 0
    if y[0] != ZERO and y[2] + y[3].bit_length() > 0:
        far = y[2] + y[3].bit_length() > 20  # more than any exponent can take
        steps = 1 << 20 if far else y[3] << y[2] if y[2] >= 0 else y[3] >> -y[2]
    value, more = pack(sign, x[2] + (-steps if y[1] else steps), x[3], control)
    return value, flags | more


def exponent(control: int, x: Number) -> Result:
    """The first result of FXTRACT: the exponent of x as a number."""
    kind, _, e, m = x
    if kind in NANS:
        return choose_nan(x, x)
    if kind == ZERO:
        return signed_infinity(1), FSW_ZE
    if kind == INFINITE:
        return PLUS_INFINITY, 0
    flags = denormals(x)
    power = e + m.bit_length() - 1
    return exact(int(power < 0), 0, abs(power)), flags


def significand(control: int, x: Number) -> Result:
    """The second result of FXTRACT: x with the exponent 0."""
    kind, sign, _, m = x
    if kind in NANS:
        return choose_nan(x, x)
    if kind == ZERO:
        return signed_zero(sign), FSW_ZE
    if kind == INFINITE:
        return signed_infinity(sign), 0
    return (sign << 15 | BIAS) << 64 | m << (64 - m.bit_length()), denormals(x)


def _remainder(control: int, x: Number, y: Number, nearest: bool) -> Result:
    """FPREM and FPREM1 (SDM 2A). C2: reduced by some of the exponent only, to be done again."""
    if x[0] in NANS or y[0] in NANS:
        return choose_nan(x, y)
    if x[0] == INFINITE or y[0] == ZERO:
        return INVALID
    flags = denormals(x, y)
    if stops(flags, control):
        return 0, flags
    sign = x[1]
    if x[0] == ZERO:
        return signed_zero(sign), flags
    if y[0] == INFINITE:
        return pack(sign, x[2], x[3], control | FCW_UM)[0], flags  # ST(0) as it was, however small
    distance = x[2] + x[3].bit_length() - y[2] - y[3].bit_length()
    if distance >= 64:
        partial = distance - (32 + distance % 32)
        e = min(x[2], y[2] + partial)
        rest = (x[3] << (x[2] - e)) % (y[3] << (y[2] + partial - e))
        quotient, flags = 0, flags | FSW_C2
    else:
        e = min(x[2], y[2])
        divisor = y[3] << (y[2] - e)
        quotient, rest = divmod(x[3] << (x[2] - e), divisor)
        if nearest and (2 * rest > divisor or (2 * rest == divisor and quotient & 1)):
            quotient, rest, sign = quotient + 1, divisor - rest, sign ^ 1
        bits = ((quotient & 1, FSW_C1), (quotient & 2, FSW_C3), (quotient & 4, FSW_C0))
        flags |= sum(flag for bit, flag in bits if bit)
    if not rest:
        return signed_zero(x[1]), flags
    value, more = pack(sign, e, rest, control)
    return value, flags | more


def remainder(control: int, x: Number, y: Number) -> Result:
    """FPREM: x - q * y with q chopped."""
    return _remainder(control, x, y, nearest=False)


def remainder_nearest(control: int, x: Number, y: Number) -> Result:
    """FPREM1: x - q * y with q rounded to the nearest, as IEEE 754 has it."""
    return _remainder(control, x, y, nearest=True)


# -- comparisons: the word is 0, the answer is in the condition codes (SDM 1, table 8-6) -----------

GREATER, LESS, EQUAL, UNORDERED = 0, FSW_C0, FSW_C3, FSW_C0 | FSW_C2 | FSW_C3


def order(x: Number, y: Number) -> int:
    """Condition codes of numbers that are no NaNs."""
    difference = _rank(x) - _rank(y)
    if not difference and abs(_rank(x)) == 1:
        e = min(x[2], y[2])
        difference = _rank(x) * ((x[3] << (x[2] - e)) - (y[3] << (y[2] - e)))
    return GREATER if difference > 0 else LESS if difference < 0 else EQUAL


def _rank(n: Number) -> int:
    """-2 to 2: minus infinity, negative, zero, positive, infinity."""
    size = {ZERO: 0, INFINITE: 2}.get(n[0], 1)
    return -size if n[1] else size


def compare(control: int, x: Number, y: Number) -> Result:
    """FCOM: any NaN is an invalid operand."""
    if x[0] in NANS or y[0] in NANS:
        return 0, UNORDERED | FSW_IE
    return 0, order(x, y) | denormals(x, y)


def compare_unordered(control: int, x: Number, y: Number) -> Result:
    """FUCOM: a quiet NaN is compared without complaint."""
    if x[0] in NANS or y[0] in NANS:
        bad = any(n[0] in (SIGNALLING, UNSUPPORTED) for n in (x, y))
        return 0, UNORDERED | (FSW_IE if bad else 0)
    return 0, order(x, y) | denormals(x, y)


# -- moves that convert ----------------------------------------------------------------------------


def load(control: int, x: Number) -> Result:
    """FLD, FILD: any number as an extended real, which holds it exactly."""
    kind, sign, e, m = x
    if kind in NANS:
        return nan_word(sign, m), FSW_IE if kind == SIGNALLING else 0
    if kind == INFINITE:
        return signed_infinity(sign), 0
    return exact(sign, e, m), denormals(x)
