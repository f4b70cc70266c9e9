"""The numbers of the x87: pure functions on extended reals, exact in every bit, without any state.

    formats         unpacking, NaNs, rounding
    arithmetic      add to remainder, comparisons, FLD
    convert         FST, FIST, FBLD, FBSTP
    series          fixed-point mathematics on integers
    transcendental  sines, logarithms, constants

`operate` is what a builder's `f80` calls: an operation by name, on words as registers and memory hold
them. The instructions around it, stack, tags, pending exceptions, are in `isa.ops.x87`. SDM 1, chapters
4 and 8.
"""

from __future__ import annotations

from collections.abc import Callable

from isa.consts import FSW_C0, FSW_C1, FSW_C2, FSW_C3
from isa.fpu import arithmetic, convert, transcendental
from isa.fpu.formats import (
    DENORMAL,
    FINITE,
    INFINITE,
    QUIET,
    SIGNALLING,
    UNSUPPORTED,
    ZERO,
    Number,
    Result,
    exact,
    unpack,
    unpack_integer,
    unpack_short,
)  # fmt: skip

EXTENDED, SINGLE, DOUBLE, DECIMAL = "extended", "single", "double", "decimal"
INTEGERS = {"integer16": 16, "integer32": 32, "integer64": 64}
WIDTHS = {EXTENDED: 80, SINGLE: 32, DOUBLE: 64, DECIMAL: 80, **INTEGERS}  # of each form, in bits

_UNPACK: dict[str, Callable[[int], Number]] = {
    EXTENDED: unpack,
    SINGLE: lambda x: unpack_short(x, 32, 24),
    DOUBLE: lambda x: unpack_short(x, 64, 53),
    "integer16": lambda x: unpack_integer(x, 16),
    "integer32": lambda x: unpack_integer(x, 32),
    "integer64": lambda x: unpack_integer(x, 64),
}
_UNARY: dict[str, Callable[[int, Number], Result]] = {
    "load": arithmetic.load,
    "sqrt": arithmetic.square_root,
    "rint": arithmetic.round_to_integer,
    "exponent": arithmetic.exponent,
    "significand": arithmetic.significand,
    "exp2m1": transcendental.exp2_minus_1,
    "sin": transcendental.sine,
    "cos": transcendental.cosine,
    "tan": transcendental.tangent,
    "unit": transcendental.unit,
}
_BINARY: dict[str, Callable[[int, Number, Number], Result]] = {
    "add": arithmetic.add,
    "sub": arithmetic.subtract,
    "subr": arithmetic.subtract_reversed,
    "mul": arithmetic.multiply,
    "div": arithmetic.divide,
    "divr": arithmetic.divide_reversed,
    "scale": arithmetic.scale,
    "rem": arithmetic.remainder,
    "rem1": arithmetic.remainder_nearest,
    "compare": arithmetic.compare,
    "ucompare": arithmetic.compare_unordered,
    "ylog2x": transcendental.y_log2_x,
    "ylog2x1": transcendental.y_log2_x_plus_1,
    "atan": transcendental.arctangent,
}
_CLASSES = {
    UNSUPPORTED: 0,
    QUIET: FSW_C0,
    SIGNALLING: FSW_C0,
    FINITE: FSW_C2,
    INFINITE: FSW_C2 | FSW_C0,
    ZERO: FSW_C3,
    DENORMAL: FSW_C3 | FSW_C2,
}  # SDM 2A, table 3-42


def _load_decimal(x: int) -> int:
    sign, magnitude = convert.unpack_decimal(x)
    return exact(sign, 0, magnitude)


def _store(form: str, control: int, x: int) -> Result:
    if form in INTEGERS:
        return convert.store_integer(control, unpack(x), INTEGERS[form])
    if form == DECIMAL:
        return convert.store_decimal(control, unpack(x))
    w, bits = (32, 24) if form == SINGLE else (64, 53)
    return convert.store_real(control, unpack(x), w, bits)


def examine(x: int) -> int:
    """The condition codes of FXAM for a register that is not empty; C1 is the sign."""
    return _CLASSES[unpack(x)[0]] | (FSW_C1 if x >> 79 else 0)


def operate(operation: str, form: str, control: int, x: int, y: int = 0) -> Result:
    """One operation of those that `language.Builder.f80` lists: its word, and bits of the status word."""
    if operation in _BINARY:
        return _BINARY[operation](control, unpack(x), _UNPACK[form](y))
    if operation == "store":
        return _store(form, control, x)
    if operation == "constant":
        return transcendental.constant(control, form)
    if operation == "examine":
        return 0, examine(x)
    if form == DECIMAL:
        return _load_decimal(x), 0
    return _UNARY[operation](control, _UNPACK[form](x))
