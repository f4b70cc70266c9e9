"""The numbers of the x87: pure functions on extended reals, exact in every bit, without any state.

    formats         unpacking, NaNs, rounding
    arithmetic      add to square root, comparisons, FLD
    convert         FST, FIST, FBLD, FBSTP
    wide            numbers of any length, for
    remainder       FPREM, FPREM1
    transcendental  sines, logarithms, constants
    wideops         both by their names
    series          fixed-point mathematics on integers

The first three are written in the language, on words; the others calculate with Python ints. `operate` is
what a builder's `f80` calls: an operation by name, on words as registers and memory hold them; `compute`
is the part of it that can be compiled. The instructions around it, stack, tags, pending exceptions, are in
`isa.ops.x87`. SDM 1, chapters 4 and 8.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeAlias

from isa.consts import FCW_RC_SHIFT, FSW_C0, FSW_C1, FSW_C2, FSW_C3
from isa.fpu import arithmetic, convert, wide
from isa.fpu.formats import (
    DENORMAL,
    DOWN,
    INFINITE,
    NEAREST,
    UNSUPPORTED,
    UP,
    ZERO,
    Number,
    Result,
    is_nan,
    rounding,
    unpack,
    unpack_integer,
    unpack_short,
)  # fmt: skip
from isa.language import Arithmetic, Word

EXTENDED, SINGLE, DOUBLE, DECIMAL = "extended", "single", "double", "decimal"
INTEGERS = {"integer16": 16, "integer32": 32, "integer64": 64}
WIDTHS = {EXTENDED: 80, SINGLE: 32, DOUBLE: 64, DECIMAL: 80, **INTEGERS}  # of each form, in bits

PRECISIONS = {SINGLE: 24, DOUBLE: 53}

Unary: TypeAlias = Callable[[Arithmetic, Word, Number], Result]
Binary: TypeAlias = Callable[[Arithmetic, Word, Number, Number], Result]
_UNARY: dict[str, Unary] = {
    "load": arithmetic.load,
    "sqrt": arithmetic.square_root,
    "rint": arithmetic.round_to_integer,
    "exponent": arithmetic.exponent,
    "significand": arithmetic.significand,
}
_BINARY: dict[str, Binary] = {
    "add": arithmetic.add,
    "sub": arithmetic.subtract,
    "subr": arithmetic.subtract_reversed,
    "mul": arithmetic.multiply,
    "div": arithmetic.divide,
    "divr": arithmetic.divide_reversed,
    "scale": arithmetic.scale,
    "compare": arithmetic.compare,
    "ucompare": arithmetic.compare_unordered,
}
COMPUTED = frozenset({*_UNARY, *_BINARY, "store", "examine", "constant"})  # by `compute`


def _unpack(b: Arithmetic, form: str, x: Word) -> Number:
    if form in INTEGERS:
        return unpack_integer(b, x, INTEGERS[form])
    if form == EXTENDED:
        return unpack(b, x)
    return unpack_short(b, x, WIDTHS[form], PRECISIONS[form])


def _store(b: Arithmetic, form: str, control: Word, x: Number) -> Result:
    if form in INTEGERS:
        return convert.store_integer(b, control, x, INTEGERS[form])
    if form == DECIMAL:
        return convert.store_decimal(b, control, x)
    return convert.store_real(b, control, x, WIDTHS[form], PRECISIONS[form])


def examine(b: Arithmetic, x: Word) -> Word:
    """The condition codes of FXAM for a register that is not empty; C1 is the sign (SDM 2A, table 3-42)."""
    number = unpack(b, x)
    kind, sign = number[0], FSW_C1 if number[1] else 0
    if is_nan(number):
        return sign | (0 if kind == UNSUPPORTED else FSW_C0)
    if kind == ZERO or kind == DENORMAL:
        return sign | (FSW_C3 if kind == ZERO else FSW_C3 | FSW_C2)
    return sign | (FSW_C2 | FSW_C0 if kind == INFINITE else FSW_C2)


@cache
def constants(name: str) -> tuple[int, ...]:
    """What an instruction loads, for each rounding control."""
    from isa.fpu.transcendental import constant

    return tuple(constant(rc << FCW_RC_SHIFT, name)[0] for rc in range(4))


def _constant(control: Word, words: tuple[int, ...]) -> Word:
    rc = rounding(control)
    near, down, up, chopped = words
    return near if rc == NEAREST else down if rc == DOWN else up if rc == UP else chopped


def compute(b: Arithmetic, operation: str, form: str, control: Word, x: Word, y: Word) -> Result:
    """An operation of `COMPUTED`, in the language."""
    if operation in _BINARY:
        return _BINARY[operation](b, control, unpack(b, x), _unpack(b, form, y))
    if operation == "store":
        return _store(b, form, control, unpack(b, x))
    if operation == "examine":
        return 0, examine(b, x)
    if operation == "constant":
        return _constant(control, constants(form)), 0
    if form == DECIMAL:
        return convert.load_decimal(b, x)
    return _UNARY[operation](b, control, _unpack(b, form, x))


def operate(operation: str, form: str, control: int, x: int, y: int = 0) -> wide.Result:
    """One operation of those that `language.Builder.f80` lists: its word, and bits of the status word."""
    if operation in COMPUTED:
        return compute(wide.INTS, operation, form, control, x, y)
    from isa.fpu.wideops import BINARY, UNARY  # few programs need them, and they are long

    number = wide.opened(unpack(wide.INTS, x))
    if operation in UNARY:
        return UNARY[operation](control, number)
    return BINARY[operation](control, number, wide.opened(unpack(wide.INTS, y)))
