"""Hardware task switching: by JMP, CALL, IRET, or a task gate, to another TSS.

The outgoing task's registers go into its TSS, the incoming task's come out of its own; busy bits, back
link and NT keep the chain of nested tasks. Once the new task's registers are loaded, a bad segment in its
TSS is a fault *of the new task* (SDM 3A, 7.3): until then everything is checked first. Written in the
language of `language`; who calls it is `ops/farflow` and `deliver`.

    TSS32: 0 link   1C CR3  20 EIP  24 EFLAGS  28 EAX … 44 EDI  48 ES CS SS DS FS GS  60 LDT  64 T  66 I/O map
    TSS16: 0 link           0E IP   10 FLAGS   12 AX … 20 DI    22 ES CS SS DS        2A LDT
"""

from __future__ import annotations

from isa.consts import (
    ATTR_P, CR0_PG, CR0_TS, CS, DR6_BT, DR7_LOCAL, DS, ES, FLAGS_ONE, FS, GS, LDTR, M32, NT, SEL_RPL, SS, TR,
    TSS_BUSY, TYPE_ACCESSED, TYPE_LDT, TYPE_TSS16, TYPE_TSS32, VM,
)  # fmt: skip
from isa.faults import Fault, GeneralProtection, InvalidTSS, SegmentNotPresent, StackFault
from isa.language import Builder, Word
from isa.mmu import reload_pointers
from isa.ops.stack import push_words
from isa.segment import (
    attr_of, base_of, descriptor, descriptor_address, dpl_of, in_table, is_code, is_conforming, is_readable,
    is_writable_data, limit_of, load_real, selector_error, set_accessed,
)  # fmt: skip
from isa.state import BASE, CPL, CR0, CR3, CR4, DR, EIP, LIMIT, PENDING_DEBUG, SEL

JUMP, CALL, RETURN = range(3)  # CALL also for interrupts through a task gate
MIN_LIMIT32, MIN_LIMIT16 = 0x67, 0x2B
SEGMENTS32 = (ES, CS, SS, DS, FS, GS)
SEGMENTS16 = (ES, CS, SS, DS)


def available(high: Word) -> Word:
    """Whether the high word is that of an available TSS descriptor."""
    kind = (high >> 8) & 0x1F
    return (kind == TYPE_TSS16) | (kind == TYPE_TSS32)


def switch(
    b: Builder, selector: Word, cause: int, return_eip: Word, error: Word | None = None, ext: int = 0
) -> None:
    """Go on in the task of the TSS `selector`; this one goes on at `return_eip` when it is resumed."""
    wrong: type[Fault] = InvalidTSS if cause == RETURN else GeneralProtection
    if selector & 4 or not selector & 0xFFFC:
        raise wrong(selector_error(selector) + ext)
    at, low, high = descriptor(b, selector, wrong, ext)
    wanted = high & ~(TSS_BUSY << 8) & M32 if cause == RETURN else high
    busy = (high >> 9) & 1
    if (not available(wanted)) or (cause == RETURN and not busy):
        raise wrong(selector_error(selector) + ext)
    if not high & (ATTR_P << 8):
        raise SegmentNotPresent(selector_error(selector) + ext)
    if limit_of(low, high) < (MIN_LIMIT32 if high & 0x800 else MIN_LIMIT16):
        raise InvalidTSS(selector_error(selector) + ext)
    if high & 0x800:
        change(b, selector, at, low, high, cause, return_eip, error, ext, 32)
    else:
        change(b, selector, at, low, high, cause, return_eip, error, ext, 16)


def change(
    b: Builder, selector: Word, at: Word, low: Word, high: Word, cause: int, return_eip: Word, error: Word | None,
    ext: int, w: int,
) -> None:  # fmt: skip
    """`switch`, once the new TSS is known to be good and of `w` bits."""
    tss, size = base_of(low, high), w // 8
    first = 0x20 if w == 32 else 0x0E
    words = [b.zext(b.load_system((tss + first + size * n) & M32, w), w, 32) for n in range(10)]
    segments = SEGMENTS32 if w == 32 else SEGMENTS16
    place = 0x48 if w == 32 else 0x22
    selectors = [b.load_system((tss + place + size * n) & M32, 16) for n in range(len(segments))]
    ldt = b.load_system((tss + (0x60 if w == 32 else 0x2A)) & M32, 16)
    cr3 = b.load_system((tss + 0x1C) & M32, 32) if w == 32 else b.s[CR3]
    trap = b.load_system((tss + 0x64) & M32, 16) & 1 if w == 32 else 0
    b.probe_system(tss, 2)
    save(b, cause, return_eip)
    if cause == CALL:
        b.store_system(tss, b.s[SEL + TR], 16)
    if cause != RETURN:
        b.store_system((at + 4) & M32, high | (TSS_BUSY << 8), 32)
    b.commit()
    b.set_segment(TR, selector, tss, limit_of(low, high), attr_of(high) | TSS_BUSY)
    b.s[CR0] = b.s[CR0] | CR0_TS
    b.s[DR + 7] = b.s[DR + 7] & ~DR7_LOCAL & M32
    b.s[PENDING_DEBUG] = DR6_BT if trap else 0
    b.debug_registers_changed()
    if w == 32 and b.s[CR0] & CR0_PG:
        reload_pointers(b, b.s[CR0], cr3, b.s[CR4])
        b.s[CR3] = cr3
        b.flush_tlb(keep_global=True)
    flags = (words[1] | (NT if cause == CALL else 0)) & 0x003F_7FD5 | FLAGS_ONE
    b.set_eflags(flags)
    for n in range(8):
        b.s[n] = words[2 + n] if w == 32 else (0xFFFF_0000 | words[2 + n])
    b.s[EIP] = words[0]
    load_segments(b, selectors, ldt, flags, ext, w)
    if error is not None:
        push_words(b, [error], w)
    if words[0] > b.s[LIMIT + CS]:
        raise GeneralProtection(ext)
    b.go(words[0])


def save(b: Builder, cause: int, return_eip: Word) -> None:
    """The outgoing task's registers into its TSS, and its busy bit."""
    tss, selector = b.s[BASE + TR], b.s[SEL + TR]
    at = descriptor_address(b, selector, InvalidTSS)
    high = b.load_system((at + 4) & M32, 32)
    flags = b.eflags()
    image = flags & ~NT & M32 if cause == RETURN else flags
    if high & 0x800:
        b.probe_system((tss + 0x20) & M32, 0x40)
        for n, word in enumerate((return_eip, image, *(b.s[k] for k in range(8)))):
            b.store_system((tss + 0x20 + 4 * n) & M32, word, 32)
        for n, segment in enumerate(SEGMENTS32):
            b.store_system((tss + 0x48 + 4 * n) & M32, b.s[SEL + segment], 16)
    else:
        b.probe_system((tss + 0x0E) & M32, 0x1C)
        for n, word in enumerate((return_eip, image, *(b.s[k] for k in range(8)))):
            b.store_system((tss + 0x0E + 2 * n) & M32, b.trunc(word, 16), 16)
        for n, segment in enumerate(SEGMENTS16):
            b.store_system((tss + 0x22 + 2 * n) & M32, b.s[SEL + segment], 16)
    if cause != CALL:
        b.store_system((at + 4) & M32, high & ~(TSS_BUSY << 8) & M32, 32)


def load_segments(b: Builder, selectors: list[Word], ldt: Word, flags: Word, ext: int, w: int) -> None:
    """The incoming task's segments. What is wrong with them is #TS, or #NP and #SS, in the new task.

    Until its stack is known to be good the level is 3, so that a fault finds one through the new TSS.
    """
    names = SEGMENTS32 if w == 32 else SEGMENTS16
    for segment in SEGMENTS32:
        b.set_segment(segment, 0, 0, 0, 0)
    for n, segment in enumerate(names):
        b.set_segment(segment, selectors[n], 0, 0, 0)
    b.set_segment(LDTR, ldt, 0, 0, 0)
    b.set_cpl(3)
    if ldt & 0xFFFC:
        load_ldt(b, ldt, ext)
    if flags & VM:
        for n, segment in enumerate(names):
            load_real(b, segment, selectors[n])
        return
    cs, ss = selectors[1], selectors[2]
    load_task_stack(b, ss, cs & SEL_RPL, ext)
    b.set_cpl(cs & SEL_RPL)
    for segment in (DS, ES, FS, GS) if w == 32 else (DS, ES):
        load_task_data(b, segment, selectors[names.index(segment)], ext)
    load_task_code(b, cs, ext)


def load_ldt(b: Builder, selector: Word, ext: int) -> None:
    """LDTR of the new task."""
    error = selector_error(selector) + ext
    if selector & 4 or not in_table(b, selector):
        raise InvalidTSS(error)
    _at, low, high = descriptor(b, selector, InvalidTSS, ext)
    attr = attr_of(high)
    if ((attr & 0x1F) != TYPE_LDT) or not attr & ATTR_P:
        raise InvalidTSS(error)
    b.set_segment(LDTR, selector, base_of(low, high), limit_of(low, high), attr)


def _task_descriptor(b: Builder, selector: Word, ext: int) -> tuple[Word, Word, Word]:
    """Address and words of a segment's descriptor; #TS outside its table."""
    if not in_table(b, selector):
        raise InvalidTSS(selector_error(selector) + ext)
    return descriptor(b, selector, InvalidTSS, ext)


def _put(b: Builder, segment: int, selector: Word, at: Word, low: Word, high: Word) -> None:
    set_accessed(b, at, high)
    b.set_segment(segment, selector, base_of(low, high), limit_of(low, high), attr_of(high) | TYPE_ACCESSED)


def load_task_code(b: Builder, selector: Word, ext: int) -> None:
    """CS of the new task: its RPL is the new CPL."""
    at, low, high = _task_descriptor(b, selector, ext)
    attr, rpl = attr_of(high), selector & SEL_RPL
    error = selector_error(selector) + ext
    right = (dpl_of(attr) <= rpl) if is_conforming(attr) else (dpl_of(attr) == rpl)
    if (not is_code(attr)) or (not right):
        raise InvalidTSS(error)
    if not attr & ATTR_P:
        raise SegmentNotPresent(error)
    _put(b, CS, selector, at, low, high)


def load_task_stack(b: Builder, selector: Word, cpl: Word, ext: int) -> None:
    """SS of the new task, whose level is `cpl`."""
    at, low, high = _task_descriptor(b, selector, ext)
    attr = attr_of(high)
    error = selector_error(selector) + ext
    if (not is_writable_data(attr)) or (dpl_of(attr) != cpl) or ((selector & SEL_RPL) != cpl):
        raise InvalidTSS(error)
    if not attr & ATTR_P:
        raise StackFault(error)
    _put(b, SS, selector, at, low, high)


def load_task_data(b: Builder, segment: int, selector: Word, ext: int) -> None:
    """DS, ES, FS or GS of the new task."""
    if selector & 0xFFFC:
        at, low, high = _task_descriptor(b, selector, ext)
        attr, dpl = attr_of(high), dpl_of(attr_of(high))
        error = selector_error(selector) + ext
        outside = ((selector & SEL_RPL) > dpl) | (b.s[CPL] > dpl)
        if (not is_readable(attr)) or ((not is_conforming(attr)) and outside):
            raise InvalidTSS(error)
        if not attr & ATTR_P:
            raise SegmentNotPresent(error)
        _put(b, segment, selector, at, low, high)
