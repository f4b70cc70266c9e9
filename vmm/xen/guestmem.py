"""The guest's memory by the guest's pointers: `copy_from_guest` and `copy_to_guest`.

Addresses are the guest's linear ones, translated by its current page tables with a supervisor's rights,
below the hypervisor's hole. Anything else is -EFAULT. A write is all or nothing.
"""

from __future__ import annotations

import struct

from isa.consts import PAGE_SIZE
from isa.cpu import Cpu
from isa.faults import PageFault
from vmm.xen.abi import EFAULT, HYPERVISOR_VIRT_START
from vmm.xen.errors import HypercallError


class GuestPointers:
    def __init__(self, cpu: Cpu) -> None:
        self.cpu = cpu
        self.ram = cpu.memory.ram

    def _pieces(self, gva: int, size: int, write: int) -> list[tuple[int, int]]:
        """(machine address, bytes) page by page. Raises -EFAULT."""
        if gva + size > HYPERVISOR_VIRT_START:
            raise HypercallError(EFAULT)
        pieces = []
        while size:
            take = min(size, PAGE_SIZE - gva % PAGE_SIZE)
            try:
                pieces.append((self.cpu.engine.translate(gva, write, 0), take))
            except PageFault:
                raise HypercallError(EFAULT) from None
            gva += take
            size -= take
        return pieces

    def read(self, gva: int, size: int) -> bytes:
        return b"".join(self.ram.read(at, take) for at, take in self._pieces(gva, size, 0))

    def write(self, gva: int, data: bytes) -> None:
        done = 0
        for at, take in self._pieces(gva, len(data), 1):
            self.ram.write(at, data[done : done + take])
            done += take

    def words(self, gva: int, count: int) -> tuple[int, ...]:
        """So many 32-bit words."""
        return struct.unpack(f"<{count}I", self.read(gva, 4 * count))

    def word(self, gva: int) -> int:
        return self.words(gva, 1)[0]

    def write_word(self, gva: int, value: int) -> None:
        self.write(gva, value.to_bytes(4, "little"))
