"""The transcendental instructions, correctly rounded (SDM 1, 8.3.8 to 8.3.10).

The result is computed with hundreds of bits and rounded once, where a processor promises less than one
unit in the last place. In one thing a processor is followed where mathematics would differ: arguments of
FSIN, FCOS, FSINCOS and FPTAN are reduced with a pi of 66 bits (8.3.8), so that the sine of what is nearly
pi comes out as on hardware. What the SDM leaves undefined, arguments out of range of F2XM1 and FYL2XP1,
gives the argument back, as processors do. Conventions as in `arithmetic`, on the
numbers of `wide`.
"""

from __future__ import annotations

from collections.abc import Callable

from isa.consts import FSW_C2, FSW_PE, FSW_UE, FSW_ZE
from isa.fpu import series
from isa.fpu.arithmetic import INVALID, denormals, stops
from isa.fpu.formats import INFINITE, PLUS_ONE, SPECIAL, ZERO
from isa.fpu.series import ONE, PLACES
from isa.fpu.wide import NANS, Number, Result, choose_nan, exact, pack, signed_infinity, signed_zero

HALF_PI_66 = 0xC90F_DAA2_2168_C234_C  # in units of 2**-67: pi has 66 significant bits (SDM 1, 8.3.8)
HALF_PI_PLACES = 67
TINY = -120  # below 2**TINY a series ends with its first term, as far as 64 bits can see
BEYOND = 63  # from 2**63 on, arguments of FSIN and its kin are out of range


def _inexact(sign: int, e: int, m: int, control: int) -> Result:
    """m * 2**e, an approximation of more digits than 64 bits need, rounded."""
    value, flags = pack(sign, e - 1, m << 1 | 1, control)
    return value, flags | FSW_PE


def _fixed(sign: int, value: int, control: int) -> Result:
    """A fixed-point number that is not 0, rounded."""
    return _inexact(sign ^ (value < 0), -PLACES, abs(value), control)


def _nearly(x: Number, control: int, below: bool) -> Result:
    """x itself, but for a trifle that only rounding can see."""
    _, sign, e, m = x
    return _inexact(sign, e - 80, (m << 80) - 2 if below else m << 80, control)


def _size(x: Number) -> int:
    """The least n with |x| < 2**n."""
    return x[2] + x[3].bit_length()


def _places(x: Number) -> int:
    """x in fixed point, with its sign."""
    _, sign, e, m = x
    shift = e + PLACES
    value = m << shift if shift >= 0 else m >> -shift
    return -value if sign else value


# -- exponential and logarithms --------------------------------------------------------------------


def exp2_minus_1(control: int, x: Number) -> Result:
    """F2XM1, for -1 <= x <= 1."""
    kind, sign, e, m = x
    if kind in NANS:
        return choose_nan(x, x)
    if kind == ZERO:
        return signed_zero(sign), 0
    if kind == INFINITE:
        return (signed_zero(1) | PLUS_ONE if sign else signed_infinity(0)), 0
    flags = denormals(x, x)
    if stops(flags, control):
        return 0, flags
    if _size(x) >= 1:
        is_minus_one = sign and exact(0, e, m) == PLUS_ONE
        return exact(sign, e - is_minus_one, m), flags | FSW_PE
    if _size(x) < TINY:
        value, more = _inexact(sign, e - PLACES, m * series.ln2(), control)
    else:
        value, more = _fixed(0, series.expm1(series.times(_places(x), series.ln2())), control)
    return value, flags | more


def _log2(x: Number) -> int:
    """The binary logarithm of x > 0 in fixed point."""
    _, _, _, m = x
    length = m.bit_length()
    power = x[2] + length
    if m * m < 1 << (2 * length - 1):  # below the root of 1/2
        length, power = length - 1, power - 1
    one = 1 << length
    return (power << PLACES) + series.quotient(series.log1p_ratio(m - one, m + one), series.ln2())


def y_log2_x(control: int, x: Number, y: Number) -> Result:
    """FYL2X: y * log2(x) (SDM 2A, table 3-48)."""
    if x[0] in NANS or y[0] in NANS:
        return choose_nan(x, y)
    if x[1] and x[0] != ZERO:
        return INVALID
    is_one = x[0] not in (ZERO, INFINITE) and x[3] == 1 << (x[3].bit_length() - 1) and _size(x) == 1
    below_one = x[0] == ZERO or (x[0] != INFINITE and _size(x) < 1)
    sign = y[1] ^ below_one
    if (y[0] == ZERO and x[0] in (ZERO, INFINITE)) or (y[0] == INFINITE and is_one):
        return INVALID
    if x[0] == ZERO and y[0] != INFINITE:
        return signed_infinity(sign), FSW_ZE
    flags = denormals(x, y)
    if stops(flags, control):
        return 0, flags
    if INFINITE in (x[0], y[0]):
        return signed_infinity(sign), flags
    if y[0] == ZERO or is_one:
        return signed_zero(sign), flags
    return _scaled_log(control, _log2(x), -PLACES, y, flags)


def _scaled_log(control: int, log: int, places: int, y: Number, flags: int) -> Result:
    """y * log * 2**places. A power of two has an exact logarithm, which processors call inexact all the same."""
    sign = y[1] ^ (log < 0)
    rounded = _inexact if log & (ONE - 1) else pack
    value, more = rounded(sign, y[2] + places, y[3] * abs(log), control)
    tiny = 0 if value >> 64 & SPECIAL else FSW_UE
    return value, flags | more | tiny | FSW_PE


def y_log2_x_plus_1(control: int, x: Number, y: Number) -> Result:
    """FYL2XP1: y * log2(x + 1), for small x."""
    if x[0] in NANS or y[0] in NANS:
        return choose_nan(x, y)
    sign = x[1] ^ y[1]
    if (x[0] == INFINITE and (x[1] or y[0] == ZERO)) or (x[0] == ZERO and y[0] == INFINITE):
        return INVALID
    flags = denormals(x, y)
    if stops(flags, control):
        return 0, flags
    if INFINITE in (x[0], y[0]):
        return signed_infinity(sign), flags
    if ZERO in (x[0], y[0]):
        return signed_zero(sign), flags
    if x[1] and _size(x) >= 1:
        return exact(x[1], x[2], x[3]), flags | FSW_PE
    if _size(x) < TINY:
        log, places = series.quotient(x[3] << PLACES, series.ln2()), x[2] - PLACES
        return _scaled_log(control, -log if x[1] else log, places, y, flags)
    if x[2] < 0:
        whole = (1 << -x[2]) + (-x[3] if x[1] else x[3])
        return _scaled_log(control, _log2((x[0], 0, x[2], whole)), -PLACES, y, flags)
    return _scaled_log(control, _log2((x[0], 0, 0, 1 + (x[3] << x[2]))), -PLACES, y, flags)


# -- trigonometry ----------------------------------------------------------------------------------


def _reduced(x: Number) -> tuple[int, Number]:
    """x as a multiple of pi/2 and a rest of at most pi/4 in magnitude."""
    _, sign, e, m = x
    low = min(e, -HALF_PI_PLACES)
    a, unit = m << (e - low), HALF_PI_66 << (-HALF_PI_PLACES - low)
    quadrant, rest = divmod(a, unit)
    if 2 * rest > unit:
        quadrant, rest = quadrant + 1, rest - unit
    if sign:
        quadrant, rest = -quadrant, -rest
    return quadrant & 3, (x[0], int(rest < 0), low, abs(rest))


Quotient = tuple[int, int]  # numerator and denominator, fixed-point


def _trigonometric(
    control: int, x: Number, at_zero: int, pick: Callable[[int, int, int], Quotient]
) -> Result:
    """What FSIN, FCOS and FPTAN share. `pick` chooses from quadrant, sine and cosine of the rest."""
    kind, sign, _, _ = x
    if kind in NANS:
        return choose_nan(x, x)
    if kind == INFINITE:
        return INVALID
    if kind == ZERO:
        return at_zero or signed_zero(sign), 0
    if _size(x) > BEYOND:
        return 0, FSW_C2
    flags = denormals(x, x)
    if stops(flags, control):
        return 0, flags
    quadrant, rest = _reduced(x)
    if _size(rest) < TINY // 2:
        value, more = _near_axis(control, quadrant, rest, pick)
    else:
        above, below = pick(quadrant, *series.sin_cos(_places(rest)))
        value, more = _fixed(0, above if below == ONE else series.quotient(above, below), control)
    return value, flags | more


def _near_axis(
    control: int, quadrant: int, rest: Number, pick: Callable[[int, int, int], Quotient]
) -> Result:
    """The rest is so small that its sine is itself and its cosine 1, but for the rounding.

    `pick` is asked with powers of two that say which it takes.
    """
    above, below = pick(quadrant, 2, 4)
    sign = rest[1] ^ (above < 0) ^ (below < 0)
    if abs(above) == 2:
        return _nearly((rest[0], sign, rest[2], rest[3]), control, below=below == ONE)
    if below == ONE:
        return _nearly((rest[0], int(above < 0), 0, 1), control, below=True)
    return _inexact(sign, -rest[2] - PLACES, ONE // rest[3], control)


def sine(control: int, x: Number) -> Result:
    """FSIN. C2 where x is out of range; x then stays."""

    def pick(quadrant: int, s: int, c: int) -> Quotient:
        return (s, c, -s, -c)[quadrant], ONE

    return _trigonometric(control, x, 0, pick)


def cosine(control: int, x: Number) -> Result:
    """FCOS."""

    def pick(quadrant: int, s: int, c: int) -> Quotient:
        return (c, -s, -c, s)[quadrant], ONE

    return _trigonometric(control, x, PLUS_ONE, pick)


def tangent(control: int, x: Number) -> Result:
    """FPTAN, without the 1.0 that it pushes."""

    def pick(quadrant: int, s: int, c: int) -> Quotient:
        return (-c, s) if quadrant & 1 else (s, c)

    return _trigonometric(control, x, 0, pick)


def unit(control: int, x: Number) -> Result:
    """The 1.0 that FPTAN pushes, or the NaN that its other result is."""
    if x[0] in NANS:
        return choose_nan(x, x)
    return INVALID if x[0] == INFINITE else (PLUS_ONE, 0)


def arctangent(control: int, x: Number, y: Number) -> Result:
    """FPATAN: the angle of the point (x, y) (SDM 2A, table 3-30)."""
    if x[0] in NANS or y[0] in NANS:
        return choose_nan(x, y)
    flags = denormals(x, y)
    if stops(flags, control):
        return 0, flags
    x_wins, y_wins = _axis(x, y)
    sign = y[1]
    if x_wins and not x[1]:
        return signed_zero(sign), flags
    if x_wins or y_wins or x[0] == INFINITE:
        eighths = 4 if y_wins else 8 if x_wins else 6 if x[1] else 2
        value, more = _fixed(sign, series.pi() * eighths >> 3, control)
        return value, flags | more
    value, more = _angle(control, x, y)
    return value, flags | more


def _axis(x: Number, y: Number) -> tuple[bool, bool]:
    """Whether the point lies on the x axis, or on the y axis; zero and infinity count as such."""
    x_wins = y[0] == ZERO or (x[0] == INFINITE and y[0] != INFINITE)
    y_wins = not x_wins and (x[0] == ZERO or (y[0] == INFINITE and x[0] != INFINITE))
    return x_wins, y_wins


def _angle(control: int, x: Number, y: Number) -> Result:
    """`arctangent` of two finite numbers."""
    steep = _size(y) > _size(x) or (_size(y) == _size(x) and _larger(y, x))
    small, large = (x, y) if steep else (y, x)
    distance = _size(large) - _size(small)
    ratio = (small[3] << (PLACES + large[3].bit_length())) // (large[3] << small[3].bit_length())
    if distance < -TINY:
        angle = series.atan(ratio >> distance)
    elif not steep and not x[1]:
        return _inexact(y[1], -PLACES - distance, ratio - 1, control)
    else:
        angle = ratio >> distance if distance < PLACES else 0
    if steep:
        angle = (series.pi() >> 1) + (angle if x[1] else -angle)
    elif x[1]:
        angle = series.pi() - angle
    return _fixed(y[1], angle, control)


def _larger(x: Number, y: Number) -> bool:
    """Whether |x| > |y|."""
    e = min(x[2], y[2])
    return x[3] << (x[2] - e) > y[3] << (y[2] - e)


# -- constants -------------------------------------------------------------------------------------

_CONSTANTS: dict[str, Callable[[], int]] = {
    "fldl2t": lambda: series.quotient(series.ln10(), series.ln2()),
    "fldl2e": lambda: series.quotient(ONE, series.ln2()),
    "fldpi": series.pi,
    "fldlg2": lambda: series.quotient(series.ln2(), series.ln10()),
    "fldln2": series.ln2,
}


def constant(control: int, name: str) -> Result:
    """What an instruction loads, rounded as the control word says; that raises nothing (SDM 2A, FLD1)."""
    if name == "fldz":
        return 0, 0
    return PLUS_ONE if name == "fld1" else _fixed(0, _CONSTANTS[name](), control)[0], 0
