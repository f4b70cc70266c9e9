"""What a monitor cares about, compiled: segments, gates, IRET, EFLAGS, descriptor checks, control registers.

Instructions that compiled code leaves to the reference engine are here too; they must leave untouched
what they did not finish.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from random import Random

import pytest
from engine_forms import Form, memory_modrm, register_modrm
from engine_pair import RAM_SIZE, Pair, compile_blocks, decodable, random_state

from isa.consts import CR0_TS, ESP, IF, NT, TR, VM
from isa.engine.builder import DONE, FAULT
from isa.segment import encode_descriptor
from isa.state import BASE, CPL, CR0, EFLAGS, GDT_BASE, GDT_LIMIT, IDT_BASE, IDT_LIMIT, LIMIT, SEL

pytest.importorskip("llvmlite")

from isa.engine.native import Compiler

SEED = 20261124
CASES = 200
GDT, IDT, TSS, FRAMES = 0x2000, 0x3000, 0x3C00, 0x9000
ATTRS = (
    0xC09B,
    0xC093,
    0xC0FB,
    0xC0F3,
    0xC09E,
    0xC0F2,
    0x008B,
    0x0082,
    0xC013,
    0x408C,
    0xC097,
    0xC098,
    0x0089,
)
SELECTORS = [8 * n | rpl for n in range(1, 14) for rpl in (0, 3)]


def fill(r: Random) -> bytes:
    """RAM with tables that mostly work, and with selectors and addresses wherever data is read."""
    words = [
        r.choice((r.choice(SELECTORS), r.randrange(0x1000, 0xC000), r.getrandbits(32)))
        for _ in range(1 << 14)
    ]
    ram = bytearray(struct.pack("<16384I", *words))
    ram[GDT : GDT + 8] = bytes(8)
    for n, attr in enumerate(ATTRS, 1):
        limit = r.choice((0xFFFFFFFF, 0xFFFFFFFF, 0xFFFF)) if attr & 0x8000 else 0xFFF
        struct.pack_into("<2I", ram, GDT + 8 * n, *encode_descriptor(r.choice((0, 0, 0x100)), limit, attr))
    for n in range(256):
        kind = r.choice((0x8E, 0x8F, 0xEE, 0xEF, 0xEE, 0x85, 0x0E, 0x87))
        struct.pack_into("<2I", ram, IDT + 8 * n, r.choice((8, 8, 8, 40, 24)) << 16 | 0x1234, kind << 8)
    for at in range(FRAMES, FRAMES + 20 * 64, 20):  # what IRET and RETF pop
        outer = r.randrange(2)
        code, data = (0x1B, 0x23) if outer else (0x08, 0x10)
        image = r.getrandbits(22) & ~(VM | r.choice((0, NT)))
        struct.pack_into("<5I", ram, at, r.randrange(0x4000), code, image, r.randrange(0x6000, 0x7000), data)
    struct.pack_into("<3I", ram, TSS, 0, r.randrange(0x5000, 0x6000), 0x10)
    return bytes(ram)


def state(r: Random) -> array[int]:
    s = random_state(r)
    s[CPL] = r.choice((0, 0, 3))
    s[SEL + 1] = 0x1B if s[CPL] else 0x08
    s[SEL + 2] = 0x23 if s[CPL] else 0x10
    s[GDT_BASE], s[GDT_LIMIT], s[IDT_BASE], s[IDT_LIMIT] = GDT, 8 * len(ATTRS) + 7, IDT, 0x7FF
    s[SEL + TR], s[BASE + TR], s[LIMIT + TR] = 0x38, TSS, r.choice((0x67, 0x67, 0x67, 4))
    s[EFLAGS] |= r.choice((0, IF))
    s[CR0] |= r.choice((0, CR0_TS))
    s[ESP] = FRAMES + 20 * r.randrange(64) if r.randrange(2) else s[ESP] & ~3
    if r.randrange(2):
        s[r.randrange(4)] = r.choice(SELECTORS)
    return s


def forms(r: Random) -> Iterator[Form]:
    for code in ("cc", "ce", "cd80", "cd0d", "cf", "cb", "ca0800", "fa", "fb", "f4", "0f06", "0f31", "0fa2"):
        yield Form(code, bytes.fromhex(code))
    for code in (
        "9ac81d00001000",
        "ea341200000800",
        "ea341200001b00",
        "1e",
        "06",
        "16",
        "0e",
        "1f",
        "07",
        "17",
    ):
        yield Form(code, bytes.fromhex(code))
    for code in ("0fa0", "0fa8", "0fa1", "0fa9", "661e", "661f", "66cf", "66cb", "e460", "e680", "ec", "ef"):
        yield Form(code, bytes.fromhex(code))
    for code in (
        "0f20c0",
        "0f20d8",
        "0f22c0",
        "0f22d8",
        "0f22e0",
        "0f21f8",
        "0f23f8",
        "0f32",
        "0f30",
        "0f34",
    ):
        yield Form(code, bytes.fromhex(code))
    for opcode in ("8c", "8e", "0f02", "0f03", "63"):
        for field in range(6):
            yield Form(f"{opcode}/{field} reg", bytes.fromhex(opcode) + register_modrm(r, field))
            yield Form(f"{opcode}/{field} mem", bytes.fromhex(opcode) + memory_modrm(r, field))
    for field in range(6):
        yield Form(f"0f00/{field} reg", b"\x0f\x00" + register_modrm(r, field))
        yield Form(f"0f00/{field} mem", b"\x0f\x00" + memory_modrm(r, field))
    for field in (0, 1, 2, 3, 4, 6, 7):
        yield Form(f"0f01/{field} mem", b"\x0f\x01" + memory_modrm(r, field))
    for opcode in ("c4", "c5", "0fb2", "0fb4", "0fb5"):
        for _ in range(3):
            yield Form(f"{opcode} mem", bytes.fromhex(opcode) + memory_modrm(r, r.randrange(8)))
    for field in (3, 5):
        for _ in range(3):
            yield Form(f"ff/{field} mem", b"\xff" + memory_modrm(r, field))


def test_system_instructions_equal_the_reference() -> None:
    print(f"seed {SEED}")
    r = Random(SEED)
    listed = list(decodable(forms(r)))
    decoded = [instructions for _, instructions in listed]
    functions = compile_blocks(Compiler(), "system", decoded)
    pair = Pair(SEED, fill, state)
    for (form, instructions), function in zip(listed, functions, strict=True):
        pair.load(form.code)
        for _ in range(CASES):
            pair.compare(function, instructions, f"{form.name} ({form.code.hex()}) {instructions[0].name}")
    print(f"{len(listed)} forms, {pair.cases} cases, ended by {dict(sorted(pair.reasons.items()))}")
    assert pair.reasons[DONE] > pair.cases // 8
    assert sum(n for reason, n in pair.reasons.items() if reason >= FAULT) > pair.cases // 8


def test_memory_is_large_enough() -> None:
    assert len(fill(Random(1))) == RAM_SIZE
