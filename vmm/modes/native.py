"""`native`: the guest alone on the machine, at ring 0, with its own tables. The measure of all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isa.cpu import Cpu
from isa.exits import Reason
from isa.memory import PhysicalMemory, Ram
from isa.state import EIP
from vmm.image import Image
from vmm.machine import BREAKPOINT, HALT, Stop
from vmm.modes.base import Mode

if TYPE_CHECKING:
    from vmm.machine import Machine


class Native(Mode):
    """Bare hardware: no monitor, nothing traps to one."""

    name = "native"
    title = "bare hardware, ring 0"
    heeds_breakpoints = True

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        memory = PhysicalMemory(Ram(machine.memory))
        self.cpu = self.guest = Cpu(memory, machine.ports, machine.devices.pic)
        self.cpu.on_delivery = self.delivered
        self.cpu.on_int = self.software_interrupt

    def start(self, image: Image) -> None:
        self.cpu.memory.write_bytes(image.origin, image.data)
        self.cpu.s[EIP] = image.entry
        self.cpu.sync()

    def run(self, until: int) -> Stop | None:
        leave = self.cpu.run(until, self.breakpoints)
        if leave.reason in (Reason.UNTIL, Reason.STOP):
            return None
        if leave.reason is Reason.BREAKPOINT:
            return BREAKPOINT
        return HALT if leave.reason is Reason.HALT else self.ending(leave)
