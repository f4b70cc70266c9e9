"""Our side of the x87 cases: one processor in one engine, its x87 loaded without FRSTOR."""

from __future__ import annotations

import struct
from array import array

from x87_cases import CODE_BYTES, ENCODINGS, MEMORY, Answer, Case

from isa import consts as c
from isa.cpu import Cpu
from isa.exits import ALL_VECTORS, TrapPolicy
from isa.memory import PhysicalMemory, Ram
from isa.state import CR0, EFLAGS, EIP, FPU, FPU_CONTROL, FPU_END, FPU_OPCODE, FPU_R, FPU_STATUS, FPU_TAGS

CODE, DATA, SIZE = 0x1000, 0x8000, 0x9000
EAX = 0xAAAA_5555  # what is there before FNSTSW
_SLOT = {code: CODE + CODE_BYTES * n for n, code in enumerate(ENCODINGS)}


class X87:
    """Every encoding lies in a place of its own; a case is one instruction there."""

    def __init__(self, engine: str = "reference") -> None:
        self.ram = Ram(SIZE)
        self.cpu = Cpu(PhysicalMemory(self.ram), policy=TrapPolicy(exceptions=ALL_VECTORS), engine=engine)
        self.ram.write(CODE, b"".join(code.ljust(CODE_BYTES, b"\x90") for code in ENCODINGS))
        self.cpu.s[CR0] |= c.CR0_NE
        self.cpu.sync()

    def run(self, k: Case) -> Answer:
        cpu, s = self.cpu, self.cpu.s
        self.load(k.state)
        self.ram.data[DATA : DATA + MEMORY] = k.memory
        s[EIP], s[c.EAX], s[c.ESI] = _SLOT[k.insn.raw], EAX, DATA
        cpu.engine.set_eflags(k.eflags)
        cpu.engine.attention = False
        fault = cpu.run(cpu.count + 1).fault
        return Answer(
            s[FPU_CONTROL], s[FPU_STATUS], self.stack(), s[FPU_OPCODE], self.ram.read(DATA, MEMORY), s[EFLAGS],
            s[c.EAX] & 0xFFFF, fault.vector if fault is not None else -1,
        )  # fmt: skip

    def load(self, image: bytes) -> None:
        s = self.cpu.s
        s[FPU:FPU_END] = array("I", bytes(4 * (FPU_END - FPU)))
        control, status, tags = (x & 0xFFFF for x in struct.unpack("<3I", image[:12]))
        s[FPU_CONTROL], s[FPU_STATUS] = control, status
        for n in range(8):
            register = (status >> c.FSW_TOP_SHIFT) + n & 7
            words = struct.unpack("<IIH", image[28 + 10 * n : 38 + 10 * n])
            s[FPU_R + 3 * register : FPU_R + 3 * register + 3] = array("I", words)
            if tags >> 2 * register & 3 != 3:
                s[FPU_TAGS] |= 1 << register

    def stack(self) -> list[int | None]:
        s, engine = self.cpu.s, self.cpu.engine
        top = s[FPU_STATUS] >> c.FSW_TOP_SHIFT & 7
        return [engine.r80(top + n & 7) if s[FPU_TAGS] >> (top + n & 7) & 1 else None for n in range(8)]
