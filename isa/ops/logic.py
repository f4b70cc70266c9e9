"""Bitwise logic: AND OR XOR NOT TEST.

CF and OF become 0, the rest follows the result; NOT changes no flag. AF is undefined in the SDM and 0
here. Next: `shift`, `bits`.
"""

from __future__ import annotations

from isa import flags
from isa.capstone_ids import X
from isa.consts import AF, MASK
from isa.insn import Insn
from isa.language import Builder
from isa.table import insn


@insn("and", X.X86_INS_AND, sdm="2A AND", lockable=True, undefined=AF)
def and_(b: Builder, i: Insn) -> None:
    r = b.modify(i.dst) & b.read(i.src)
    b.write(i.dst, r)
    b.set_flags(flags.LOGIC, i.w, 0, 0, r)


@insn("or", X.X86_INS_OR, sdm="2B OR", lockable=True, undefined=AF)
def or_(b: Builder, i: Insn) -> None:
    r = b.modify(i.dst) | b.read(i.src)
    b.write(i.dst, r)
    b.set_flags(flags.LOGIC, i.w, 0, 0, r)


@insn("xor", X.X86_INS_XOR, sdm="2D XOR", lockable=True, undefined=AF)
def xor(b: Builder, i: Insn) -> None:
    r = b.modify(i.dst) ^ b.read(i.src)
    b.write(i.dst, r)
    b.set_flags(flags.LOGIC, i.w, 0, 0, r)


@insn("not", X.X86_INS_NOT, sdm="2B NOT", lockable=True)
def not_(b: Builder, i: Insn) -> None:
    """Changes no flag."""
    b.write(i.dst, ~b.modify(i.dst) & MASK[i.w])


@insn("test", X.X86_INS_TEST, sdm="2B TEST", undefined=AF)
def test(b: Builder, i: Insn) -> None:
    """AND that keeps only the flags."""
    b.set_flags(flags.LOGIC, i.w, 0, 0, b.read(i.dst) & b.read(i.src))
