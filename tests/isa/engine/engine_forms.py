"""Encodings by hand: every width and operand form of the families that run compiled.

A `Form` is a name and machine code. Registers, immediates and displacements are chosen by the seeded
generator that is passed in, so that each run of a test has the same ones. Memory operands point, in the
states that `native.random_state` makes, into a data area, sometimes past the end of RAM.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

WIDTHS = (8, 16, 32)


@dataclass(frozen=True)
class Form:
    name: str
    code: bytes


def _imm(r: Random, size: int) -> bytes:
    """An immediate: often at an edge."""
    top = 1 << (8 * size)
    edge = r.choice((0, 1, top - 1, top >> 1, (top >> 1) - 1, r.randrange(top), r.randrange(top)))
    return edge.to_bytes(size, "little")


def register_modrm(r: Random, field: int) -> bytes:
    """A register operand in r/m."""
    return bytes([0xC0 | field << 3 | r.randrange(8)])


def memory_modrm(r: Random, field: int) -> bytes:
    """A memory operand: base, displacement, index, stack, or an absolute address."""
    base = r.choice((0, 1, 2, 3, 6, 7))
    disp8, disp32 = bytes([r.randrange(256)]), r.choice((0x8000, 0x8123, 4, 0xFFFFFFF0)).to_bytes(4, "little")
    absolute = r.randrange(0x4000, 0xC000).to_bytes(4, "little")
    sib = r.randrange(4) << 6 | r.choice((0, 1, 2, 3, 5, 6, 7)) << 3
    return r.choice(
        (
            bytes([field << 3 | base]),
            bytes([0x40 | field << 3 | base]) + disp8,
            bytes([0x80 | field << 3 | base]) + disp32,
            bytes([0x05 | field << 3]) + absolute,
            bytes([0x44 | field << 3, 0x24]) + disp8,
            bytes([0x04 | field << 3, sib | base]),
            bytes([0x84 | field << 3, sib | base]) + disp32,
        )
    )


def _modrm(r: Random, where: str, field: int) -> bytes:
    return register_modrm(r, field) if where == "reg" else memory_modrm(r, field)


def _sized(name: str, w: int, opcode: bytes, rest: bytes, note: str) -> Form:
    """The 8-bit opcode is given; the others are the next one, 16 bits with a prefix."""
    prefix = b"\x66" if w == 16 else b""
    last = opcode[-1] | (w != 8)
    return Form(f"{name}{w} {note}", prefix + opcode[:-1] + bytes([last]) + rest)


def register_and_rm(r: Random, name: str, opcode: bytes, *, only: str = "") -> Iterator[Form]:
    """`op r/m, r` or `op r, r/m`, in all widths."""
    for w in WIDTHS:
        for where in (only,) if only else ("reg", "mem", "mem"):
            yield _sized(name, w, opcode, _modrm(r, where, r.randrange(8)), where)


def one_operand(r: Random, name: str, opcode: bytes, field: int, immediate: int = 0) -> Iterator[Form]:
    """`op r/m` or `op r/m, imm`; immediate: 0 none, 1 a byte, 4 of operand size."""
    for w in WIDTHS:
        for where in ("reg", "mem"):
            size = min(immediate, w // 8)
            yield _sized(name, w, opcode, _modrm(r, where, field) + (_imm(r, size) if size else b""), where)


def arithmetic(r: Random) -> Iterator[Form]:
    for n, name in ((0, "add"), (2, "adc"), (3, "sbb"), (5, "sub"), (7, "cmp")):
        yield from _alu(r, n, name)
    for field, name in ((0, "inc"), (1, "dec")):
        yield from one_operand(r, name, b"\xfe", field)
        yield Form(f"{name}32 short", bytes([0x40 | field << 3 | r.randrange(8)]))
        yield Form(f"{name}16 short", bytes([0x66, 0x40 | field << 3 | r.randrange(8)]))
    yield from one_operand(r, "neg", b"\xf6", 3)
    yield from register_and_rm(r, "xadd", b"\x0f\xc0")
    yield from register_and_rm(r, "cmpxchg", b"\x0f\xb0")
    yield Form("xadd same", b"\x0f\xc1\xdb")
    for _ in range(3):
        yield Form("cmpxchg8b", b"\x0f\xc7" + memory_modrm(r, 1))


def _alu(r: Random, n: int, name: str) -> Iterator[Form]:
    base = 8 * n
    yield from register_and_rm(r, name, bytes([base]))
    yield from register_and_rm(r, name + " load", bytes([base + 2]))
    yield from one_operand(r, name + " imm", b"\x80", n, 4)
    for where in ("reg", "mem"):
        yield Form(f"{name} imm8 {where}", b"\x83" + _modrm(r, where, n) + _imm(r, 1))
        yield Form(f"{name}16 imm8 {where}", b"\x66\x83" + _modrm(r, where, n) + _imm(r, 1))
    yield Form(f"{name} al", bytes([base + 4]) + _imm(r, 1))
    yield Form(f"{name} eax", bytes([base + 5]) + _imm(r, 4))
    yield Form(f"{name} ax", bytes([0x66, base + 5]) + _imm(r, 2))


def logic(r: Random) -> Iterator[Form]:
    for n, name in ((1, "or"), (4, "and"), (6, "xor")):
        yield from _alu(r, n, name)
    yield from register_and_rm(r, "test", b"\x84")
    yield from one_operand(r, "test imm", b"\xf6", 0, 4)
    yield Form("test al", b"\xa8" + _imm(r, 1))
    yield Form("test eax", b"\xa9" + _imm(r, 4))
    yield from one_operand(r, "not", b"\xf6", 2)


def moves(r: Random) -> Iterator[Form]:
    yield from register_and_rm(r, "mov", b"\x88")
    yield from register_and_rm(r, "mov load", b"\x8a")
    yield from one_operand(r, "mov imm", b"\xc6", 0, 4)
    for n in range(8):
        yield Form("mov8 imm short", bytes([0xB0 | n]) + _imm(r, 1))
        yield Form("mov32 imm short", bytes([0xB8 | n]) + _imm(r, 4))
    yield Form("mov16 imm short", b"\x66\xb9" + _imm(r, 2))
    for opcode in (0xA0, 0xA1, 0xA2, 0xA3):
        yield Form(f"mov {opcode:x}", bytes([opcode]) + (0x5001).to_bytes(4, "little"))
    for opcode, name in ((0xB6, "movzx8"), (0xB7, "movzx16"), (0xBE, "movsx8"), (0xBF, "movsx16")):
        for where in ("reg", "mem"):
            yield Form(f"{name} {where}", bytes([0x0F, opcode]) + _modrm(r, where, r.randrange(8)))
            if name.endswith("8"):
                code = bytes([0x66, 0x0F, opcode]) + _modrm(r, where, r.randrange(8))
                yield Form(f"{name} to 16 {where}", code)
    yield from register_and_rm(r, "xchg", b"\x86")
    yield Form("xchg eax", bytes([0x91 + r.randrange(7)]))
    yield Form("lea", b"\x8d" + memory_modrm(r, r.randrange(8)))
    yield Form("lea16", b"\x66\x8d" + memory_modrm(r, r.randrange(8)))
    yield Form("lea 16-bit address", b"\x67\x8d\x58\x7f")
    yield Form("mov 16-bit address", b"\x67\x8b\x40\x12")
    for cc in range(16):
        where = "mem" if cc % 3 == 0 else "reg"
        yield Form(f"cmov{cc} {where}", bytes([0x0F, 0x40 | cc]) + _modrm(r, where, r.randrange(8)))
    yield Form("cmov16", b"\x66\x0f\x4c" + register_modrm(r, 3))
    for code in (b"\x98", b"\x66\x98", b"\x99", b"\x66\x99", b"\x90", b"\xf3\x90", b"\xd7", b"\xd6"):
        yield Form(f"{code.hex()}", code)
    yield Form("nop rm", b"\x0f\x1f\x44\x18\x05")


def branches(r: Random) -> Iterator[Form]:
    for cc in range(16):
        yield Form(f"j{cc} short", bytes([0x70 | cc]) + _imm(r, 1))
        yield Form(
            f"j{cc} near", bytes([0x0F, 0x80 | cc]) + r.choice((0x1234, 0xFFFFF000)).to_bytes(4, "little")
        )
    yield Form("jcc16", b"\x66\x0f\x84\xff\x7f")
    yield Form("jmp short", b"\xeb" + _imm(r, 1))
    yield Form("jmp near", b"\xe9" + _imm(r, 4))
    yield Form("call", b"\xe8" + _imm(r, 4))
    yield Form("call16", b"\x66\xe8" + _imm(r, 2))
    for field, name in ((2, "call"), (4, "jmp")):
        for where in ("reg", "mem"):
            yield Form(f"{name} {where}", b"\xff" + _modrm(r, where, field))
    for code in (b"\xc3", b"\xc2\x0c\x00", b"\x66\xc3"):
        yield Form(f"ret {code.hex()}", code)
    for opcode in (0xE0, 0xE1, 0xE2, 0xE3):
        yield Form(f"loop {opcode:x}", bytes([opcode]) + _imm(r, 1))
        yield Form(f"loop {opcode:x} cx", bytes([0x67, opcode]) + _imm(r, 1))


def stack(r: Random) -> Iterator[Form]:
    for n in range(8):
        yield Form(f"push r{n}", bytes([0x50 | n]))
        yield Form(f"pop r{n}", bytes([0x58 | n]))
    for code in (
        b"\x66\x53",
        b"\x66\x5b",
        b"\x6a\x80",
        b"\x68\x78\x56\x34\x12",
        b"\x66\x68\x34\x12",
        b"\xc9",
    ):
        yield Form(f"stack {code.hex()}", code)
    for code in (b"\x60", b"\x61", b"\x66\x60", b"\x66\x61", b"\x66\xc9", b"\x8f\x44\x24\x08"):
        yield Form(f"stack {code.hex()}", code)
    for _ in range(3):
        yield Form("push mem", b"\xff" + memory_modrm(r, 6))
        yield Form("pop mem", b"\x8f" + memory_modrm(r, 0))
    for level in (0, 1, 2, 5):
        yield Form(f"enter {level}", b"\xc8\x20\x00" + bytes([level]))
    for code in (b"\x9c", b"\x9d", b"\x66\x9c", b"\x66\x9d", b"\x9e", b"\x9f", b"\xf8", b"\xf9", b"\xf5"):
        yield Form(f"flags {code.hex()}", code)
    for code in (b"\xfc", b"\xfd"):
        yield Form(f"flags {code.hex()}", code)


def shifts(r: Random) -> Iterator[Form]:
    for field in range(8):
        yield from one_operand(r, f"shift{field} imm", b"\xc0", field, 1)
        yield from one_operand(r, f"shift{field} one", b"\xd0", field)
        yield from one_operand(r, f"shift{field} cl", b"\xd2", field)
    for opcode in (0xA4, 0xA5, 0xAC, 0xAD):
        for where in ("reg", "mem"):
            for prefix in (b"", b"\x66"):
                count = _imm(r, 1) if opcode in (0xA4, 0xAC) else b""
                code = prefix + bytes([0x0F, opcode]) + _modrm(r, where, r.randrange(8)) + count
                yield Form(f"double shift {opcode:x} {where}", code)


def bits(r: Random) -> Iterator[Form]:
    for prefix in (b"", b"\x66"):
        for opcode in (0xA3, 0xAB, 0xB3, 0xBB, 0xBC, 0xBD):
            for where in ("reg", "mem"):
                code = prefix + bytes([0x0F, opcode]) + _modrm(r, where, r.randrange(8))
                yield Form(f"bits {opcode:x} {where}", code)
        for field in (4, 5, 6, 7):
            for where in ("reg", "mem"):
                code = prefix + b"\x0f\xba" + _modrm(r, where, field) + _imm(r, 1)
                yield Form(f"bits imm {field} {where}", code)
        yield Form("bswap", prefix + bytes([0x0F, 0xC8 | r.randrange(8)]))
    for cc in range(16):
        where = "mem" if cc % 3 == 0 else "reg"
        yield Form(f"set{cc} {where}", bytes([0x0F, 0x90 | cc]) + _modrm(r, where, 0))


def multiplications(r: Random) -> Iterator[Form]:
    for field, name in ((4, "mul"), (5, "imul"), (6, "div"), (7, "idiv")):
        yield from one_operand(r, name, b"\xf6", field)
    for prefix in (b"", b"\x66"):
        for where in ("reg", "mem"):
            yield Form("imul2", prefix + b"\x0f\xaf" + _modrm(r, where, r.randrange(8)))
            yield Form("imul3 imm8", prefix + b"\x6b" + _modrm(r, where, r.randrange(8)) + _imm(r, 1))
            size = 2 if prefix else 4
            yield Form("imul3", prefix + b"\x69" + _modrm(r, where, r.randrange(8)) + _imm(r, size))
    for code in (b"\x27", b"\x2f", b"\x37", b"\x3f", b"\xd4\x0a", b"\xd5\x0a", b"\xd4\x07", b"\xd4\x00"):
        yield Form(f"bcd {code.hex()}", code)


def strings(r: Random) -> Iterator[Form]:
    for opcode in (0xA4, 0xA6, 0xAA, 0xAC, 0xAE):
        for prefix in (b"", b"\xf3", b"\xf2", b"\x67", b"\xf3\x67"):
            for w in WIDTHS:
                size = b"\x66" if w == 16 else b""
                code = prefix + size + bytes([opcode | (w != 8)])
                yield Form(f"string {code.hex()}", code)


FAMILIES = {
    "arithmetic": arithmetic,
    "logic": logic,
    "moves": moves,
    "branches": branches,
    "stack": stack,
    "shifts": shifts,
    "bits": bits,
    "multiplications": multiplications,
    "strings": strings,
}
