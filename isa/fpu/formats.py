"""The data formats of the x87: unpacking, NaNs, rounding and packing (SDM 1, 4.2, 4.8 and 8.2).

An extended real is a word of 80 bits as it lies in memory:

    79   78        64  63  62                 0
    sign  exponent     J   fraction              value (-1)**sign * J.fraction * 2**(exponent - 16383)

J, the integer bit, is explicit. Unpacked, a number is (class, sign, e, m): m * 2**e with m an integer of
any size, so no digit is lost before the one rounding at the end. For a NaN m is its 64-bit significand.
Zeros and infinities keep e = m = 0. Next: `arithmetic`.
"""

from __future__ import annotations

from isa.consts import FCW_OM, FCW_PC_SHIFT, FCW_RC_SHIFT, FCW_UM, FSW_C1, FSW_IE, FSW_OE, FSW_PE, FSW_UE

Number = tuple[int, int, int, int]
Result = tuple[int, int]  # a word and what it does to the status word: exceptions, condition codes

ZERO, FINITE, DENORMAL, INFINITE, QUIET, SIGNALLING, UNSUPPORTED = range(7)
NANS = (QUIET, SIGNALLING, UNSUPPORTED)

M64 = (1 << 64) - 1
INTEGER_BIT = 1 << 63
QUIET_BIT = 1 << 62
BIAS = 16383
SPECIAL = 0x7FFF  # the exponent of infinities and NaNs
E_MIN = 1 - BIAS  # of normal numbers, as a power of the integer bit
E_MAX = SPECIAL - 1 - BIAS
WRAP = 24576  # added to or taken from the exponent where overflow or underflow is not masked (8.5.4, 8.5.5)
INDEFINITE = 0xFFFF << 64 | INTEGER_BIT | QUIET_BIT
PLUS_ONE = BIAS << 64 | INTEGER_BIT
PLUS_INFINITY = SPECIAL << 64 | INTEGER_BIT

NEAREST, DOWN, UP, CHOP = range(4)  # rounding control (SDM 1, table 4-8)
PRECISIONS = (24, 64, 53, 64)  # precision control; 1 is reserved, and means 64


def unpack(x: int) -> Number:
    """An extended real of 80 bits."""
    m, sign, exponent = x & M64, x >> 79, x >> 64 & SPECIAL
    if exponent == 0:
        return (DENORMAL, sign, E_MIN - 63, m) if m else (ZERO, sign, 0, 0)
    if not m & INTEGER_BIT:
        return UNSUPPORTED, sign, 0, m  # unnormal, pseudo-infinity, pseudo-NaN (8.2.2)
    if exponent < SPECIAL:
        return FINITE, sign, exponent - BIAS - 63, m
    if m == INTEGER_BIT:
        return INFINITE, sign, 0, 0
    return QUIET if m & QUIET_BIT else SIGNALLING, sign, 0, m


def unpack_short(x: int, w: int, precision: int) -> Number:
    """A single or double real: w bits, `precision` of them significant."""
    fraction_bits = precision - 1
    sign, fraction = x >> (w - 1), x & ((1 << fraction_bits) - 1)
    special = (1 << (w - precision)) - 1
    exponent, bias = x >> fraction_bits & special, special >> 1
    if exponent == 0:
        return (DENORMAL, sign, 1 - bias - fraction_bits, fraction) if fraction else (ZERO, sign, 0, 0)
    m = 1 << fraction_bits | fraction
    if exponent < special:
        return FINITE, sign, exponent - bias - fraction_bits, m
    if not fraction:
        return INFINITE, sign, 0, 0
    m <<= 64 - precision
    return QUIET if m & QUIET_BIT else SIGNALLING, sign, 0, m


def unpack_integer(x: int, w: int) -> Number:
    """A two's complement integer."""
    value = (x ^ 1 << (w - 1)) - (1 << (w - 1))
    return (FINITE, int(value < 0), 0, abs(value)) if value else (ZERO, 0, 0, 0)


def signed_zero(sign: int) -> int:
    return sign << 79


def signed_infinity(sign: int) -> int:
    return sign << 79 | PLUS_INFINITY


def nan_word(sign: int, m: int) -> int:
    """A NaN as an extended real, made quiet."""
    return (sign << 15 | SPECIAL) << 64 | m | QUIET_BIT


def exact(sign: int, e: int, m: int) -> int:
    """m * 2**e, which is a normal extended real, or zero."""
    if not m:
        return signed_zero(sign)
    shift = 64 - m.bit_length()
    m = m << shift if shift >= 0 else m >> -shift
    return (sign << 15 | e - shift + 63 + BIAS) << 64 | m


def choose_nan(x: Number, y: Number) -> Result:
    """The result of an operation with at least one NaN or unsupported operand (SDM 1, table 4-7).

    A quiet NaN wins over a signalling one, otherwise the larger significand, otherwise the positive one.
    """
    kinds = x[0], y[0]
    if UNSUPPORTED in kinds:
        return INDEFINITE, FSW_IE
    flags = FSW_IE if SIGNALLING in kinds else 0
    found = [n for n in (x, y) if n[0] in (QUIET, SIGNALLING)]
    if len(found) == 2 and x[0] != y[0]:
        found = [n for n in found if n[0] == QUIET]
    _, sign, _, m = max(found, key=lambda n: (n[3], -n[1]))
    return nan_word(sign, m), flags


def round_shift(sign: int, m: int, shift: int, rc: int) -> tuple[int, bool, bool]:
    """m / 2**shift as an integer; whether that was inexact, and whether the magnitude went up."""
    if shift <= 0:
        return m << -shift, False, False
    q = m >> shift
    rest = m - (q << shift)
    if not rest:
        return q, False, False
    if rc == NEAREST:
        half = 1 << (shift - 1)
        up = rest > half or (rest == half and bool(q & 1))
    else:
        up = rc == (DOWN if sign else UP)
    return q + up, True, up


def rounding(control: int) -> int:
    return control >> FCW_RC_SHIFT & 3


def precision(control: int) -> int:
    """Bits of the significand that add, sub, mul, div and sqrt deliver (8.1.5.2)."""
    return PRECISIONS[control >> FCW_PC_SHIFT & 3]


def _inexact(inexact: bool, up: bool) -> int:
    return (FSW_PE | (FSW_C1 if up else 0)) if inexact else 0


def pack(sign: int, e: int, m: int, control: int, bits: int = 64) -> Result:
    """m * 2**e, m > 0, rounded to `bits` significant bits, as an extended real.

    Whoever has more digits than he can give sets m's lowest bit, far below the rounding. Overflow and
    underflow that are not masked deliver the number with its exponent wrapped into range.
    """
    rc = rounding(control)
    length = m.bit_length()
    q, inexact, up = round_shift(sign, m, length - bits, rc)
    top = e + length - 1
    if q >> bits:
        q, top = q >> 1, top + 1
    if top > E_MAX:
        return _overflow(sign, top, q << (64 - bits), control, bits, _inexact(inexact, up))
    if top < E_MIN:
        if not control & FCW_UM:
            return _underflow(sign, top, q << (64 - bits), _inexact(inexact, up))
        q, inexact, up = round_shift(sign, m, E_MIN - bits + 1 - e, rc)
        q <<= 64 - bits
        flags = FSW_UE | _inexact(inexact, up) if inexact else 0
        return (sign << 15 | q >> 63) << 64 | q, flags
    return (sign << 15 | top + BIAS) << 64 | q << (64 - bits), _inexact(inexact, up)


def _overflow(sign: int, top: int, m: int, control: int, bits: int, inexact: int) -> Result:
    """8.5.4: infinity or the largest number if masked, else wrapped; beyond even that, infinity."""
    if control & FCW_OM:
        if overflows_to_infinity(sign, rounding(control)):
            return signed_infinity(sign), FSW_OE | FSW_PE | FSW_C1
        largest = ((1 << bits) - 1) << (64 - bits)
        return (sign << 15 | SPECIAL - 1) << 64 | largest, FSW_OE | FSW_PE
    if top - WRAP > E_MAX:
        return signed_infinity(sign), FSW_OE | FSW_PE | FSW_C1
    return (sign << 15 | top - WRAP + BIAS) << 64 | m, FSW_OE | inexact


def _underflow(sign: int, top: int, m: int, inexact: int) -> Result:
    """8.5.5, not masked."""
    if top + WRAP < E_MIN:
        return signed_zero(sign), FSW_UE | FSW_PE
    return (sign << 15 | top + WRAP + BIAS) << 64 | m, FSW_UE | inexact


def overflows_to_infinity(sign: int, rc: int) -> bool:
    """SDM 1, table 4-10."""
    return rc == NEAREST or rc == (DOWN if sign else UP)


def pack_short(sign: int, e: int, m: int, control: int, w: int, bits: int) -> Result:
    """m * 2**e, m > 0, as a single or double real. What is not masked delivers nothing, only its flag."""
    rc, fraction_bits = rounding(control), bits - 1
    special = (1 << (w - bits)) - 1
    bias = special >> 1
    length = m.bit_length()
    q, inexact, up = round_shift(sign, m, length - bits, rc)
    top = e + length - 1
    if q >> bits:
        q, top = q >> 1, top + 1
    if top > bias:
        if not control & FCW_OM:
            return 0, FSW_OE
        infinite = overflows_to_infinity(sign, rc)
        value = (sign << (w - bits) | special) << fraction_bits
        return value - (not infinite), FSW_OE | FSW_PE | (FSW_C1 if infinite else 0)
    if top < 1 - bias:
        if not control & FCW_UM:
            return 0, FSW_UE
        q, inexact, up = round_shift(sign, m, 2 - bias - bits - e, rc)
        return sign << (w - 1) | q, FSW_UE | _inexact(inexact, up) if inexact else 0
    value = (sign << (w - bits) | top + bias) << fraction_bits
    return value | q & ((1 << fraction_bits) - 1), _inexact(inexact, up)
