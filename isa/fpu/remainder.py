"""FPREM and FPREM1 (SDM 2A): the exact remainder of two extended reals, on the numbers of `wide`."""

from __future__ import annotations

from isa.consts import FCW_UM, FSW_C0, FSW_C1, FSW_C2, FSW_C3
from isa.fpu.arithmetic import INVALID, denormals, stops
from isa.fpu.formats import INFINITE, ZERO
from isa.fpu.wide import NANS, Number, Result, choose_nan, pack, signed_zero


def _remainder(control: int, x: Number, y: Number, nearest: bool) -> Result:
    """C2: reduced by some of the exponent only, to be done again."""
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
