"""The data formats of the x87: unpacking, NaNs, rounding and packing (SDM 1, 4.2, 4.8 and 8.2).

An extended real is a word of 80 bits as it lies in memory:

    79   78        64  63  62                 0
    sign  exponent     J   fraction              value (-1)**sign * J.fraction * 2**(exponent - 16383)

J, the integer bit, is explicit. Unpacked, a number is four words (class, sign, e, m): 1.xxx * 2**e, where m
holds 1.xxx in 64 bits, its highest one always set, and e is a signed word of 32 bits. For a NaN m is its
significand; zeros and infinities keep e = m = 0. A result on its way to be rounded has 128 bits of m, the
lowest standing for all that did not fit: no digit counts twice, as there is one rounding at the end.

All of it is written in the language of `isa.language`. Next: `arithmetic`.
"""

from __future__ import annotations

from isa.consts import FCW_OM, FCW_PC_SHIFT, FCW_RC_SHIFT, FCW_UM, FSW_C1, FSW_IE, FSW_OE, FSW_PE, FSW_UE, M32
from isa.language import Arithmetic, Word

Number = tuple[Word, Word, Word, Word]
Result = tuple[Word, Word]  # a word and what it does to the status word: exceptions, condition codes

ZERO, FINITE, DENORMAL, INFINITE, QUIET, SIGNALLING, UNSUPPORTED = range(7)

M64 = (1 << 64) - 1
INTEGER_BIT = 1 << 63
QUIET_BIT = 1 << 62
BIAS = 16383
SPECIAL = 0x7FFF  # the exponent of infinities and NaNs
E_MIN = 1 - BIAS  # of normal numbers
E_MAX = SPECIAL - 1 - BIAS
WRAP = 24576  # added to or taken from the exponent where overflow or underflow is not masked (8.5.4, 8.5.5)
INDEFINITE = 0xFFFF << 64 | INTEGER_BIT | QUIET_BIT
PLUS_ONE = BIAS << 64 | INTEGER_BIT
PLUS_INFINITY = SPECIAL << 64 | INTEGER_BIT

NEAREST, DOWN, UP, CHOP = range(4)  # rounding control (SDM 1, table 4-8)
EXTENDED_UNIT, DOUBLE_UNIT, SINGLE_UNIT = 1, 1 << 11, 1 << 40  # the last place of 64, 53, 24 bits in m


# -- unpacking ------------------------------------------------------------------------------------


def unpack(b: Arithmetic, x: Word) -> Number:
    """An extended real of 80 bits."""
    m, high = b.trunc(x, 64), b.trunc(x >> 64, 32)
    sign, exponent = high >> 15, high & SPECIAL
    if exponent == 0:
        return denormal(b, sign, E_MIN, m)
    if (m & INTEGER_BIT) == 0:
        return UNSUPPORTED, sign, 0, m  # unnormal, pseudo-infinity, pseudo-NaN (8.2.2)
    if exponent < SPECIAL:
        return FINITE, sign, (exponent - BIAS) & M32, m
    if m == INTEGER_BIT:
        return INFINITE, sign, 0, 0
    return QUIET if m & QUIET_BIT else SIGNALLING, sign, 0, m


def denormal(b: Arithmetic, sign: Word, e: int, m: Word) -> Number:
    """A number whose highest bit need not be set; zero if it has none."""
    if m == 0:
        return ZERO, sign, 0, 0
    zeros = b.trunc(b.clz(m, 64), 32)
    return DENORMAL, sign, ((e & M32) - zeros) & M32, (m << zeros) & M64


def unpack_short(b: Arithmetic, x: Word, w: int, precision: int) -> Number:
    """A single or double real: w bits, `precision` of them significant."""
    special = (1 << (w - precision)) - 1
    bias = special >> 1
    sign, exponent = b.trunc(x >> (w - 1), 32), b.trunc(x >> (precision - 1), 32) & special
    fraction = (b.zext(x, w, 64) << (64 - precision)) & (INTEGER_BIT - 1)
    if exponent == 0:
        return denormal(b, sign, 1 - bias, fraction)
    m = fraction | INTEGER_BIT
    if exponent < special:
        return FINITE, sign, (exponent - bias) & M32, m
    if fraction == 0:
        return INFINITE, sign, 0, 0
    return QUIET if m & QUIET_BIT else SIGNALLING, sign, 0, m


def unpack_integer(b: Arithmetic, x: Word, w: int) -> Number:
    """A two's complement integer."""
    wide = b.sext(x, w, 64)
    return whole(b, b.trunc(wide >> 63, 32), (-wide & M64) if wide >> 63 else wide)


def whole(b: Arithmetic, sign: Word, m: Word) -> Number:
    """An integer of 64 bits without its sign."""
    if m == 0:
        return ZERO, sign, 0, 0
    zeros = b.trunc(b.clz(m, 64), 32)
    return FINITE, sign, 63 - zeros, (m << zeros) & M64


def is_nan(x: Number) -> Word:
    """Whether it is none of the numbers: a NaN, or what the x87 does not support."""
    return x[0] >= QUIET


# -- packing --------------------------------------------------------------------------------------


def word(b: Arithmetic, sign: Word, exponent: Word, m: Word) -> Word:
    """The extended real of these fields."""
    return (b.zext((sign << 15) | exponent, 32, 80) << 64) | b.zext(m, 64, 80)


def signed_zero(b: Arithmetic, sign: Word) -> Word:
    return word(b, sign, 0, 0)


def signed_infinity(b: Arithmetic, sign: Word) -> Word:
    return word(b, sign, SPECIAL, INTEGER_BIT)


def nan_word(b: Arithmetic, sign: Word, m: Word) -> Word:
    """A NaN as an extended real, made quiet."""
    return word(b, sign, SPECIAL, m | QUIET_BIT)


def exact(b: Arithmetic, x: Number) -> Word:
    """A zero, or a number that a normal extended real holds."""
    return word(b, x[1], 0 if x[0] == ZERO else (x[2] + BIAS) & M32, x[3])


def choose_nan(b: Arithmetic, x: Number, y: Number) -> Result:
    """The result of an operation with at least one NaN or unsupported operand (SDM 1, table 4-7).

    A quiet NaN wins over a signalling one, otherwise the larger significand, otherwise the positive one.
    """
    if x[0] == UNSUPPORTED or y[0] == UNSUPPORTED:
        return INDEFINITE, FSW_IE
    flags = FSW_IE if x[0] == SIGNALLING or y[0] == SIGNALLING else 0
    larger = y[3] > x[3] or (y[3] == x[3] and y[1] < x[1])
    quieter = is_nan(x) == 0 or y[0] < x[0]
    second = is_nan(y) and (quieter or (x[0] == y[0] and larger))
    sign, m = (y[1], y[3]) if second else (x[1], x[3])
    return nan_word(b, sign, m), flags


def rounding(control: Word) -> Word:
    return control >> FCW_RC_SHIFT & 3


def unit_of(control: Word) -> Word:
    """The last place that add, sub, mul, div and sqrt deliver; a precision of 1 means 64 bits (8.1.5.2)."""
    precision = control >> FCW_PC_SHIFT & 3
    return SINGLE_UNIT if precision == 0 else DOUBLE_UNIT if precision == 2 else EXTENDED_UNIT


def jam(b: Arithmetic, m: Word, n: Word) -> Word:
    """128 bits shifted right by n, the lowest bit standing for what falls out."""
    if n >= 128:
        return b.zext(b.trunc(m != 0, 8), 8, 128)
    kept = m >> n
    return kept | (((kept << n) & ((1 << 128) - 1)) != m)


def rounded(b: Arithmetic, sign: Word, m: Word, unit: Word, rc: Word) -> tuple[Word, Word, Word, Word]:
    """128 bits to 64 of which none is below `unit`: those; whether they overflowed into one more bit, whether
    that was inexact, and whether the magnitude went up."""
    high, low = b.trunc(m >> 64, 64), b.trunc(m, 64)
    over = high & (unit - 1)
    kept = high - over
    rest = (b.zext(over, 64, 128) << 64) | b.zext(low, 64, 128)
    half = b.zext(unit, 64, 128) << 63
    inexact = rest != 0
    if rc == NEAREST:
        up = rest > half or (rest == half and (kept & unit) != 0)
    else:
        up = inexact and rc == (DOWN if sign else UP)
    total = (kept + (unit if up else 0)) & M64
    carry = up and total == 0
    return INTEGER_BIT if carry else total, carry, inexact, up


def lost(inexact: Word, up: Word) -> Word:
    """What rounding adds to the status word."""
    return (FSW_PE | (FSW_C1 if up else 0)) if inexact else 0


def pack(b: Arithmetic, sign: Word, e: Word, m: Word, control: Word, unit: Word = EXTENDED_UNIT) -> Result:
    """A number with 128 bits of m, the highest one set, rounded to `unit` as an extended real.

    Overflow and underflow that are not masked deliver the number with its exponent wrapped into range.
    """
    rc = rounding(control)
    q, carry, inexact, up = rounded(b, sign, m, unit, rc)
    top = (e + carry) & M32
    if b.slt(E_MAX, top, 32):
        return _overflow(b, sign, top, q, control, unit, lost(inexact, up))
    if b.slt(top, E_MIN & M32, 32):
        if not control & FCW_UM:
            return _underflow(b, sign, top, q, lost(inexact, up))
        q, _carry, inexact, up = rounded(b, sign, jam(b, m, ((E_MIN & M32) - e) & M32), unit, rc)
        return word(b, sign, b.trunc(q >> 63, 32), q), (FSW_UE | lost(inexact, up)) if inexact else 0
    return word(b, sign, (top + BIAS) & M32, q), lost(inexact, up)


def _overflow(
    b: Arithmetic, sign: Word, top: Word, q: Word, control: Word, unit: Word, inexact: Word
) -> Result:
    """8.5.4: infinity or the largest number if masked, else wrapped; beyond even that, infinity."""
    if control & FCW_OM:
        if overflows_to_infinity(sign, rounding(control)):
            return signed_infinity(b, sign), FSW_OE | FSW_PE | FSW_C1
        return word(b, sign, SPECIAL - 1, -unit & M64), FSW_OE | FSW_PE
    if b.slt(E_MAX + WRAP, top, 32):
        return signed_infinity(b, sign), FSW_OE | FSW_PE | FSW_C1
    return word(b, sign, (top - WRAP + BIAS) & M32, q), FSW_OE | inexact


def _underflow(b: Arithmetic, sign: Word, top: Word, q: Word, inexact: Word) -> Result:
    """8.5.5, not masked."""
    if b.slt(top, (E_MIN - WRAP) & M32, 32):
        return signed_zero(b, sign), FSW_UE | FSW_PE
    return word(b, sign, (top + WRAP + BIAS) & M32, q), FSW_UE | inexact


def overflows_to_infinity(sign: Word, rc: Word) -> Word:
    """SDM 1, table 4-10."""
    return rc == NEAREST or rc == (DOWN if sign else UP)


def pack_short(b: Arithmetic, x: Number, control: Word, w: int, bits: int) -> Result:
    """A finite number as a single or double real. What is not masked delivers nothing, only its flag."""
    _, sign, e, m = x
    rc, fraction_bits = rounding(control), bits - 1
    special = (1 << (w - bits)) - 1
    bias = special >> 1
    wide, unit = b.zext(m, 64, 128) << 64, 1 << (64 - bits)
    q, carry, inexact, up = rounded(b, sign, wide, unit, rc)
    top = (e + carry) & M32
    if b.slt(bias, top, 32):
        if not control & FCW_OM:
            return 0, FSW_OE
        if overflows_to_infinity(sign, rc):
            return _short(b, sign, special << fraction_bits, w), FSW_OE | FSW_PE | FSW_C1
        return _short(b, sign, (special << fraction_bits) - 1, w), FSW_OE | FSW_PE
    if b.slt(top, (1 - bias) & M32, 32):
        if not control & FCW_UM:
            return 0, FSW_UE
        q, _carry, inexact, up = rounded(b, sign, jam(b, wide, (1 - bias - e) & M32), unit, rc)
        return _short(b, sign, q >> (64 - bits), w), (FSW_UE | lost(inexact, up)) if inexact else 0
    exponent = b.zext((top + bias) & M32, 32, 64) << fraction_bits
    return _short(b, sign, exponent | (q >> (64 - bits) & ((1 << fraction_bits) - 1)), w), lost(inexact, up)


def _short(b: Arithmetic, sign: Word, rest: Word, w: int) -> Word:
    """The sign in front of w - 1 bits."""
    return b.trunc((b.zext(sign, 32, 64) << (w - 1)) | rest, w)
