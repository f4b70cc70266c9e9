"""Extended reals to what memory holds: single and double reals, integers, packed decimals (SDM 1, 8.3.3).

Same conventions as `arithmetic`. A conversion that cannot be done and is masked delivers the format's
indefinite value (SDM 1, table 4-11); one that is not masked delivers nothing, only its flag.
"""

from __future__ import annotations

from isa.consts import FSW_IE
from isa.fpu.arithmetic import integral
from isa.fpu.formats import (
    INFINITE,
    M64,
    QUIET_BIT,
    SIGNALLING,
    UNSUPPORTED,
    ZERO,
    Number,
    Result,
    exact,
    is_nan,
    pack_short,
    whole,
)  # fmt: skip
from isa.language import Arithmetic, Word

DIGITS = 18  # of a packed decimal
BCD_INDEFINITE = 0xFFFF_C000_0000_0000_0000


def store_real(b: Arithmetic, control: Word, x: Number, w: int, bits: int) -> Result:
    """FST to a single or double real."""
    fraction_bits = bits - 1
    special = ((1 << (w - bits)) - 1) << fraction_bits
    sign = b.zext(x[1], 32, 64) << (w - 1)
    if x[0] == UNSUPPORTED:
        return 1 << (w - 1) | special | 1 << (bits - 2), FSW_IE
    if is_nan(x):
        fraction = (x[3] | QUIET_BIT) >> (64 - bits) & ((1 << fraction_bits) - 1)
        return b.trunc(sign | special | fraction, w), FSW_IE if x[0] == SIGNALLING else 0
    if x[0] == ZERO or x[0] == INFINITE:
        return b.trunc(sign | (special if x[0] == INFINITE else 0), w), 0
    return pack_short(b, x, control, w, bits)


def has_integer(b: Arithmetic, x: Number) -> Word:
    """Whether x is below 2**64 in magnitude."""
    return x[0] < INFINITE and b.slt(x[2], 64, 32)


def store_integer(b: Arithmetic, control: Word, x: Number, w: int) -> Result:
    """FIST: two's complement of w bits."""
    if not has_integer(b, x):
        return 1 << (w - 1), FSW_IE
    q, flags = integral(b, control, x)
    if q > ((1 << (w - 1)) if x[1] else (1 << (w - 1)) - 1):
        return 1 << (w - 1), FSW_IE
    return b.trunc(-q & M64 if x[1] else q, w), flags


def store_decimal(b: Arithmetic, control: Word, x: Number) -> Result:
    """FBSTP: sign and eighteen decimal digits."""
    if not has_integer(b, x):
        return BCD_INDEFINITE, FSW_IE
    q, flags = integral(b, control, x)
    if q >= 10**DIGITS:
        return BCD_INDEFINITE, FSW_IE
    digits: Word = 0
    for n in range(DIGITS):
        digits = digits | (b.zext(q % 10, 64, 128) << (4 * n))
        q = q // 10
    return b.trunc((b.zext(x[1], 32, 128) << 79) | digits, 80), flags


def load_decimal(b: Arithmetic, x: Word) -> Result:
    """FBLD. Digits above 9, which the SDM leaves open, count as they are."""
    value: Word = 0
    for n in reversed(range(DIGITS)):
        value = (value * 10 + b.trunc(x >> (4 * n) & 0xF, 64)) & M64
    return exact(b, whole(b, b.trunc(x >> 79, 32), value)), 0
