"""Random cases of one x87 instruction each, over all forms and the edges of every data format.

A case is what both oracles understand: code whose memory operand is [esi], an FRSTOR image, 128 bytes of
memory, EFLAGS. Next: `x87_processor`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from random import Random

from isa import consts as c
from isa.decode import decode
from isa.insn import Insn, Kind
from isa.table import ROWS
from isa.x87_forms import MEMORY_FORMS, REGISTER_FORMS

MEMORY = 128
CODE_BYTES = 16
IMAGES = frozenset({"fldenv", "frstor", "fnstenv", "fnsave"})
TRANSCENDENTAL = frozenset({"f2xm1", "fyl2x", "fyl2xp1", "fsin", "fcos", "fsincos", "fptan", "fpatan"})
M64 = (1 << 64) - 1


def _encodings() -> list[bytes]:
    codes = [bytes((n >> 8, n & 0xFF)) for n in sorted(REGISTER_FORMS)]
    codes += [bytes((op, n << 3 | 6)) for (op, n), form in MEMORY_FORMS.items() if form[0] != "-"]
    codes += [bytes((0x66, op, n << 3 | 6)) for (op, n), form in MEMORY_FORMS.items() if form[0] in IMAGES]
    return [*codes, b"\x9b"]


ENCODINGS = _encodings()

_EXPONENTS = (
    0, 1, 2, 0x3C00, 0x3F80, 0x3F81, 0x3FBE, 0x3FBF, 0x3FFD, 0x3FFE, 0x3FFF, 0x4000, 0x4001, 0x400E, 0x401E, 0x403D,
    0x403E, 0x403F, 0x407F, 0x43FE, 0x43FF, 0x5FFF, 0x7FFD, 0x7FFE, 0x7FFF,
)  # fmt: skip
_TOPS = (
    0,
    1,
    2,
    0x7FF,
    0x800,
    0xFFF_FFFF_FFFF,
    1 << 62,
    (1 << 62) - 1,
    M64,
    M64 - 1,
    M64 >> 1,
    0xC90F_DAA2_2168_C235,
)
_HALVES = (0x8000_0080_0000_0000, 0x8000_0180_0000_0000, 0x8000_0000_0000_0400, 0x8000_0000_0000_0C00, 1 << 63,
           0xFFFF_FF80_0000_0000, 0xFFFF_FFFF_FFFF_FC00, 0xFFFF_FF7F_FFFF_FFFF)  # fmt: skip


def extended(random: Random) -> int:
    """80 bits: mostly numbers, of every class, sometimes encodings that are none."""
    kind = random.random()
    sign = random.getrandbits(1) << 79
    if kind < 0.30:  # of ordinary size, so that something comes out
        exponent = 0x3FFF + random.choice((-70, -64, -3, -2, -1, 0, 0, 0, 1, 2, 3, 10, 31, 62, 63, 64))
        return sign | exponent << 64 | 1 << 63 | _fraction(random)
    if kind < 0.45:  # small integers and halves
        n = random.choice((1, 2, 3, 5, 7, 10, 127, 128, 32767, 32768, 65535, random.getrandbits(31) | 1))
        shift = 64 - n.bit_length()
        return sign | 0x3FFF + 63 - shift - random.choice((0, 0, 0, 1, 2)) << 64 | n << shift
    if kind < 0.75:
        exponent = random.choice(_EXPONENTS)
        return sign | exponent << 64 | (1 << 63 if exponent else 0) | _fraction(random)
    if kind < 0.90:  # zero, infinity, NaNs
        special = (
            0,
            0x7FFF << 64 | 1 << 63,
            0x7FFF << 64 | 3 << 62 | random.getrandbits(8),
            0x7FFF << 64 | 5 << 61,
        )
        return sign | random.choice(special)
    if kind < 0.95:  # denormals
        return sign | (1 << random.randrange(63)) | random.choice((0, 0, 1, 1 << 63, random.getrandbits(40)))
    return random.choice(_EXPONENTS) << 64 | sign | random.choice(_TOPS)  # unnormals and what else there is


def _usual(random: Random) -> int:
    """An extended real with the integer bit that its exponent implies."""
    x = extended(random)
    return x | 1 << 63 if x >> 64 & 0x7FFF else x & ~(1 << 63)


def _fraction(random: Random) -> int:
    """The 63 bits below the integer bit."""
    return random.choice((0, 0, random.choice(_TOPS), random.choice(_HALVES), random.getrandbits(63))) & (
        M64 >> 1
    )


def _short(random: Random, exponent_bits: int, fraction_bits: int) -> int:
    top = (1 << exponent_bits) - 1
    exponent = random.choice((0, 1, top >> 1, (top >> 1) + 1, top - 1, top, random.randrange(top)))
    quiet = 1 << (fraction_bits - 1)
    fraction = random.choice(
        (0, 1, quiet, quiet | 1, quiet >> 1, 2 * quiet - 1, random.getrandbits(fraction_bits))
    )
    return (random.getrandbits(1) << exponent_bits | exponent) << fraction_bits | fraction


def _integer(random: Random, w: int) -> int:
    return random.choice((0, 1, (1 << w) - 1, 1 << (w - 1), (1 << (w - 1)) - 1, 7, random.getrandbits(w)))


def _decimal(random: Random) -> int:
    digits = random.choice(("0", "1", "9" * 18, "1" + "0" * 17, str(random.randrange(10**18))))
    return random.getrandbits(8) << 72 | int(digits, 16)


def _control(random: Random) -> int:
    masks = (
        0x3F
        if random.random() < 0.6
        else random.choice((0, 0x3E, 0x3D, 0x3B, 0x37, 0x2F, 0x1F, 0x3F & random.getrandbits(6)))
    )
    precision = random.choice((3, 3, 3, 2, 0, 1)) << c.FCW_PC_SHIFT
    return masks | c.FCW_ONE | precision | random.choice((0, 0, 1, 2, 3)) << c.FCW_RC_SHIFT


def _status(random: Random, control: int) -> int:
    """No exception is pending, but for some cases in which one is."""
    sticky = random.getrandbits(6)
    sticky &= control if random.random() < 0.95 else 0x3F
    sticky = random.choice((0, 0, sticky))
    pending = c.FSW_ES | c.FSW_B if sticky & ~control else 0
    return (
        sticky
        | pending
        | random.getrandbits(3) << c.FSW_TOP_SHIFT
        | random.getrandbits(16) & (c.FSW_CODES | c.FSW_SF)
    )


def environment(words: list[int], w: int) -> bytes:
    return struct.pack("<7I" if w == 32 else "<7H", *(word if w == 32 else word & 0xFFFF for word in words))


def image(random: Random, control: int, status: int, registers: list[int | None], w: int = 32) -> bytes:
    """What FRSTOR loads: ST(0) to ST(7), None for an empty register."""
    top = status >> c.FSW_TOP_SHIFT & 7
    tags = sum((3 if value is None else 0) << 2 * ((top + n) & 7) for n, value in enumerate(registers))
    high = 0xFFFF_0000
    words = [high | control, high | status, high | tags, 0, 0, 0, high]
    data = b"".join(
        (extended(random) if value is None else value).to_bytes(10, "little") for value in registers
    )
    return environment(words, w) + data


@dataclass
class Case:
    insn: Insn
    state: bytes
    memory: bytes
    eflags: int

    @property
    def name(self) -> str:
        return self.insn.name

    def describe(self) -> str:
        control, status, tags = (x & 0xFFFF for x in struct.unpack("<3I", self.state[:12]))
        stack = [self.state[28 + 10 * n : 38 + 10 * n][::-1].hex() for n in range(3)]
        return (
            f"{self.insn.raw.hex()} {self.insn.name} {' '.join(map(str, self.insn.operands))} cw={control:04x} "
            f"sw={status:04x} tw={tags:04x} {' '.join(stack)} memory={self.memory[:10][::-1].hex()}"
        )


def _memory(random: Random, insn: Insn) -> bytes:
    w, name = insn.dst.w, ROWS[insn.row].name
    if name in ("fldenv", "frstor"):
        control = random.getrandbits(16)
        registers = _registers(random)
        return image(random, control, random.getrandbits(16), registers, insn.w)
    if name.startswith("fi"):
        value = _integer(random, w)
    elif name == "fbld":
        value = _decimal(random)
    elif w == 80:
        value = extended(random)
    elif w in (32, 64):
        value = _short(random, *((8, 23) if w == 32 else (11, 52)))
    else:
        value = random.getrandbits(16)
    return value.to_bytes(10, "little")


def _registers(random: Random) -> list[int | None]:
    emptiness = random.choice((0, 0, 0, 0.1, 0.6, 1))
    registers: list[int | None] = [
        None if random.random() < emptiness else extended(random) for _ in range(8)
    ]
    if random.random() < 0.6:
        registers[7] = None  # room to push
    return registers


def case(random: Random, code: bytes, orderly: bool = False) -> Case:
    """One case. An orderly one masks all exceptions, has no register empty or full that should not be, and no
    pseudo-denormals and unnormals."""
    insn = decode(code)
    control = _control(random) | (c.FSW_EXCEPTIONS if orderly else 0)
    registers: list[int | None] = (
        [*(_usual(random) for _ in range(7)), None] if orderly else _registers(random)
    )
    if orderly and any(o.kind is Kind.ST and o.n == 7 for o in insn.operands):
        registers[7] = _usual(random)
    if random.random() < 0.15 and registers[0] is not None:  # of about the same size
        registers[1] = (
            registers[0] ^ random.getrandbits(1) << 79 ^ random.choice((0, 1, random.getrandbits(30)))
        )
    if insn.name in TRANSCENDENTAL and registers[0] is not None and random.random() < 0.7:
        registers[0] = _moderate(random, insn.name)
    memory = _memory(random, insn) if insn.operands and insn.dst.kind is Kind.MEM else b""
    state = image(random, control, _status(random, control), registers)
    flags = c.FLAGS_ONE | random.getrandbits(12) & c.ARITHMETIC
    return Case(insn, state, memory.ljust(MEMORY, b"\xcd"), flags)


def _moderate(random: Random, name: str) -> int:
    """An argument for which a transcendental function has something to do."""
    low, high = {"f2xm1": (-70, -1), "fyl2x": (-10, 10), "fyl2xp1": (-70, -2)}.get(name, (-70, 62))
    exponent = random.choice((random.randint(low, high), high, min(high, 0), min(high, -1)))
    negative = random.getrandbits(1) if name != "fyl2x" else 0
    return (negative << 15 | 0x3FFF + exponent) << 64 | 1 << 63 | _fraction(random)


def cases(random: Random, count: int, orderly: bool = False) -> list[Case]:
    """`count` cases, every encoding in turn."""
    return [case(random, ENCODINGS[n % len(ENCODINGS)], orderly) for n in range(count)]


@dataclass
class Answer:
    """What there was after the instruction. `stack` is ST(0) to ST(7), None where empty."""

    control: int
    status: int
    stack: list[int | None]
    opcode: int
    memory: bytes
    eflags: int
    ax: int
    vector: int


def answer_from_image(data: bytes, memory: bytes, eflags: int, eax: int, vector: int) -> Answer:
    control, status, tags, _ip, cs = (x for x in struct.unpack("<5I", data[:20]))
    top = status >> c.FSW_TOP_SHIFT & 7
    stack = [int.from_bytes(data[28 + 10 * n : 38 + 10 * n], "little") for n in range(8)]
    kept = [None if tags >> 2 * ((top + n) & 7) & 3 == 3 else value for n, value in enumerate(stack)]
    return Answer(
        control & 0xFFFF, status & 0xFFFF, kept, cs >> 16 & 0x7FF, memory, eflags, eax & 0xFFFF, vector
    )
