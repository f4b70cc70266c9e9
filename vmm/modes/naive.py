"""`naive`: trap-and-emulate on the x86 that was really built, before VT-x.

The same monitor as `full`, but the processor lets sensitive instructions that are not privileged execute
in ring 1: POPF ignores IF, SGDT shows the monitor's table, PUSH CS shows ring 1. Nothing traps; the guest
goes wrong later, or never notices. Each of these instructions is observed as it executes, compared with
what the virtual machine should have seen, and reported with its source line and the rule. The mode
promises no equivalence: its divergences are why x86 was not virtualizable (Robin and Irvine 2000).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isa.exits import ALL_VECTORS, Exit, Reason, TrapPolicy
from isa.faults import NotModelled, PageFault
from isa.insn import Insn
from isa.table import BY_NAME, ROWS, Sensitive, rows
from vmm.events import Diverged
from vmm.machine import Stop
from vmm.modes.deprivileged import EVERY_FAULT, Deprivileged
from vmm.monitor import observe
from vmm.monitor.tables import RealTables

if TYPE_CHECKING:
    from vmm.machine import Machine

TRAPS_ANYWAY = frozenset(BY_NAME[name].index for name in ("int", "int3", "into"))


class Naive(Deprivileged):
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

    def answer(self, leave: Exit) -> Stop | None:
        if leave.reason is Reason.INSTRUCTION:
            assert leave.insn is not None
            return self.observe(leave.insn)
        return super().answer(leave)

    def observe(self, insn: Insn) -> Stop | None:
        """Let the real processor execute a sensitive instruction, and compare."""
        eip = self.guest_eip
        self.tables.refresh()
        try:
            expected = observe.expect(self.guest, insn)
            self.world.enter()
            _executed, fault = self.cpu.execute()
        except NotModelled as missing:
            return self.ending(Exit(Reason.NOT_MODELLED, what=missing.what, insn=insn))
        if isinstance(fault, PageFault):
            return self.page_fault(Exit(Reason.FAULT, fault=fault, insn=insn), fault)
        if fault is not None:
            return self.protection_fault(Exit(Reason.FAULT, fault=fault, insn=insn), fault)
        self.world.leave()
        self.world.adopt_segments()
        self.guest.count = self.count
        observe.adopt(self.guest, expected)
        self.report(eip, insn, observe.differences(self.guest, expected))
        return None

    def report(self, eip: int, insn: Insn, differences: list[tuple[str, str, str]]) -> None:
        """One divergence per instruction, whatever it got wrong."""
        if not differences:
            return
        row = ROWS[insn.row]
        image = self.machine.image
        symbol = image.program.symbolize(eip) if image.program else None
        location = image.location(eip) + (f" ({symbol})" if symbol else "")
        expected = ", ".join(f"{what}={value}" for what, value, _ in differences)
        actual = ", ".join(f"{what}={value}" for what, _, value in differences)
        rule = f"{row.name.upper()}: {row.rule} (SDM {row.sdm})"
        self.ledger.diverged(Diverged(self.count, eip, row.name, location, expected, actual, rule))
