"""Delivery of interrupts and exceptions through the IDT: gates, privilege, stack switch, the frame.

One routine, `interrupt`, serves INT n, exceptions and external interrupts; the flavours differ in the
privilege check and in the EXT bit of error codes. Everything is checked and every stack slot probed
before the first change, so a fault met on the way finds the state untouched and can become a double
fault (`cpu`). A task gate leads to `task`. SDM 3A, 6.10–6.14; real mode 3B, 20.1.

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
    AC, ATTR_DB, ATTR_P, CPL_SEGMENTS, CR0_PE, CS, DS, ERR_EXT, ERR_IDT, ES, ESP, FS, GS, IF, M16, M32, NT, RF,
    SEL_RPL, SS, TF, TR, TYPE_ACCESSED, TYPE_INT_GATE16, TYPE_INT_GATE32, TYPE_TASK_GATE, TYPE_TRAP_GATE16,
    TYPE_TRAP_GATE32, VM,
)  # fmt: skip
from isa.faults import GeneralProtection, InvalidTSS, SegmentNotPresent, StackFault
from isa.language import Builder, Word
from isa.ops.stack import peek, push_words
from isa.segment import (
    attr_of, base_of, descriptor, descriptor_words, dpl_of, is_code, is_conforming, is_writable_data,
    limit_of, load_code, load_real, probe_accessed, selector_error, set_accessed, within,
)  # fmt: skip
from isa.state import ATTR, BASE, CPL, CR0, IDT_BASE, IDT_LIMIT, LIMIT, SEL
from isa.task import CALL, switch

HARDWARE, SOFTWARE = 0, 1  # an exception or external interrupt; INT n, INT3, INTO
GATES = sum(
    1 << kind
    for kind in (TYPE_TASK_GATE, TYPE_INT_GATE16, TYPE_TRAP_GATE16, TYPE_INT_GATE32, TYPE_TRAP_GATE32)
)


def interrupt(
    b: Builder, vector: Word, error: Word | None, return_eip: Word, source: int, resume: int = 0
) -> None:
    """Enter the handler of `vector`. `resume` is RF if the pushed EFLAGS should carry it (faults do)."""
    if not b.s[CR0] & CR0_PE:
        through_vector(b, vector, return_eip)
        return
    ext = ERR_EXT if source == HARDWARE else 0
    gate_error = ((vector * 8) | ERR_IDT) + ext
    if vector * 8 + 7 > b.s[IDT_LIMIT]:
        raise GeneralProtection(gate_error)
    gate = (b.s[IDT_BASE] + vector * 8) & M32
    low, high = descriptor_words(b, gate)
    kind = (high >> 8) & 0x1F
    if (kind > TYPE_TRAP_GATE32) or not (GATES >> kind) & 1:
        raise GeneralProtection(gate_error)
    if source == SOFTWARE and ((high >> 13) & 3) < b.s[CPL]:
        raise GeneralProtection(gate_error)
    if not high & (ATTR_P << 8):
        raise SegmentNotPresent(gate_error)
    selector = (low >> 16) & M16
    if kind == TYPE_TASK_GATE:
        switch(b, selector, CALL, return_eip, error, ext)
        return
    flags_after = ~(TF | NT | RF | VM | (0 if kind & 1 else IF)) & M32
    if kind & 8:
        target = (low & M16) | (high & 0xFFFF_0000)
        enter(b, selector, target, ext, error, return_eip, flags_after, resume, 32)
    else:
        enter(b, selector, low & M16, ext, error, return_eip, flags_after, resume, 16)


def through_vector(b: Builder, vector: Word, return_eip: Word) -> None:
    """Real mode: a far pointer from the interrupt vector table; no error code (SDM 3B, 20.1.4)."""
    if vector * 4 + 3 > b.s[IDT_LIMIT]:
        raise GeneralProtection(0)
    entry = b.load_system((b.s[IDT_BASE] + vector * 4) & M32, 32)
    image = b.eflags()
    push_words(b, [b.trunc(return_eip, 16), b.trunc(b.s[SEL + CS], 16), b.trunc(image, 16)], 16)
    load_real(b, CS, entry >> 16)
    b.set_eflags(image & ~(IF | TF | RF | AC) & M32)
    b.go(entry & M16)


def enter(
    b: Builder,
    selector: Word,
    target: Word,
    ext: int,
    error: Word | None,
    return_eip: Word,
    flags_after: Word,
    resume: int,
    w: int,
) -> None:
    """Through a gate to selector:target; a frame of w-bit words goes on the stack of the handler's level."""
    if not selector & 0xFFFC:
        raise GeneralProtection(ext)
    at, code_low, code_high = descriptor(b, selector, GeneralProtection, ext)
    attr = attr_of(code_high)
    cpl, image = b.s[CPL], b.eflags()
    if (not is_code(attr)) or (dpl_of(attr) > cpl):
        raise GeneralProtection(selector_error(selector) + ext)
    if not attr & ATTR_P:
        raise SegmentNotPresent(selector_error(selector) + ext)
    if target > limit_of(code_low, code_high):
        raise GeneralProtection(ext)
    probe_accessed(b, at, code_high)
    frame = [] if error is None else [error]
    frame = [*frame, return_eip, b.s[SEL + CS], image | resume]
    inner = (not is_conforming(attr)) and (dpl_of(attr) < cpl)
    if image & VM:
        if (not inner) or (dpl_of(attr) != 0):
            raise GeneralProtection(selector_error(selector) + ext)
        outer = [b.s[ESP], b.s[SEL + SS], b.s[SEL + ES], b.s[SEL + DS], b.s[SEL + FS], b.s[SEL + GS]]
        push_inner(b, 0, ext, [*frame, *outer], w)
        for segment in CPL_SEGMENTS:
            b.set_segment(segment, 0, 0, 0, 0)
    elif inner:
        push_inner(b, dpl_of(attr), ext, [*frame, b.s[ESP], b.s[SEL + SS]], w)
    else:
        push_words(b, [b.trunc(word, w) for word in frame], w)
    load_code(b, selector, at, code_low, code_high, dpl_of(attr) if inner else cpl)
    b.set_eflags(image & flags_after)
    b.go(target)


def inner_stack(b: Builder, level: Word, ext: int) -> tuple[Word, Word]:
    """SS:ESP of an inner level, from the TSS, which may be a 16-bit one (SDM 7.2.1, 7.6)."""
    tss = b.s[BASE + TR]
    error = selector_error(b.s[SEL + TR]) + ext
    if b.s[ATTR + TR] & 8:
        slot = level * 8 + 4
        if slot + 5 > b.s[LIMIT + TR]:
            raise InvalidTSS(error)
        return b.load_system((tss + slot + 4) & M32, 16), b.load_system((tss + slot) & M32, 32)
    slot = level * 4 + 2
    if slot + 3 > b.s[LIMIT + TR]:
        raise InvalidTSS(error)
    return b.load_system((tss + slot + 2) & M32, 16), b.load_system((tss + slot) & M32, 16)


def push_inner(b: Builder, level: Word, ext: int, frame: list[Word], w: int, parameters: int = 0) -> None:
    """Push `frame` (lowest word first) on the stack of an inner level, which becomes the current one.

    Between its first two words and the others go so many `parameters` from the old stack.
    """
    selector, esp = inner_stack(b, level, ext)
    if not selector & 0xFFFC:
        raise InvalidTSS(ext)
    at, low, high = descriptor(b, selector, InvalidTSS, ext)
    attr = attr_of(high)
    if ((selector & SEL_RPL) != level) or (dpl_of(attr) != level) or (not is_writable_data(attr)):
        raise InvalidTSS(selector_error(selector) + ext)
    if not attr & ATTR_P:
        raise StackFault(selector_error(selector) + ext)
    size = w // 8
    if parameters:
        frame = [*frame[:2], *(peek(b, size * n, w) for n in range(parameters)), *frame[2:]]
    mask = M32 if attr & ATTR_DB else M16
    top = (esp - size * len(frame)) & mask
    base, limit = base_of(low, high), limit_of(low, high)
    if top <= mask - (size * len(frame) - 1):
        start = (base + top) & M32
        if not within(attr, limit, top, size * len(frame)):
            raise StackFault(selector_error(selector) + ext)
        b.probe_system(start, size * len(frame))
        for n, word in enumerate(frame):
            b.store_system((start + size * n) & M32, b.trunc(word, w), w)
    else:
        addresses = [(top + size * n) & mask for n in range(len(frame))]
        store_apart(b, frame, base, addresses, attr, limit, StackFault(selector_error(selector) + ext), w)
    set_accessed(b, at, high)
    b.set_segment(SS, (selector & 0xFFFC) | level, base, limit, attr | TYPE_ACCESSED)
    b.s[ESP] = (esp & (M32 ^ mask)) | top


def store_apart(
    b: Builder,
    frame: list[Word],
    base: Word,
    offsets: list[Word],
    attr: Word,
    limit: Word,
    fault: StackFault,
    w: int,
) -> None:
    """The stores of `push_inner` where the stack wraps between two of them."""
    for offset in offsets:
        if not within(attr, limit, offset, w // 8):
            raise fault
        b.probe_system((base + offset) & M32, w // 8)
    for offset, word in zip(offsets, frame, strict=True):
        b.store_system((base + offset) & M32, b.trunc(word, w), w)
