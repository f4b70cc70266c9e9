"""Instructions on EFLAGS: PUSHF POPF LAHF SAHF CLC STC CMC CLD STD CLI STI.

PUSHF and POPF are the most famous of the instructions that make x86 hard to virtualize: at CPL > 0 they
neither trap nor do what a kernel means (Robin and Irvine 2000; `vmsim explain popf`). SDM 1, 3.4.3.
"""

from __future__ import annotations

from isa.capstone_ids import X
from isa.consts import (
    AC, ARITHMETIC, CF, DF, EAX, ID, IF, IOPL, IOPL_SHIFT, M16, M32, NT, OF, RF, TF, VM,
)  # fmt: skip
from isa.faults import GeneralProtection
from isa.insn import Insn
from isa.language import Builder, Word
from isa.ops.stack import pop, push
from isa.state import CPL
from isa.table import Privilege, Sensitive, insn

ALWAYS = ARITHMETIC | TF | DF | NT | AC | ID  # what POPF and IRET change at any level


def io_privilege(b: Builder) -> Word:
    """The current IOPL."""
    return (b.system_flags() >> IOPL_SHIFT) & 3


def require_v86_iopl(b: Builder) -> None:
    """Virtual-8086 mode: PUSHF and POPF need IOPL 3, else #GP(0) (SDM 3B, 20.2.7)."""
    flags = b.system_flags()
    if (flags & VM) and ((flags & IOPL) != IOPL):
        raise GeneralProtection(0)


def merge_eflags(b: Builder, image: Word, w: int) -> Word:
    """What EFLAGS becomes when `image` is loaded into it at the current level (SDM 2B POPF).

    IOPL follows only at CPL 0, IF only where CPL <= IOPL; nothing of this traps. VM, VIF and VIP keep,
    RF clears.
    """
    old, cpl = b.system_flags(), b.s[CPL]
    mask = ALWAYS | (IOPL if cpl == 0 else 0) | (IF if cpl <= ((old >> IOPL_SHIFT) & 3) else 0)
    mask = mask & (M16 if w == 16 else M32) & b.model_flags
    keep = ~mask & M32 if w == 16 else ~(mask | RF) & M32
    return (old & keep) | (image & mask)


@insn(
    "pushf",
    X.X86_INS_PUSHF,
    X.X86_INS_PUSHFD,
    sdm="2B PUSHF/PUSHFD",
    sensitive=Sensitive.SILENT,
    touches="reads IF, IOPL",
    rule="shows the real IF and IOPL at any privilege level, without a trap",
)
def pushf(b: Builder, i: Insn) -> None:
    """Pushes EFLAGS with VM and RF as 0; nobody asks at which level it runs."""
    require_v86_iopl(b)
    push(b, b.trunc(b.eflags() & ~(VM | RF) & M32, i.w), i.w)


@insn(
    "popf",
    X.X86_INS_POPF,
    X.X86_INS_POPFD,
    sdm="2B POPF/POPFD",
    sensitive=Sensitive.SILENT,
    touches="IF, IOPL",
    rule="IF changes only where CPL <= IOPL and IOPL only at CPL 0; otherwise both stay, silently",
)
def popf(b: Builder, i: Insn) -> None:
    """Pops EFLAGS. IF follows only where CPL <= IOPL, IOPL only at CPL 0; it never traps but in V86."""
    require_v86_iopl(b)
    image = pop(b, i.w)
    b.set_eflags(merge_eflags(b, image, i.w))


@insn(
    "cli",
    X.X86_INS_CLI,
    sdm="2A CLI",
    privilege=Privilege.IOPL,
    sensitive=Sensitive.PRIVILEGED,
    touches="IF",
    rule="#GP(0) where CPL > IOPL",
)
def cli(b: Builder, i: Insn) -> None:
    """Clears IF: no maskable interrupts."""
    if b.s[CPL] > io_privilege(b):
        raise GeneralProtection(0)
    b.set_system_flags(b.system_flags() & ~IF & M32)


@insn(
    "sti",
    X.X86_INS_STI,
    sdm="2B STI",
    privilege=Privilege.IOPL,
    sensitive=Sensitive.PRIVILEGED,
    touches="IF",
    rule="#GP(0) where CPL > IOPL",
)
def sti(b: Builder, i: Insn) -> None:
    """Sets IF; if it was clear, interrupts wait until after the next instruction."""
    flags = b.system_flags()
    if b.s[CPL] > ((flags >> IOPL_SHIFT) & 3):
        raise GeneralProtection(0)
    if not flags & IF:
        b.inhibit_interrupts()
    b.set_system_flags(flags | IF)


@insn("lahf", X.X86_INS_LAHF, sdm="2A LAHF")
def lahf(b: Builder, i: Insn) -> None:
    """AH gets the low byte of EFLAGS."""
    b.s[EAX] = (b.s[EAX] & 0xFFFF_00FF) | ((b.eflags() & 0xFF) << 8)


@insn("sahf", X.X86_INS_SAHF, sdm="2B SAHF")
def sahf(b: Builder, i: Insn) -> None:
    """SF ZF AF PF CF from AH."""
    b.change_flags(ARITHMETIC & ~OF, (b.s[EAX] >> 8) & 0xFF)


@insn("clc", X.X86_INS_CLC, sdm="2A CLC")
def clc(b: Builder, i: Insn) -> None:
    b.change_flags(CF, 0)


@insn("stc", X.X86_INS_STC, sdm="2B STC")
def stc(b: Builder, i: Insn) -> None:
    b.change_flags(CF, CF)


@insn("cmc", X.X86_INS_CMC, sdm="2A CMC")
def cmc(b: Builder, i: Insn) -> None:
    b.change_flags(CF, b.cf() ^ 1)


@insn("cld", X.X86_INS_CLD, sdm="2A CLD")
def cld(b: Builder, i: Insn) -> None:
    b.set_system_flags(b.system_flags() & ~DF & M32)


@insn("std", X.X86_INS_STD, sdm="2B STD")
def std(b: Builder, i: Insn) -> None:
    b.set_system_flags(b.system_flags() | DF)
