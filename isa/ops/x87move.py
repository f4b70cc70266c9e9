"""x87 moves: FLD FST FSTP, FILD FIST FISTP, FBLD FBSTP, FXCH, FCMOVcc, and the constants.

Loads widen to an extended real, which holds every other format exactly; stores round. A store that is not
done, for an exception that is not masked, leaves memory and stack alone. SDM 1, 8.3.3 and 8.3.4.
"""

from __future__ import annotations

from isa.consts import FSW_OE, FSW_UE
from isa.flags import condition
from isa.fpu.formats import INDEFINITE
from isa.insn import Insn, Kind
from isa.language import Builder, Word
from isa.ops.x87 import (
    FEATURE,
    INTEGER,
    NO_RESULT,
    REAL,
    TOUCHES,
    UNDERFLOW,
    finish,
    finish_push,
    get,
    in_use,
    note,
    pop,
    put,
    refused,
    signal,
    start,
)  # fmt: skip
from isa.state import FPU_CONTROL
from isa.table import insn
from isa.x87_forms import CONDITIONS, x87

# What a masked invalid operation stores (SDM 1, tables 4-1, 4-3 and 4-4).
_INDEFINITE = {
    "single": 0xFFC0_0000,
    "double": 0xFFF8_0000_0000_0000,
    "extended": INDEFINITE,
    "integer16": 1 << 15,
    "integer32": 1 << 31,
    "integer64": 1 << 63,
    "decimal": 0xFFFF_C000_0000_0000_0000,
}
_NO_STORE = NO_RESULT | FSW_OE | FSW_UE


def _load(b: Builder, i: Insn, form: str) -> None:
    start(b)
    value, flags = b.f80("load", form, b.trunc(b.s[FPU_CONTROL], 16), b.read(i.dst), 0)
    finish_push(b, i, value, flags)


def _store(b: Builder, i: Insn, form: str, pops: bool) -> None:
    start(b)
    value, flags = b.f80("store", form, b.trunc(b.s[FPU_CONTROL], 16), get(b, 0), 0)
    _stored(b, i, form, value, flags, pops)


def _stored(b: Builder, i: Insn, form: str, value: Word, flags: Word, pops: bool) -> None:
    if not in_use(b, 0):
        value, flags = _INDEFINITE[form], UNDERFLOW
    if refused(b, flags, _NO_STORE):
        note(b, i)
        signal(b, flags)
        return
    b.write(i.dst, value)
    note(b, i)
    signal(b, flags)
    if pops:
        pop(b)


@insn("fld", x87("fld"), sdm="2A FLD", touches=TOUCHES, feature=FEATURE)
def fld(b: Builder, i: Insn) -> None:
    """Pushes a real number. One of 80 bits, and a register, is copied as it is."""
    if i.dst.kind == Kind.MEM and i.dst.w != 80:
        _load(b, i, REAL[i.dst.w])
        return
    start(b)
    if i.dst.kind == Kind.MEM:
        value = b.read(i.dst)
    else:
        value = get(b, i.dst.n)
        if not in_use(b, i.dst.n):
            finish_push(b, i, INDEFINITE, UNDERFLOW)
            return
    finish_push(b, i, value, 0)


def _store_real(b: Builder, i: Insn, pops: bool) -> None:
    """FST; what is stored as it is, 80 bits or to a register, raises nothing but stack underflow."""
    if i.dst.kind == Kind.MEM and i.dst.w != 80:
        _store(b, i, REAL[i.dst.w], pops)
        return
    start(b)
    if i.dst.kind == Kind.MEM:
        _stored(b, i, "extended", get(b, 0), 0, pops)
    else:
        value, flags = get(b, 0), 0
        if not in_use(b, 0):
            value, flags = INDEFINITE, UNDERFLOW
        finish(b, i, i.dst.n, value, flags, int(pops))


@insn("fst", x87("fst"), sdm="2A FST/FSTP", touches=TOUCHES, feature=FEATURE)
def fst(b: Builder, i: Insn) -> None:
    """Stores ST(0) as a real number."""
    _store_real(b, i, pops=False)


@insn("fstp", x87("fstp"), sdm="2A FST/FSTP", touches=TOUCHES, feature=FEATURE)
def fstp(b: Builder, i: Insn) -> None:
    """FST, then a pop."""
    _store_real(b, i, pops=True)


@insn("fstpnce", x87("fstpnce"), sdm="2D table A-10 (undocumented)", touches=TOUCHES, feature=FEATURE)
def fstpnce(b: Builder, i: Insn) -> None:
    """FSTP ST(i) without an exception: if ST(0) is empty, it only pops."""
    start(b)
    note(b, i)
    signal(b, 0)
    if in_use(b, 0):
        put(b, i.dst.n, get(b, 0))
    pop(b)


@insn("fild", x87("fild"), sdm="2A FILD", touches=TOUCHES, feature=FEATURE)
def fild(b: Builder, i: Insn) -> None:
    """Pushes an integer."""
    _load(b, i, INTEGER[i.dst.w])


@insn("fist", x87("fist"), sdm="2A FIST/FISTP", touches=TOUCHES, feature=FEATURE)
def fist(b: Builder, i: Insn) -> None:
    """Stores ST(0), rounded to an integer; what does not fit is invalid."""
    _store(b, i, INTEGER[i.dst.w], pops=False)


@insn("fistp", x87("fistp"), sdm="2A FIST/FISTP", touches=TOUCHES, feature=FEATURE)
def fistp(b: Builder, i: Insn) -> None:
    _store(b, i, INTEGER[i.dst.w], pops=True)


@insn("fbld", x87("fbld"), sdm="2A FBLD", touches=TOUCHES, feature=FEATURE)
def fbld(b: Builder, i: Insn) -> None:
    """Pushes eighteen packed decimal digits."""
    _load(b, i, "decimal")


@insn("fbstp", x87("fbstp"), sdm="2A FBSTP", touches=TOUCHES, feature=FEATURE)
def fbstp(b: Builder, i: Insn) -> None:
    """Stores ST(0), rounded, as eighteen packed decimal digits, then a pop."""
    _store(b, i, "decimal", pops=True)


@insn("fxch", x87("fxch"), sdm="2A FXCH", touches=TOUCHES, feature=FEATURE)
def fxch(b: Builder, i: Insn) -> None:
    """Exchanges ST(0) and ST(i); an empty one counts as the indefinite NaN if that is masked."""
    start(b)
    x, y = get(b, 0), get(b, i.dst.n)
    flags: Word = 0
    if not in_use(b, 0):
        x, flags = INDEFINITE, UNDERFLOW
    if not in_use(b, i.dst.n):
        y, flags = INDEFINITE, UNDERFLOW
    note(b, i)
    signal(b, flags)
    if not refused(b, flags):
        put(b, 0, y)
        put(b, i.dst.n, x)


@insn(
    "fcmov",
    *(x87("fcmov" + name) for name in CONDITIONS),
    sdm="2A FCMOVcc",
    touches=TOUCHES,
    feature="CMOV",
)
def fcmov(b: Builder, i: Insn) -> None:
    """Copies ST(i) to ST(0) if a condition on CF, ZF, PF holds; both must be in use in any case."""
    start(b)
    if in_use(b, 0) & in_use(b, i.src.n):
        note(b, i)
        if condition(b, i.cc):
            put(b, 0, get(b, i.src.n))
    else:
        finish(b, i, 0, INDEFINITE, UNDERFLOW)


@insn(
    "fldconst",
    *(x87(name) for name in ("fld1", "fldl2t", "fldl2e", "fldpi", "fldlg2", "fldln2", "fldz")),
    sdm="2A FLD1/FLDL2T/FLDL2E/FLDPI/FLDLG2/FLDLN2/FLDZ",
    touches=TOUCHES,
    feature=FEATURE,
)
def fldconst(b: Builder, i: Insn) -> None:
    """Pushes 1, the logarithms of 10, e, 2 and 2, pi, or 0, rounded as the control word says."""
    start(b)
    value, _flags = b.f80("constant", i.name, b.trunc(b.s[FPU_CONTROL], 16), 0, 0)
    finish_push(b, i, value, 0)
