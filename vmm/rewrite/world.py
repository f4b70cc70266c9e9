"""The switches: into the translation cache, with the monitor's CS and GS, and into a program.

In the cache CS is flat and reaches it; no guest code runs in that segment, only its translation. GS is the
monitor's data page, its limit the door of `cells`. All other segments are the guest's, compressed and
truncated. EIP is an address in the cache, so who leaves must say what it stands for.

A program in ring 3 runs in its own segments. The real descriptor tables have nothing for it, so that each
segment load traps and is emulated; a null selector needs no table, and is noticed when the program is left.
"""

from __future__ import annotations

from isa import consts as c
from isa.cpu import Cpu
from isa.state import CPL, EIP, FLAT_CODE, FLAT_DATA, LIMIT, SEL
from vmm.monitor.world import World, compressed_level
from vmm.rewrite.cells import CELLS, CLOSED_LIMIT, OPEN_LIMIT

CACHE_CS, CELLS_GS = 0xFFE0, 0xFFE8  # what the real registers hold; nothing shows it to the guest


class CacheWorld(World):
    """The world of translated code."""

    def __init__(self, virtual: Cpu, real: Cpu) -> None:
        super().__init__(virtual, real)
        self.door_open = True

    def enter_at(self, at: int, door_open: bool) -> None:
        """Go on at an address of the cache. With the door closed, what would set IF traps."""
        self.door_open = door_open
        self.enter()
        self.real.s[EIP] = at
        limit = OPEN_LIMIT if door_open else CLOSED_LIMIT
        if self.real.s[LIMIT + c.GS] != limit:
            self._load_cells(limit)

    def _load_segments(self) -> None:
        super()._load_segments()
        level = compressed_level(self.virtual.s[CPL])
        dpl = level << c.ATTR_DPL_SHIFT
        self.real.engine.set_segment(c.CS, CACHE_CS | level, 0, c.M32, FLAT_CODE | dpl)
        self._load_cells(OPEN_LIMIT if self.door_open else CLOSED_LIMIT)

    def _load_cells(self, limit: int) -> None:
        attr = FLAT_DATA & ~c.ATTR_G | 3 << c.ATTR_DPL_SHIFT
        self.real.engine.set_segment(c.GS, CELLS_GS | 3, CELLS, limit, attr)


class ProgramWorld(World):
    """The world of direct execution in ring 3."""

    def leave(self) -> None:
        super().leave()
        v, r = self.virtual.s, self.real.s
        if any(r[SEL + n] != v[SEL + n] for n in c.CPL_SEGMENTS):
            self.adopt_segments()
