"""Random programs with loops, calls and faults, for proving regions; and a run that can be compared.

Registers EBP, ESI and EDI mostly point into data pages, of which one is read-only, one is not there, one
is the code itself, and one the code through another mapping; operands lie at every distance from page
ends. A fault begins the program again, so nothing that random bytes can do ends a run.
"""

from __future__ import annotations

import random
import struct
from typing import Any

from isa import consts as c
from isa.cpu import Cpu
from isa.exits import ALL_VECTORS, Reason, TrapPolicy
from isa.memory import PhysicalMemory, Ram
from isa.state import BASE, CR0, CR3, EFLAGS, EIP

CODE, CODE_PAGES = 0x1000, 3
ALIAS = 0x5000  # of the first page of code
READ_ONLY, ABSENT, DATA, DATA_PAGES = 0x6000, 0x7000, 0x8000, 4
STACK = 0xE000
DIRECTORY, TABLE = 0x10000, 0x11000
RAM_SIZE = 1 << 17

FREE = (0, 2, 3)  # EAX EDX EBX: written without harm
_ALU = (0x00, 0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38)
_TWO_BYTE = bytes.fromhex("b6 b7 be bf af a3 ab b3 bb bc bd c1 b1 a5 ad")  # after 0F
_PLAIN = (
    "98 99 90 f8 f9 f5 fc 9f 9e 60 61 d6 d7 27 2f 37 3f a4 a5 aa ab ac ad ae af f3a4 f3a5 f3ab f2ae f3a6 "
    "fd 0fc8 0fcb 6699 6698 9c58 50 5a 53 5b 58 f390 c9"
).split()

_HARMLESS = "98 99 90 f8 f9 f5 fc 9f 9e d7 27 2f 0fc8 0fcb 6699 6698 505a 535b f390 85d2 0fa2 ac ad".split()


class Writer:
    """A program in the making: code with jumps to labels."""

    def __init__(self, r: random.Random) -> None:
        self.r = r
        self.code = bytearray()
        self.labels: dict[str, int] = {}
        self.jumps: list[tuple[int, str]] = []
        self.names = 0

    def jump(self, opcode: bytes, label: str) -> None:
        self.code += opcode + bytes(4)
        self.jumps.append((len(self.code), label))

    def label(self, name: str) -> None:
        self.labels[name] = len(self.code)

    def fresh(self) -> str:
        self.names += 1
        return f"l{self.names}"

    def finish(self) -> bytes:
        for at, label in self.jumps:
            struct.pack_into("<i", self.code, at - 4, self.labels[label] - at)
        return bytes(self.code)

    # -- instructions -----------------------------------------------------------------------------
    def register(self) -> int:
        return self.r.choice(FREE) if self.r.randrange(200) else self.r.randrange(8)

    def modrm(self, reg: int, *, memory: bool | None = None) -> bytes:
        r = self.r
        if memory is None:
            memory = r.randrange(2) == 0
        if not memory:
            return bytes([0xC0 | reg << 3 | self.register()])
        displacement = struct.pack(
            "<i", r.choice((0, 4, 1, -4, r.randrange(-64, 64), r.randrange(-4096, 4096)))
        )
        if r.randrange(4) == 0:  # with an index
            return (
                bytes([0x84 | reg << 3, r.choice((0, 0x40, 0x80)) | 1 << 3 | r.choice((5, 6, 7))])
                + displacement
            )
        return bytes([0x80 | reg << 3 | r.choice((5, 6, 7))]) + displacement

    def instruction(self) -> None:
        r = self.r
        prefix = b"\x66" if r.randrange(8) == 0 else b""
        wide = r.randrange(4) != 0
        choice = r.randrange(16)
        if choice < 4:
            opcode = r.choice(_ALU) + (1 if wide else 0) + r.choice((0, 2))
            self.code += prefix + bytes([opcode]) + self.modrm(self.register())
        elif choice < 6:
            self.code += prefix + bytes([r.choice((0x88, 0x8A)) + wide]) + self.modrm(self.register())
        elif choice == 6:
            self.code += b"\x83" + self.modrm(r.randrange(8)) + r.randbytes(1)
        elif choice == 7:
            self.code += prefix + bytes([r.choice((0xD0, 0xD2)) + wide]) + self.modrm(r.randrange(8))
        elif choice == 8:
            self.code += prefix + bytes([0xC0 + wide]) + self.modrm(r.randrange(8)) + bytes([r.randrange(34)])
        elif choice == 9:
            self.code += bytes([r.choice((0x40, 0x48)) + r.choice(FREE)])
        elif choice == 10:
            opcode = r.choice(_TWO_BYTE)
            self.code += b"\x0f" + bytes([opcode]) + self.modrm(r.choice(FREE))
        elif choice == 11:
            self.code += (
                b"\x0f" + bytes([r.choice((0x40, 0x90)) + r.randrange(16)]) + self.modrm(r.choice(FREE))
            )
        elif choice == 12:
            self.code += prefix + bytes([0xF6 + wide]) + self.modrm(r.choice((2, 3, 4, 5, 6, 7)))
        elif choice == 13:
            self.code += prefix + bytes([r.choice((0x86, 0x84)) + wide]) + self.modrm(r.choice(FREE))
        elif choice == 14:
            self.code += b"\x8d" + self.modrm(r.choice(FREE), memory=True)
        else:
            self.code += bytes.fromhex(r.choice(_PLAIN if r.randrange(8) == 0 else _HARMLESS))

    def body(self, depth: int, functions: list[str]) -> None:
        r = self.r
        for _ in range(r.randrange(1, 7)):
            choice = r.randrange(12)
            if choice == 0 and depth:
                self.loop(depth - 1, functions)
            elif choice == 1:
                over = self.fresh()
                self.jump(b"\x0f" + bytes([0x80 + r.randrange(16)]), over)
                for _ in range(r.randrange(1, 4)):
                    self.instruction()
                self.label(over)
            elif choice == 2 and functions:
                self.jump(b"\xe8", r.choice(functions))
            else:
                self.instruction()

    def pointers(self) -> None:
        """EBP, ESI and EDI where memory is, mostly."""
        r = self.r
        for register in (5, 6, 7):
            near = r.choice((DATA + 0x1000, DATA + 0x1800, DATA + 0x2000))
            if r.randrange(12) == 0:
                near = r.choice((READ_ONLY, ABSENT, CODE, ALIAS, DATA))
            self.code += bytes([0xB8 + register]) + struct.pack("<I", near + r.choice((0x100, 0x800, 0xFF0)))

    def loop(self, depth: int, functions: list[str]) -> None:
        r, again = self.r, self.fresh()
        saved = depth and r.randrange(2)
        if saved:
            self.code += b"\x51"  # push ecx
        self.code += b"\xb9" + struct.pack("<I", r.randrange(1, 60))
        self.label(again)
        if r.randrange(2):
            self.pointers()
        self.body(depth, functions)
        self.code += r.choice((b"\x49", b"\x83\xe9\x01", b"\x83\xe9\x01\x84\xc0\x85\xc9"))
        self.jump(b"\x0f\x85", again)
        if saved:
            self.code += b"\x59"


def program(r: random.Random) -> bytes:
    """Registers set, a few loops that call functions, for ever; sometimes it begins near a page's end."""
    w = Writer(r)
    functions = [w.fresh() for _ in range(r.randrange(3))]
    w.code += b"\x90" * r.choice((0, 0, 0, 0xF00, 0xFD0))
    w.label("start")
    w.pointers()
    for _ in range(r.randrange(1, 4)):
        w.loop(2, functions)
    w.jump(b"\xe9", "start")
    for name in functions:
        w.label(name)
        w.body(1, [])
        if r.randrange(3) == 0:  # recursion, as deep as EBX says
            w.code += b"\xd1\xeb"
            out = w.fresh()
            w.jump(b"\x0f\x84", out)
            w.jump(b"\xe8", name)
            w.label(out)
        w.code += b"\xc3"
    return w.finish()[: CODE_PAGES * c.PAGE_SIZE]


def lay(ram: Ram, code: bytes) -> None:
    """Put a program into memory, and the page tables."""
    ram.write(CODE, code)
    entries = [n << 12 | 7 for n in range(32)]
    entries[ALIAS >> 12] = CODE | 7
    entries[READ_ONLY >> 12] &= ~2
    entries[ABSENT >> 12] = 0
    ram.write(DIRECTORY, struct.pack("<I", TABLE | 7))
    ram.write(TABLE, struct.pack("<32I", *entries))


def start(code: bytes, engine: str, *, base: int = 0) -> Cpu:
    """A processor at the beginning of a program."""
    ram = Ram(RAM_SIZE)
    lay(ram, code)
    ram.write(DATA, random.Random(1).randbytes(DATA_PAGES * c.PAGE_SIZE))
    cpu = Cpu(PhysicalMemory(ram), policy=TrapPolicy(exceptions=ALL_VECTORS), engine=engine)
    s = cpu.s
    s[CR3], s[c.ESP] = DIRECTORY, STACK
    s[CR0] |= c.CR0_PG | c.CR0_WP
    if base:
        s[BASE + c.DS] = base
    begin(cpu)
    return cpu


def begin(cpu: Cpu) -> None:
    """At the program's first instruction, in one of its two places."""
    s = cpu.s
    s[EIP] = CODE if cpu.count & 1 else ALIAS
    s[EFLAGS] &= ~c.DF
    s[c.ESP] = STACK
    cpu.sync()


def run(code: bytes, stops: list[int], engines: list[str], *, base: int = 0) -> list[Any]:
    """What there is to see at each stop; whatever faults begins again."""
    cpu = start(code, engines[0], base=base)
    seen: list[Any] = []
    began = -1
    for stop, engine in zip(stops, engines, strict=True):
        cpu.use_engine(engine)
        leave = cpu.run(stop)
        while leave.reason is not Reason.UNTIL:
            seen.append((leave.reason, leave.vector, cpu.count, cpu.s.tolist()))
            if began == cpu.count:  # it has spoilt its first instruction, or what leads there
                lay(cpu.memory.ram, code)
                cpu.engine.flush_tlb()
            began = cpu.count
            begin(cpu)
            leave = cpu.run(stop)
        seen.append((leave.reason, leave.vector, cpu.count, cpu.s.tolist(), bytes(cpu.memory.ram.data)))
    return seen
