"""Decimal arithmetic: AAA AAS AAM AAD DAA DAS.

They correct AL after an addition or subtraction of decimal digits, packed (DAA, DAS) or one to a byte.
SDM 1, 7.3.4.3. Nobody has needed them since the 8087, but kernels read clocks with them.
"""

from __future__ import annotations

from isa import flags
from isa.capstone_ids import X
from isa.consts import AF, ARITHMETIC, CF, EAX, M8, M16, M32, OF, PF, SF, ZF
from isa.insn import Insn
from isa.language import Builder, Word
from isa.table import insn


def _set_al(b: Builder, value: Word) -> None:
    b.s[EAX] = (b.s[EAX] & (M32 ^ M8)) | value


def _set_ax(b: Builder, value: Word) -> None:
    b.s[EAX] = (b.s[EAX] & (M32 ^ M16)) | value


def _decimal_flags(b: Builder, al: Word, carry: Word, adjust: Word) -> None:
    """SF ZF PF after AL, CF and AF as given, OF 0."""
    kind = flags.LOGIC
    zero, sign, parity = flags.zero(kind, 8, al), flags.sign(kind, 8, al), flags.parity(kind, 8, al)
    b.change_flags(ARITHMETIC, flags.pack(carry, parity, adjust, zero, sign, 0))


def _unpacked(b: Builder, step: int) -> None:
    """AAA and AAS: if the digit is over 9, or AF, move AX by `step`; keep one digit in AL."""
    ax = b.s[EAX] & M16
    adjust = ((ax & 15) > 9) | b.af()
    _set_ax(b, (ax + step * adjust) & 0xFF0F)
    b.change_flags(CF | AF, adjust * (CF | AF))


@insn("aaa", X.X86_INS_AAA, sdm="2A AAA", undefined=OF | SF | ZF | PF)
def aaa(b: Builder, i: Insn) -> None:
    """Adjusts AL to a digit after an addition, carrying into AH."""
    _unpacked(b, 0x106)


@insn("aas", X.X86_INS_AAS, sdm="2A AAS", undefined=OF | SF | ZF | PF)
def aas(b: Builder, i: Insn) -> None:
    """Adjusts AL to a digit after a subtraction, borrowing from AH."""
    _unpacked(b, -0x106)


@insn("aam", X.X86_INS_AAM, sdm="2A AAM", undefined=OF | AF | CF)
def aam(b: Builder, i: Insn) -> None:
    """Splits AL into two digits of the base given, usually 10; base 0 is #DE."""
    high, low = b.udivmod(0, b.trunc(b.s[EAX], 8), b.read(i.dst), 8)
    _set_ax(b, (b.zext(high, 8, 32) << 8) | b.zext(low, 8, 32))
    b.set_flags(flags.LOGIC, 8, 0, 0, low)


@insn("aad", X.X86_INS_AAD, sdm="2A AAD", undefined=OF | AF | CF)
def aad(b: Builder, i: Insn) -> None:
    """Joins the digits in AH and AL to a number in AL."""
    ax = b.s[EAX] & M16
    al = ((ax & M8) + (ax >> 8) * b.zext(b.read(i.dst), 8, 32)) & M8
    _set_ax(b, al)
    b.set_flags(flags.LOGIC, 8, 0, 0, b.trunc(al, 8))


@insn("daa", X.X86_INS_DAA, sdm="2A DAA", undefined=OF)
def daa(b: Builder, i: Insn) -> None:
    """Adjusts AL to two digits after an addition."""
    old = b.s[EAX] & M8
    adjust = ((old & 15) > 9) | b.af()
    carry = (old > 0x99) | b.cf()
    al = (old + 6 * adjust + 0x60 * carry) & M8
    _set_al(b, al)
    _decimal_flags(b, al, carry, adjust)


@insn("das", X.X86_INS_DAS, sdm="2A DAS", undefined=OF)
def das(b: Builder, i: Insn) -> None:
    """Adjusts AL to two digits after a subtraction."""
    old = b.s[EAX] & M8
    adjust = ((old & 15) > 9) | b.af()
    carry = (old > 0x99) | b.cf()
    borrow = carry | ((old < 6) & adjust)
    al = (old - 6 * adjust - 0x60 * carry) & M8
    _set_al(b, al)
    _decimal_flags(b, al, borrow, adjust)
