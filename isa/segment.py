"""Segmentation: selectors, descriptors and what may be loaded where.

Here are the routines that `ops/segops.py`, `ops/farflow.py` and `deliver` share: find a descriptor, take
it apart, check it for DS/ES/FS/GS or SS, mark it accessed. Accesses *through* a segment are checked by
the engines against the hidden part that `b.set_segment` stored. Written in the language of `language`.

    descriptor, high word                             descriptor, low word
    31        24 23 22 21 20 19     16 15 14-13 12 11-8 7      0   31          16 15         0
    | base 31:24 | G |D/B|  | A | limit 19:16 | P | DPL |S|type| base 23:16 | | base 15:0 | limit 15:0 |

SDM 3A, chapters 3 and 5.
"""

from __future__ import annotations

from isa.consts import (
    ATTR_DB, ATTR_DPL_SHIFT, ATTR_G, ATTR_P, ATTR_S, CR0_PE, CS, LDTR, M16, M32, SEL_INDEX, SEL_RPL, SEL_TI,
    SS, TYPE_ACCESSED, TYPE_CODE, TYPE_CONFORMING, TYPE_EXPAND_DOWN, TYPE_READABLE, TYPE_WRITABLE, VM,
)  # fmt: skip
from isa.faults import Fault, GeneralProtection, SegmentNotPresent, StackFault
from isa.language import Builder, Word
from isa.state import ATTR, BASE, CPL, CR0, GDT_BASE, GDT_LIMIT, LIMIT


REAL_ATTR = ATTR_P | ATTR_S | TYPE_WRITABLE | TYPE_ACCESSED
V86_ATTR = REAL_ATTR | 3 << ATTR_DPL_SHIFT


def selector_error(selector: Word) -> Word:
    """The error code that names a selector: its RPL removed (SDM 6.13)."""
    return selector & 0xFFFC


def descriptor_address(
    b: Builder, selector: Word, fault: type[Fault] = GeneralProtection, ext: int = 0
) -> Word:
    """Linear address of the descriptor a selector names; `fault`(selector) outside its table."""
    local = selector & SEL_TI
    limit = b.s[LIMIT + LDTR] if local else b.s[GDT_LIMIT]
    if (selector | 7) > limit:
        raise fault(selector_error(selector) + ext)
    base = b.s[BASE + LDTR] if local else b.s[GDT_BASE]
    return (base + (selector & SEL_INDEX)) & M32


def descriptor_words(b: Builder, at: Word) -> tuple[Word, Word]:
    """The low and the high word of the descriptor at a linear address."""
    both = b.load_system(at, 64)
    return b.trunc(both, 32), b.trunc(both >> 32, 32)


def descriptor(
    b: Builder, selector: Word, fault: type[Fault] = GeneralProtection, ext: int = 0
) -> tuple[Word, Word, Word]:
    """Address and both words of the descriptor a selector names; `fault`(selector) outside its table."""
    at = descriptor_address(b, selector, fault, ext)
    return at, *descriptor_words(b, at)


def in_table(b: Builder, selector: Word) -> Word:
    """Whether a selector is not null and lies within its table (LAR, LSL, VERR, VERW ask without fault)."""
    limit = b.s[LIMIT + LDTR] if selector & SEL_TI else b.s[GDT_LIMIT]
    return ((selector & 0xFFFC) != 0) & ((selector | 7) <= limit)


def base_of(low: Word, high: Word) -> Word:
    return (low >> 16) | ((high & 0xFF) << 16) | (high & 0xFF00_0000)


def limit_of(low: Word, high: Word) -> Word:
    """The limit in bytes."""
    limit = (low & M16) | (high & 0x000F_0000)
    return ((limit << 12) & M32) | 0xFFF if high & 0x0080_0000 else limit


def attr_of(high: Word) -> Word:
    return (high >> 8) & 0xF0FF


def dpl_of(attr: Word) -> Word:
    return (attr >> ATTR_DPL_SHIFT) & 3


def encode_descriptor(base: int, limit: int, attr: int) -> tuple[int, int]:
    """The two words of a descriptor, for those who write tables (loaders and monitors)."""
    if attr & ATTR_G:
        limit >>= 12
    low = (limit & M16) | ((base & M16) << 16)
    high = (base >> 16 & 0xFF) | (base & 0xFF00_0000) | (limit & 0xF_0000) | ((attr & 0xF0FF) << 8)
    return low, high


def is_code(attr: Word) -> Word:
    """A code segment, conforming or not."""
    return (attr & (ATTR_S | TYPE_CODE)) == (ATTR_S | TYPE_CODE)


def is_conforming(attr: Word) -> Word:
    return (attr & (ATTR_S | TYPE_CODE | TYPE_CONFORMING)) == (ATTR_S | TYPE_CODE | TYPE_CONFORMING)


def is_writable_data(attr: Word) -> Word:
    return (attr & (ATTR_S | TYPE_CODE | TYPE_WRITABLE)) == (ATTR_S | TYPE_WRITABLE)


def is_readable(attr: Word) -> Word:
    """Data, or code that may be read."""
    data = (attr & (ATTR_S | TYPE_CODE)) == ATTR_S
    return data | ((attr & (ATTR_S | TYPE_CODE | TYPE_READABLE)) == (ATTR_S | TYPE_CODE | TYPE_READABLE))


def within(attr: Word, limit: Word, offset: Word, size: int) -> Word:
    """Whether `size` bytes at `offset` lie in a segment; expand-down data has them above the limit."""
    last = (offset + (size - 1)) & M32
    down = (attr & (ATTR_S | TYPE_CODE | TYPE_EXPAND_DOWN)) == (ATTR_S | TYPE_EXPAND_DOWN)
    top = M32 if attr & 0x4000 else M16
    good = (offset > limit) & (last <= top) if down else last <= limit
    return good & (last >= offset)


def set_accessed(b: Builder, at: Word, high: Word) -> None:
    """Set the accessed bit of a code or data descriptor in its table (SDM 3.4.5.1)."""
    if not high & (TYPE_ACCESSED << 8):
        b.store_system((at + 4) & M32, high | (TYPE_ACCESSED << 8), 32)


def probe_accessed(b: Builder, at: Word, high: Word) -> None:
    """Fault now if `set_accessed` would."""
    if not high & (TYPE_ACCESSED << 8):
        b.probe_system((at + 4) & M32, 4)


def is_protected(b: Builder) -> Word:
    """Whether selectors name descriptors: protected mode, but not virtual-8086 mode."""
    return ((b.s[CR0] & CR0_PE) != 0) & ((b.system_flags() & VM) == 0)


def load_real(b: Builder, segment: int, selector: Word) -> None:
    """Load a segment register in real or virtual-8086 mode: the base is 16 times the selector.

    Virtual-8086 segments are 64 KB with DPL 3 (SDM 3B, 20.2). In real mode limit and size stay as they
    were, so that a program which has been in protected mode may keep large segments.
    """
    if b.system_flags() & VM:
        b.set_segment(segment, selector, selector << 4, M16, V86_ATTR)
    else:
        attr = (b.s[ATTR + segment] & (ATTR_DB | ATTR_G)) | REAL_ATTR
        b.set_segment(segment, selector, selector << 4, b.s[LIMIT + segment], attr)


def load_data(b: Builder, segment: int, selector: Word) -> None:
    """Load ES, DS, FS or GS (SDM 2B MOV). A null selector is allowed, and useless until used."""
    if not selector & 0xFFFC:
        b.set_segment(segment, selector, 0, 0, 0)
        return
    at, low, high = descriptor(b, selector)
    attr = attr_of(high)
    if not is_readable(attr):
        raise GeneralProtection(selector_error(selector))
    if not is_conforming(attr):
        dpl = dpl_of(attr)
        if ((selector & SEL_RPL) > dpl) | (b.s[CPL] > dpl):
            raise GeneralProtection(selector_error(selector))
    if not attr & ATTR_P:
        raise SegmentNotPresent(selector_error(selector))
    set_accessed(b, at, high)
    b.set_segment(segment, selector, base_of(low, high), limit_of(low, high), attr | TYPE_ACCESSED)


def load_stack(b: Builder, selector: Word) -> None:
    """Load SS: RPL, DPL and CPL must agree (SDM 2B MOV)."""
    if not selector & 0xFFFC:
        raise GeneralProtection(0)
    at, low, high = descriptor(b, selector)
    attr = attr_of(high)
    cpl = b.s[CPL]
    if (not is_writable_data(attr)) or ((selector & SEL_RPL) != cpl) or (dpl_of(attr) != cpl):
        raise GeneralProtection(selector_error(selector))
    if not attr & ATTR_P:
        raise StackFault(selector_error(selector))
    set_accessed(b, at, high)
    b.set_segment(SS, selector, base_of(low, high), limit_of(low, high), attr | TYPE_ACCESSED)


def load(b: Builder, segment: int, selector: Word) -> None:
    """Load a segment register other than CS, in any mode."""
    if not is_protected(b):
        load_real(b, segment, selector)
    elif segment == SS:
        load_stack(b, selector)
    else:
        load_data(b, segment, selector)


def null_if_too_privileged(b: Builder, segment: int, cpl: Word) -> None:
    """On a return to an outer level, a segment that the new level may not use becomes null (SDM 2B RET)."""
    attr = b.s[ATTR + segment]
    conforming = is_conforming(attr)
    if (attr & ATTR_S) and (not conforming) and (dpl_of(attr) < cpl):
        b.set_segment(segment, 0, 0, 0, 0)


def load_code(b: Builder, selector: Word, at: Word, low: Word, high: Word, cpl: Word) -> None:
    """Put a checked code descriptor into CS, with `cpl` as the selector's RPL and the new CPL."""
    set_accessed(b, at, high)
    attr = attr_of(high) | TYPE_ACCESSED
    b.set_segment(CS, (selector & 0xFFFC) | cpl, base_of(low, high), limit_of(low, high), attr)
    b.set_cpl(cpl)
