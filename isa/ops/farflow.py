"""Transfers that may change the segment and the privilege level: far JMP CALL RET, IRET, INT, BOUND.

Call gates, stack switches, real and virtual-8086 mode are here; a transfer that leads to a TSS goes on in
`task`, an interrupt in `deliver`. SDM 3A, 5.8 and 6.12; 2A/2B under each.
"""

from __future__ import annotations

from isa.capstone_ids import X
from isa import ids
from isa.consts import (
    ATTR_DB, ATTR_P, CPL_SEGMENTS, CS, DR7_ENABLED, DS, ES, ESP, FLAGS_ONE, FS, GS, IF, IOPL, M16, M32,
    MASK, NT, RF, SEL_RPL, SS, TR, TYPE_ACCESSED, TYPE_CALL_GATE16, TYPE_CALL_GATE32, TYPE_TASK_GATE, VM,
)  # fmt: skip
from isa.deliver import HARDWARE, SOFTWARE, interrupt, push_inner
from isa.faults import BoundRange, GeneralProtection, SegmentNotPresent, StackFault
from isa.insn import Insn, Kind
from isa.language import Builder, Word
from isa.ops.flagops import ALWAYS, merge_eflags, require_v86_iopl
from isa.ops.stack import drop, peek, push_words
from isa.segment import (
    attr_of, base_of, descriptor, dpl_of, is_code, is_conforming, is_protected, is_writable_data, limit_of,
    load_code, load_real, null_if_too_privileged, probe_accessed, selector_error, set_accessed,
)  # fmt: skip
from isa.state import ATTR, BASE, CPL, DR, LIMIT, NMI, SEL
from isa.task import CALL, JUMP, RETURN, available, switch
from isa.table import Sensitive, insn

V86_IMAGE = ALWAYS | IF | IOPL | RF | VM  # EFLAGS that IRET loads at CPL 0
GATE_RULE = "gates and conforming segments are checked against the real CPL; the pushed CS shows it"
RETURN_RULE = "checks and restores with the real CPL; IF and IOPL follow POPF's rule, silently"


def far_pointer(b: Builder, i: Insn) -> tuple[Word, Word]:
    """Selector and offset of a far JMP or CALL: immediate or in memory."""
    if i.dst.kind == Kind.FAR:
        return i.dst.n, i.dst.value
    at = b.offset(i.dst)
    target = b.load(i.dst.n, at, i.w)
    selector = b.load(i.dst.n, (at + i.w // 8) & MASK[i.dst.aw], 16)
    return b.zext(selector, 16, 32), b.zext(target, i.w, 32)


def go_real(b: Builder, selector: Word, target: Word) -> None:
    """A far transfer in real or virtual-8086 mode; the limit of CS is that of the old one."""
    if target > b.s[LIMIT + CS]:
        raise GeneralProtection(0)
    load_real(b, CS, selector)
    b.go(target)


def _words(b: Builder, selector: Word) -> tuple[Word, Word, Word]:
    """Address and both words of a descriptor; #GP for null."""
    if not selector & 0xFFFC:
        raise GeneralProtection(0)
    return descriptor(b, selector)


def check_direct(b: Builder, selector: Word, low: Word, high: Word, target: Word) -> None:
    """A code segment reached without a gate: same level, or conforming and not below (SDM 5.8.1)."""
    attr, cpl = attr_of(high), b.s[CPL]
    error = selector_error(selector)
    if is_conforming(attr):
        if dpl_of(attr) > cpl:
            raise GeneralProtection(error)
    elif ((selector & SEL_RPL) > cpl) or (dpl_of(attr) != cpl):
        raise GeneralProtection(error)
    if not attr & ATTR_P:
        raise SegmentNotPresent(error)
    if target > limit_of(low, high):
        raise GeneralProtection(0)


def leads_to_task(b: Builder, selector: Word, low: Word, high: Word) -> Word:
    """The selector of the TSS that a far JMP or CALL reaches directly or through a task gate, else 0."""
    kind, dpl = (high >> 8) & 0x1F, (high >> 13) & 3
    if (kind == TYPE_TASK_GATE) or available(high):
        if (dpl < b.s[CPL]) or (dpl < (selector & SEL_RPL)):
            raise GeneralProtection(selector_error(selector))
        if not high & (ATTR_P << 8):
            raise SegmentNotPresent(selector_error(selector))
        named = (low >> 16) & M16 if kind == TYPE_TASK_GATE else selector
        if not named & 0xFFFC:
            raise GeneralProtection(0)
        return named
    return 0


def _gate(b: Builder, selector: Word, high: Word) -> None:
    """Checks of a call gate before its target is looked at (SDM 5.8.4)."""
    kind = (high >> 8) & 0x1F
    if (kind != TYPE_CALL_GATE32) and (kind != TYPE_CALL_GATE16):
        raise GeneralProtection(selector_error(selector))
    dpl = (high >> 13) & 3
    if (dpl < b.s[CPL]) or (dpl < (selector & SEL_RPL)):
        raise GeneralProtection(selector_error(selector))
    if not high & (ATTR_P << 8):
        raise SegmentNotPresent(selector_error(selector))


def _gate_target(b: Builder, low: Word, high: Word) -> tuple[Word, Word, Word, Word, Word]:
    """Selector, offset, descriptor address and words of the code segment a gate leads to."""
    selector = (low >> 16) & M16
    target = (low & M16) | (high & 0xFFFF_0000 if high & 0x800 else 0)
    at, code_low, code_high = _words(b, selector)
    attr = attr_of(code_high)
    if (not is_code(attr)) or (dpl_of(attr) > b.s[CPL]):
        raise GeneralProtection(selector_error(selector))
    if not attr & ATTR_P:
        raise SegmentNotPresent(selector_error(selector))
    if target > limit_of(code_low, code_high):
        raise GeneralProtection(0)
    return selector, target, at, code_low, code_high


@insn(
    "jmp far",
    X.X86_INS_LJMP,
    ids.JMP_FAR,
    sdm="2A JMP",
    sensitive=Sensitive.SILENT,
    touches="CS, CPL",
    rule=GATE_RULE,
)
def jmp_far(b: Builder, i: Insn) -> None:
    """To a code segment or through a call gate; the level stays."""
    selector, target = far_pointer(b, i)
    if not is_protected(b):
        go_real(b, selector, target)
        return
    at, low, high = _words(b, selector)
    if is_code(attr_of(high)):
        check_direct(b, selector, low, high, target)
        load_code(b, selector, at, low, high, b.s[CPL])
        b.go(target)
        return
    task = leads_to_task(b, selector, low, high)
    if task:
        switch(b, task, JUMP, b.next)
    else:
        _gate(b, selector, high)
        code, entry, code_at, code_low, code_high = _gate_target(b, low, high)
        attr = attr_of(code_high)
        if (not is_conforming(attr)) and (dpl_of(attr) != b.s[CPL]):
            raise GeneralProtection(selector_error(code))
        load_code(b, code, code_at, code_low, code_high, b.s[CPL])
        b.go(entry)


def _push_return(b: Builder, w: int) -> None:
    """CS and EIP of the next instruction on the current stack."""
    push_words(b, [b.trunc(b.next, w), b.trunc(b.s[SEL + CS], w)], w)


@insn(
    "call far",
    X.X86_INS_LCALL,
    ids.CALL_FAR,
    sdm="2A CALL",
    sensitive=Sensitive.SILENT,
    touches="CS, CPL, SS",
    rule=GATE_RULE,
)
def call_far(b: Builder, i: Insn) -> None:
    """To a code segment, or through a call gate to the same or an inner level."""
    selector, target = far_pointer(b, i)
    if not is_protected(b):
        if target > b.s[LIMIT + CS]:
            raise GeneralProtection(0)
        _push_return(b, i.w)
        go_real(b, selector, target)
        return
    at, low, high = _words(b, selector)
    if is_code(attr_of(high)):
        check_direct(b, selector, low, high, target)
        probe_accessed(b, at, high)
        _push_return(b, i.w)
        load_code(b, selector, at, low, high, b.s[CPL])
        b.go(target)
        return
    task = leads_to_task(b, selector, low, high)
    if task:
        switch(b, task, CALL, b.next)
        return
    _gate(b, selector, high)
    if high & 0x800:
        call_gate(b, low, high, 32)
    else:
        call_gate(b, low, high, 16)


def call_gate(b: Builder, low: Word, high: Word, w: int) -> None:
    """CALL through a gate that pushes w-bit words, to the same or an inner level (SDM 5.8.4, 5.8.5)."""
    code, entry, at, code_low, code_high = _gate_target(b, low, high)
    attr, cpl = attr_of(code_high), b.s[CPL]
    inner = (not is_conforming(attr)) and (dpl_of(attr) < cpl)
    probe_accessed(b, at, code_high)
    if inner:
        frame = [b.next, b.s[SEL + CS], b.s[ESP], b.s[SEL + SS]]
        if high & 0x1F:
            push_parameters(b, dpl_of(attr), frame, high & 0x1F, w)
        else:
            push_inner(b, dpl_of(attr), 0, frame, w)
    else:
        _push_return(b, w)
    load_code(b, code, at, code_low, code_high, dpl_of(attr) if inner else cpl)
    b.go(entry)


def push_parameters(b: Builder, level: Word, frame: list[Word], count: Word, w: int) -> None:
    """`push_inner` of a gate that copies `count` words from the old stack between CS and ESP (SDM 5.8.5).

    How many is data: compiled code leaves this to the reference engine.
    """
    push_inner(b, level, 0, frame, w, count)


# -- returns --------------------------------------------------------------------------------------


def _return_code(b: Builder, selector: Word, target: Word) -> tuple[Word, Word, Word]:
    """Check the CS of a return: not inwards, and the level of its RPL (SDM 2B RET)."""
    rpl = selector & SEL_RPL
    at, low, high = _words(b, selector)
    attr = attr_of(high)
    error = selector_error(selector)
    if (rpl < b.s[CPL]) or (not is_code(attr)):
        raise GeneralProtection(error)
    if is_conforming(attr):
        if dpl_of(attr) > rpl:
            raise GeneralProtection(error)
    elif dpl_of(attr) != rpl:
        raise GeneralProtection(error)
    if not attr & ATTR_P:
        raise SegmentNotPresent(error)
    if target > limit_of(low, high):
        raise GeneralProtection(0)
    return at, low, high


def _return_stack(b: Builder, selector: Word, rpl: Word) -> tuple[Word, Word, Word]:
    """Check the SS of a return to an outer level."""
    at, low, high = _words(b, selector)
    attr = attr_of(high)
    error = selector_error(selector)
    if ((selector & SEL_RPL) != rpl) or (not is_writable_data(attr)) or (dpl_of(attr) != rpl):
        raise GeneralProtection(error)
    if not attr & ATTR_P:
        raise StackFault(error)
    return at, low, high


def return_far(b: Builder, selector: Word, target: Word, w: int, frame: int, release: Word) -> None:
    """Go back to selector:target. `frame` bytes lie on the stack below SS:ESP of an outer return;
    `release` further bytes are dropped on both stacks."""
    at, low, high = _return_code(b, selector, target)
    rpl = selector & SEL_RPL
    mask = M32 if b.s[ATTR + SS] & ATTR_DB else M16
    if rpl != b.s[CPL]:
        esp = b.zext(peek(b, frame + release, w), w, 32)
        ss = b.zext(peek(b, frame + release + w // 8, w), w, 32) & M16
        ss_at, ss_low, ss_high = _return_stack(b, ss, rpl)
        probe_accessed(b, ss_at, ss_high)
        load_code(b, selector, at, low, high, rpl)
        set_accessed(b, ss_at, ss_high)
        b.set_segment(
            SS, ss, base_of(ss_low, ss_high), limit_of(ss_low, ss_high), attr_of(ss_high) | TYPE_ACCESSED
        )
        outer = M32 if ss_high & (ATTR_DB << 8) else M16
        b.s[ESP] = (b.s[ESP] & (M32 ^ outer)) | ((esp + release) & outer)
        for segment in CPL_SEGMENTS:
            null_if_too_privileged(b, segment, rpl)
    else:
        load_code(b, selector, at, low, high, rpl)
        b.s[ESP] = (b.s[ESP] & (M32 ^ mask)) | ((b.s[ESP] + frame + release) & mask)
    b.go(target)


@insn(
    "retf",
    X.X86_INS_RETF,
    ids.RET_FAR,
    sdm="2B RET",
    sensitive=Sensitive.SILENT,
    touches="CS, SS, CPL",
    rule=RETURN_RULE,
)
def retf(b: Builder, i: Insn) -> None:
    """Pops EIP and CS, to an outer level also ESP and SS; an immediate releases parameters."""
    size = i.w // 8
    target = b.zext(peek(b, 0, i.w), i.w, 32)
    selector = b.zext(peek(b, size, i.w), i.w, 32) & M16
    release = i.operands[0].value if i.operands else 0
    if not is_protected(b):
        go_real(b, selector, target)
        drop(b, 2 * size + release)
        return
    return_far(b, selector, target, i.w, 2 * size, release)


@insn(
    "iret",
    X.X86_INS_IRET,
    X.X86_INS_IRETD,
    ids.IRET,
    sdm="2A IRET",
    sensitive=Sensitive.SILENT,
    touches="CS, SS, CPL, IF, IOPL",
    rule=RETURN_RULE,
)
def iret(b: Builder, i: Insn) -> None:
    """Pops EIP, CS and EFLAGS, to an outer level also ESP and SS. IF and IOPL follow POPF's rule.

    It ends the handler of an NMI: the next one may come.
    """
    size = i.w // 8
    flags = b.system_flags()
    require_v86_iopl(b)
    target = b.zext(peek(b, 0, i.w), i.w, 32)
    selector = b.zext(peek(b, size, i.w), i.w, 32) & M16
    image = b.zext(peek(b, 2 * size, i.w), i.w, 32)
    merged = merge_eflags(b, image, i.w)
    if i.w == 32 and b.s[DR + 7] & DR7_ENABLED:
        merged = merged | (image & RF)  # nothing else looks at RF before the next instruction clears it
    if not is_protected(b):
        go_real(b, selector, target)
        drop(b, 3 * size)
        b.set_eflags(merged)
    elif flags & NT:
        switch(b, b.load_system(b.s[BASE + TR], 16), RETURN, b.next)
    elif (image & VM) and (b.s[CPL] == 0):
        return_to_v86(b, selector, target, image)
    else:
        return_far(b, selector, target, i.w, 3 * size, 0)
        b.set_eflags(merged)
    if b.s[NMI]:
        b.unblock_nmi()


def return_to_v86(b: Builder, selector: Word, target: Word, image: Word) -> None:
    """IRET at CPL 0 with VM in the image: ESP, SS, ES, DS, FS, GS follow on the stack (SDM 3B, 20.2.5)."""
    esp, ss = peek(b, 12, 32), peek(b, 16, 32) & M16
    es, ds = peek(b, 20, 32) & M16, peek(b, 24, 32) & M16
    fs, gs = peek(b, 28, 32) & M16, peek(b, 32, 32) & M16
    if target > M16:
        raise GeneralProtection(0)
    b.set_eflags((image & V86_IMAGE) | FLAGS_ONE)
    for segment, value in ((CS, selector), (SS, ss), (ES, es), (DS, ds), (FS, fs), (GS, gs)):
        load_real(b, segment, value)
    b.set_cpl(3)
    b.s[ESP] = esp
    b.go(target)


# -- software interrupts --------------------------------------------------------------------------


def software_interrupt(b: Builder, vector: int) -> None:
    """INT n: through the IDT, its gate's DPL checked; the monitor's policy comes first."""
    b.intercepts(vector, True)
    interrupt(b, vector, None, b.next, SOFTWARE)


@insn(
    "int",
    X.X86_INS_INT,
    sdm="2A INT n",
    sensitive=Sensitive.SILENT,
    touches="CS, SS, CPL, IF",
    rule="the gate's DPL is checked against the real CPL, and the real IDT is used",
)
def int_(b: Builder, i: Insn) -> None:
    require_v86_iopl(b)
    software_interrupt(b, i.dst.value)


@insn(
    "int3",
    X.X86_INS_INT3,
    sdm="2A INT3",
    sensitive=Sensitive.SILENT,
    touches="CS, SS, CPL, IF",
    rule="as INT n",
)
def int3(b: Builder, i: Insn) -> None:
    """The breakpoint of debuggers: vector 3."""
    software_interrupt(b, 3)


@insn(
    "int1",
    X.X86_INS_INT1,
    sdm="2A INT n",
    sensitive=Sensitive.SILENT,
    touches="CS, SS, CPL, IF",
    rule="as INT n, but for the gate's DPL, which nobody looks at",
)
def int1(b: Builder, i: Insn) -> None:
    """The breakpoint of in-circuit emulators: vector 1 as if the processor had raised it, DR6 as it was."""
    b.intercepts(1, True)
    interrupt(b, 1, None, b.next, HARDWARE)


@insn(
    "into",
    X.X86_INS_INTO,
    sdm="2A INTO",
    sensitive=Sensitive.SILENT,
    touches="CS, SS, CPL, IF",
    rule="as INT n",
)
def into(b: Builder, i: Insn) -> None:
    """Vector 4 if OF is set."""
    if b.of():
        software_interrupt(b, 4)


@insn("bound", X.X86_INS_BOUND, sdm="2A BOUND")
def bound(b: Builder, i: Insn) -> None:
    """#BR if a signed index lies outside the two bounds in memory."""
    index = b.read(i.dst)
    at = b.offset(i.src)
    low = b.load(i.src.n, at, i.w)
    high = b.load(i.src.n, (at + i.w // 8) & MASK[i.src.aw], i.w)
    if b.slt(index, low, i.w) or b.slt(high, index, i.w):
        raise BoundRange()
