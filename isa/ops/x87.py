"""What all x87 instructions share: the register stack, exceptions, the record of the last instruction.

The numbers are the builder's: `b.f80` computes (`isa.fpu`), `b.r80` and `b.set_r80` reach a register by
its number, since TOP is data. All else is written here and in

    x87move     FLD FST FILD FIST FBLD FBSTP FXCH FCMOVcc, constants
    x87arith    FADD to FPREM1, transcendentals
    x87compare  FCOM FUCOM FCOMI FTST FXAM
    x87control  FINIT FLDCW FSTENV FSAVE FXSAVE WAIT

What of `isa.fpu` is not written in the language, sines and their kin, a compiled engine leaves to the
reference engine: such an instruction has no handler.

An instruction runs in this order (SDM 1, 8.4 to 8.7): #NM if CR0 says so; #MF if an unmasked exception is
pending from before; memory; the computation; then the state changes, all together. An exception that is
found before there is a result and is not masked leaves registers and stack as they were. None is
privileged; what CR0.TS and EM make of them is #NM, so a monitor that gives the real CR0 the guest's TS,
EM and MP lets them run directly. SDM 1, chapter 8.
"""

from __future__ import annotations

from isa.consts import (
    CR0_EM,
    CR0_NE,
    CR0_TS,
    CS,
    FSW_B,
    FSW_C1,
    FSW_DE,
    FSW_ES,
    FSW_EXCEPTIONS,
    FSW_IE,
    FSW_SF,
    FSW_TOP,
    FSW_TOP_SHIFT,
    FSW_ZE,
    M8,
    M16,
)
from isa.faults import DeviceNotAvailable, MathFault
from isa.fpu.formats import INDEFINITE
from isa.insn import Insn, Kind, Operand
from isa.language import Builder, Word
from isa.state import (
    CR0,
    FPU_CONTROL,
    FPU_CS,
    FPU_DP,
    FPU_DS,
    FPU_IGNORED,
    FPU_IP,
    FPU_OPCODE,
    FPU_STATUS,
    FPU_TAGS,
    SEL,
)
from isa.x87_forms import opcode_of

TOUCHES = "CR0.TS CR0.EM"
FEATURE = "FPU"
UNDERFLOW = FSW_IE | FSW_SF  # of the register stack: a register that should be in use is empty (8.5.1.1)
OVERFLOW = FSW_IE | FSW_SF | FSW_C1  # a register that should be empty is in use
NO_RESULT = FSW_IE | FSW_DE | FSW_ZE  # exceptions found before there is a result
REAL = {32: "single", 64: "double", 80: "extended"}
INTEGER = {16: "integer16", 32: "integer32", 64: "integer64"}
NEXT = 7  # ST(-1), the register that a push will use


# -- may it run ------------------------------------------------------------------------------------


def usable(b: Builder) -> None:
    """#NM if there is no x87 for this task (SDM 3A, table 2-2)."""
    if b.s[CR0] & (CR0_EM | CR0_TS):
        raise DeviceNotAvailable()


def check_pending(b: Builder) -> None:
    """#MF if an exception is pending; without CR0.NE it is the interrupt controller's (SDM 1, 8.7)."""
    if b.s[FPU_STATUS] & FSW_ES:
        if b.s[CR0] & CR0_NE:
            raise MathFault()
        if not b.s[FPU_IGNORED]:
            b.fpu_error()


def start(b: Builder) -> None:
    """The beginning of every instruction that waits, that is, whose name has no N."""
    usable(b)
    check_pending(b)


# -- the register stack ----------------------------------------------------------------------------


def number(b: Builder, n: int) -> Word:
    """The register that ST(n) is now."""
    return ((b.s[FPU_STATUS] >> FSW_TOP_SHIFT) + n) & 7


def get(b: Builder, n: int) -> Word:
    """ST(n), whatever is in it."""
    return b.r80(b.trunc(number(b, n), 8))


def in_use(b: Builder, n: int) -> Word:
    """1 if ST(n) is not empty."""
    return (b.s[FPU_TAGS] >> number(b, n)) & 1


def put(b: Builder, n: int, value: Word) -> None:
    """Replace ST(n), which is in use from now on."""
    register = number(b, n)
    b.s[FPU_TAGS] = b.s[FPU_TAGS] | (1 << register)
    b.set_r80(b.trunc(register, 8), value)


def release(b: Builder, n: int) -> None:
    """ST(n) is empty from now on."""
    b.s[FPU_TAGS] = b.s[FPU_TAGS] & ~(1 << number(b, n)) & M8


def turn(b: Builder, by: int) -> None:
    """TOP goes up by 1, or by 7, which is down by 1."""
    status = b.s[FPU_STATUS]
    b.s[FPU_STATUS] = (status & (M16 ^ FSW_TOP)) | ((status + (by << FSW_TOP_SHIFT)) & FSW_TOP)


def push(b: Builder, value: Word) -> None:
    turn(b, 7)
    put(b, 0, value)


def pop(b: Builder) -> None:
    release(b, 0)
    turn(b, 1)


# -- exceptions ------------------------------------------------------------------------------------


def signal(b: Builder, flags: Word, codes: int = FSW_C1) -> None:
    """Exceptions and condition codes into the status word, the codes among `codes` anew (8.1.3)."""
    status = (b.s[FPU_STATUS] & (M16 ^ codes)) | b.zext(b.trunc(flags, 16), 16, 32)
    unmasked = flags & ~b.s[FPU_CONTROL] & FSW_EXCEPTIONS
    b.s[FPU_STATUS] = status | FSW_ES | FSW_B if unmasked else status


def refused(b: Builder, flags: Word, exceptions: int = NO_RESULT) -> Word:
    """Whether one of `exceptions` has happened and is not masked, so that there is no result."""
    return (flags & ~b.s[FPU_CONTROL] & exceptions) != 0


def settle_summary(b: Builder, control: Word, status: Word) -> None:
    """Load control and status word; ES and B follow from the rest (8.1.3.3)."""
    status = status & (M16 ^ FSW_ES ^ FSW_B)
    pending = status & ~control & FSW_EXCEPTIONS
    b.s[FPU_CONTROL] = control
    b.s[FPU_IGNORED] = 0
    b.s[FPU_STATUS] = status | FSW_ES | FSW_B if pending else status


# -- the last instruction --------------------------------------------------------------------------


def memory_of(i: Insn) -> Operand | None:
    """The memory operand, if there is one; it is the only operand then."""
    return i.dst if i.operands and i.dst.kind == Kind.MEM else None


def note(b: Builder, i: Insn) -> None:
    """Opcode and pointers of the last instruction that is not a control instruction (8.1.8)."""
    b.s[FPU_OPCODE] = opcode_of(i.raw)
    b.s[FPU_IP] = b.here
    b.s[FPU_CS] = b.s[SEL + CS]
    memory = memory_of(i)
    if memory is not None:
        b.s[FPU_DP] = b.offset(memory)
        b.s[FPU_DS] = b.s[SEL + memory.n]


def finish(
    b: Builder, i: Insn, to: int, value: Word, flags: Word, pops: int = 0, codes: int = FSW_C1
) -> None:
    """The end of an instruction with a result for ST(to): the result, then as many pops."""
    note(b, i)
    signal(b, flags, codes)
    if not refused(b, flags):
        put(b, to, value)
        for _ in range(pops):
            pop(b)


def finish_push(b: Builder, i: Insn, value: Word, flags: Word) -> None:
    """The end of an instruction that pushes its result; a full stack comes before what the number raises."""
    if in_use(b, NEXT) and not flags & FSW_SF:
        value, flags = INDEFINITE, OVERFLOW
    note(b, i)
    signal(b, flags)
    if not refused(b, flags):
        push(b, value)
