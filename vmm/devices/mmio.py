"""Memory-mapped devices: which physical pages belong to a device, and how wide accesses meet registers.

Here: the `Region` protocol, a block of device registers or device memory that is reached by physical
address, and `MmioBus`, which finds the region of an address. A region takes accesses of 1, 2, 4 or 8
bytes at an offset from its start and answers all of them; what crosses its end is cut into bytes. Where
nobody answers, a read gives all ones and a write is lost, as on the port bus.

Whole pages belong to a region, because the processor asks page by page what is RAM.
Not here: RAM, ROM and the address wires (vmm/memory.py). Read next: vga.py, apic.py.
"""

from __future__ import annotations

from typing import Protocol

from vmm.devices.bus import BITS_PER_BYTE

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT


class Region(Protocol):
    """What answers at a range of physical addresses."""

    @property
    def name(self) -> str: ...

    def read(self, offset: int, size: int) -> int: ...

    def write(self, offset: int, value: int, size: int) -> None: ...


class MmioBus:
    """Physical pages and the regions behind them."""

    def __init__(self) -> None:
        self._pages: dict[int, tuple[range, Region]] = {}

    def attach(self, span: range, region: Region) -> None:
        """Give the addresses of `span`, whole pages, to `region`. ValueError if one is taken."""
        if span.step != 1 or not span or span.start % PAGE_SIZE or span.stop % PAGE_SIZE:
            raise ValueError(f"{region.name}: {span} is not a range of whole pages")
        pages = range(span.start >> PAGE_SHIFT, span.stop >> PAGE_SHIFT)
        for page in pages:
            if page in self._pages:
                owner = self._pages[page][1].name
                raise ValueError(f"{region.name}: page {page << PAGE_SHIFT:#x} belongs to {owner}")
        self._pages.update(dict.fromkeys(pages, (span, region)))

    def owner(self, address: int) -> Region | None:
        """Who answers at a physical address."""
        found = self._pages.get(address >> PAGE_SHIFT)
        return found[1] if found is not None else None

    def pages(self) -> frozenset[int]:
        """The page numbers at which somebody answers."""
        return frozenset(self._pages)

    def read(self, address: int, size: int) -> int:
        found = self._pages.get(address >> PAGE_SHIFT)
        if found is None and (address + size - 1) >> PAGE_SHIFT == address >> PAGE_SHIFT:
            return (1 << size * BITS_PER_BYTE) - 1
        if found is None or not self._takes(found[0], address, size):
            return sum(self.read(address + n, 1) << n * BITS_PER_BYTE for n in range(size))
        return found[1].read(address - found[0].start, size) & (1 << size * BITS_PER_BYTE) - 1

    def write(self, address: int, value: int, size: int) -> None:
        found = self._pages.get(address >> PAGE_SHIFT)
        if found is None and (address + size - 1) >> PAGE_SHIFT == address >> PAGE_SHIFT:
            return
        if found is None or not self._takes(found[0], address, size):
            for n in range(size):
                self.write(address + n, value >> n * BITS_PER_BYTE & 0xFF, 1)
            return
        found[1].write(address - found[0].start, value & (1 << size * BITS_PER_BYTE) - 1, size)

    @staticmethod
    def _takes(span: range, address: int, size: int) -> bool:
        """Whether an access goes to a region in one piece: of a size that buses have, and inside it."""
        return size in (1, 2, 4, 8) and address + size <= span.stop
