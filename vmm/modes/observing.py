"""Looking over the guest's shoulder at instructions that no monitor would see.

On a real x86 some sensitive instructions execute below ring 0 without a trap and show, or do, something
else than on bare hardware. The simulator knows both: what the virtual processor would have done and what
the real one does. Here an instruction is executed by the real processor, as it would be unseen, and the
difference is reported as a divergence. This costs the guest nothing and counts as no trap.
"""

from __future__ import annotations

from isa.exits import Exit, Reason
from isa.faults import NotModelled, PageFault
from isa.insn import Insn
from isa.table import ROWS
from vmm.events import Diverged
from vmm.machine import Stop
from vmm.modes.deprivileged import Deprivileged
from vmm.monitor import observe


class Observing(Deprivileged):
    """A monitor on a processor that lets the instructions of `policy.instructions` through."""

    def answer(self, leave: Exit) -> Stop | None:
        if leave.reason is Reason.INSTRUCTION:
            assert leave.insn is not None
            return self.observe(leave.insn)
        return super().answer(leave)

    def prepare_tables(self) -> None:
        """Make the real descriptor tables what the guest would find, if they are not."""

    def observe(self, insn: Insn) -> Stop | None:
        """Let the real processor execute a sensitive instruction, and compare."""
        eip = self.guest_eip
        self.prepare_tables()
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
        self.guest.count = self.cpu.count
        observe.adopt(self.guest, expected)
        self.report(eip, insn, observe.differences(self.guest, expected))
        return None

    def report(self, eip: int, insn: Insn, differences: list[tuple[str, str, str]]) -> None:
        """One divergence per instruction, whatever it got wrong."""
        if not differences:
            return
        row = ROWS[insn.row]
        image = self.machine.image
        symbol = image.symbolize(eip)
        location = image.location(eip) + (f" ({symbol})" if symbol else "")
        expected = ", ".join(f"{what}={value}" for what, value, _ in differences)
        actual = ", ".join(f"{what}={value}" for what, _, value in differences)
        rule = f"{row.name.upper()}: {row.rule} (SDM {row.sdm})"
        self.ledger.diverged(Diverged(self.count, eip, row.name, location, expected, actual, rule))
