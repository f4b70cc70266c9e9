"""Fixed-point mathematics on integers: a number is an int that counts 2**-PLACES.

Nothing here knows of extended reals; no host float is used. Every result is within a few units of its
last place, two hundred places below what rounding to 64 bits can see, so what `transcendental` makes of
it is the nearest extended real but for cases that never come up.
"""

from __future__ import annotations

from functools import cache
from math import isqrt

PLACES = 320
ONE = 1 << PLACES


def times(x: int, y: int) -> int:
    """x * y."""
    return x * y >> PLACES


def quotient(x: int, y: int) -> int:
    """x / y."""
    return (x << PLACES) // y


def _odd_powers(z: int, alternate: bool) -> int:
    """The sum of z**n / n over odd n: atanh, or atan where the signs alternate. |z| well below 1."""
    total, power, square, n = z, z, times(z, z), 1
    while power not in (0, -1):
        power = -times(power, square) if alternate else times(power, square)
        n += 2
        total += power // n
    return total


def atan(t: int) -> int:
    """For 0 <= t <= 1; halves the angle three times."""
    for _ in range(3):
        t = quotient(t, ONE + isqrt((ONE << PLACES) + t * t))
    return _odd_powers(t, alternate=True) << 3


def log1p_ratio(above: int, below: int) -> int:
    """ln of (below + above) / (below - above), for |above| < below / 4: twice atanh."""
    return 2 * _odd_powers(quotient(above, below), alternate=False)


def expm1(t: int) -> int:
    """e**t - 1 for |t| < 1."""
    total, term, n = 0, t, 1
    while term not in (0, -1):
        total += term
        n += 1
        term = times(term, t) // n
    return total


def sin_cos(r: int) -> tuple[int, int]:
    """For |r| < 1."""
    sine, cosine, term, n = 0, 0, ONE, 0
    while term not in (0, -1):
        sign = -1 if n & 2 else 1
        if n & 1:
            sine += sign * term
        else:
            cosine += sign * term
        n += 1
        term = times(term, r) // n
    return sine, cosine


@cache
def pi() -> int:
    """Machin's formula."""
    return 4 * (4 * _odd_powers(ONE // 5, alternate=True) - _odd_powers(ONE // 239, alternate=True))


@cache
def ln2() -> int:
    return log1p_ratio(1, 3)


@cache
def ln10() -> int:
    return 3 * ln2() + log1p_ratio(1, 9)  # 10 = 8 * 10/8
