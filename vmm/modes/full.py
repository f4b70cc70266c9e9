"""`full`: trap-and-emulate on an x86 as Popek and Goldberg would have it.

The processor is real in all but one thing: every sensitive instruction of the table traps at CPL > 0,
also those that a real x86 lets through silently. Their first theorem then holds, and a monitor in the
manner of VM/370 is enough: direct execution, a trap, the interpreter, direct execution again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isa.exits import ALL_VECTORS, TrapPolicy
from isa.table import BY_NAME, Sensitive, rows
from vmm.machine import Stop
from vmm.modes.deprivileged import EVERY_FAULT, NAMES, Deprivileged
from vmm.monitor.world import SHOW_X87_CS

if TYPE_CHECKING:
    from vmm.machine import Machine


# Emulated without leaving native code, where that can (`isa.engine.virtual`).
COMMON = "cli sti pushf popf rdtsc smsw sgdt sidt sldt str lar lsl verr verw".split()
COMMON += ["push sreg", "mov sreg", "mov cr", "in", "out"]


class Full(Deprivileged):
    """Full virtualization: nothing sensitive runs unseen."""

    name = "full"
    title = "trap-and-emulate in ring 1, on a processor whose sensitive instructions all trap"
    heeds_breakpoints = True
    corner_is_empty = True  # what shows the real tables traps: nobody needs them there
    policy = TrapPolicy(
        exceptions=EVERY_FAULT,
        software_interrupts=ALL_VECTORS,
        instructions=rows((Sensitive.PRIVILEGED, Sensitive.SILENT)) | SHOW_X87_CS,
        virtual=frozenset(BY_NAME[name].index for name in COMMON),
    )

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.cpu.virtual = self.guest
        self.cpu.on_tally = self.tally

    def run(self, until: int) -> Stop | None:
        self.cpu.detailed = self.ledger.listening
        return super().run(until)

    def tally(self, what: str, number: int, times: int) -> None:
        """What compiled monitor code has emulated: traps like any other."""
        self.ledger.traps[NAMES[number]] += times
        self.ledger.work["instructions emulated"] += times
