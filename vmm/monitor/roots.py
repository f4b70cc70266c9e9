"""A shadow root: a page directory for the real processor, and what in the guest's tables it was derived from.

Of each guest table that a shadow entry came from, a root has a copy as it was then. So a root can be put
aside at a load of CR3 and taken up again later: whatever the guest has changed meanwhile shows in the
comparison (`changed`), and only what depends on it is derived anew. KVM calls such tables out of sync.

    directory (its entries cover 4 MB, or 2 MB with PAE)    one for each gigabyte that a pointer covers
      table (its entries cover 4 KB)                        at most one for each directory entry

`Walker` is as much of a processor as `isa.mmu.walk` needs; it notes the entries that it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from mmap import mmap

from isa import consts as c
from isa.cpu import Cpu
from isa.engine.intwords import IntWords
from isa.state import CR4

PAGE_SHIFT = 12
CHUNK = 64  # bytes compared at once


class Walker(IntWords):
    """Walks the guest's tables on behalf of a virtual processor."""

    def __init__(self, virtual: Cpu) -> None:
        self.s = virtual.s
        self.memory = virtual.memory
        self.store_physical = virtual.engine.store_physical  # accessed and dirty bits, as ever
        self.words = memoryview(virtual.memory.ram.data).cast("I")
        self.entries: list[tuple[int, int]] = []  # (byte offset in RAM, value), one for each 32 bits read

    def load_physical(self, address: int, w: int) -> int:
        page = self.memory.frame(address >> PAGE_SHIFT)
        if page < 0:
            self.entries.append((-1, 0))
            return self.memory.read(address, w >> 3)
        at = page + (address & 0xFFC)
        value = self.words[at >> 2]
        self.entries.append((at, value))
        return value


@dataclass(slots=True, eq=False)
class Source:
    """One of the guest's tables. `base` is the linear address that its first entry covers, `shift` the
    logarithm of what each covers, `size` its bytes."""

    page: int  # byte offset in RAM
    base: int
    shift: int
    size: int
    copy: bytearray
    words: memoryview = field(init=False)

    def __post_init__(self) -> None:
        self.words = memoryview(self.copy).cast("I")


@dataclass(slots=True, eq=False)
class Root:
    """`frame` is the directory's, `tables` the frames of the page tables by directory index."""

    frame: int
    tables: dict[int, int] = field(default_factory=dict)
    directories: dict[int, Source] = field(default_factory=dict)  # by `base`
    leaves: dict[int, Source] = field(default_factory=dict)
    volatile: bool = False  # the guest's tables are not in RAM: nothing here may be kept

    def note(self, gva: int, walker: Walker, wide: bool) -> Iterator[tuple[int, int]]:
        """Remember the entries of a walk. Yields (linear address, shift) of what was derived from others
        in their place, and must go."""
        size, shift = (8, 21) if wide else (4, 22)
        entries = walker.entries[::2] if wide else walker.entries
        for level, (at, value) in enumerate(entries):
            if at < 0:
                self.volatile = True
                return
            if level == 0:
                base, covers, known = gva & 0xC000_0000 if wide else 0, shift, self.directories
            else:
                base, covers, known = gva >> shift << shift, PAGE_SHIFT, self.leaves
            page, word = at & ~0xFFF, (at & 0xFFF) >> 2
            source = known.get(base)
            if source is None or source.page != page:
                if source is not None:
                    yield base, shift
                copy = bytearray(walker.memory.ram.data[page : page + c.PAGE_SIZE])
                known[base] = Source(page, base, covers, size, copy)
                continue
            if source.words[word] != value and source.words[word] & c.PTE_P:
                yield base + ((word << 2) // size << covers), covers
            source.words[word] = walker.words[at >> 2]
            if wide:
                source.words[word + 1] = walker.words[(at >> 2) + 1]

    def sources(self, gva: int, wide: bool) -> Iterator[Source]:
        """What the translation of `gva` was derived from."""
        shift = 21 if wide else 22
        directory, leaf = gva & 0xC000_0000 if wide else 0, gva >> shift << shift
        for known, base in ((self.directories, directory), (self.leaves, leaf)):
            if base in known:
                yield known[base]

    def has(self, source: Source) -> bool:
        """Whether something here is still derived from `source`."""
        known = self.leaves if source.shift == PAGE_SHIFT else self.directories
        return known.get(source.base) is source

    def changed(self, source: Source, data: mmap) -> Iterator[tuple[int, int]]:
        """(linear address, shift) of what was derived from entries that are different now."""
        now = data[source.page : source.page + c.PAGE_SIZE]
        if now == source.copy:
            return
        size, copy = source.size, source.copy
        for chunk in range(0, c.PAGE_SIZE, CHUNK):
            if now[chunk : chunk + CHUNK] == copy[chunk : chunk + CHUNK]:
                continue
            for at in range(chunk, chunk + CHUNK, size):
                if now[at : at + size] != copy[at : at + size] and copy[at] & c.PTE_P:
                    yield source.base + (at // size << source.shift), source.shift
        copy[:] = now

    def covering(self, gva: int, wide: bool) -> int:
        """The shift of the guest's page at `gva`: of a large one, if it was one."""
        source = self.directories.get(gva & 0xC000_0000 if wide else 0)
        if source is None:
            return PAGE_SHIFT
        word = (gva - source.base >> source.shift) * source.size >> 2
        return source.shift if source.words[word] & c.PDE_PS else PAGE_SHIFT


def is_wide(virtual: Cpu) -> bool:
    """Whether the guest's entries have 64 bits."""
    return bool(virtual.s[CR4] & c.CR4_PAE)
