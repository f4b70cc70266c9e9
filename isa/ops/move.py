"""Moving data: MOV MOVZX MOVSX XCHG LEA CMOVcc CBW CWDE CWD CDQ XLAT NOP PAUSE SALC.

None changes a flag. MOV with segment registers is in `segops`, with control and debug registers in
`system`. Next: `stack`, `string`.
"""

from __future__ import annotations

from isa import flags, ids
from isa.capstone_ids import X
from isa.consts import DS, EAX, EBX, EDX, M8, M32, MASK
from isa.insn import Insn
from isa.language import Builder
from isa.ops.stack import set_register
from isa.table import insn


@insn("mov", X.X86_INS_MOV, X.X86_INS_MOVABS, sdm="2B MOV")
def mov(b: Builder, i: Insn) -> None:
    b.write(i.dst, b.read(i.src))


@insn("movzx", X.X86_INS_MOVZX, sdm="2B MOVZX")
def movzx(b: Builder, i: Insn) -> None:
    b.write(i.dst, b.zext(b.read(i.src), i.src.w, i.w))


@insn("movsx", X.X86_INS_MOVSX, sdm="2B MOVSX")
def movsx(b: Builder, i: Insn) -> None:
    b.write(i.dst, b.sext(b.read(i.src), i.src.w, i.w))


@insn("xchg", X.X86_INS_XCHG, sdm="2D XCHG", lockable=True)
def xchg(b: Builder, i: Insn) -> None:
    """With a memory operand it is atomic, LOCK or not. Memory is the first operand here."""
    x, y = b.modify(i.dst), b.read(i.src)
    b.write(i.dst, y)
    b.write(i.src, x)


@insn("lea", X.X86_INS_LEA, sdm="2A LEA")
def lea(b: Builder, i: Insn) -> None:
    """The effective address, without its segment; cut or widened from address to operand size."""
    at = b.offset(i.src)
    b.write(i.dst, b.trunc(at, i.w) if i.w < i.src.aw else b.zext(at, i.src.aw, i.w))


@insn(
    "cmovcc",
    *(getattr(X, f"X86_INS_CMOV{name.upper()}") for name in flags.CONDITION_NAMES),
    sdm="2A CMOVcc",
    feature="CMOV",
)
def cmovcc(b: Builder, i: Insn) -> None:
    """Moves if a condition holds. The source is read in any case and may fault."""
    y = b.read(i.src)
    b.write(i.dst, y if flags.condition(b, i.cc) else b.read(i.dst))


@insn("cbw", X.X86_INS_CBW, X.X86_INS_CWDE, sdm="2A CBW/CWDE")
def cbw(b: Builder, i: Insn) -> None:
    """Sign-extends the lower half of the accumulator: AL to AX, or AX to EAX (CWDE)."""
    half = i.w // 2
    set_register(b, EAX, b.sext(b.trunc(b.s[EAX], half), half, i.w), i.w)


@insn("cwd", X.X86_INS_CWD, X.X86_INS_CDQ, sdm="2A CWD/CDQ")
def cwd(b: Builder, i: Insn) -> None:
    """Fills DX or EDX with the sign of AX or EAX (CDQ)."""
    set_register(b, EDX, b.sar(b.trunc(b.s[EAX], i.w), i.w - 1, i.w), i.w)


@insn("xlat", X.X86_INS_XLATB, sdm="2D XLAT")
def xlat(b: Builder, i: Insn) -> None:
    """AL from a table at EBX, indexed by AL."""
    segment = i.segment if i.segment >= 0 else DS
    at = (b.s[EBX] + (b.s[EAX] & M8)) & MASK[i.aw]
    b.s[EAX] = (b.s[EAX] & (M32 ^ M8)) | b.zext(b.load(segment, at, 8), 8, 32)


HINTS = (
    "ENDBR32",
    "ENDBR64",
    "PREFETCH",
    "PREFETCHNTA",
    "PREFETCHT0",
    "PREFETCHT1",
    "PREFETCHT2",
    "PREFETCHW",
)


@insn("nop", X.X86_INS_NOP, sdm="2B NOP")
def nop(b: Builder, i: Insn) -> None:
    """Nothing."""


@insn("hint", ids.HINT, *(getattr(X, f"X86_INS_{name}") for name in HINTS), sdm="2B NOP", feature="P6")
def hint(b: Builder, i: Insn) -> None:
    """Nothing: 0F 1F with any operand, prefetches, ENDBR and reserved hints touch no memory."""


@insn("pause", X.X86_INS_PAUSE, sdm="2B PAUSE")
def pause(b: Builder, i: Insn) -> None:
    """A hint that a loop is waiting; does nothing."""


@insn("salc", X.X86_INS_SALC, sdm="opcode D6, undocumented")
def salc(b: Builder, i: Insn) -> None:
    """AL becomes FF if CF is set, else 0."""
    b.s[EAX] = (b.s[EAX] & (M32 ^ M8)) | (M8 if b.cf() else 0)
