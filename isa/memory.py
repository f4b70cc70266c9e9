"""Physical memory as a processor sees it, and the host's RAM behind it.

`Ram` is one block of bytes, shared by every processor and device, with the decoded instructions of its
pages: a store into bytes that were decoded throws those away, so self-modifying code works whoever
stores. A `PhysicalMemory` maps page-frame numbers into that block: the identity for a real machine, a
table of frames for a virtual one. What is not RAM reads as ones and ignores writes; devices with memory
override `read` and `write`. What a page is may depend on whether it is read or written (a ROM, RAM that
shadows one) and may change: then `remapped` tells those who remember. Next: `mmu`, `engine/reference`.
"""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING

from isa.consts import PAGE_SIZE

if TYPE_CHECKING:
    from isa.insn import Insn

LONGEST = 14  # bytes of an instruction after its first
CODE_BITS_AT_ONCE = 56  # bytes whose code bits are sure to lie in 64 bits


class CodePage:
    """The decoded instructions of one page, by offset in the page (16-bit code: | 0x1000)."""

    __slots__ = ("bits", "insns", "number", "uncounted", "watchers")

    def __init__(self, number: int, bits: memoryview) -> None:
        self.number = number  # the page is `Ram.code_offsets[number]`
        self.bits = bits  # bit n: byte n is of a decoded instruction
        self.insns: dict[int, Insn] = {}
        self.uncounted: frozenset[int] = frozenset()  # offsets whose instructions weigh nothing
        self.watchers: list[
            Callable[[int, int, int], None]
        ] = []  # told the page's number, first and last byte

    def add(self, key: int, insn: Insn) -> None:
        self.insns[key] = insn
        self._set_bits(key & 0xFFF, insn.length, True)

    def _set_bits(self, offset: int, size: int, held: bool) -> None:
        mask = (1 << size) - 1 << (offset & 7)
        part = self.bits[offset >> 3 : (offset + size + 7) >> 3]
        known = int.from_bytes(part, "little")
        part[:] = (known | mask if held else known & ~mask).to_bytes(len(part), "little")

    def holds(self, offset: int, size: int) -> bool:
        """Whether one of these bytes is of a decoded instruction."""
        part = self.bits[offset >> 3 : (offset + size + 7) >> 3]
        return int.from_bytes(part, "little") >> (offset & 7) & (1 << size) - 1 != 0

    def mark(self) -> None:
        """Take every byte for code: `watchers` hear of each store, as long as they mark the page again."""
        self.bits[:] = b"\xff" * len(self.bits)

    def stored(self, offset: int, size: int) -> None:
        """Bytes of the page changed: forget the instructions that have one of them, and tell."""
        if not self.holds(offset, size):
            return
        last = offset + size - 1
        for key in self._holding(offset, last):
            del self.insns[key]
        low, high = max(0, offset - LONGEST), min(PAGE_SIZE - 1, last + LONGEST)
        self._set_bits(low, high + 1 - low, False)
        for key in self._holding(low, high):
            self._set_bits(key & 0xFFF, self.insns[key].length, True)
        for watcher in self.watchers:
            watcher(self.number, offset, last)

    def _holding(self, first: int, last: int) -> list[int]:
        """The keys of the instructions that have one of these bytes."""
        if last - first >= len(self.insns):
            return [k for k, insn in self.insns.items() if first - insn.length < k & 0xFFF <= last]
        keys = [at | mark for at in range(max(0, first - LONGEST), last + 1) for mark in (0, 0x1000)]
        return [k for k in keys if k in self.insns and (k & 0xFFF) + self.insns[k].length > first]


def reserve(size: int, *, sparse: bool = True) -> mmap.mmap:
    """Zeroed memory that exists where it is touched; `sparse`: here and there, so by small pages."""
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    block = mmap.mmap(-1, size, flags=flags)
    if sparse and hasattr(mmap, "MADV_NOHUGEPAGE"):
        block.madvise(mmap.MADV_NOHUGEPAGE)
    return block


class Ram:
    """`size` bytes (whole pages) of host memory, and the code found in them."""

    def __init__(self, size: int) -> None:
        if size <= 0 or size % PAGE_SIZE:
            raise ValueError(f"RAM of {size} bytes: whole pages of {PAGE_SIZE} bytes are needed")
        self.size = size
        self.data = reserve(size, sparse=False)
        self.code: dict[int, CodePage] = {}  # by byte offset of the page
        self.code_offsets: list[int] = []  # the same pages by their numbers
        self.code_numbers = array("I", bytes(4 * (size // PAGE_SIZE)))  # by page: its number + 1, or 0
        self.code_bits = bytearray((size >> 3) + 8)  # a bit for each byte; may be read 64 at a time
        self.on_new_code: list[Callable[[], None]] = []  # engines drop writable translations

    def code_page(self, page: int) -> CodePage:
        """The code page at byte offset `page`, made on first use."""
        found = self.code.get(page)
        if found is None:
            bits = memoryview(self.code_bits)[page >> 3 : page + PAGE_SIZE >> 3]
            found = self.code[page] = CodePage(len(self.code_offsets), bits)
            self.code_offsets.append(page)
            self.code_numbers[page // PAGE_SIZE] = found.number + 1
            for notify in self.on_new_code:
                notify()
        return found

    def write(self, at: int, data: bytes) -> None:
        """Store from outside the processors (loaders, devices, monitors)."""
        if at < 0 or at + len(data) > self.size:
            raise ValueError(f"{len(data)} bytes at {at:#x} do not fit into RAM of {self.size:#x} bytes")
        self.data[at : at + len(data)] = data
        end = at + len(data)
        for page in range(at & ~(PAGE_SIZE - 1), end, PAGE_SIZE):
            code = self.code.get(page)
            if code is not None:
                first = max(at - page, 0)
                code.stored(first, min(end - page, PAGE_SIZE) - first)

    def read(self, at: int, size: int) -> bytes:
        return bytes(self.data[at : at + size])

    def write32(self, at: int, value: int) -> None:
        """Store one word, little end first."""
        self.write(at, value.to_bytes(4, "little"))

    def read32(self, at: int) -> int:
        return int.from_bytes(self.data[at : at + 4], "little")


class PhysicalMemory:
    """Physical addresses of a machine whose RAM is the whole block."""

    def __init__(self, ram: Ram) -> None:
        self.ram = ram
        self.on_remap: list[Callable[[], None]] = []  # engines drop their translations

    @property
    def size(self) -> int:
        """Bytes of RAM from physical address 0."""
        return self.ram.size

    def frame(self, number: int) -> int:
        """Byte offset in the RAM block of physical page `number`, or -1 if no RAM is there."""
        at = number * PAGE_SIZE
        return at if at < self.ram.size else -1

    def store_frame(self, number: int) -> int:
        """Where a store to physical page `number` goes, or -1 if it goes to no RAM."""
        return self.frame(number)

    def remapped(self) -> None:
        """What is RAM has changed: translations made so far are wrong."""
        for forget in self.on_remap:
            forget()

    def read(self, address: int, size: int) -> int:
        """Read where no RAM is."""
        return (1 << (8 * size)) - 1

    def write(self, address: int, value: int, size: int) -> None:
        """Write where no RAM is."""

    def read_bytes(self, address: int, size: int) -> bytes:
        """Bytes as a debugger sees them; ones where no RAM is."""
        out = bytearray()
        while len(out) < size:
            at = (address + len(out)) & 0xFFFF_FFFF
            take = min(size - len(out), PAGE_SIZE - at % PAGE_SIZE)
            page = self.frame(at // PAGE_SIZE)
            start = page + at % PAGE_SIZE
            out += self.ram.data[start : start + take] if page >= 0 else b"\xff" * take
        return bytes(out)

    def write_bytes(self, address: int, data: bytes) -> None:
        """Store bytes from a loader or monitor; ValueError where no RAM is."""
        done = 0
        while done < len(data):
            at = address + done
            take = min(len(data) - done, PAGE_SIZE - at % PAGE_SIZE)
            page = self.frame(at // PAGE_SIZE)
            if page < 0:
                raise ValueError(f"no RAM at physical address {at:#x}")
            self.ram.write(page + at % PAGE_SIZE, data[done : done + take])
            done += take
