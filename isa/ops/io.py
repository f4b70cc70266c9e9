"""Port input and output: IN OUT INS OUTS, and who may use a port.

A port is allowed where CPL <= IOPL (not in virtual-8086 mode), or where the TSS's I/O permission bitmap has
a zero for each of its bytes (SDM 1, 18.5). String forms move one element per execution; REP repeats the
instruction. The ports themselves are the machine's.
"""

from __future__ import annotations

from isa.capstone_ids import X
from isa.consts import EDI, EDX, ES, ESI, IOPL_SHIFT, M16, M32, MASK, TR, VM
from isa.faults import GeneralProtection
from isa.insn import Insn
from isa.language import Builder, Word
from isa.ops.string import advance, count_down, exhausted, source
from isa.state import BASE, CPL, LIMIT
from isa.table import Privilege, Sensitive, insn

IO_MAP_POINTER = 0x66  # in a 32-bit TSS (SDM 7.2.1)
RULE = "#GP(0) where CPL > IOPL and the TSS's I/O map denies the port"


def check_port(b: Builder, port: Word, w: int) -> None:
    """#GP(0) unless the current level, or the TSS, allows `w` bits at `port` (SDM 1, 18.5.2)."""
    flags = b.system_flags()
    if (b.s[CPL] > ((flags >> IOPL_SHIFT) & 3)) or (flags & VM):
        if b.s[LIMIT + TR] < IO_MAP_POINTER + 1:
            raise GeneralProtection(0)
        tss = b.s[BASE + TR]
        byte = b.load_system((tss + IO_MAP_POINTER) & M32, 16) + (port >> 3)
        if byte + 1 > b.s[LIMIT + TR]:
            raise GeneralProtection(0)
        bits = b.load_system((tss + byte) & M32, 16) >> (port & 7)
        if bits & ((1 << (w // 8)) - 1):
            raise GeneralProtection(0)


@insn(
    "in",
    X.X86_INS_IN,
    sdm="2A IN",
    privilege=Privilege.IO,
    sensitive=Sensitive.PRIVILEGED,
    touches="an I/O port",
    rule=RULE,
)
def in_(b: Builder, i: Insn) -> None:
    """Reads a port into AL, AX or EAX."""
    port = b.zext(b.read(i.src), i.src.w, 32)
    check_port(b, port, i.dst.w)
    b.write(i.dst, b.port_in(port, i.dst.w))


@insn(
    "out",
    X.X86_INS_OUT,
    sdm="2B OUT",
    privilege=Privilege.IO,
    sensitive=Sensitive.PRIVILEGED,
    touches="an I/O port",
    rule=RULE,
)
def out(b: Builder, i: Insn) -> None:
    """Writes AL, AX or EAX to a port."""
    port = b.zext(b.read(i.dst), i.dst.w, 32)
    check_port(b, port, i.src.w)
    b.port_out(port, b.read(i.src), i.src.w)


@insn(
    "ins",
    X.X86_INS_INSB,
    X.X86_INS_INSW,
    X.X86_INS_INSD,
    sdm="2A INS",
    privilege=Privilege.IO,
    sensitive=Sensitive.PRIVILEGED,
    touches="an I/O port",
    rule=RULE,
)
def ins(b: Builder, i: Insn) -> None:
    """Reads port DX into ES:EDI. The destination is probed before the port is read.

    Permission is asked for even where a counter is 0.
    """
    port = b.s[EDX] & M16
    check_port(b, port, i.w)
    if exhausted(b, i):
        return
    at = b.s[EDI] & MASK[i.aw]
    b.probe(ES, at, i.w // 8)
    b.store(ES, at, b.port_in(port, i.w), i.w)
    advance(b, i, EDI)
    count_down(b, i)


@insn(
    "outs",
    X.X86_INS_OUTSB,
    X.X86_INS_OUTSW,
    X.X86_INS_OUTSD,
    sdm="2B OUTS",
    privilege=Privilege.IO,
    sensitive=Sensitive.PRIVILEGED,
    touches="an I/O port",
    rule=RULE,
)
def outs(b: Builder, i: Insn) -> None:
    """Writes DS:ESI to port DX."""
    port = b.s[EDX] & M16
    check_port(b, port, i.w)
    if exhausted(b, i):
        return
    b.port_out(port, source(b, i), i.w)
    advance(b, i, ESI)
    count_down(b, i)
