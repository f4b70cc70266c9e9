"""Integer addition and subtraction: ADD ADC SUB SBB CMP INC DEC NEG XADD CMPXCHG CMPXCHG8B.

Each reads its operands, computes modulo 2**w, leaves a flags record and writes. Memory is checked for
writing before anything changes (`b.modify`). Next: `logic`, then `shift`. SDM 2A/2B under each name.
"""

from __future__ import annotations

from isa import flags
from isa.capstone_ids import X
from isa.consts import EAX, EBX, ECX, EDX, M32, MASK, ZF
from isa.insn import Insn
from isa.language import Builder
from isa.table import insn


@insn("add", X.X86_INS_ADD, sdm="2A ADD", lockable=True)
def add(b: Builder, i: Insn) -> None:
    x, y = b.modify(i.dst), b.read(i.src)
    r = (x + y) & MASK[i.w]
    b.write(i.dst, r)
    b.set_flags(flags.ADD, i.w, x, y, r)


@insn("adc", X.X86_INS_ADC, sdm="2A ADC", lockable=True)
def adc(b: Builder, i: Insn) -> None:
    x, y = b.modify(i.dst), b.read(i.src)
    r = (x + y + b.cf()) & MASK[i.w]
    b.write(i.dst, r)
    b.set_flags(flags.ADC, i.w, x, y, r)


@insn("sub", X.X86_INS_SUB, sdm="2B SUB", lockable=True)
def sub(b: Builder, i: Insn) -> None:
    x, y = b.modify(i.dst), b.read(i.src)
    r = (x - y) & MASK[i.w]
    b.write(i.dst, r)
    b.set_flags(flags.SUB, i.w, x, y, r)


@insn("sbb", X.X86_INS_SBB, sdm="2B SBB", lockable=True)
def sbb(b: Builder, i: Insn) -> None:
    x, y = b.modify(i.dst), b.read(i.src)
    r = (x - y - b.cf()) & MASK[i.w]
    b.write(i.dst, r)
    b.set_flags(flags.SBB, i.w, x, y, r)


@insn("cmp", X.X86_INS_CMP, sdm="2A CMP")
def cmp(b: Builder, i: Insn) -> None:
    x, y = b.read(i.dst), b.read(i.src)
    b.set_flags(flags.SUB, i.w, x, y, (x - y) & MASK[i.w])


@insn("inc", X.X86_INS_INC, sdm="2A INC", lockable=True)
def inc(b: Builder, i: Insn) -> None:
    """Adds one; CF stays as it was."""
    x = b.modify(i.dst)
    r = (x + 1) & MASK[i.w]
    carry = b.cf()
    b.write(i.dst, r)
    b.set_flags(flags.INC, i.w, 0, carry, r)


@insn("dec", X.X86_INS_DEC, sdm="2A DEC", lockable=True)
def dec(b: Builder, i: Insn) -> None:
    """Subtracts one; CF stays as it was."""
    x = b.modify(i.dst)
    r = (x - 1) & MASK[i.w]
    carry = b.cf()
    b.write(i.dst, r)
    b.set_flags(flags.DEC, i.w, 0, carry, r)


@insn("neg", X.X86_INS_NEG, sdm="2B NEG", lockable=True)
def neg(b: Builder, i: Insn) -> None:
    y = b.modify(i.dst)
    r = (-y) & MASK[i.w]
    b.write(i.dst, r)
    b.set_flags(flags.SUB, i.w, 0, y, r)


@insn("xadd", X.X86_INS_XADD, sdm="2D XADD", lockable=True, feature="486")
def xadd(b: Builder, i: Insn) -> None:
    """The destination gets the sum, the source what the destination was."""
    x, y = b.modify(i.dst), b.read(i.src)
    r = (x + y) & MASK[i.w]
    b.write(i.dst, r)
    if i.src != i.dst:
        b.write(i.src, x)
    b.set_flags(flags.ADD, i.w, x, y, r)


@insn("cmpxchg", X.X86_INS_CMPXCHG, sdm="2A CMPXCHG", lockable=True, feature="486")
def cmpxchg(b: Builder, i: Insn) -> None:
    """If the accumulator equals the destination, store the source there, else load the accumulator.

    The destination is written in both cases (SDM), which is why it is checked for writing.
    """
    old, new = b.modify(i.dst), b.read(i.src)
    accumulator = b.trunc(b.s[EAX], i.w)
    b.write(i.dst, new if accumulator == old else old)
    if accumulator != old:
        b.s[EAX] = (b.s[EAX] & (M32 ^ MASK[i.w])) | old
    b.set_flags(flags.SUB, i.w, accumulator, old, (accumulator - old) & MASK[i.w])


@insn("cmpxchg8b", X.X86_INS_CMPXCHG8B, sdm="2A CMPXCHG8B", lockable=True, feature="CX8")
def cmpxchg8b(b: Builder, i: Insn) -> None:
    """EDX:EAX against 64 bits of memory; ECX:EBX replaces them if equal. Only ZF changes."""
    at = b.offset(i.dst)
    old = b.load_rmw(i.dst.n, at, 64)
    low, high = b.trunc(old, 32), b.trunc(old >> 32, 32)
    equal = (low == b.s[EAX]) & (high == b.s[EDX])
    new = b.zext(b.s[EBX], 32, 64) | (b.zext(b.s[ECX], 32, 64) << 32)
    b.store(i.dst.n, at, new if equal else old, 64)
    if not equal:
        b.s[EAX] = low
        b.s[EDX] = high
    b.change_flags(ZF, equal * ZF)
