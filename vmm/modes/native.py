"""`native`: the guest alone on the machine, at ring 0, with its own tables. The measure of all others.

What would cost something under a monitor is counted here as well, so that bare hardware has a price to
compare with: what the kernel executes of the sensitive instructions, and what hardware delivers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isa.consts import VECTOR_NAMES
from isa.cpu import Cpu
from isa.exits import Reason
from isa.faults import Again, Fault
from isa.insn import Insn
from isa.language import Builder
from isa.memory import Ram
from isa.table import ROWS, Definition, Row, Sensitive
from vmm.image import Image
from vmm.machine import BREAKPOINT, HALT, Stop
from vmm.memory import PcMemory
from vmm.modes.base import Mode

if TYPE_CHECKING:
    from vmm.machine import Machine

COUNTED = frozenset(row.name for row in ROWS if row.sensitive is not Sensitive.INNOCUOUS) - {
    "int",
    "int1",
    "int3",
    "into",
}


class Native(Mode):
    """Bare hardware: no monitor, nothing traps to one."""

    name = "native"
    title = "bare hardware, ring 0"
    monitored = False
    heeds_breakpoints = True

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        memory = PcMemory(Ram(machine.memory + len(machine.layout.rom)), machine.layout)
        self.cpu = self.guest = Cpu(memory, machine.ports, machine.devices.interrupts, model=machine.model)
        self.cpu.handlers = [
            self._counted(row) if row.name in COUNTED and define is row.define else define
            for row, define in zip(ROWS, self.cpu.handlers, strict=True)
        ]
        self.cpu.set_policy(self.cpu.policy)
        self.cpu.on_delivery = self.delivered
        self.cpu.on_int = self.software_interrupt
        self.cpu.on_tally = self.tally

    def _counted(self, row: Row) -> Definition:
        """The definition of a sensitive instruction that counts how often the kernel executes it."""
        work, figure, define = self.ledger.work, f"executed: {row.name}", row.define

        def execute(b: Builder, i: Insn) -> None:
            work[figure] += 1
            try:
                define(b, i)
            except Again:
                work[figure] -= 1
                raise

        return execute

    def tally(self, what: str, number: int, times: int) -> None:
        """What native code has counted on its way; the same figures as below."""
        if what == "int":
            self.ledger.work[f"delivered: int {number:#x}"] += times
        elif what == "fault":
            self.ledger.work[f"delivered: {VECTOR_NAMES.get(number, f'vector {number}')}"] += times
        elif ROWS[number].name in COUNTED:
            self.ledger.work[f"executed: {ROWS[number].name}"] += times

    def delivered(self, vector: int, fault: Fault | None, eip: int) -> None:
        self.ledger.work[f"delivered: {fault.name if fault else 'interrupt'}"] += 1
        super().delivered(vector, fault, eip)

    def software_interrupt(self, vector: int) -> None:
        self.ledger.work[f"delivered: int {vector:#x}"] += 1
        super().software_interrupt(vector)

    def start(self, image: Image) -> None:
        image.place(self.cpu.memory)
        image.set_up(self.cpu.s, self.machine.memory)
        self.cpu.sync()

    def run(self, until: int) -> Stop | None:
        self.cpu.detailed = self.ledger.listening
        leave = self.cpu.run(until, self.breakpoints)
        if leave.reason in (Reason.UNTIL, Reason.STOP):
            return None
        if leave.reason is Reason.BREAKPOINT:
            return BREAKPOINT
        return HALT if leave.reason is Reason.HALT else self.ending(leave)
