"""`naive`: trap-and-emulate on the x86 that was really built, before VT-x.

The same monitor as `full`, but the processor lets sensitive instructions that are not privileged execute
in ring 1: POPF ignores IF, SGDT shows the monitor's table, PUSH CS shows ring 1. Nothing traps; the guest
goes wrong later, or never notices. Each of these instructions is observed as it executes, compared with
what the virtual machine should have seen, and reported with its source line and the rule. The mode
promises no equivalence: its divergences are why x86 was not virtualizable (Robin and Irvine 2000).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isa.exits import ALL_VECTORS, TrapPolicy
from isa.table import BY_NAME, Sensitive, rows
from vmm.modes.deprivileged import EVERY_FAULT
from vmm.modes.observing import Observing
from vmm.monitor.tables import RealTables

if TYPE_CHECKING:
    from vmm.machine import Machine

TRAPS_ANYWAY = frozenset(BY_NAME[name].index for name in ("int", "int1", "int3", "into"))


class Naive(Observing):
    """Trap-and-emulate where not everything traps."""

    name = "naive"
    title = "trap-and-emulate in ring 1, on a real x86: what does not trap fails silently"
    heeds_breakpoints = True
    promises_equivalence = False
    # Not a trap: the simulator looks over the guest's shoulder at what would pass unseen.
    policy = TrapPolicy(
        exceptions=EVERY_FAULT,
        software_interrupts=ALL_VECTORS,
        instructions=rows((Sensitive.SILENT,)) - TRAPS_ANYWAY,
    )

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.tables = RealTables(self.vm, self.shadow)

    def prepare_tables(self) -> None:
        self.tables.refresh()
