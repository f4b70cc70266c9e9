"""Extended reals to what memory holds: single and double reals, integers, packed decimals (SDM 1, 8.3.3).

Same conventions as `arithmetic`. A conversion that cannot be done and is masked delivers the format's
indefinite value (SDM 1, table 4-11); one that is not masked delivers nothing, only its flag.
"""

from __future__ import annotations

from isa.consts import FSW_C1, FSW_IE, FSW_PE
from isa.fpu.formats import (
    INFINITE,
    NANS,
    QUIET_BIT,
    SIGNALLING,
    UNSUPPORTED,
    ZERO,
    Number,
    Result,
    pack_short,
    round_shift,
    rounding,
)  # fmt: skip

DIGITS = 18  # of a packed decimal
BCD_INDEFINITE = 0xFFFF_C000_0000_0000_0000


def store_real(control: int, x: Number, w: int, bits: int) -> Result:
    """FST to a single or double real."""
    kind, sign, e, m = x
    fraction_bits = bits - 1
    special = ((1 << (w - bits)) - 1) << fraction_bits
    if kind in NANS:
        if kind == UNSUPPORTED:
            sign, m = 1, QUIET_BIT
        fraction = (m | QUIET_BIT) >> (64 - bits) & ((1 << fraction_bits) - 1)
        flags = FSW_IE if kind in (SIGNALLING, UNSUPPORTED) else 0
        return sign << (w - 1) | special | fraction, flags
    if kind in (ZERO, INFINITE):
        return sign << (w - 1) | (special if kind == INFINITE else 0), 0
    return pack_short(sign, e, m, control, w, bits)


def _integer(control: int, x: Number) -> tuple[int, int]:
    """The magnitude rounded to an integer, -1 if there is none, and the flags of the rounding."""
    kind, sign, e, m = x
    if kind in NANS or kind == INFINITE or (m and e > 80):
        return -1, 0
    q, inexact, up = round_shift(sign, m, -e, rounding(control))
    return q, (FSW_PE | (FSW_C1 if up else 0)) if inexact else 0


def store_integer(control: int, x: Number, w: int) -> Result:
    """FIST: two's complement of w bits."""
    q, flags = _integer(control, x)
    if q < 0 or q > (1 << (w - 1)) - (not x[1]):
        return 1 << (w - 1), FSW_IE
    return (-q if x[1] else q) & ((1 << w) - 1), flags


def store_decimal(control: int, x: Number) -> Result:
    """FBSTP: sign and eighteen decimal digits."""
    q, flags = _integer(control, x)
    if q < 0 or q >= 10**DIGITS:
        return BCD_INDEFINITE, FSW_IE
    return x[1] << 79 | int(str(q), 16), flags


def unpack_decimal(x: int) -> tuple[int, int]:
    """Sign and magnitude of a packed decimal. Digits above 9, which the SDM leaves open, count as they are."""
    value = 0
    for n in reversed(range(DIGITS)):
        value = value * 10 + (x >> (4 * n) & 0xF)
    return x >> 79, value
