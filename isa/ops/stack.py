"""The stack: PUSH POP PUSHA POPA ENTER LEAVE, and the routines that everything else pushes and pops with.

Two widths meet here. How much is moved is the operand size, known from the instruction; how far the stack
pointer reaches (ESP or SP) is the B bit of SS, which is data (SDM 1, 6.2.3). A push stores before it
changes ESP, so a fault in between leaves no trace; whoever pushes several values calls `reserve` first.
PUSH and POP of segment registers are in `segops`, of EFLAGS in `flagops`.
"""

from __future__ import annotations

from isa.capstone_ids import X
from isa.consts import ATTR_DB, EAX, EBP, EBX, ECX, EDI, EDX, ESI, ESP, M16, M32, MASK, SS
from isa.insn import Insn, Kind
from isa.language import Builder, Word
from isa.state import ATTR
from isa.table import insn


def stack_mask(b: Builder) -> Word:
    """The bits of ESP that address the stack: all, or the low 16 where SS.B is clear."""
    return M32 if b.s[ATTR + SS] & ATTR_DB else M16


def moved(b: Builder, by: Word) -> Word:
    """ESP after the stack pointer has moved `by` bytes; a 16-bit stack keeps the upper half."""
    mask, esp = stack_mask(b), b.s[ESP]
    return (esp & (M32 ^ mask)) | ((esp + by) & mask)


def peek(b: Builder, displacement: int, w: int) -> Word:
    """w bits at SS:ESP + displacement; ESP stays."""
    return b.load(SS, (b.s[ESP] + displacement) & stack_mask(b), w)


def poke(b: Builder, displacement: int, value: Word, w: int) -> None:
    """Store w bits at SS:ESP + displacement; ESP stays."""
    b.store(SS, (b.s[ESP] + displacement) & stack_mask(b), value, w)


def drop(b: Builder, size: Word) -> None:
    """Move the stack pointer `size` bytes up; a negative size, down."""
    b.s[ESP] = moved(b, size)


def reserve(b: Builder, count: int, w: int) -> None:
    """Fault now if `count` pushes of w bits would fault.

    The first and the last are probed: what lies between them (at most 2 KB) is on the same two pages.
    """
    size, mask = w // 8, stack_mask(b)
    b.probe(SS, (b.s[ESP] - size) & mask, size)
    b.probe(SS, (b.s[ESP] - count * size) & mask, size)


def push(b: Builder, value: Word, w: int) -> None:
    """Push w bits."""
    poke(b, -(w // 8), value, w)
    drop(b, -(w // 8))


def pop(b: Builder, w: int) -> Word:
    """Pop w bits."""
    value = peek(b, 0, w)
    drop(b, w // 8)
    return value


def push_words(b: Builder, words: list[Word], w: int) -> None:
    """Push several words (lowest first) of w bits, all or none; the stack may wrap between two of them."""
    size = w // 8
    mask = stack_mask(b)
    top = (b.s[ESP] - size * len(words)) & mask
    if top <= mask - (size * len(words) - 1):
        b.probe(SS, top, size * len(words))
        for n, word in enumerate(words):
            b.store(SS, (top + size * n) & M32, word, w)
    else:
        push_apart(b, words, top, mask, w)
    b.s[ESP] = (b.s[ESP] & (M32 ^ mask)) | top


def push_apart(b: Builder, words: list[Word], top: Word, mask: Word, w: int) -> None:
    """The stores of `push_words` where the stack wraps between two of them."""
    size = w // 8
    for n in range(len(words)):
        b.probe(SS, (top + size * n) & mask, size)
    for n, word in enumerate(words):
        b.store(SS, (top + size * n) & mask, word, w)


def set_register(b: Builder, n: int, value: Word, w: int) -> None:
    """Write a general register at operand size: 16 bits keep the upper half."""
    b.s[n] = value if w == 32 else (b.s[n] & (M32 ^ M16)) | value


@insn("push", X.X86_INS_PUSH, sdm="2B PUSH")
def push_operand(b: Builder, i: Insn) -> None:
    """The operand is read before ESP moves: PUSH ESP pushes what ESP was."""
    push(b, b.read(i.dst), i.w)


@insn("pop", X.X86_INS_POP, sdm="2B POP")
def pop_operand(b: Builder, i: Insn) -> None:
    """A destination based on ESP is addressed with ESP after the pop; POP ESP gets what was popped."""
    value = peek(b, 0, i.w)
    after = moved(b, i.w // 8)
    if i.dst.kind is Kind.MEM:
        at = b.offset(i.dst)
        if i.dst.base == ESP:
            at = (at + after - b.s[ESP]) & MASK[i.dst.aw]
        b.store(i.dst.n, at, value, i.w)
        b.s[ESP] = after
    else:
        b.s[ESP] = after
        b.write(i.dst, value)


ALL = (EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI)


@insn("pusha", X.X86_INS_PUSHAL, X.X86_INS_PUSHAW, sdm="2B PUSHA/PUSHAD")
def pusha(b: Builder, i: Insn) -> None:
    """Pushes the eight general registers; of ESP the value before the first push."""
    size = i.w // 8
    reserve(b, 8, i.w)
    for n, register in enumerate(ALL, 1):
        poke(b, -n * size, b.trunc(b.s[register], i.w), i.w)
    drop(b, -8 * size)


@insn("popa", X.X86_INS_POPAL, X.X86_INS_POPAW, sdm="2B POPA/POPAD")
def popa(b: Builder, i: Insn) -> None:
    """Pops what PUSHA pushed; the image of ESP is read and dropped."""
    size = i.w // 8
    values = [peek(b, n * size, i.w) for n in range(8)]
    drop(b, 8 * size)
    for register, value in zip(reversed(ALL), values, strict=True):
        if register != ESP:
            set_register(b, register, value, i.w)


@insn("enter", X.X86_INS_ENTER, sdm="2A ENTER")
def enter(b: Builder, i: Insn) -> None:
    """Makes a frame: push EBP, copy `level` - 1 frame pointers of enclosing ones, then room for locals.

    A write at the final ESP must be possible, although none is made (SDM: #SS, #PF).
    """
    size, level = i.w // 8, i.src.value & 31
    pushes = 1 + level
    reserve(b, pushes, i.w)
    b.probe(SS, (b.s[ESP] - pushes * size - i.dst.value) & stack_mask(b), size)
    for n in range(1, level):  # may fault now, before the first store; what counts is read below
        b.load(SS, (b.s[EBP] - n * size) & stack_mask(b), i.w)
    poke(b, -size, b.trunc(b.s[EBP], i.w), i.w)
    frame = b.trunc(moved(b, -size), i.w)
    for n in range(1, level):
        outer = b.load(SS, (b.s[EBP] - n * size) & stack_mask(b), i.w)
        poke(b, -(n + 1) * size, outer, i.w)
    if level:
        poke(b, -pushes * size, frame, i.w)
    drop(b, -pushes * size - i.dst.value)
    set_register(b, EBP, frame, i.w)


@insn("leave", X.X86_INS_LEAVE, sdm="2A LEAVE")
def leave(b: Builder, i: Insn) -> None:
    """Undoes ENTER: the stack pointer from EBP, then pop EBP."""
    mask = stack_mask(b)
    at = b.s[EBP] & mask
    value = b.load(SS, at, i.w)
    b.s[ESP] = (b.s[ESP] & (M32 ^ mask)) | ((at + i.w // 8) & mask)
    set_register(b, EBP, value, i.w)
