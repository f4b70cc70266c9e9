"""Control transfer within a segment: JMP CALL RET Jcc LOOP JCXZ.

Displacements count from the next instruction; a 16-bit operand size cuts EIP to 16 bits. A target outside
the limit of CS is #GP(0) before anything has changed, so what changes a register first asks `check_target`.
Far transfers are in `farflow`, interrupts too. SDM 1, 7.3.8.
"""

from __future__ import annotations

from isa import flags
from isa.capstone_ids import X
from isa.consts import CS, ECX, M32, MASK
from isa.faults import GeneralProtection
from isa.insn import Insn, Kind
from isa.language import Builder, Word
from isa.ops.stack import drop, peek, push
from isa.state import LIMIT
from isa.table import insn


def target_of(b: Builder, i: Insn) -> Word:
    """Where a jump or call goes: a displacement, or what a register or memory says."""
    if i.dst.kind is Kind.REL:
        return (b.next + i.dst.value) & MASK[i.w]
    return b.zext(b.read(i.dst), i.w, 32)


def check_target(b: Builder, target: Word) -> None:
    """#GP(0) unless the target lies within CS."""
    if target > b.s[LIMIT + CS]:
        raise GeneralProtection(0)


@insn("jmp", X.X86_INS_JMP, sdm="2A JMP")
def jmp(b: Builder, i: Insn) -> None:
    b.jump(target_of(b, i))


@insn("call", X.X86_INS_CALL, sdm="2A CALL")
def call(b: Builder, i: Insn) -> None:
    """Pushes the address of the next instruction and jumps."""
    target = target_of(b, i)
    check_target(b, target)
    push(b, b.trunc(b.next, i.w), i.w)
    b.jump(target)


@insn("ret", X.X86_INS_RET, sdm="2B RET")
def ret(b: Builder, i: Insn) -> None:
    """Pops EIP, then as many bytes of parameters as it says."""
    target = b.zext(peek(b, 0, i.w), i.w, 32)
    check_target(b, target)
    drop(b, i.w // 8 + (i.dst.value if i.operands else 0))
    b.jump(target)


@insn("jcc", *(getattr(X, f"X86_INS_J{name.upper()}") for name in flags.CONDITION_NAMES), sdm="2A Jcc")
def jcc(b: Builder, i: Insn) -> None:
    """Jumps if the condition holds."""
    b.branch(flags.condition(b, i.cc), target_of(b, i))


def _loop(b: Builder, i: Insn, wanted: Word) -> None:
    """Count (E)CX down, jump unless it is 0 or the flag is not as wanted."""
    mask = MASK[i.aw]
    left = (b.s[ECX] - 1) & mask
    taken = (left != 0) & wanted
    target = target_of(b, i)
    if taken:
        check_target(b, target)
    b.s[ECX] = (b.s[ECX] & (M32 ^ mask)) | left
    b.branch(taken, target)


@insn("loop", X.X86_INS_LOOP, sdm="2A LOOP")
def loop(b: Builder, i: Insn) -> None:
    """Counts ECX (CX with a 16-bit address size) down and jumps unless it has become 0."""
    _loop(b, i, 1)


@insn("loope", X.X86_INS_LOOPE, sdm="2A LOOPcc")
def loope(b: Builder, i: Insn) -> None:
    """LOOP that also ends when ZF is clear."""
    _loop(b, i, b.zf())


@insn("loopne", X.X86_INS_LOOPNE, sdm="2A LOOPcc")
def loopne(b: Builder, i: Insn) -> None:
    """LOOP that also ends when ZF is set."""
    _loop(b, i, b.zf() ^ 1)


@insn("jcxz", X.X86_INS_JCXZ, X.X86_INS_JECXZ, sdm="2A Jcc")
def jcxz(b: Builder, i: Insn) -> None:
    """Jumps if ECX (CX with a 16-bit address size) is 0."""
    b.branch((b.s[ECX] & MASK[i.aw]) == 0, target_of(b, i))
