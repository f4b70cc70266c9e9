"""The operations on numbers of any length, by the names that `language.Builder.f80` has for them."""

from __future__ import annotations

from collections.abc import Callable

from isa.fpu import remainder, transcendental
from isa.fpu.wide import Number, Result

UNARY: dict[str, Callable[[int, Number], Result]] = {
    "exp2m1": transcendental.exp2_minus_1,
    "sin": transcendental.sine,
    "cos": transcendental.cosine,
    "tan": transcendental.tangent,
    "unit": transcendental.unit,
}
BINARY: dict[str, Callable[[int, Number, Number], Result]] = {
    "rem": remainder.remainder,
    "rem1": remainder.remainder_nearest,
    "ylog2x": transcendental.y_log2_x,
    "ylog2x1": transcendental.y_log2_x_plus_1,
    "atan": transcendental.arctangent,
}
