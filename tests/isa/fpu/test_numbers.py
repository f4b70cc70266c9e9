"""The numbers of the x87 against rational arithmetic and the host's double precision."""

import math
import os
import struct
from fractions import Fraction
from random import Random

import pytest

from isa import consts as c
from isa.fpu import operate
from isa.fpu.formats import INDEFINITE, PLUS_INFINITY, WRAP

SEED = int(os.environ.get("VMSIM_SEED", "0")) or Random().randrange(1, 1 << 32)
CASES = 150
MASKED, ROUNDINGS, PRECISIONS = 0x3F, range(4), {24: 0, 53: 2, 64: 3}
ONE, TWO, DENORMAL = 0x3FFF << 64 | 1 << 63, 0x4000 << 64 | 1 << 63, 1
QUIET, SIGNALLING = 0x7FFF << 64 | 3 << 62 | 5, 0x7FFF << 64 | 1 << 63 | 5
UNNORMAL = 0x4000 << 64 | 1 << 62
NEGATIVE = 1 << 79
NEAREST, DOWN, UP, CHOP = ROUNDINGS


def control(bits: int = 64, rounding: int = NEAREST, masks: int = MASKED) -> int:
    return masks | c.FCW_ONE | PRECISIONS[bits] << c.FCW_PC_SHIFT | rounding << c.FCW_RC_SHIFT


def value(x: int) -> Fraction:
    """An extended real that is a number."""
    m, exponent = x & ((1 << 64) - 1), x >> 64 & 0x7FFF
    return (-1) ** (x >> 79) * m * Fraction(2) ** (max(exponent, 1) - 16383 - 63)


def binary_exponent(x: Fraction) -> int:
    """The n with 2**n <= |x| < 2**(n + 1)."""
    n = abs(x.numerator).bit_length() - x.denominator.bit_length()
    return n if abs(x) >= Fraction(2) ** n else n - 1


def rounded(x: Fraction, bits: int, rounding: int) -> tuple[Fraction, bool]:
    """x to so many bits, but no finer than denormals are; whether its magnitude went up."""
    unit = Fraction(2) ** (max(binary_exponent(x), -16382) - bits + 1)
    below = math.floor(x / unit)
    rest = x / unit - below
    if rounding == NEAREST:
        up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and below % 2 == 1)
    else:
        up = rest > 0 and (rounding == UP or (rounding == CHOP and x < 0))
    result = (below + up) * unit
    return result, abs(result) > abs(x)


def number(random: Random) -> int:
    exponent = random.choice(
        (0x3FFF, 0x3FFF, 0x4000, 0x3FC0, 0x403E, 1, 2, 40, 0x7FFE, 0x7FE0, random.randrange(1, 0x7FFF))
    )
    top = random.choice((0, 1, (1 << 63) - 1, random.getrandbits(63), random.getrandbits(20) << 43))
    return random.getrandbits(1) << 79 | exponent << 64 | 1 << 63 | top


OPERATIONS = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "subr": lambda x, y: y - x,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "divr": lambda x, y: y / x,
}


@pytest.mark.parametrize("bits", PRECISIONS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_result_is_the_exact_one_rounded_once(operation, bits):
    random = Random(SEED)
    for _ in range(CASES):
        x, y, rounding = number(random), number(random), random.choice(ROUNDINGS)
        if random.random() < 0.2:
            y = x ^ random.getrandbits(2) ^ random.getrandbits(1) << 79
        exact = OPERATIONS[operation](value(x), value(y))
        word, flags = operate(operation, "extended", control(bits, rounding), x, y)
        said = f"VMSIM_SEED={SEED} {operation} {x:x} {y:x} rc={rounding}"
        if exact == 0:
            assert word == (NEGATIVE if rounding == DOWN else 0) and not flags, said
            continue
        expected, up = rounded(exact, bits, rounding)
        if abs(expected) >= Fraction(2) ** 16384:
            assert flags & (c.FSW_OE | c.FSW_PE) == c.FSW_OE | c.FSW_PE, said
            assert abs(word) & ~NEGATIVE >= PLUS_INFINITY - (1 << (64 - bits)) - (1 << 64), said
            continue
        assert value(word) == expected, said
        assert bool(flags & c.FSW_PE) == (expected != exact) and bool(flags & c.FSW_C1) == up, said
        tiny = abs(rounded(exact * 2**30000, bits, rounding)[0]) < Fraction(2) ** (30000 - 16382)
        assert bool(flags & c.FSW_UE) == (tiny and expected != exact), said


@pytest.mark.parametrize("bits", PRECISIONS)
def test_a_square_root_is_the_exact_one_rounded_once(bits):
    random = Random(SEED)
    for _ in range(CASES):
        x, rounding = number(random) & ~NEGATIVE, random.choice(ROUNDINGS)
        word, flags = operate("sqrt", "extended", control(bits, rounding), x)
        root, unit = value(word), Fraction(2) ** (binary_exponent(value(word)) - bits + 1)
        assert bool(flags & c.FSW_PE) == (root**2 != value(x))
        low, high = {NEAREST: (root - unit / 2, root + unit / 2), UP: (root - unit, root)}.get(
            rounding, (root, root + unit)
        )
        assert low**2 <= value(x) <= high**2


@pytest.mark.parametrize(("mask", "flag", "direction"), [(c.FCW_OM, c.FSW_OE, -1), (c.FCW_UM, c.FSW_UE, 1)])
def test_what_is_out_of_range_and_not_masked_comes_wrapped_into_it(mask, flag, direction):
    x = (0x7FFE if direction < 0 else 0x0001) << 64 | 1 << 63 | 12345
    y = (0x4100 if direction < 0 else 0x3EFF) << 64 | 1 << 63 | 999
    word, flags = operate("mul", "extended", control(masks=MASKED & ~mask), x, y)
    assert flags & flag
    assert value(word) == rounded(value(x) * value(y) * Fraction(2) ** (direction * WRAP), 64, NEAREST)[0]


def test_double_precision_gives_what_the_host_gives():
    random = Random(SEED)
    for _ in range(CASES):
        x, y = (random.uniform(-1, 1) * 2.0 ** random.randrange(-300, 300) for _ in range(2))
        wide = [operate("load", "double", 0x37F, bits_of(a))[0] for a in (x, y)]
        for operation, expected in (("add", x + y), ("mul", x * y), ("div", x / y)):
            word, _ = operate(operation, "extended", control(53), *wide)
            assert operate("store", "double", control(53), word)[0] == bits_of(expected)


def bits_of(x: float) -> int:
    return int.from_bytes(struct.pack("<d", x), "little")


def test_a_single_real_is_stored_as_the_host_stores_it():
    random = Random(SEED)
    for _ in range(CASES):
        x = random.uniform(-1, 1) * 2.0 ** random.randrange(-155, 120)
        wide, _ = operate("load", "double", 0x37F, bits_of(x))
        expected = int.from_bytes(struct.pack("<f", x), "little")
        assert operate("store", "single", 0x37F, wide)[0] == expected


@pytest.mark.parametrize("form", ["single", "double"])
def test_every_real_survives_a_load_and_a_store(form):
    random, w = Random(SEED), 32 if form == "single" else 64
    for _ in range(CASES):
        x = random.getrandbits(w)
        wide, flags = operate("load", form, 0x37F, x)
        if not flags & c.FSW_IE:  # of a signalling NaN
            assert operate("store", form, 0x37F, wide)[0] == x


@pytest.mark.parametrize("w", [16, 32, 64])
def test_every_integer_survives_a_load_and_a_store(w):
    random = Random(SEED)
    for x in (
        0,
        1,
        (1 << w) - 1,
        1 << (w - 1),
        (1 << (w - 1)) - 1,
        *(random.getrandbits(w) for _ in range(CASES)),
    ):
        wide, _ = operate("load", f"integer{w}", 0x37F, x)
        assert operate("store", f"integer{w}", 0x37F, wide) == (x, 0)


@pytest.mark.parametrize(
    ("x", "rounding", "expected"),
    [
        (1.5, 0, 2),
        (2.5, 0, 2),
        (-2.5, 0, -2),
        (-2.5, 1, -3),
        (2.5, 2, 3),
        (-2.9, 3, -2),
        (0.5, 0, 0),
        (32767.4, 0, 32767),
    ],
)
def test_integers_are_rounded_as_the_control_word_says(x, rounding, expected):
    wide, _ = operate("load", "double", 0x37F, bits_of(x))
    word, flags = operate("store", "integer16", control(rounding=rounding), wide)
    assert word == expected & 0xFFFF and flags & c.FSW_PE
    whole, _ = operate("rint", "extended", control(rounding=rounding), wide)
    assert value(whole) == expected


@pytest.mark.parametrize("x", [32767.5, 32768.0, -32769.0, 1e300, -1e300])
def test_an_integer_that_does_not_fit_is_indefinite(x):
    wide, _ = operate("load", "double", 0x37F, bits_of(x))
    assert operate("store", "integer16", 0x37F, wide) == (0x8000, c.FSW_IE)


def test_every_decimal_survives_a_load_and_a_store():
    random = Random(SEED)
    for digits in (0, 1, 10**18 - 1, 10**17, *(random.randrange(10**18) for _ in range(CASES))):
        x = random.getrandbits(1) << 79 | int(str(digits), 16)
        wide, _ = operate("load", "decimal", 0x37F, x)
        assert operate("store", "decimal", 0x37F, wide) == (x, 0)


@pytest.mark.parametrize(
    ("x", "y", "result", "invalid"),
    [
        (QUIET, ONE, QUIET, False),
        (ONE, QUIET | NEGATIVE, QUIET | NEGATIVE, False),
        (SIGNALLING, ONE, QUIET, True),
        (SIGNALLING, QUIET | 8, QUIET | 8, True),  # the quiet one, whatever the significands
        (QUIET | 8, QUIET, QUIET | 8, False),  # the larger significand
        (QUIET, QUIET | NEGATIVE, QUIET, False),  # the positive one
        (QUIET, UNNORMAL, INDEFINITE, True),
        (UNNORMAL, ONE, INDEFINITE, True),
        (PLUS_INFINITY, PLUS_INFINITY | NEGATIVE, INDEFINITE, True),
    ],
)
def test_nans_follow_the_table_of_the_manual(x, y, result, invalid):
    for first, second in ((x, y), (y, x)):
        word, flags = operate("add", "extended", 0x37F, first, second)
        assert (word, bool(flags & c.FSW_IE)) == (result, invalid)


@pytest.mark.parametrize(
    ("operation", "x", "y"),
    [
        ("mul", 0, PLUS_INFINITY), ("div", 0, 0), ("div", PLUS_INFINITY, PLUS_INFINITY),
        ("sqrt", ONE | NEGATIVE, 0),
        ("rem", PLUS_INFINITY, ONE), ("rem1", ONE, 0), ("scale", 0, PLUS_INFINITY), ("sin", PLUS_INFINITY, 0),
        ("ylog2x", ONE | NEGATIVE, ONE), ("ylog2x", 0, 0), ("ylog2x", ONE, PLUS_INFINITY),
        ("scale", PLUS_INFINITY, PLUS_INFINITY | NEGATIVE),
    ],
)  # fmt: skip
def test_what_has_no_value_is_invalid(operation, x, y):
    assert operate(operation, "extended", 0x37F, x, y) == (INDEFINITE, c.FSW_IE)


@pytest.mark.parametrize("operation", ["add", "mul", "div", "rem", "scale", "compare", "atan"])
def test_a_denormal_operand_is_noticed_and_stops_what_is_not_masked(operation):
    _, flags = operate(operation, "extended", 0x37F, DENORMAL, ONE)
    assert flags & c.FSW_DE
    if operation != "compare":
        assert operate(operation, "extended", 0x37F & ~c.FCW_DM, DENORMAL, ONE)[1] == c.FSW_DE


def test_a_division_by_zero_is_infinite_with_the_sign_of_the_quotient():
    assert operate("div", "extended", 0x37F, ONE, NEGATIVE) == (PLUS_INFINITY | NEGATIVE, c.FSW_ZE)
    assert operate("div", "extended", 0x37F, PLUS_INFINITY, 0) == (PLUS_INFINITY, 0)


@pytest.mark.parametrize("nearest", [False, True])
def test_a_remainder_is_exact_and_its_quotient_shows_in_the_condition_codes(nearest):
    random = Random(SEED)
    for _ in range(CASES):
        x, y = number(random), number(random)
        y = y & ~(0x7FFF << 64) | max(1, (x >> 64 & 0x7FFF) - random.randrange(70)) << 64
        word, flags = operate("rem1" if nearest else "rem", "extended", 0x37F, x, y)
        ratio = abs(value(x) / value(y))
        if flags & c.FSW_C2:
            assert ratio >= Fraction(2) ** 63
            assert abs(value(word)) < abs(value(x)) and ((value(x) - value(word)) / value(y)).denominator == 1
            continue
        quotient = round(ratio) if nearest else math.floor(ratio)
        assert value(word) == (abs(value(x)) - quotient * abs(value(y))) * (-1) ** (x >> 79)
        shown = bool(flags & c.FSW_C0) << 2 | bool(flags & c.FSW_C3) << 1 | bool(flags & c.FSW_C1)
        assert shown == quotient & 7


def test_a_number_is_its_significand_times_two_to_its_exponent():
    random = Random(SEED)
    for x in (*(number(random) for _ in range(CASES)), DENORMAL, 0x1234 | NEGATIVE):
        exponent, _ = operate("exponent", "extended", 0x37F, x)
        significand, _ = operate("significand", "extended", 0x37F, x)
        assert value(significand) * Fraction(2) ** int(value(exponent)) == value(x)
        assert 1 <= abs(value(significand)) < 2
        assert operate("scale", "extended", 0x37F, significand, exponent)[0] & ~(0x7FFF << 64 | 1 << 63) == (
            x & ~(0x7FFF << 64 | 1 << 63)
        )


@pytest.mark.parametrize(
    ("x", "codes"),
    [
        (UNNORMAL, 0), (QUIET, c.FSW_C0), (ONE | NEGATIVE, c.FSW_C2 | c.FSW_C1),
        (PLUS_INFINITY, c.FSW_C2 | c.FSW_C0),
        (0, c.FSW_C3), (DENORMAL, c.FSW_C3 | c.FSW_C2), (1 << 63, c.FSW_C3 | c.FSW_C2), (0x7FFF << 64, 0),
    ],
)  # fmt: skip
def test_every_class_of_number_is_told(x, codes):
    assert operate("examine", "extended", 0x37F, x) == (0, codes)


@pytest.mark.parametrize("operation", ["rem", "rem1"])
def test_a_remainder_by_infinity_is_the_dividend_and_never_too_small(operation):
    unmasked = control(masks=MASKED & ~c.FCW_UM)
    assert operate(operation, "extended", unmasked, DENORMAL, PLUS_INFINITY) == (DENORMAL, c.FSW_DE)
    assert operate(operation, "extended", unmasked, DENORMAL, ONE)[1] == c.FSW_DE | c.FSW_UE
