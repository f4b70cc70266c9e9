"""x87 arithmetic: FADD to FDIVR in all forms, FSQRT to FPREM1, and the transcendentals.

FADD and its kin have three shapes: with memory, between registers, and between registers with a pop; FIADD
and its kin take an integer from memory. An empty operand makes the result the indefinite NaN, if invalid
operations are masked. SDM 1, 8.3.5 to 8.3.9.
"""

from __future__ import annotations

from isa.consts import FSW_C1, FSW_C2, FSW_CODES
from isa.fpu.formats import INDEFINITE
from isa.insn import Insn, Kind
from isa.language import Builder, Word
from isa.ops.x87 import (
    FEATURE,
    INTEGER,
    NEXT,
    OVERFLOW,
    REAL,
    TOUCHES,
    UNDERFLOW,
    finish,
    get,
    in_use,
    note,
    push,
    put,
    refused,
    signal,
    start,
)  # fmt: skip
from isa.state import FPU_CONTROL
from isa.table import insn
from isa.x87_forms import x87


def _control(b: Builder) -> Word:
    return b.trunc(b.s[FPU_CONTROL], 16)


def _real(b: Builder, i: Insn, operation: str, pops: int = 0) -> None:
    """ST(0) with memory, or one register with another."""
    start(b)
    if i.dst.kind == Kind.MEM:
        to, x, good = 0, get(b, 0), in_use(b, 0)
        value, flags = b.f80(operation, REAL[i.dst.w], _control(b), x, b.read(i.dst))
    else:
        to, good = i.dst.n, in_use(b, i.dst.n) & in_use(b, i.src.n)
        value, flags = b.f80(operation, "extended", _control(b), get(b, to), get(b, i.src.n))
    if not good:
        value, flags = INDEFINITE, UNDERFLOW
    finish(b, i, to, value, flags, pops)


def _integer(b: Builder, i: Insn, operation: str) -> None:
    start(b)
    value, flags = b.f80(operation, INTEGER[i.dst.w], _control(b), get(b, 0), b.read(i.dst))
    if not in_use(b, 0):
        value, flags = INDEFINITE, UNDERFLOW
    finish(b, i, 0, value, flags)


@insn("fadd", x87("fadd"), sdm="2A FADD/FADDP/FIADD", touches=TOUCHES, feature=FEATURE)
def fadd(b: Builder, i: Insn) -> None:
    """Adds."""
    _real(b, i, "add")


@insn("faddp", x87("faddp"), sdm="2A FADD/FADDP/FIADD", touches=TOUCHES, feature=FEATURE)
def faddp(b: Builder, i: Insn) -> None:
    _real(b, i, "add", pops=1)


@insn("fiadd", x87("fiadd"), sdm="2A FADD/FADDP/FIADD", touches=TOUCHES, feature=FEATURE)
def fiadd(b: Builder, i: Insn) -> None:
    _integer(b, i, "add")


@insn("fsub", x87("fsub"), sdm="2A FSUB/FSUBP/FISUB", touches=TOUCHES, feature=FEATURE)
def fsub(b: Builder, i: Insn) -> None:
    """Subtracts the source from the destination."""
    _real(b, i, "sub")


@insn("fsubp", x87("fsubp"), sdm="2A FSUB/FSUBP/FISUB", touches=TOUCHES, feature=FEATURE)
def fsubp(b: Builder, i: Insn) -> None:
    _real(b, i, "sub", pops=1)


@insn("fisub", x87("fisub"), sdm="2A FSUB/FSUBP/FISUB", touches=TOUCHES, feature=FEATURE)
def fisub(b: Builder, i: Insn) -> None:
    _integer(b, i, "sub")


@insn("fsubr", x87("fsubr"), sdm="2A FSUBR/FSUBRP/FISUBR", touches=TOUCHES, feature=FEATURE)
def fsubr(b: Builder, i: Insn) -> None:
    """Subtracts the destination from the source."""
    _real(b, i, "subr")


@insn("fsubrp", x87("fsubrp"), sdm="2A FSUBR/FSUBRP/FISUBR", touches=TOUCHES, feature=FEATURE)
def fsubrp(b: Builder, i: Insn) -> None:
    _real(b, i, "subr", pops=1)


@insn("fisubr", x87("fisubr"), sdm="2A FSUBR/FSUBRP/FISUBR", touches=TOUCHES, feature=FEATURE)
def fisubr(b: Builder, i: Insn) -> None:
    _integer(b, i, "subr")


@insn("fmul", x87("fmul"), sdm="2A FMUL/FMULP/FIMUL", touches=TOUCHES, feature=FEATURE)
def fmul(b: Builder, i: Insn) -> None:
    """Multiplies."""
    _real(b, i, "mul")


@insn("fmulp", x87("fmulp"), sdm="2A FMUL/FMULP/FIMUL", touches=TOUCHES, feature=FEATURE)
def fmulp(b: Builder, i: Insn) -> None:
    _real(b, i, "mul", pops=1)


@insn("fimul", x87("fimul"), sdm="2A FMUL/FMULP/FIMUL", touches=TOUCHES, feature=FEATURE)
def fimul(b: Builder, i: Insn) -> None:
    _integer(b, i, "mul")


@insn("fdiv", x87("fdiv"), sdm="2A FDIV/FDIVP/FIDIV", touches=TOUCHES, feature=FEATURE)
def fdiv(b: Builder, i: Insn) -> None:
    """Divides the destination by the source."""
    _real(b, i, "div")


@insn("fdivp", x87("fdivp"), sdm="2A FDIV/FDIVP/FIDIV", touches=TOUCHES, feature=FEATURE)
def fdivp(b: Builder, i: Insn) -> None:
    _real(b, i, "div", pops=1)


@insn("fidiv", x87("fidiv"), sdm="2A FDIV/FDIVP/FIDIV", touches=TOUCHES, feature=FEATURE)
def fidiv(b: Builder, i: Insn) -> None:
    _integer(b, i, "div")


@insn("fdivr", x87("fdivr"), sdm="2A FDIVR/FDIVRP/FIDIVR", touches=TOUCHES, feature=FEATURE)
def fdivr(b: Builder, i: Insn) -> None:
    """Divides the source by the destination."""
    _real(b, i, "divr")


@insn("fdivrp", x87("fdivrp"), sdm="2A FDIVR/FDIVRP/FIDIVR", touches=TOUCHES, feature=FEATURE)
def fdivrp(b: Builder, i: Insn) -> None:
    _real(b, i, "divr", pops=1)


@insn("fidivr", x87("fidivr"), sdm="2A FDIVR/FDIVRP/FIDIVR", touches=TOUCHES, feature=FEATURE)
def fidivr(b: Builder, i: Insn) -> None:
    _integer(b, i, "divr")


# -- ST(0) alone -----------------------------------------------------------------------------------


def _unary(b: Builder, i: Insn, operation: str) -> None:
    start(b)
    value, flags = b.f80(operation, "extended", _control(b), get(b, 0), 0)
    if not in_use(b, 0):
        value, flags = INDEFINITE, UNDERFLOW
    finish(b, i, 0, value, flags)


def _sign(b: Builder, i: Insn, value: Word) -> None:
    """FCHS, FABS: only a sign changes, of any register, even a NaN."""
    flags: Word = 0
    if not in_use(b, 0):
        value, flags = INDEFINITE, UNDERFLOW
    finish(b, i, 0, value, flags)


@insn("fchs", x87("fchs"), sdm="2A FCHS", touches=TOUCHES, feature=FEATURE)
def fchs(b: Builder, i: Insn) -> None:
    """Complements the sign."""
    start(b)
    _sign(b, i, get(b, 0) ^ (1 << 79))


@insn("fabs", x87("fabs"), sdm="2A FABS", touches=TOUCHES, feature=FEATURE)
def fabs(b: Builder, i: Insn) -> None:
    """Clears the sign."""
    start(b)
    _sign(b, i, get(b, 0) & ((1 << 79) - 1))


@insn("fsqrt", x87("fsqrt"), sdm="2A FSQRT", touches=TOUCHES, feature=FEATURE)
def fsqrt(b: Builder, i: Insn) -> None:
    """The square root."""
    _unary(b, i, "sqrt")


@insn("frndint", x87("frndint"), sdm="2A FRNDINT", touches=TOUCHES, feature=FEATURE)
def frndint(b: Builder, i: Insn) -> None:
    """Rounds to an integer, as the rounding control says."""
    _unary(b, i, "rint")


@insn("f2xm1", x87("f2xm1"), sdm="2A F2XM1", touches=TOUCHES, feature=FEATURE)
def f2xm1(b: Builder, i: Insn) -> None:
    """2 to the power ST(0), minus 1, for -1 <= ST(0) <= 1."""
    _unary(b, i, "exp2m1")


# -- ST(0) and ST(1) -------------------------------------------------------------------------------


def _binary(b: Builder, i: Insn, operation: str, to: int, pops: int, codes: int = FSW_C1) -> None:
    start(b)
    value, flags = b.f80(operation, "extended", _control(b), get(b, 0), get(b, 1))
    if not (in_use(b, 0) & in_use(b, 1)):
        value, flags = INDEFINITE, UNDERFLOW
    finish(b, i, to, value, flags, pops, codes)


@insn("fscale", x87("fscale"), sdm="2A FSCALE", touches=TOUCHES, feature=FEATURE)
def fscale(b: Builder, i: Insn) -> None:
    """ST(0) times 2 to the power ST(1) chopped."""
    _binary(b, i, "scale", 0, 0)


@insn("fprem", x87("fprem"), sdm="2A FPREM", touches=TOUCHES, feature=FEATURE)
def fprem(b: Builder, i: Insn) -> None:
    """The remainder of ST(0) / ST(1), quotient chopped; C2: go on, C0 C3 C1: the quotient's low bits."""
    _binary(b, i, "rem", 0, 0, FSW_CODES)


@insn("fprem1", x87("fprem1"), sdm="2A FPREM1", touches=TOUCHES, feature=FEATURE)
def fprem1(b: Builder, i: Insn) -> None:
    """The remainder of IEEE 754: quotient rounded to the nearest."""
    _binary(b, i, "rem1", 0, 0, FSW_CODES)


@insn("fyl2x", x87("fyl2x"), sdm="2A FYL2X", touches=TOUCHES, feature=FEATURE)
def fyl2x(b: Builder, i: Insn) -> None:
    """ST(1) times the binary logarithm of ST(0), into ST(1), and a pop."""
    _binary(b, i, "ylog2x", 1, 1)


@insn("fyl2xp1", x87("fyl2xp1"), sdm="2A FYL2XP1", touches=TOUCHES, feature=FEATURE)
def fyl2xp1(b: Builder, i: Insn) -> None:
    """ST(1) times the binary logarithm of ST(0) + 1, into ST(1), and a pop."""
    _binary(b, i, "ylog2x1", 1, 1)


@insn("fpatan", x87("fpatan"), sdm="2A FPATAN", touches=TOUCHES, feature=FEATURE)
def fpatan(b: Builder, i: Insn) -> None:
    """The angle of the point (ST(0), ST(1)), into ST(1), and a pop."""
    _binary(b, i, "atan", 1, 1)


# -- trigonometry, and two results -----------------------------------------------------------------


def _trigonometric(b: Builder, i: Insn, operation: str) -> None:
    """FSIN, FCOS: an argument out of range stays, with C2."""
    start(b)
    value, flags = b.f80(operation, "extended", _control(b), get(b, 0), 0)
    if not in_use(b, 0):
        value, flags = INDEFINITE, UNDERFLOW
    if flags & FSW_C2:
        note(b, i)
        signal(b, flags, FSW_C1 | FSW_C2)
    else:
        finish(b, i, 0, value, flags, 0, FSW_C1 | FSW_C2)


@insn("fsin", x87("fsin"), sdm="2A FSIN", touches=TOUCHES, feature=FEATURE)
def fsin(b: Builder, i: Insn) -> None:
    """The sine."""
    _trigonometric(b, i, "sin")


@insn("fcos", x87("fcos"), sdm="2A FCOS", touches=TOUCHES, feature=FEATURE)
def fcos(b: Builder, i: Insn) -> None:
    """The cosine."""
    _trigonometric(b, i, "cos")


def _two(b: Builder, i: Insn, first: Word, second: Word, flags: Word, codes: int) -> None:
    """Two results: the first into ST(0), then the second is pushed."""
    if in_use(b, NEXT):
        first, second, flags = INDEFINITE, INDEFINITE, OVERFLOW
    if not in_use(b, 0):
        first, second, flags = INDEFINITE, INDEFINITE, UNDERFLOW
    note(b, i)
    signal(b, flags, codes)
    if not (refused(b, flags) | ((flags & FSW_C2) != 0)):
        put(b, 0, first)
        push(b, second)


@insn("fsincos", x87("fsincos"), sdm="2A FSINCOS", touches=TOUCHES, feature=FEATURE)
def fsincos(b: Builder, i: Insn) -> None:
    """The sine into ST(0), then the cosine is pushed."""
    start(b)
    x = get(b, 0)
    sine, flags = b.f80("sin", "extended", _control(b), x, 0)
    cosine, more = b.f80("cos", "extended", _control(b), x, 0)
    _two(b, i, sine, cosine, (flags & (FSW_C1 ^ 0xFFFF)) | more, FSW_C1 | FSW_C2)


@insn("fptan", x87("fptan"), sdm="2A FPTAN", touches=TOUCHES, feature=FEATURE)
def fptan(b: Builder, i: Insn) -> None:
    """The tangent into ST(0), then 1.0 is pushed."""
    start(b)
    x = get(b, 0)
    value, flags = b.f80("tan", "extended", _control(b), x, 0)
    one, _flags = b.f80("unit", "extended", _control(b), x, 0)
    _two(b, i, value, one, flags, FSW_C1 | FSW_C2)


@insn("fxtract", x87("fxtract"), sdm="2A FXTRACT", touches=TOUCHES, feature=FEATURE)
def fxtract(b: Builder, i: Insn) -> None:
    """Splits ST(0): its exponent, as a number, and then its significand is pushed."""
    start(b)
    x = get(b, 0)
    exponent, flags = b.f80("exponent", "extended", _control(b), x, 0)
    significand, more = b.f80("significand", "extended", _control(b), x, 0)
    _two(b, i, exponent, significand, flags | more, FSW_C1)
