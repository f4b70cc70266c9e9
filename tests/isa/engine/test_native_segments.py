"""Segments that begin anywhere in a page: 16-bit code there runs natively, and leaves the segment as it should.

The program wanders with jumps of both sizes, also to before the segment and beyond 64 KB; whatever faults
begins again, at times in a segment that begins elsewhere over the same code. Each stop is compared with the
reference engine's.
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from isa import consts as c
from isa.cpu import Cpu
from isa.engine.native import available
from isa.exits import ALL_VECTORS, Reason, TrapPolicy
from isa.memory import PhysicalMemory, Ram
from isa.state import ATTR, BASE, EIP, LIMIT

pytestmark = pytest.mark.skipif(not available(), reason="llvmlite is not installed")

SEED = int(os.environ.get("VMSIM_SEED", random.SystemRandom().getrandbits(24)))
RAM_SIZE = 0x12_0000
SIZE = 0x3000  # bytes of code, from the segment's first on; page ends and the segment's begin lie within
PLAIN = tuple(
    bytes.fromhex(code) for code in "40 43 4a 01c3 6640 f7d8 d1e2 31d0 90 2e8a05 88c4 50 58".split()
)


def program(r: random.Random) -> bytes:
    """Instructions and jumps, 66 before some; near jumps of 16 bits wrap, of 32 bits do not."""
    code = bytearray()
    while len(code) < SIZE:
        choice = r.randrange(8)
        wide = b"\x66" if r.randrange(2) else b""
        if choice == 0:
            code += wide + bytes([0x70 + r.randrange(16)]) + r.randbytes(1)
        elif choice == 1 and r.randrange(4) == 0:
            distance = r.randrange(-0x1800, 0x1800)
            code += wide + b"\xe9" + (distance & c.M32).to_bytes(4, "little")[: 4 if wide else 2]
        elif choice == 2 and r.randrange(2):
            code += wide + b"\xe2" + r.randbytes(1)  # loop
        elif choice == 3 and r.randrange(4) == 0:
            code += b"\xe8" + r.randrange(-0x400, 0x400).to_bytes(2, "little", signed=True)
        elif choice == 4 and r.randrange(8) == 0:
            code += b"\xc3"
        else:
            code += r.choice(PLAIN)
    return bytes(code[:SIZE])


def start(code: bytes, base: int, engine: str, limit: int = c.M16) -> Cpu:
    """A processor before the program, in a 16-bit segment."""
    ram = Ram(RAM_SIZE)
    ram.write(base, code[: RAM_SIZE - base])
    cpu = Cpu(PhysicalMemory(ram), policy=TrapPolicy(exceptions=ALL_VECTORS), engine=engine)
    s = cpu.s
    s[BASE + c.CS], s[LIMIT + c.CS] = base, limit
    s[ATTR + c.CS] &= ~c.ATTR_DB
    s[ATTR + c.SS] &= ~c.ATTR_DB
    s[BASE + c.SS] = 0x8_0000
    cpu.engine.sync()
    return cpu


def run(cpu: Cpu, stops: list[int], begins: list[tuple[int, int]]) -> list[Any]:
    """What there is to see at each stop and each fault, which begins again elsewhere: base, EIP."""
    seen: list[Any] = []
    begin = iter(begins)
    for stop in stops:
        while (leave := cpu.run(stop)).reason is not Reason.UNTIL:
            seen.append((leave.reason, leave.vector, cpu.count, cpu.s.tolist()))
            cpu.s[BASE + c.CS], cpu.s[EIP] = next(begin)
            cpu.s[c.ESP] = 0x8000
            cpu.count += 1
            cpu.sync()
        seen.append((cpu.count, cpu.s.tolist()))
    return seen


@pytest.mark.parametrize("base", [0x1_0000, 0x1_0200, 0x1_0DF0, 0x1_0FFF])
@pytest.mark.parametrize("limit", [c.M16, 0x1234, c.M32])
def test_a_segment_anywhere(base: int, limit: int) -> None:
    print(f"VMSIM_SEED={SEED}")
    for n in range(12):
        r = random.Random(SEED + n)
        code = program(r)
        stops = sorted(r.randrange(1, 4000) for _ in range(10))
        begins = [
            (base + r.choice((0, 0, 0x100, 0x110)), r.randrange(r.choice((0x80, min(limit, SIZE)))))
            for _ in range(5000)
        ]
        expected, got = (
            run(start(code, base, engine, limit), stops, begins) for engine in ("reference", "native")
        )
        assert got == expected, n


def test_code_at_the_beginning_of_a_segment_runs_natively() -> None:
    """Not an instruction of a loop in the page in which the segment begins goes to the reference engine."""
    cpu = start(bytes.fromhex("40 4b 75fc ebfa"), 0x1_0DF0, "native")
    cpu.s[EIP] = 0
    cpu.run(1000)
    cpu._complete = None  # type: ignore[assignment, method-assign]
    assert cpu.run(50_000).reason is Reason.UNTIL
