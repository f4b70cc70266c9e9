"""Random cases: encodings of every opcode, each with several states that steer it to mapped memory.

A `Form` is a piece of straight code: one instruction of any row, or a few that do not jump. A case is a form
with registers and flags; its memory is an image of edge values at linear 0, new in each batch. FS and GS
have bases of their own, so that a forgotten or a wrong segment override shows. Code lies elsewhere.
See `verify`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from random import Random

from random_code import OPCODES

from isa import consts as c
from isa.decode import TruncatedCode, decode
from isa.faults import GeneralProtection, InvalidOpcode
from isa.insn import Insn, Kind, Operand
from isa.table import ROWS, Privilege, Row, Sensitive

EDGES = (
    0, 1, 2, 7, 8, 9, 0xF, 0x10, 0x1F, 0x20, 0x21, 0x7F, 0x80, 0x81, 0x99, 0xFF, 0x100, 0x7FFF, 0x8000, 0x8001,
    0xFFFF, 0x1_0000, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, 0xFFFF_FF80, 0xFFFF_8000, 0xFFFF_FFFE, 0xFFFF_FFFF,
)  # fmt: skip
IMAGE_SIZE = 0x14000
FS_BASE, GS_BASE = 0x1000, 0x3000
LOW, HIGH = 0x2000, 0xE000  # where steered accesses land
LONGEST = 4  # instructions in a form
RECENT = 400  # instructions to choose from for a row of them
# Not for a bare instruction at CPL 0 without descriptor tables: the tests of the machine have these.
SKIPPED = frozenset(
    "unmodelled cpuid rdtsc rdpmc hlt int int3 int1 into ud2 vmcall sysenter sysexit arpl".split()
)
AT_CPL0 = frozenset({"pushf", "popf"})  # sensitive, but at CPL 0 they are what the SDM calls normal
STRINGS = frozenset({"movs", "cmps", "scas", "lods", "stos"})
SHIFTS = frozenset({"shl", "shr", "sar", "shld", "shrd"})
ROTATES = frozenset({"rol", "ror", "rcl", "rcr"})
# No neighbours for others: what ends straight code, and CMPXCHG8B, before which Unicorn forgets the flags.
ALONE = frozenset("jmp jcc jcxz call ret loop loope loopne bound enter popf cmpxchg8b".split())
READS_FLAGS = frozenset(
    "adc sbb rcl rcr setcc cmovcc jcc pushf lahf cmc salc daa das aaa aas loope loopne".split()
)
SETS_ALL_FLAGS = frozenset("add sub cmp neg cmps scas xadd cmpxchg".split())
PREFIXES = (0x66, 0x66, 0x67, 0x64, 0x65, 0x2E, 0x36, 0x26, 0xF0, 0xF2, 0xF3)
GROUPS = frozenset(
    [bytes([n]) for n in (0x80, 0x81, 0x82, 0x83, 0xC0, 0xC1, 0xD0, 0xD1, 0xD2, 0xD3, 0xF6, 0xF7, 0xFE, 0xFF)]
    + [b"\x0f\xba", b"\x0f\xc7"]
)
PAUSE = b"\xf3\x90"  # an opcode of its own, though it looks like a prefix


def testable(row: Row) -> bool:
    """Whether a single instruction of this row can be run on a bare processor."""
    if row.name in SKIPPED or row.define.__module__.startswith("isa.ops.x87"):
        return False  # the x87 has cases of its own
    innocuous = row.sensitive is Sensitive.INNOCUOUS and row.privilege is Privilege.ANYONE
    return innocuous or row.name in AT_CPL0


TESTABLE = frozenset(row.index for row in ROWS if testable(row))


@dataclass(frozen=True)
class Form:
    """Straight code for a segment of `bits`."""

    insns: tuple[Insn, ...]
    bits: int

    @cached_property
    def code(self) -> bytes:
        return b"".join(insn.raw for insn in self.insns)

    @property
    def row(self) -> Row:
        """That of the last instruction, the only one in most forms."""
        return ROWS[self.insns[-1].row]

    @cached_property
    def one(self) -> bool:
        """A single instruction, executed once."""
        insn = self.insns[0]
        return len(self.insns) == 1 and not (insn.rep and ROWS[insn.row].name in STRINGS)

    @cached_property
    def unknown(self) -> int:
        """Flags that the SDM leaves undefined; for shifts and rotates `undefined` knows better."""
        mask = 0
        for insn in self.insns:
            mask = still_unknown(insn, mask)
        return mask


def still_unknown(insn: Insn, mask: int) -> int:
    """The undefined flags after an instruction before which those of `mask` were."""
    row = ROWS[insn.row]
    return row.undefined | (0 if row.name in SETS_ALL_FLAGS and not insn.rep else mask)


@dataclass(frozen=True)
class State:
    """What a form starts from."""

    registers: tuple[int, ...]
    eflags: int


def undefined(form: Form, registers: tuple[int, ...] | list[int]) -> int:
    """The flags that the SDM leaves undefined in this case; a row's mask is for any operands."""
    insn = form.insns[-1]
    name = ROWS[insn.row].name
    if len(form.insns) > 1 or name not in SHIFTS | ROTATES:
        return form.unknown
    mask, last = form.unknown, insn.operands[-1]
    count = (last.value if last.kind is Kind.IMM else registers[c.ECX]) & 31
    if count == 0:
        return 0
    if count == 1:
        mask &= ~c.OF
    if (count <= insn.w and name in ("shld", "shrd")) or count < insn.w:
        mask &= ~c.CF
    return mask


# -- values -------------------------------------------------------------------------------------------------


def value(random: Random) -> int:
    kind = random.random()
    if kind < 0.55:
        return random.choice(EDGES)
    if kind < 0.7:
        return random.choice(EDGES) & c.M16 | random.choice(EDGES) << 16 & c.M32
    return random.getrandbits(32)


def values(random: Random, count: int = 1 << 13) -> list[int]:
    """A supply to choose from, which is faster than making each anew."""
    return [value(random) for _ in range(count)]


def image(random: Random, supply: list[int]) -> bytes:
    """Memory full of edge values."""
    return b"".join(word.to_bytes(4, "little") for word in random.choices(supply, k=IMAGE_SIZE // 4))


def place(random: Random) -> int:
    at = random.randrange(LOW, HIGH)
    return at & ~3 if random.random() < 0.7 else at


# -- encodings ----------------------------------------------------------------------------------------------


def encodings(random: Random, bits: int) -> Iterator[Insn]:
    """For ever: every opcode in turn with random prefixes and operands, decoded, if it can be tested."""
    while True:
        for opcode in (*OPCODES, PAUSE):
            for _ in range(8 if opcode in GROUPS else 1):
                insn = _encoding(random, opcode, bits)
                if insn is not None and insn.row in TESTABLE:
                    yield insn


def forms(random: Random, bits: int, blocks: float = 0.25) -> Iterator[Form]:
    """For ever: single instructions, every opcode in turn, and a share of `blocks` of some in a row."""
    recent: list[Insn] = []
    for insn in encodings(random, bits):
        yield Form((insn,), bits)
        if joins(insn):
            recent = [insn, *recent[:RECENT]]
        if len(recent) > LONGEST and random.random() < blocks:
            yield _block(random, recent, bits)


def joins(insn: Insn) -> bool:
    """Whether an instruction may stand in a row: it goes on with the next, and no oracle has it wrong."""
    row = ROWS[insn.row]
    odd = row.name in ALONE or insn.lock or insn.segment == c.CS or {0xF2, 0xF3} <= set(insn.raw[:-1])
    return not (odd or row.name == "hint" or (row.name == "bswap" and insn.w == 16))


def _block(random: Random, recent: list[Insn], bits: int) -> Form:
    """A few instructions of any kind in a row, none of which depends on what the SDM leaves open."""
    chosen: list[Insn] = []
    unknown = 0
    wanted = random.randint(2, LONGEST)
    while len(chosen) < wanted:
        insn = random.choice(recent)
        row = ROWS[insn.row]
        if unknown and row.name in READS_FLAGS:
            continue
        unknown = still_unknown(insn, unknown)
        chosen.append(insn)
    return Form(tuple(chosen), bits)


def _encoding(random: Random, opcode: bytes, bits: int) -> Insn | None:
    prefixes = bytes(random.choice(PREFIXES) for _ in range(random.choice((0, 0, 1, 1, 2))))
    tail = bytearray(random.randbytes(12))
    if random.random() < 0.35:
        tail[0] |= 0xC0
    elif random.random() < 0.4:
        tail[0] = tail[0] & 0x3F | 0x40  # a byte of displacement
    if random.random() < 0.3:
        tail[1:5] = random.choice(EDGES).to_bytes(4, "little")
    try:
        insn = decode((prefixes + opcode + tail)[:15], bits)
    except (InvalidOpcode, GeneralProtection, TruncatedCode):
        return None
    if bits == 16 and insn.segment == c.CS:
        return None  # there CS reaches the code of the other cases
    return _near(random, insn, bits)


def _near(random: Random, insn: Insn, bits: int) -> Insn:
    """The same with a 32-bit displacement that leaves room for the registers."""
    for o in insn.operands:
        if o.kind is Kind.MEM and o.aw == 32 and o.value.bit_length() > 16:
            alone = o.base < 0 and o.index < 0
            new = place(random) if alone else random.randrange(0, 0x400)
            raw = insn.raw.replace(o.value.to_bytes(4, "little"), new.to_bytes(4, "little"), 1)
            return decode(raw, bits)
    return insn


# -- states -------------------------------------------------------------------------------------------------


def state(random: Random, form: Form, stack: int, supply: list[int]) -> State:
    """Registers and flags for a form."""
    registers = random.choices(supply, k=8)
    registers[c.ESP] = place(random) & ~3 if random.random() < 0.9 else place(random)
    if random.random() < 0.5:
        registers[c.EBP] = place(random)
    for insn in reversed(form.insns):  # the first has the last word
        _special(random, ROWS[insn.row].name, insn, registers)
        for o in insn.operands:
            if o.kind is Kind.MEM and o.aw == 32:
                _steer(random, o, registers)
    if stack == 16:
        registers[c.ESP] = registers[c.ESP] & c.M16 | random.getrandbits(16) << 16
    return State(tuple(registers), c.FLAGS_ONE | random.getrandbits(12) & (c.ARITHMETIC | c.DF))


def _special(random: Random, row: str, insn: Insn, registers: list[int]) -> None:
    """Registers that an instruction uses without naming them."""
    mask = c.MASK[insn.aw]
    if row in STRINGS:
        registers[c.ESI], registers[c.EDI] = place(random), place(random)
        if random.random() < 0.5 and row in ("cmps", "scas"):
            registers[c.ESI] = registers[c.EDI] + random.choice((0, 0, 4, 8))
        if insn.rep:
            registers[c.ECX] = registers[c.ECX] & ~mask & c.M32 | random.choice((0, 1, 2, 3, 7, 20))
    elif row == "xlat":
        registers[c.EBX] = place(random)
    elif row in ("loop", "loope", "loopne", "jcxz"):
        registers[c.ECX] = registers[c.ECX] & ~mask & c.M32 | random.choice((0, 1, 2, mask))
    elif row in ("div", "idiv") and random.random() < 0.6:
        registers[c.EDX] = random.choice((0, 0, 1, c.M32))
        registers[c.EAX] = registers[c.EAX] & random.choice((0xFF, 0xFFF, c.M16, c.M32))
    elif row in SHIFTS or row in ROTATES:
        count = random.choice((0, 1, 2, 7, 8, 9, 15, 16, 17, 18, 27, 31, 32, 33, 0x81, random.getrandbits(8)))
        registers[c.ECX] = registers[c.ECX] & 0xFFFF_FF00 | count
    elif row in ("bt", "bts", "btr", "btc") and insn.src.kind is not Kind.IMM:
        registers[insn.src.n] = random.choice((-1, 1)) * random.randrange(0x4000) & c.M32


def _steer(random: Random, o: Operand, registers: list[int]) -> None:
    """Choose the base, or the index, so that the address is in the image; 16-bit addresses always are."""
    target = place(random)
    if o.base >= 0 and o.base != o.index:
        index = registers[o.index] << o.scale if o.index >= 0 else 0
        registers[o.base] = (target - index - o.value) & c.M32
    elif o.index >= 0:
        times = (1 << o.scale) + (o.base == o.index)
        registers[o.index] = ((target - o.value) & c.M32) // times
