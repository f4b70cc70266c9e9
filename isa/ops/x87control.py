"""x87 control: FINIT FCLEX FLDCW FSTCW FSTSW, the environment, the whole state, WAIT, and the stack pointer.

An instruction whose name begins with FN does not look for pending exceptions. The environment is seven
words, of 32 or 16 bits by operand size (SDM 1, figures 8-9 to 8-12):

    protected mode                      real-address and virtual-8086 mode
    control                             control
    status                              status
    tags, two bits for each register    tags
    EIP of the last instruction         its linear address, bits 15:0
    its CS | opcode << 16               bits 31:16 << 12 | opcode
    offset of its memory operand        linear address of that, bits 15:0
    segment of that                     bits 31:16 << 12

SDM 1, 8.1.10 and 8.3.10.
"""

from __future__ import annotations

from isa.capstone_ids import X
from isa.consts import (
    CR0_EM,
    CR0_MP,
    CR0_PE,
    CR0_TS,
    FCW_BITS,
    FCW_INIT,
    FCW_ONE,
    FSW_C1,
    FSW_C2,
    FSW_C3,
    FSW_EXCEPTIONS,
    M16,
    M32,
    MASK,
    VM,
)  # fmt: skip
from isa.faults import DeviceNotAvailable, GeneralProtection
from isa.insn import Insn
from isa.language import Builder, Word
from isa.ops.x87 import (
    FEATURE,
    TOUCHES,
    check_pending,
    get,
    note,
    number,
    pop,
    release,
    settle_summary,
    signal,
    start,
    turn,
    usable,
)  # fmt: skip
from isa.state import (
    BASE,
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
)  # fmt: skip
from isa.table import insn
from isa.x87_forms import x87

TAG_ZERO, TAG_SPECIAL, TAG_EMPTY = 1, 2, 3
REGISTERS = 8
REGISTER_BYTES = 10
RESERVED = 0xFFFF_0000  # the upper halves of 16-bit words in a 32-bit environment read as ones


# -- words of control and status -------------------------------------------------------------------


def _initialize(b: Builder) -> None:
    """The state that FINIT leaves; registers keep their bits."""
    b.s[FPU_CONTROL] = FCW_INIT
    for word in (FPU_STATUS, FPU_TAGS, FPU_OPCODE, FPU_IP, FPU_CS, FPU_DP, FPU_DS):
        b.s[word] = 0


@insn("fninit", x87("fninit"), sdm="2A FINIT/FNINIT", touches=TOUCHES, feature=FEATURE)
def fninit(b: Builder, i: Insn) -> None:
    """Everything masked, 64 bits, to the nearest; all registers empty."""
    usable(b)
    _initialize(b)


@insn("fnclex", x87("fnclex"), sdm="2A FCLEX/FNCLEX", touches=TOUCHES, feature=FEATURE)
def fnclex(b: Builder, i: Insn) -> None:
    """Forgets all exceptions, and so a pending one."""
    usable(b)
    b.s[FPU_IGNORED] = 0
    b.s[FPU_STATUS] = b.s[FPU_STATUS] & 0x7F00


@insn("fldcw", x87("fldcw"), sdm="2A FLDCW", touches=TOUCHES, feature=FEATURE)
def fldcw(b: Builder, i: Insn) -> None:
    """Loads the control word; what it no longer masks becomes pending."""
    start(b)
    settle_summary(b, _control_word(b.zext(b.read(i.dst), 16, 32)), b.s[FPU_STATUS])


def _control_word(value: Word) -> Word:
    return (value & FCW_BITS) | FCW_ONE


@insn("fnstcw", x87("fnstcw"), sdm="2A FSTCW/FNSTCW", touches=TOUCHES, feature=FEATURE)
def fnstcw(b: Builder, i: Insn) -> None:
    """Stores the control word."""
    usable(b)
    b.write(i.dst, b.trunc(b.s[FPU_CONTROL], 16))


@insn("fnstsw", x87("fnstsw"), sdm="2A FSTSW/FNSTSW", touches=TOUCHES, feature=FEATURE)
def fnstsw(b: Builder, i: Insn) -> None:
    """Stores the status word, to memory or AX."""
    usable(b)
    b.write(i.dst, b.trunc(b.s[FPU_STATUS], 16))


@insn(
    "fneni",
    x87("fneni"),
    x87("fndisi"),
    x87("fnsetpm"),
    sdm="1 8.3.13 (FENI, FDISI, FSETPM: 3A 23.18.7)",
    touches=TOUCHES,
    feature=FEATURE,
)
def fneni(b: Builder, i: Insn) -> None:
    """Meant something to the 8087 and the 80287; nothing since."""
    usable(b)


@insn("wait", X.X86_INS_WAIT, sdm="2D WAIT/FWAIT", touches="CR0.TS CR0.MP", feature=FEATURE)
def wait(b: Builder, i: Insn) -> None:
    """Raises a pending exception. #NM only if both TS and MP are set."""
    if (b.s[CR0] & (CR0_TS | CR0_MP)) == (CR0_TS | CR0_MP):
        raise DeviceNotAvailable()
    check_pending(b)


# -- the register stack ----------------------------------------------------------------------------


@insn("fnop", x87("fnop"), sdm="2A FNOP", touches=TOUCHES, feature=FEATURE)
def fnop(b: Builder, i: Insn) -> None:
    """Nothing, but it is the last instruction then."""
    start(b)
    note(b, i)


def _turn(b: Builder, i: Insn, by: int) -> None:
    start(b)
    note(b, i)
    signal(b, 0)
    turn(b, by)


@insn("fincstp", x87("fincstp"), sdm="2A FINCSTP", touches=TOUCHES, feature=FEATURE)
def fincstp(b: Builder, i: Insn) -> None:
    """TOP + 1; tags stay, so it is not a pop."""
    _turn(b, i, 1)


@insn("fdecstp", x87("fdecstp"), sdm="2A FDECSTP", touches=TOUCHES, feature=FEATURE)
def fdecstp(b: Builder, i: Insn) -> None:
    """TOP - 1; tags stay, so it is not a push."""
    _turn(b, i, 7)


@insn("ffree", x87("ffree"), sdm="2A FFREE", touches=TOUCHES, feature=FEATURE)
def ffree(b: Builder, i: Insn) -> None:
    """ST(i) becomes empty."""
    start(b)
    note(b, i)
    signal(b, 0)
    release(b, i.dst.n)


@insn("ffreep", x87("ffreep"), sdm="2D table A-21 (undocumented)", touches=TOUCHES, feature=FEATURE)
def ffreep(b: Builder, i: Insn) -> None:
    """FFREE, then a pop."""
    ffree(b, i)
    pop(b)


# -- environment and state -------------------------------------------------------------------------


def _at(b: Builder, i: Insn, by: int) -> Word:
    """The offset `by` bytes into the memory operand."""
    return (b.offset(i.dst) + by) & MASK[i.dst.aw]


def _tag(b: Builder, n: int) -> Word:
    """The two-bit tag of register Rn: 0 valid, 1 zero, 2 special, 3 empty (8.1.7)."""
    _nothing, codes = b.f80("examine", "extended", FCW_INIT, b.r80(n), 0)
    kind = codes & (FSW_C2 | FSW_C3 | (FSW_C1 >> 1))
    tag = 0 if kind == FSW_C2 else TAG_ZERO if kind == FSW_C3 else TAG_SPECIAL
    return tag if (b.s[FPU_TAGS] >> n) & 1 else TAG_EMPTY


def _tag_word(b: Builder) -> Word:
    word: Word = 0
    for n in range(REGISTERS):
        word = word | (_tag(b, n) << (2 * n))
    return word


def _real_addresses(b: Builder) -> Word:
    """Whether pointers are stored as linear addresses."""
    return ((b.s[CR0] & CR0_PE) == 0) | ((b.system_flags() & VM) != 0)


def _pointers(b: Builder) -> tuple[Word, Word, Word, Word]:
    """The last four words of an environment, as 32 bits each."""
    if _real_addresses(b):
        code = ((b.s[FPU_CS] << 4) + b.s[FPU_IP]) & M32
        data = ((b.s[FPU_DS] << 4) + b.s[FPU_DP]) & M32
        high = ((code >> 4) & 0x0FFF_F000) | b.s[FPU_OPCODE]
        return code | RESERVED, high, data | RESERVED, (data >> 4) & 0x0FFF_F000
    return b.s[FPU_IP], b.s[FPU_CS] | (b.s[FPU_OPCODE] << 16), b.s[FPU_DP], b.s[FPU_DS] | RESERVED


def _store_environment(b: Builder, i: Insn) -> None:
    heads = (b.s[FPU_CONTROL], b.s[FPU_STATUS], _tag_word(b))
    words = (*(word | RESERVED for word in heads), *_pointers(b))
    for n, word in enumerate(words):
        b.store(i.dst.n, _at(b, i, n * i.w // 8), b.trunc(word, i.w), i.w)


def _load_environment(b: Builder, i: Insn) -> None:
    loaded = [b.load(i.dst.n, _at(b, i, n * i.w // 8), i.w) for n in range(7)]
    control, status, tags, ip, cs, dp, ds = (b.zext(word, i.w, 32) for word in loaded)
    in_use: Word = 0
    for n in range(REGISTERS):
        in_use = in_use | (((tags >> (2 * n)) & TAG_EMPTY) != TAG_EMPTY) << n
    settle_summary(b, _control_word(control & M16), status & M16)
    b.s[FPU_TAGS] = in_use
    if _real_addresses(b):
        b.s[FPU_OPCODE] = cs & 0x7FF
        b.s[FPU_IP] = (ip & M16) | ((cs & 0x0FFF_F000) << 4)
        b.s[FPU_CS] = 0
        b.s[FPU_DP] = (dp & M16) | ((ds & 0x0FFF_F000) << 4)
        b.s[FPU_DS] = 0
    else:
        b.s[FPU_OPCODE] = (cs >> 16) & 0x7FF
        b.s[FPU_IP] = ip
        b.s[FPU_CS] = cs & M16
        b.s[FPU_DP] = dp
        b.s[FPU_DS] = ds & M16


@insn("fnstenv", x87("fnstenv"), sdm="2A FSTENV/FNSTENV", touches=TOUCHES, feature=FEATURE)
def fnstenv(b: Builder, i: Insn) -> None:
    """Stores the environment, then masks all exceptions."""
    usable(b)
    b.probe(i.dst.n, b.offset(i.dst), i.dst.w // 8)
    _store_environment(b, i)
    settle_summary(b, b.s[FPU_CONTROL] | FSW_EXCEPTIONS, b.s[FPU_STATUS])


@insn("fldenv", x87("fldenv"), sdm="2A FLDENV", touches=TOUCHES, feature=FEATURE)
def fldenv(b: Builder, i: Insn) -> None:
    """Loads the environment; a valid tag says only that a register is not empty."""
    start(b)
    _load_environment(b, i)


@insn("fnsave", x87("fnsave"), sdm="2A FSAVE/FNSAVE", touches=TOUCHES, feature=FEATURE)
def fnsave(b: Builder, i: Insn) -> None:
    """Stores the environment and ST(0) to ST(7), then FNINIT."""
    usable(b)
    b.probe(i.dst.n, b.offset(i.dst), i.dst.w // 8)
    _store_environment(b, i)
    for n in range(REGISTERS):
        b.store(i.dst.n, _at(b, i, 7 * i.w // 8 + n * REGISTER_BYTES), get(b, n), 80)
    _initialize(b)


@insn("frstor", x87("frstor"), sdm="2A FRSTOR", touches=TOUCHES, feature=FEATURE)
def frstor(b: Builder, i: Insn) -> None:
    """Loads what FNSAVE stored."""
    start(b)
    registers = [b.load(i.dst.n, _at(b, i, 7 * i.w // 8 + n * REGISTER_BYTES), 80) for n in range(REGISTERS)]
    _load_environment(b, i)
    for n, value in enumerate(registers):
        b.set_r80(b.trunc(number(b, n), 8), value)


# -- FXSAVE ----------------------------------------------------------------------------------------

IMAGE_BYTES = 512
IMAGE_REGISTERS = 32  # where ST(0) to ST(7) lie, 16 bytes each


def _image(b: Builder, i: Insn) -> None:
    """What both check: #NM, and #GP(0) where the image is not aligned."""
    if b.s[CR0] & (CR0_EM | CR0_TS):
        raise DeviceNotAvailable()
    if ((b.offset(i.dst) + b.s[BASE + i.dst.n]) & 15) != 0:
        raise GeneralProtection(0)


@insn("fxsave", X.X86_INS_FXSAVE, sdm="2A FXSAVE", touches=TOUCHES, feature="FXSR")
def fxsave(b: Builder, i: Insn) -> None:
    """Stores the state as 512 bytes, and keeps it. There is no SSE: its part of the image stays as it is."""
    _image(b, i)
    b.probe(i.dst.n, b.offset(i.dst), IMAGE_BYTES)
    segment = i.dst.n
    head = (
        b.s[FPU_CONTROL] | (b.s[FPU_STATUS] << 16), b.s[FPU_TAGS] | (b.s[FPU_OPCODE] << 16),
        b.s[FPU_IP], b.s[FPU_CS], b.s[FPU_DP], b.s[FPU_DS],
    )  # fmt: skip
    for n, word in enumerate(head):
        b.store(segment, _at(b, i, 4 * n), word, 32)
    for n in range(REGISTERS):
        at = IMAGE_REGISTERS + 16 * n
        b.store(segment, _at(b, i, at), get(b, n), 80)
        b.store(segment, _at(b, i, at + 10), 0, 16)
        b.store(segment, _at(b, i, at + 12), 0, 32)


@insn("fxrstor", X.X86_INS_FXRSTOR, sdm="2A FXRSTOR", touches=TOUCHES, feature="FXSR")
def fxrstor(b: Builder, i: Insn) -> None:
    """Loads what FXSAVE stored. A pending exception neither stops it nor survives it."""
    _image(b, i)
    segment = i.dst.n
    words, tags, ip, cs, dp, ds = (b.load(segment, _at(b, i, 4 * n), 32) for n in range(6))
    registers = [b.load(segment, _at(b, i, IMAGE_REGISTERS + 16 * n), 80) for n in range(REGISTERS)]
    settle_summary(b, _control_word(words & M16), words >> 16)
    b.s[FPU_TAGS] = tags & 0xFF
    b.s[FPU_OPCODE] = (tags >> 16) & 0x7FF
    b.s[FPU_IP] = ip
    b.s[FPU_CS] = cs & M16
    b.s[FPU_DP] = dp
    b.s[FPU_DS] = ds & M16
    for n, value in enumerate(registers):
        b.set_r80(b.trunc(number(b, n), 8), value)
