"""A processor with 1 MB of RAM in flat protected mode, for tests that execute a few instructions."""

from __future__ import annotations

from isa.cpu import Cpu
from isa.faults import Fault
from isa.memory import PhysicalMemory, Ram
from isa.state import EFLAGS, NAMES

CODE, DATA, STACK = 0x1000, 0x8000, 0x9000


class Bare:
    """Registers by name as attributes of `state`; memory by `poke` and `peek`."""

    def __init__(self, code: str, **state: int) -> None:
        self.ram = Ram(1 << 20)
        self.cpu = Cpu(PhysicalMemory(self.ram))
        self.ram.write(CODE, bytes.fromhex(code))
        self.set(eip=CODE, esp=STACK, **state)

    def set(self, **state: int) -> None:
        for name, value in state.items():
            self.cpu.s[NAMES[name]] = value
        self.cpu.sync()

    def __getitem__(self, name: str) -> int:
        return self.cpu.s[NAMES[name]]

    def flag(self, bit: int) -> bool:
        return bool(self.cpu.s[EFLAGS] & bit)

    def poke(self, at: int, value: int, size: int = 4) -> None:
        self.ram.write(at, value.to_bytes(size, "little"))

    def peek(self, at: int, size: int = 4) -> int:
        return int.from_bytes(self.ram.read(at, size), "little")

    def step(self, count: int = 1) -> Fault | None:
        """Execute; the fault that ended it, or None."""
        for _ in range(count):
            _, fault = self.cpu.execute()
            if fault is not None:
                return fault
        return None


def after(code: str, count: int = 1, **state: int) -> Bare:
    """The processor after `count` instructions that must not fault."""
    bare = Bare(code, **state)
    fault = bare.step(count)
    assert fault is None, fault
    return bare
