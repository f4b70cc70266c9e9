"""The real machine's descriptor tables while a guest runs: shadow GDT, and the monitor's own registers.

On a processor that lets segment loads, LAR, LSL, SGDT and STR through, the guest meets the real tables.
The shadow GDT is a copy of the guest's with DPL 0 turned into 1 and limits cut below the monitor; it lives
in the monitor's corner, where SGDT finds it. The real LDTR, TR and IDTR hold the monitor's values, CR0
the host's. What the guest reads there is what it should not see.
"""

from __future__ import annotations

from isa import consts as c
from isa.segment import attr_of, base_of, encode_descriptor, limit_of
from isa.state import ATTR, CR0, GDT_BASE, GDT_LIMIT, IDT_BASE, IDT_LIMIT, LIMIT, SEL
from vmm.monitor.memory import ShadowTables
from vmm.monitor.vm import MONITOR_BASE, VirtualMachine
from vmm.monitor.world import compressed_attr, truncated_limit

SHADOW_GDT = MONITOR_BASE
MONITOR_IDT = MONITOR_BASE + 0x1_0000
MONITOR_TSS_SELECTOR, MONITOR_LDT_SELECTOR = 0xFFF8, 0xFFF0
GDT_PAGES = 16
HOST_CR0 = c.CR0_PE | c.CR0_MP | c.CR0_ET | c.CR0_NE  # beside paging: a host with an FPU
DESCRIPTOR = 8


def compress_descriptor(low: int, high: int) -> tuple[int, int]:
    """A guest's descriptor as the real processor may see it; system descriptors stay as they are."""
    attr = attr_of(high)
    if not (attr & c.ATTR_S and attr & c.ATTR_P):
        return low, high
    base, limit = base_of(low, high), limit_of(low, high)
    return encode_descriptor(base, truncated_limit(base, limit, attr), compressed_attr(attr))


class RealTables:
    """Keeps the shadow GDT equal to the guest's, compressed."""

    def __init__(self, vm: VirtualMachine, shadow: ShadowTables) -> None:
        self.vm = vm
        self.real = vm.host.cpu
        self.frames = [vm.host.allocate() for _ in range(GDT_PAGES)]
        for n, frame in enumerate(self.frames):
            shadow.map_monitor(SHADOW_GDT + n * c.PAGE_SIZE, frame)
        self.copied = b""
        s = self.real.s
        s[CR0] |= HOST_CR0
        s[GDT_BASE], s[IDT_BASE], s[IDT_LIMIT] = SHADOW_GDT, MONITOR_IDT, 0x7FF
        s[SEL + c.TR], s[SEL + c.LDTR] = MONITOR_TSS_SELECTOR, MONITOR_LDT_SELECTOR
        s[LIMIT + c.LDTR], s[ATTR + c.LDTR] = 0, c.TYPE_LDT
        s[LIMIT + c.TR] = 0  # no I/O map: every port is denied in ring 3

    def refresh(self) -> None:
        """Copy the guest's GDT if it has changed."""
        virtual = self.vm.cpu
        limit = virtual.s[GDT_LIMIT]
        guest = virtual.peek(virtual.s[GDT_BASE], limit + 1) or b""
        if guest == self.copied and self.real.s[GDT_LIMIT] == limit:
            return
        self.copied = guest
        self.real.s[GDT_LIMIT] = limit
        shadow = bytearray()
        for at in range(0, len(guest) - DESCRIPTOR + 1, DESCRIPTOR):
            low = int.from_bytes(guest[at : at + 4], "little")
            high = int.from_bytes(guest[at + 4 : at + 8], "little")
            for word in compress_descriptor(low, high):
                shadow += word.to_bytes(4, "little")
        for n, frame in enumerate(self.frames):
            page = bytes(shadow[n * c.PAGE_SIZE : (n + 1) * c.PAGE_SIZE])
            self.vm.host.ram.write(frame, page.ljust(c.PAGE_SIZE, b"\0"))
