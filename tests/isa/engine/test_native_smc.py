"""Code that stores into itself, through a second mapping too, in both engines and in mixtures of them."""

from __future__ import annotations

import os
import random
import struct

import pytest

from isa import consts as c
from isa.cpu import Cpu
from isa.decode import decode
from isa.engine.native import available
from isa.exits import ALL_VECTORS, Reason, TrapPolicy
from isa.memory import PhysicalMemory, Ram
from isa.state import CR0, CR3, EIP

pytestmark = pytest.mark.skipif(not available(), reason="llvmlite is not installed")

SEED = int(os.environ.get("VMSIM_SEED", random.SystemRandom().getrandbits(24)))
PROGRAMS = 40
CODE, CODE_END, ALIAS, DIRECTORY, TABLE = 0x1000, 0x4000, 0x5000, 0x8000, 0x9000
STOPS, LENGTH = 20, 3000
HARMLESS = (0x40, 0x43, 0x90, 0x48)


def program(r: random.Random) -> bytes:
    """Arithmetic, jumps, and stores to where the code is, in two pages and an alias of the first."""

    def place() -> bytes:
        return struct.pack("<I", r.choice((CODE, 0x2000, 0x3000, ALIAS)) + r.randrange(0x1000))

    code = b""
    while len(code) < 0x2000:
        code += r.choice(
            (
                b"\x40",  # inc eax
                b"\x43\x01\xd8",  # inc ebx; add eax, ebx
                b"\x88\x05" + place(),  # mov [place], al
                b"\xc6\x05" + place() + bytes([r.choice(HARMLESS)]),  # mov byte [place], opcode
                b"\xfe\x05" + place(),  # inc byte [place]
                b"\x35" + r.randbytes(4),  # xor eax, n
                bytes([0x75, r.randrange(256)]),  # jne
                b"\xe9" + struct.pack("<i", r.randrange(-0x1800, 0x1800)),  # jmp
            )
        )
    return code[:0x3000]


def run(code: bytes, stops: list[int], engines: list[str]) -> list[object]:
    """What there is to see at each stop; whatever faults begins again."""
    ram = Ram(1 << 16)
    ram.write(CODE, code)
    entries = [n << 12 | 7 for n in range(16)]
    entries[ALIAS >> 12] = CODE | 7
    ram.write(DIRECTORY, struct.pack("<I", TABLE | 7))
    ram.write(TABLE, struct.pack("<16I", *entries))
    cpu = Cpu(PhysicalMemory(ram), policy=TrapPolicy(exceptions=ALL_VECTORS))
    s = cpu.s
    s[CR3], s[EIP], s[c.ESP] = DIRECTORY, CODE, 0x7000
    s[CR0] |= c.CR0_PG
    cpu.sync()
    seen: list[object] = []
    for stop, engine in zip(stops, engines, strict=True):
        cpu.use_engine(engine)
        leave = cpu.run(stop)
        seen.append((leave.reason, leave.vector, cpu.count, s.tolist(), bytes(ram.data)))
        if leave.reason is not Reason.UNTIL:
            s[EIP] = CODE if s[EIP] < CODE_END else ALIAS
            cpu.sync()
    return seen


def test_code_that_changes_itself_does_the_same_in_every_engine() -> None:
    print(f"VMSIM_SEED={SEED}")
    r = random.Random(SEED)
    for n in range(PROGRAMS):
        code, stops = program(r), sorted(r.randrange(LENGTH) for _ in range(STOPS))
        expected = run(code, stops, ["reference"] * STOPS)
        assert run(code, stops, ["native"] * STOPS) == expected, f"program {n}"
        mixture = [r.choice(("reference", "native")) for _ in stops]
        assert run(code, stops, mixture) == expected, f"program {n}, {mixture}"


def test_a_store_forgets_what_it_touches_and_nothing_else() -> None:
    """Against the plain reading: every decoded instruction that has one of the bytes goes."""
    r = random.Random(SEED)
    print(f"VMSIM_SEED={SEED}")
    ram = Ram(0x3000)
    told: list[tuple[int, int, int]] = []
    page = ram.code_page(0x1000)
    page.watchers.append(lambda *what: told.append(what))
    known: dict[int, int] = {}
    for _ in range(3000):
        at, mark = r.randrange(0x1000), r.choice((0, 0x1000))
        insn = decode(r.choice((b"\x90", b"\x04\x01", b"\x05" + bytes(4), b"\xc7\x05" + bytes(8))), 32)
        if at + insn.length <= 0x1000:
            page.add(at | mark, insn)
            known[at | mark] = insn.length
        first = r.randrange(0x1000)
        size = r.choice((1, 2, 4, 16, 300, 0x1000 - first))
        size = min(size, 0x1000 - first)
        if r.random() < 0.3:
            touched = [k for k, n in known.items() if (k & 0xFFF) < first + size and (k & 0xFFF) + n > first]
            told.clear()
            ram.write(0x1000 + first, bytes(size))
            assert not touched or told == [(page.number, first, first + size - 1)]
            for key in touched:
                del known[key]
        assert page.insns.keys() == known.keys()
        for key, length in known.items():
            for byte in ((key & 0xFFF), (key & 0xFFF) + length - 1):
                assert page.holds(byte, 1)
