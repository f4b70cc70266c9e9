"""x87 comparisons: FCOM FUCOM FICOM FTST FXAM into C3 C2 C0, FCOMI FUCOMI into ZF PF CF (SDM 1, 8.3.6).

    relation         C3 C2 C0    ZF PF CF
    ST(0) > source    0  0  0     0  0  0
    ST(0) < source    0  0  1     0  0  1
    equal             1  0  0     1  0  0
    unordered         1  1  1     1  1  1

FCOM calls any NaN invalid, FUCOM only a signalling one. The codes are written even where an exception that
is not masked keeps the stack from being popped.
"""

from __future__ import annotations

from isa.consts import (
    ARITHMETIC,
    CF,
    FSW_C0,
    FSW_C1,
    FSW_C2,
    FSW_C3,
    FSW_CODES,
    FSW_EXCEPTIONS,
    FSW_SF,
    PF,
    ZF,
)
from isa.insn import Insn, Kind
from isa.language import Builder, Word
from isa.ops.x87 import (
    FEATURE,
    INTEGER,
    REAL,
    TOUCHES,
    UNDERFLOW,
    get,
    in_use,
    note,
    pop,
    refused,
    signal,
    start,
)  # fmt: skip
from isa.state import FPU_CONTROL
from isa.table import insn
from isa.x87_forms import x87

UNORDERED = FSW_C0 | FSW_C2 | FSW_C3


def _flags(b: Builder, operation: str, form: str, y: Word, good: Word) -> Word:
    """What comparing ST(0) with y does to the status word; `good` if y is there at all."""
    _nothing, flags = b.f80(operation, form, b.trunc(b.s[FPU_CONTROL], 16), get(b, 0), y)
    if not (in_use(b, 0) & good):
        flags = UNORDERED | UNDERFLOW
    return flags


def _answer(b: Builder, i: Insn, flags: Word, pops: int) -> None:
    note(b, i)
    signal(b, flags, FSW_CODES)
    if pops and not refused(b, flags):
        for _ in range(pops):
            pop(b)


def _compare(b: Builder, i: Insn, operation: str, pops: int) -> None:
    """With memory, ST(i), or ST(1) if no operand is named."""
    start(b)
    if i.operands and i.dst.kind == Kind.MEM:
        flags = _flags(b, operation, REAL[i.dst.w], b.read(i.dst), 1)
    else:
        n = i.dst.n if i.operands else 1
        flags = _flags(b, operation, "extended", get(b, n), in_use(b, n))
    _answer(b, i, flags, pops)


def _compare_integer(b: Builder, i: Insn, pops: int) -> None:
    start(b)
    _answer(b, i, _flags(b, "compare", INTEGER[i.dst.w], b.read(i.dst), 1), pops)


@insn("fcom", x87("fcom"), sdm="2A FCOM/FCOMP/FCOMPP", touches=TOUCHES, feature=FEATURE)
def fcom(b: Builder, i: Insn) -> None:
    """Compares ST(0); NaNs are invalid."""
    _compare(b, i, "compare", 0)


@insn("fcomp", x87("fcomp"), sdm="2A FCOM/FCOMP/FCOMPP", touches=TOUCHES, feature=FEATURE)
def fcomp(b: Builder, i: Insn) -> None:
    _compare(b, i, "compare", 1)


@insn("fcompp", x87("fcompp"), sdm="2A FCOM/FCOMP/FCOMPP", touches=TOUCHES, feature=FEATURE)
def fcompp(b: Builder, i: Insn) -> None:
    _compare(b, i, "compare", 2)


@insn("fucom", x87("fucom"), sdm="2A FUCOM/FUCOMP/FUCOMPP", touches=TOUCHES, feature=FEATURE)
def fucom(b: Builder, i: Insn) -> None:
    """Compares ST(0); quiet NaNs are unordered without being invalid."""
    _compare(b, i, "ucompare", 0)


@insn("fucomp", x87("fucomp"), sdm="2A FUCOM/FUCOMP/FUCOMPP", touches=TOUCHES, feature=FEATURE)
def fucomp(b: Builder, i: Insn) -> None:
    _compare(b, i, "ucompare", 1)


@insn("fucompp", x87("fucompp"), sdm="2A FUCOM/FUCOMP/FUCOMPP", touches=TOUCHES, feature=FEATURE)
def fucompp(b: Builder, i: Insn) -> None:
    _compare(b, i, "ucompare", 2)


@insn("ficom", x87("ficom"), sdm="2A FICOM/FICOMP", touches=TOUCHES, feature=FEATURE)
def ficom(b: Builder, i: Insn) -> None:
    """Compares ST(0) with an integer."""
    _compare_integer(b, i, 0)


@insn("ficomp", x87("ficomp"), sdm="2A FICOM/FICOMP", touches=TOUCHES, feature=FEATURE)
def ficomp(b: Builder, i: Insn) -> None:
    _compare_integer(b, i, 1)


@insn("ftst", x87("ftst"), sdm="2A FTST", touches=TOUCHES, feature=FEATURE)
def ftst(b: Builder, i: Insn) -> None:
    """Compares ST(0) with 0."""
    start(b)
    _answer(b, i, _flags(b, "compare", "extended", 0, 1), 0)


@insn("fxam", x87("fxam"), sdm="2A FXAM", touches=TOUCHES, feature=FEATURE)
def fxam(b: Builder, i: Insn) -> None:
    """The class of ST(0) in C3 C2 C0, empty among them, and its sign in C1; nothing is invalid."""
    start(b)
    _nothing, flags = b.f80("examine", "extended", b.trunc(b.s[FPU_CONTROL], 16), get(b, 0), 0)
    if not in_use(b, 0):
        flags = (flags & FSW_C1) | FSW_C3 | FSW_C0
    note(b, i)
    signal(b, flags, FSW_CODES)


def _compare_into_eflags(b: Builder, i: Insn, operation: str, pops: int) -> None:
    """OF, SF and AF are cleared; the condition codes of the x87 stay, but for C1."""
    start(b)
    n = i.src.n
    flags = _flags(b, operation, "extended", get(b, n), in_use(b, n))
    note(b, i)
    signal(b, flags & (FSW_EXCEPTIONS | FSW_SF))
    less, unordered, equal = (flags & FSW_C0) != 0, (flags & FSW_C2) != 0, (flags & FSW_C3) != 0
    b.change_flags(ARITHMETIC, less * CF | unordered * PF | equal * ZF)
    if pops and not refused(b, flags):
        pop(b)


@insn("fcomi", x87("fcomi"), sdm="2A FCOMI/FCOMIP/FUCOMI/FUCOMIP", touches=TOUCHES, feature="CMOV")
def fcomi(b: Builder, i: Insn) -> None:
    """FCOM into ZF, PF, CF."""
    _compare_into_eflags(b, i, "compare", 0)


@insn("fcomip", x87("fcomip"), sdm="2A FCOMI/FCOMIP/FUCOMI/FUCOMIP", touches=TOUCHES, feature="CMOV")
def fcomip(b: Builder, i: Insn) -> None:
    _compare_into_eflags(b, i, "compare", 1)


@insn("fucomi", x87("fucomi"), sdm="2A FCOMI/FCOMIP/FUCOMI/FUCOMIP", touches=TOUCHES, feature="CMOV")
def fucomi(b: Builder, i: Insn) -> None:
    """FUCOM into ZF, PF, CF."""
    _compare_into_eflags(b, i, "ucompare", 0)


@insn("fucomip", x87("fucomip"), sdm="2A FCOMI/FCOMIP/FUCOMI/FUCOMIP", touches=TOUCHES, feature="CMOV")
def fucomip(b: Builder, i: Insn) -> None:
    _compare_into_eflags(b, i, "ucompare", 1)
