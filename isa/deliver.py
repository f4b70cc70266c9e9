"""Delivery of interrupts and exceptions through the IDT: gates, privilege, stack switch, the frame.

One routine, `interrupt`, serves INT n, exceptions and external interrupts; the flavours differ in the
privilege check and in the EXT bit of error codes. Everything is checked and every stack slot probed
before the first change, so a fault met on the way finds the state untouched and can become a double
fault (`cpu`). Task gates and 16-bit gates are not modelled yet. SDM 3A, 6.10–6.14.

    with a change of stack            without
    |  old SS        |  <- TSS.ESPn
    |  old ESP       |
    |  EFLAGS        |                |  EFLAGS        |  <- ESP
    |  old CS        |                |  old CS        |
    |  EIP           |                |  EIP           |
    |  error code    |  (some)        |  error code    |  (some)
"""

from __future__ import annotations

from isa.consts import (
    ATTR_DB, ATTR_P, CS, ERR_EXT, ERR_IDT, ESP, IF, M16, M32, NT, RF, SEL_RPL, SS, TF, TR, TYPE_ACCESSED,
    TYPE_INT_GATE16, TYPE_INT_GATE32, TYPE_TASK_GATE, TYPE_TRAP_GATE16, TYPE_TRAP_GATE32, VM,
)  # fmt: skip
from isa.faults import GeneralProtection, InvalidTSS, SegmentNotPresent, StackFault
from isa.language import Builder, Word
from isa.segment import (
    attr_of, base_of, descriptor_address, dpl_of, is_code, is_conforming, is_writable_data, limit_of, load_code,
    require_protected_mode, selector_error, set_accessed, within,
)  # fmt: skip
from isa.state import ATTR, BASE, CPL, IDT_BASE, IDT_LIMIT, LIMIT, SEL

HARDWARE, SOFTWARE = 0, 1  # an exception or external interrupt; INT n, INT3, INTO


def interrupt(
    b: Builder, vector: Word, error: Word | None, return_eip: Word, source: int, resume: int = 0
) -> None:
    """Enter the handler of `vector`. `resume` is RF if the pushed EFLAGS should carry it (faults do)."""
    require_protected_mode(b)
    ext = ERR_EXT if source == HARDWARE else 0
    gate_error = ((vector * 8) | ERR_IDT) + ext
    if vector * 8 + 7 > b.s[IDT_LIMIT]:
        raise GeneralProtection(gate_error)
    gate = (b.s[IDT_BASE] + vector * 8) & M32
    low, high = b.load_system(gate, 32), b.load_system((gate + 4) & M32, 32)
    kind = (high >> 8) & 0x1F
    if (kind == TYPE_TASK_GATE) or (kind == TYPE_INT_GATE16) or (kind == TYPE_TRAP_GATE16):
        b.not_modelled("a task gate or 16-bit gate in the IDT")
    if (kind != TYPE_INT_GATE32) and (kind != TYPE_TRAP_GATE32):
        raise GeneralProtection(gate_error)
    if source == SOFTWARE and ((high >> 13) & 3) < b.s[CPL]:
        raise GeneralProtection(gate_error)
    if not high & (ATTR_P << 8):
        raise SegmentNotPresent(gate_error)
    flags_after = ~(TF | NT | RF | VM | (0 if kind == TYPE_TRAP_GATE32 else IF)) & M32
    target = (low & M16) | (high & 0xFFFF_0000)
    enter(b, (low >> 16) & M16, target, ext, error, return_eip, flags_after, resume)


def enter(
    b: Builder,
    selector: Word,
    target: Word,
    ext: int,
    error: Word | None,
    return_eip: Word,
    flags_after: Word,
    resume: int,
) -> None:
    """Go through a gate to selector:target, pushing the frame on the stack of the handler's level."""
    if not selector & 0xFFFC:
        raise GeneralProtection(ext)
    at = descriptor_address(b, selector, GeneralProtection, ext)
    code_low, code_high = b.load_system(at, 32), b.load_system((at + 4) & M32, 32)
    attr = attr_of(code_high)
    cpl = b.s[CPL]
    if (not is_code(attr)) or (dpl_of(attr) > cpl):
        raise GeneralProtection(selector_error(selector) + ext)
    if not attr & ATTR_P:
        raise SegmentNotPresent(selector_error(selector) + ext)
    if target > limit_of(code_low, code_high):
        raise GeneralProtection(ext)
    image = b.eflags()
    if (not is_conforming(attr)) and (dpl_of(attr) < cpl):
        level = dpl_of(attr)
        frame = [] if error is None else [error]
        frame = [*frame, return_eip, b.s[SEL + CS], image | resume, b.s[ESP], b.s[SEL + SS]]
        push_inner(b, level, ext, frame)
    else:
        level = cpl
        push_same(b, image | resume, return_eip, error)
    load_code(b, selector, at, code_low, code_high, level)
    b.set_eflags(image & flags_after)
    b.go(target)


def push_same(b: Builder, image: Word, return_eip: Word, error: Word | None) -> None:
    """The frame on the current stack."""
    frame = [] if error is None else [error]
    push_words(b, [*frame, return_eip, b.s[SEL + CS], image], 32)


def push_words(b: Builder, words: list[Word], w: int) -> None:
    """Push several words (lowest first) of w bits, all or none; the stack may wrap between two of them."""
    size = w // 8
    mask = M32 if b.s[ATTR + SS] & ATTR_DB else M16
    top = (b.s[ESP] - size * len(words)) & mask
    for n in range(len(words)):
        b.probe(SS, (top + size * n) & mask, size)
    for n, word in enumerate(words):
        b.store(SS, (top + size * n) & mask, word, w)
    b.s[ESP] = (b.s[ESP] & (M32 ^ mask)) | top


def inner_stack(b: Builder, level: Word, ext: int) -> tuple[Word, Word]:
    """SS:ESP of an inner level, from the 32-bit TSS (SDM 7.2.1)."""
    slot = level * 8 + 4
    if slot + 5 > b.s[LIMIT + TR]:
        raise InvalidTSS(selector_error(b.s[SEL + TR]) + ext)
    tss = b.s[BASE + TR]
    return b.load_system((tss + slot + 4) & M32, 16), b.load_system((tss + slot) & M32, 32)


def push_inner(b: Builder, level: Word, ext: int, frame: list[Word]) -> None:
    """Push `frame` (lowest word first) on the stack of an inner level, which becomes the current one."""
    selector, esp = inner_stack(b, level, ext)
    if not selector & 0xFFFC:
        raise InvalidTSS(ext)
    at = descriptor_address(b, selector, InvalidTSS, ext)
    low, high = b.load_system(at, 32), b.load_system((at + 4) & M32, 32)
    attr = attr_of(high)
    if ((selector & SEL_RPL) != level) or (dpl_of(attr) != level) or (not is_writable_data(attr)):
        raise InvalidTSS(selector_error(selector) + ext)
    if not attr & ATTR_P:
        raise StackFault(selector_error(selector) + ext)
    mask = M32 if attr & ATTR_DB else M16
    top = (esp - 4 * len(frame)) & mask
    base = base_of(low, high)
    for n in range(len(frame)):
        if not within(attr, limit_of(low, high), (top + 4 * n) & mask, 4):
            raise StackFault(selector_error(selector) + ext)
        b.probe_system((base + ((top + 4 * n) & mask)) & M32, 4)
    for n, word in enumerate(frame):
        b.store_system((base + ((top + 4 * n) & mask)) & M32, word, 32)
    set_accessed(b, at, high)
    b.set_segment(SS, (selector & 0xFFFC) | level, base, limit_of(low, high), attr | TYPE_ACCESSED)
    b.s[ESP] = (esp & (M32 ^ mask)) | top
