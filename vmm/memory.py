"""The physical address space of a PC: RAM, the hole below 1 MB, ROM and its shadow, devices, wire A20.

    FFFF FFFF ┐ ROM, all of it; the reset vector is 16 bytes below the end
              ┘ (FEE0 0000 local APIC, FEC0 0000 I/O APIC)
    …           nothing, or RAM up to its size
    0010 0000   RAM
    000F FFFF ┐ without a ROM: plain RAM, as a loader of kernels leaves it
    000C 0000 ┘ with one: its last 128 KB, or RAM: the host bridge's PAM chooses, for reads and for writes
    000B FFFF ┐
    000A 0000 ┘ the display adapter's window
    0000 0000   RAM

`AddressMap` holds the choices (PAM, A20) and is one per machine; a `PcMemory` looks through it at host
RAM, whose pages `frames` lists: in order on bare hardware, scattered under a monitor. Where a page is not
RAM the processor's access arrives at `read` or `write` and goes to the devices. Whoever keeps
translations registers in `on_remap` and forgets them when a choice changes.

Not here: the devices (vmm/devices/mmio.py) and who writes the choices (pci.py, system.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from isa.consts import PAGE_SIZE
from isa.memory import PhysicalMemory, Ram

PAGE_SHIFT = 12
VGA_PAGES = range(0xA0, 0xC0)
UPPER_PAGES = range(0xC0, 0x100)  # what PAM rules
LOW_ROM_PAGES = range(0xE0, 0x100)  # where the end of the ROM shows below 1 MB
A20_PAGE = 1 << 20 - PAGE_SHIFT
TOP_PAGE = 1 << 32 - PAGE_SHIFT
BLOCK_PAGES = 4  # PAM chooses for blocks of 16 KB; the last four, the BIOS's 64 KB, are ruled by one field
PAM_READ, PAM_WRITE = 1, 2  # the access goes to RAM, not to the ROM
NOTHING = -1
MAX_ROM = 1 << 24


class Space(Protocol):
    """What lies behind the addresses that are not RAM."""

    def read(self, address: int, size: int) -> int: ...

    def write(self, address: int, value: int, size: int) -> None: ...


class NoSpace:
    """A machine without memory-mapped devices."""

    def read(self, address: int, size: int) -> int:
        return (1 << 8 * size) - 1

    def write(self, address: int, value: int, size: int) -> None:
        pass


class AddressMap:
    """Which page of RAM or ROM a physical page means. RAM pages are numbered from 0, the ROM's follow."""

    def __init__(self, size: int, *, space: Space | None = None, rom: bytes = b"") -> None:
        if len(rom) % PAGE_SIZE or len(rom) > MAX_ROM:
            raise ValueError(f"a ROM of {len(rom)} bytes: whole pages, at most {MAX_ROM} bytes")
        self.pages = size // PAGE_SIZE
        self.space: Space = space or NoSpace()
        self.rom = rom
        self.pam = [0] * (len(UPPER_PAGES) // BLOCK_PAGES)
        self.a20 = True
        self.mask = -1  # the address wires in use
        self.reads: dict[int, int] = {}  # the pages that are not simply RAM, and what they are
        self.writes: dict[int, int] = {}
        self.memories: list[PcMemory] = []
        self._build()

    def set_pam(self, address: int, size: int, access: int) -> None:
        """The host bridge: where reads (PAM_READ) and writes (PAM_WRITE) of a stretch of blocks go."""
        first = (address >> PAGE_SHIFT) - UPPER_PAGES.start
        blocks = range(first // BLOCK_PAGES, (first + (size >> PAGE_SHIFT)) // BLOCK_PAGES)
        if any(self.pam[block] != access for block in blocks):
            for block in blocks:
                self.pam[block] = access
            self._build()
            self._changed()

    def set_a20(self, enabled: bool) -> None:
        """Wire A20: without it, addresses wrap at odd megabytes."""
        if enabled != self.a20:
            self.a20 = enabled
            self.mask = -1 if enabled else ~A20_PAGE
            self._changed()

    def save(self) -> dict[str, Any]:
        return {"pam": list(self.pam), "a20": self.a20}

    def load(self, state: dict[str, Any]) -> None:
        self.pam = list(state["pam"])
        self.a20 = state["a20"]
        self.mask = -1 if self.a20 else ~A20_PAGE
        self._build()
        self._changed()

    def _build(self) -> None:
        self.reads = dict.fromkeys(VGA_PAGES, NOTHING)
        self.writes = dict.fromkeys(VGA_PAGES, NOTHING)
        if not self.rom:
            return
        rom_pages = len(self.rom) // PAGE_SIZE
        for page in UPPER_PAGES:
            access = self.pam[(page - UPPER_PAGES.start) // BLOCK_PAGES]
            above = rom_pages - (UPPER_PAGES.stop - page)  # the page of the ROM that lies here
            rom = self.pages + above if above >= 0 and page in LOW_ROM_PAGES else NOTHING
            ram = page if page < self.pages else NOTHING
            self.reads[page] = ram if access & PAM_READ else rom
            self.writes[page] = ram if access & PAM_WRITE else NOTHING
        for n in range(rom_pages):
            self.reads[TOP_PAGE - rom_pages + n] = self.pages + n
            self.writes[TOP_PAGE - rom_pages + n] = NOTHING

    def _changed(self) -> None:
        for memory in self.memories:
            memory.remapped()


class PcMemory(PhysicalMemory):
    """Physical memory of a PC. `frames` are the byte offsets in the host's RAM of its pages: RAM, then ROM."""

    def __init__(self, ram: Ram, layout: AddressMap, frames: Sequence[int] | None = None) -> None:
        super().__init__(ram)
        self.layout = layout
        self.frames: Sequence[int] = frames if frames is not None else range(0, ram.size, PAGE_SIZE)
        pages = layout.pages + len(layout.rom) // PAGE_SIZE
        if len(self.frames) < pages:
            raise ValueError(f"{len(self.frames)} frames are not enough for {pages} pages of RAM and ROM")
        for n in range(0, len(layout.rom), PAGE_SIZE):
            ram.write(self.frames[layout.pages + n // PAGE_SIZE], layout.rom[n : n + PAGE_SIZE])
        layout.memories.append(self)

    @property
    def size(self) -> int:
        return self.layout.pages * PAGE_SIZE

    def frame(self, number: int) -> int:
        layout = self.layout
        number &= layout.mask
        number = layout.reads.get(number, number if number < layout.pages else NOTHING)
        return self.frames[number] if number >= 0 else NOTHING

    def store_frame(self, number: int) -> int:
        layout = self.layout
        number &= layout.mask
        number = layout.writes.get(number, number if number < layout.pages else NOTHING)
        return self.frames[number] if number >= 0 else NOTHING

    def read(self, address: int, size: int) -> int:
        """Read where no RAM is: from a device, or from nobody."""
        return self.layout.space.read(self._wired(address), size)

    def write(self, address: int, value: int, size: int) -> None:
        """Write where no RAM is: to a device, or lost."""
        self.layout.space.write(self._wired(address), value, size)

    def _wired(self, address: int) -> int:
        """What is left of an address on the wires in use."""
        return address if self.layout.a20 else address & ~(A20_PAGE << PAGE_SHIFT)
