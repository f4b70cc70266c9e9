"""Segment registers and what selectors say: MOV PUSH POP of Sreg, LDS…LSS, LAR LSL VERR VERW ARPL.

None of these is privileged, yet all of them look at, or show, the real privilege level; that is group 3C
of Robin and Irvine. The rules of loading are in `segment`. SDM 3A, chapter 5.
"""

from __future__ import annotations

from isa.capstone_ids import X
from isa import ids
from isa.consts import (
    ATTR_S, ATTR_TYPE, DS, ES, ESP, FS, GS, M32, MASK, SEL_RPL, SS, TYPE_CALL_GATE16, TYPE_CALL_GATE32,
    TYPE_LDT, TYPE_TASK_GATE, TYPE_TSS16, TYPE_TSS16_BUSY, TYPE_TSS32, TYPE_TSS32_BUSY, ZF,
)  # fmt: skip
from isa.faults import InvalidOpcode
from isa.insn import Insn, Kind
from isa.language import Builder, Word
from isa.ops.stack import drop, peek, push
from isa.segment import (
    attr_of, descriptor, dpl_of, in_table, is_code, is_conforming, is_readable, is_writable_data,
    is_protected, limit_of, load,
)  # fmt: skip
from isa.state import CPL, SEL
from isa.table import Sensitive, insn

SHOWS_RPL = "the RPL of CS and SS shows the real CPL"
LOAD_RULE = (
    "loading compares RPL, DPL and the real CPL; a kernel below ring 0 gets #GP, or is refused silently"
)
CHECK_RULE = "the answer depends on the real CPL and on the real descriptor, without a trap"

# Descriptor types that LAR and LSL accept (SDM 2A, tables 3-53 and 3-56).
LAR_TYPES = sum(
    1 << t for t in (TYPE_TSS16, TYPE_LDT, TYPE_TSS16_BUSY, TYPE_CALL_GATE16, TYPE_TASK_GATE, TYPE_TSS32,
                     TYPE_TSS32_BUSY, TYPE_CALL_GATE32)
)  # fmt: skip
LSL_TYPES = sum(1 << t for t in (TYPE_TSS16, TYPE_LDT, TYPE_TSS16_BUSY, TYPE_TSS32, TYPE_TSS32_BUSY))


@insn(
    "mov sreg",
    ids.MOV_SEG,
    sdm="2B MOV",
    sensitive=Sensitive.SILENT,
    touches="segment registers, CPL in CS and SS",
    rule=f"{LOAD_RULE}; {SHOWS_RPL}",
)
def mov_seg(b: Builder, i: Insn) -> None:
    """MOV to or from a segment register. Loading SS holds interrupts off for one instruction."""
    if i.dst.kind == Kind.SEGMENT:
        selector = b.trunc(b.read(i.src), 16)
        load(b, i.dst.n, b.zext(selector, 16, 32))
        if i.dst.n == SS:
            b.inhibit_interrupts(debug=True)
    else:
        b.write(i.dst, b.trunc(b.s[SEL + i.src.n], i.dst.w))


@insn(
    "push sreg",
    ids.PUSH_SEG,
    sdm="2B PUSH",
    sensitive=Sensitive.SILENT,
    touches="CPL in CS and SS",
    rule=SHOWS_RPL,
)
def push_seg(b: Builder, i: Insn) -> None:
    push(b, b.trunc(b.s[SEL + i.dst.n], i.w), i.w)


@insn(
    "pop sreg",
    ids.POP_SEG,
    sdm="2B POP",
    sensitive=Sensitive.SILENT,
    touches="segment registers",
    rule=LOAD_RULE,
)
def pop_seg(b: Builder, i: Insn) -> None:
    """The segment is checked and loaded before ESP moves; POP SS holds interrupts off."""
    selector = peek(b, 0, i.w) & 0xFFFF
    size = i.w // 8
    if i.dst.n == SS:
        esp = b.s[ESP]
        load(b, SS, b.zext(selector, i.w, 32))
        b.s[ESP] = (esp + size) & M32
        b.inhibit_interrupts(debug=True)
    else:
        load(b, i.dst.n, b.zext(selector, i.w, 32))
        drop(b, size)


def _load_far(b: Builder, i: Insn, segment: int) -> None:
    """LDS and its kin: the offset to a register, the selector to `segment`."""
    if i.src.kind != Kind.MEM:
        raise InvalidOpcode()
    at = b.offset(i.src)
    value = b.load(i.src.n, at, i.w)
    selector = b.load(i.src.n, (at + i.w // 8) & MASK[i.src.aw], 16)
    load(b, segment, b.zext(selector, 16, 32))
    b.write(i.dst, value)


@insn("lds", X.X86_INS_LDS, sdm="2A LDS", sensitive=Sensitive.SILENT, touches="DS", rule=LOAD_RULE)
def lds(b: Builder, i: Insn) -> None:
    _load_far(b, i, DS)


@insn("les", X.X86_INS_LES, sdm="2A LES", sensitive=Sensitive.SILENT, touches="ES", rule=LOAD_RULE)
def les(b: Builder, i: Insn) -> None:
    _load_far(b, i, ES)


@insn("lfs", X.X86_INS_LFS, sdm="2A LFS", sensitive=Sensitive.SILENT, touches="FS", rule=LOAD_RULE)
def lfs(b: Builder, i: Insn) -> None:
    _load_far(b, i, FS)


@insn("lgs", X.X86_INS_LGS, sdm="2A LGS", sensitive=Sensitive.SILENT, touches="GS", rule=LOAD_RULE)
def lgs(b: Builder, i: Insn) -> None:
    _load_far(b, i, GS)


@insn("lss", X.X86_INS_LSS, sdm="2A LSS", sensitive=Sensitive.SILENT, touches="SS", rule=LOAD_RULE)
def lss(b: Builder, i: Insn) -> None:
    _load_far(b, i, SS)


def protected_only(b: Builder) -> None:
    """#UD outside protected mode."""
    if not is_protected(b):
        raise InvalidOpcode()


def _visible(b: Builder, selector: Word, attr: Word) -> Word:
    """Whether CPL and RPL both allow DPL; conforming code is visible to all."""
    dpl = dpl_of(attr)
    return is_conforming(attr) | ((b.s[CPL] <= dpl) & ((selector & SEL_RPL) <= dpl))


def _accepts(attr: Word, types: int) -> Word:
    """Code, data, or a system descriptor of one of the types."""
    return ((attr & ATTR_S) != 0) | ((types >> (attr & ATTR_TYPE)) & 1)


def _selector(b: Builder, o_value: Word, w: int) -> Word:
    return b.zext(b.trunc(o_value, 16), 16, 32)


@insn(
    "lar", X.X86_INS_LAR, sdm="2A LAR", sensitive=Sensitive.SILENT, touches="descriptor, CPL", rule=CHECK_RULE
)
def lar(b: Builder, i: Insn) -> None:
    """Access rights of a descriptor, if CPL and RPL may see it (ZF=1), else nothing (ZF=0)."""
    protected_only(b)
    selector = _selector(b, b.read(i.src), i.src.w)
    if in_table(b, selector):
        _at, _low, high = descriptor(b, selector)
        attr = attr_of(high)
        if _accepts(attr, LAR_TYPES) and _visible(b, selector, attr):
            b.write(i.dst, b.trunc(high & 0x00F0_FF00, i.dst.w))
            b.change_flags(ZF, ZF)
            return
    b.change_flags(ZF, 0)


@insn(
    "lsl", X.X86_INS_LSL, sdm="2A LSL", sensitive=Sensitive.SILENT, touches="descriptor, CPL", rule=CHECK_RULE
)
def lsl(b: Builder, i: Insn) -> None:
    """Limit of a segment in bytes, under the same conditions as LAR."""
    protected_only(b)
    selector = _selector(b, b.read(i.src), i.src.w)
    if in_table(b, selector):
        _at, low, high = descriptor(b, selector)
        attr = attr_of(high)
        if _accepts(attr, LSL_TYPES) and _visible(b, selector, attr):
            b.write(i.dst, b.trunc(limit_of(low, high), i.dst.w))
            b.change_flags(ZF, ZF)
            return
    b.change_flags(ZF, 0)


@insn(
    "verr",
    X.X86_INS_VERR,
    sdm="2B VERR/VERW",
    sensitive=Sensitive.SILENT,
    touches="descriptor, CPL",
    rule=CHECK_RULE,
)
def verr(b: Builder, i: Insn) -> None:
    """ZF=1 if the segment may be read at this level."""
    protected_only(b)
    selector = _selector(b, b.read(i.dst), i.dst.w)
    good: Word = False
    if in_table(b, selector):
        _at, _low, high = descriptor(b, selector)
        attr = attr_of(high)
        good = is_readable(attr) & _visible(b, selector, attr)
    b.change_flags(ZF, ZF if good else 0)


@insn(
    "verw",
    X.X86_INS_VERW,
    sdm="2B VERR/VERW",
    sensitive=Sensitive.SILENT,
    touches="descriptor, CPL",
    rule=CHECK_RULE,
)
def verw(b: Builder, i: Insn) -> None:
    """ZF=1 if the segment may be written at this level."""
    protected_only(b)
    selector = _selector(b, b.read(i.dst), i.dst.w)
    good: Word = False
    if in_table(b, selector):
        _at, _low, high = descriptor(b, selector)
        attr = attr_of(high)
        good = is_writable_data(attr) & _visible(b, selector, attr) & (is_code(attr) ^ 1)
    b.change_flags(ZF, ZF if good else 0)


@insn("arpl", X.X86_INS_ARPL, sdm="2A ARPL")
def arpl(b: Builder, i: Insn) -> None:
    """Raises the RPL of the destination to that of the source; ZF says whether it had to.

    It looks at nothing but its operands, though these may show a real CPL that came from CS.
    """
    protected_only(b)
    x, y = b.modify(i.dst), b.read(i.src)
    if (x & SEL_RPL) < (y & SEL_RPL):
        b.write(i.dst, (x & 0xFFFC) | (y & SEL_RPL))
        b.change_flags(ZF, ZF)
    else:
        b.change_flags(ZF, 0)
