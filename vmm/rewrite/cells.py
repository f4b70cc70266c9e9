"""The monitor's data page for translated code: virtual registers, spilled ones, the table of targets.

Translated code reaches it through GS, which the monitor keeps for itself (AA 3.5). The first words show
the code what the guest would see; the monitor writes them when it enters the cache. Behind the table of
indirect targets lies the *door*: whatever sets IF stores there first. While an interrupt waits for IF,
the segment ends before the door, so that store traps, and no check is needed in the code.

    000  IF, other virtual flags, selectors, control registers         shown
    040  spilled ECX EDX EAX, target, IF before STI, hits
    400  256 cache addresses, by the low byte of the guest's target
    800  the door
"""

from __future__ import annotations

import struct

from isa import consts as c
from isa.cpu import Cpu
from isa.state import CR0, CR2, CR3, CR4, EFLAGS, SEL
from vmm.monitor.memory import ShadowTables
from vmm.monitor.vm import MONITOR_BASE, Host
from vmm.monitor.world import VIRTUAL_FLAGS

CELLS = MONITOR_BASE + 0x3F_F000  # the last page of all

IF_CELL, OTHER_FLAGS = 0x00, 0x04
SELECTOR_CELLS = {c.CS: 0x08, c.SS: 0x0C, c.GS: 0x10}
CONTROL_CELLS = {0: 0x14, 2: 0x18, 3: 0x1C, 4: 0x20}
SPILL_ECX, SPILL_EDX, TARGET, IF_BEFORE, HITS = 0x40, 0x44, 0x4C, 0x50, 0x54
TABLE, SLOTS = 0x400, 256
DOOR = 0x800
OPEN_LIMIT, CLOSED_LIMIT = DOOR + 3, DOOR - 1

_shown = struct.Struct("<9I").pack
_OTHER = VIRTUAL_FLAGS & ~(c.IF | c.FLAGS_ONE)


class Cells:
    """The page itself."""

    def __init__(self, host: Host, shadow: ShadowTables) -> None:
        self.ram = host.ram
        self.frame = host.allocate()
        shadow.map_monitor(CELLS, self.frame, user=True)
        self._last = b""

    def read(self, cell: int) -> int:
        return self.ram.read32(self.frame + cell)

    def write(self, cell: int, value: int) -> None:
        self.ram.write32(self.frame + cell, value)

    def show(self, virtual: Cpu) -> None:
        """Let translated code see the virtual registers as they are now."""
        s = virtual.s
        words = _shown(
            s[EFLAGS] & c.IF, s[EFLAGS] & _OTHER, s[SEL + c.CS], s[SEL + c.SS], s[SEL + c.GS],
            s[CR0], s[CR2], s[CR3], s[CR4],
        )  # fmt: skip
        self.ram.write(self.frame, words)

    def fill_table(self, address: int) -> None:
        """Every indirect target leads to `address`: nothing is known yet."""
        self.ram.write(self.frame + TABLE, struct.pack("<I", address) * SLOTS)
