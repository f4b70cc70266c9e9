"""The transcendental functions against a second calculation, in decimal arithmetic of a hundred digits.

A result must be the exact value rounded to the nearest: within half a unit in the last place.
"""

import os
from collections.abc import Callable
from decimal import Decimal, localcontext
from random import Random

import pytest

from isa import consts as c
from isa.fpu import operate
from isa.fpu.formats import PLUS_INFINITY
from isa.fpu.transcendental import HALF_PI_66

SEED = int(os.environ.get("VMSIM_SEED", "0")) or Random().randrange(1, 1 << 32)
CASES, DIGITS = 60, 120
ONE, NEGATIVE = 0x3FFF << 64 | 1 << 63, 1 << 79
HALF_ULP = Decimal("0.5000000001")


def value(x: int) -> Decimal:
    m, exponent = x & ((1 << 64) - 1), x >> 64 & 0x7FFF
    return (-1) ** (x >> 79) * m * Decimal(2) ** (max(exponent, 1) - 16383 - 63)


def error(word: int, exact: Decimal) -> Decimal:
    """In units of the last place."""
    return abs(value(word) - exact) / Decimal(2) ** (max(word >> 64 & 0x7FFF, 1) - 16383 - 63)


def number(random: Random, low: int, high: int, signed: bool = True) -> int:
    """2**low <= |x| < 2**high."""
    top = random.choice(
        (0, (1 << 63) - 1, random.getrandbits(63), random.getrandbits(63), random.getrandbits(9) << 54)
    )
    exponent = 0x3FFF + random.randrange(low, high)
    return (random.getrandbits(1) if signed else 0) << 79 | exponent << 64 | 1 << 63 | top


def pi() -> Decimal:
    """The recipe of Python's manual."""
    last, t, s, n, na, d, da = Decimal(0), Decimal(3), Decimal(3), 1, 0, 0, 24
    while s != last:
        last, n, na, d, da = s, n + na, na + 8, d + da, da + 32
        t = (t * n) / d
        s += t
    return s


def series(x: Decimal, first: int) -> Decimal:
    """x**first/first! - x**(first+2)/(first+2)! + …"""
    term = x if first else Decimal(1)
    total, n = term, first
    while abs(term) > Decimal(10) ** -(DIGITS + 10):
        term = -term * x * x / ((n + 1) * (n + 2))
        total, n = total + term, n + 2
    return total


def sine(x: Decimal) -> Decimal:
    return series(x, 1)


def cosine(x: Decimal) -> Decimal:
    return series(x, 0)


def tangent(x: Decimal) -> Decimal:
    return sine(x) / cosine(x)


def exp2m1(x: Decimal) -> Decimal:
    t = x * Decimal(2).ln()
    return t.exp() - 1


@pytest.mark.parametrize(
    ("operation", "low", "high", "exactly"),
    [
        ("sin", -66, 4, sine), ("cos", -40, 4, cosine), ("tan", -66, 4, tangent), ("exp2m1", -66, 0, exp2m1),
    ],
)  # fmt: skip
def test_functions_of_one_number_are_right_to_the_last_place(
    operation: str, low: int, high: int, exactly: Callable[[Decimal], Decimal]
) -> None:
    random = Random(SEED)
    with localcontext(prec=DIGITS):
        for _ in range(CASES):
            x = number(random, low, high)
            word, flags = operate(operation, "extended", 0x37F, x)
            assert error(word, exactly(reduced(x) if operation != "exp2m1" else value(x))) < HALF_ULP, (
                f"{SEED} {x:x}"
            )
            assert flags & c.FSW_PE


def reduced(x: int) -> Decimal:
    """x as a processor sees it: its multiples of the 66-bit pi are taken for those of pi (SDM 1, 8.3.8)."""
    half_pi = HALF_PI_66 * Decimal(2) ** -67
    times = (value(x) / half_pi).to_integral_value()
    return value(x) - times * half_pi + times * pi() / 2


def test_an_argument_that_is_nearly_pi_is_reduced_as_processors_reduce_it() -> None:
    assert operate("sin", "extended", 0x37F, 0x4000_C90F_DAA2_2168_C235)[0] == 0xBFBF << 64 | 1 << 63


def test_an_argument_out_of_range_is_refused() -> None:
    for operation in ("sin", "cos", "tan"):
        assert operate(operation, "extended", 0x37F, 0x403E << 64 | 1 << 63) == (0, c.FSW_C2)
        assert not operate(operation, "extended", 0x37F, 0x403D << 64 | (1 << 64) - 1)[1] & c.FSW_C2


def test_logarithms_are_right_to_the_last_place() -> None:
    random = Random(SEED)
    with localcontext(prec=DIGITS):
        ln2 = Decimal(2).ln()
        for _ in range(CASES):
            x, y = number(random, -40, 40, signed=False), number(random, -3, 3)
            near_one = ONE + random.getrandbits(30) + 1
            for argument in (x, near_one):
                word, _ = operate("ylog2x", "extended", 0x37F, argument, y)
                assert error(word, value(y) * value(argument).ln() / ln2) < HALF_ULP, f"{SEED} {argument:x}"
            small = number(random, -66, -2)
            word, _ = operate("ylog2x1", "extended", 0x37F, small, y)
            assert error(word, value(y) * (value(small) + 1).ln() / ln2) < HALF_ULP, f"{SEED} {small:x}"


def test_an_angle_has_the_tangent_that_it_should_have() -> None:
    random = Random(SEED)
    with localcontext(prec=DIGITS):
        for _ in range(CASES):
            x, y = number(random, -30, 30), number(random, -30, 30)
            word, _ = operate("atan", "extended", 0x37F, x, y)
            angle, unit = value(word), Decimal(2) ** ((word >> 64 & 0x7FFF) - 16383 - 63)
            assert (angle < 0) == (y >> 79) and (abs(angle) > pi() / 2) == (x >> 79)
            # The tangent grows: the exact angle lies between the two that are half a unit away.
            low, high = (tangent(angle + half * unit * HALF_ULP) for half in (-1, 1))
            assert low < value(y) / value(x) < high, f"{SEED} {x:x} {y:x}"


@pytest.mark.parametrize(
    ("x", "y", "eighths"),
    [
        (ONE, 0, 0), (ONE | NEGATIVE, 0, 8), (0, ONE, 4), (0, ONE | NEGATIVE, -4),
        (PLUS_INFINITY, PLUS_INFINITY, 2),
        (PLUS_INFINITY | NEGATIVE, PLUS_INFINITY, 6), (PLUS_INFINITY, ONE, 0), (PLUS_INFINITY | NEGATIVE, ONE, 8),
        (ONE, PLUS_INFINITY, 4), (NEGATIVE, NEGATIVE, -8),
    ],
)  # fmt: skip
def test_the_axes_have_their_angles(x: int, y: int, eighths: int) -> None:
    word, _ = operate("atan", "extended", 0x37F, x, y)
    with localcontext(prec=DIGITS):
        assert error(word, pi() * eighths / 8) < HALF_ULP


@pytest.mark.parametrize(
    ("name", "exactly"),
    [
        ("fldpi", pi),
        ("fldln2", lambda: Decimal(2).ln()),
        ("fldl2e", lambda: 1 / Decimal(2).ln()),
        ("fldl2t", lambda: Decimal(10).ln() / Decimal(2).ln()),
        ("fldlg2", lambda: Decimal(2).log10()),
    ],
)
def test_constants_are_rounded_as_the_control_word_says(name: str, exactly: Callable[[], Decimal]) -> None:
    nearest, down, up, chop = (
        operate("constant", name, 0x37F | rc << c.FCW_RC_SHIFT, 0)[0] for rc in range(4)
    )
    with localcontext(prec=DIGITS):
        exact = exactly()
        assert value(down) < exact < value(up) and up == down + 1 and chop == down
        assert error(nearest, exact) < HALF_ULP


def test_rounding_sees_what_is_too_small_for_a_digit() -> None:
    tiny = 0x3F00 << 64 | 1 << 63
    down, up = (0x37F | rc << c.FCW_RC_SHIFT for rc in (1, 2))
    assert operate("sin", "extended", down, tiny)[0] == tiny - 0x8000_0000_0000_0001 | 1 << 63
    assert operate("sin", "extended", up, tiny)[0] == tiny
    assert operate("tan", "extended", up, tiny)[0] == tiny + 1
    assert operate("cos", "extended", down, tiny)[0] == 0x3FFE << 64 | (1 << 64) - 1
