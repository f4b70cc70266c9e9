"""Which guest code has a translation, what is chained to what, and what must be forgotten when.

Units are found by guest address and level; a unit is good as long as its page is still in the frame it was
read from, and its bytes are still what they were. The first is asked when the page is entered after paging
changed: until then no jump from another page leads in. The second is told by `traced`: code is
write-protected in the shadow tables, and whoever writes there on the guest's behalf says so.
"""

from __future__ import annotations

from isa.consts import PAGE_MASK
from vmm.events import Ledger
from vmm.rewrite import sequences
from vmm.rewrite.cache import TranslationCache
from vmm.rewrite.cells import SLOTS, TABLE, Cells
from vmm.rewrite.translator import Link, Unit

Key = tuple[int, bool]


class Directory:
    """All living units."""

    def __init__(self, cache: TranslationCache, cells: Cells, ledger: Ledger) -> None:
        self.cache = cache
        self.cells = cells
        self.ledger = ledger
        self.units: dict[Key, Unit] = {}
        self.inside: dict[Key, Unit] = {}  # every instruction of every unit
        self.by_frame: dict[int, set[Unit]] = {}
        self.far: set[Link] = set()  # chained across pages
        self.slots: dict[int, Unit] = {}  # of the table of indirect targets
        cells.fill_table(cache.miss)

    def find(self, key: Key) -> tuple[Unit, int] | None:
        """The unit that starts or passes at a guest address, and where in the cache."""
        unit = self.units.get(key) or self.inside.get(key)
        return None if unit is None else (unit, unit.positions[key[0]])

    def add(self, unit: Unit) -> None:
        """A unit has been placed in the cache."""
        self.units[unit.key] = unit
        for eip in unit.positions:
            self.inside[eip, unit.user] = unit
        self.by_frame.setdefault(unit.frame, set()).add(unit)
        self._mark(unit)

    # -- chaining --------------------------------------------------------------------------------------

    def chain(self, link: Link, unit: Unit) -> None:
        """Let a jump lead straight to a unit."""
        link.unit = unit
        unit.callers.add(link)
        self.cache.point(link, unit.at)
        self.ledger.work["chains patched"] += 1
        site = self.cache.sites[link.stub]
        if site.unit is not None and (site.unit.eip ^ unit.eip) & PAGE_MASK:
            self.far.add(link)

    def unchain(self, link: Link) -> None:
        """Let a jump lead to its stub again."""
        if link.unit is not None:
            link.unit.callers.discard(link)
            link.unit = None
            self.far.discard(link)
            self.cache.point(link, link.stub)

    def remember_target(self, unit: Unit) -> None:
        """An indirect jump went to this unit: the next one finds it in the table."""
        if not unit.landing:
            link = self.cache.add_landing(unit, sequences.landing(unit.eip))
            self.chain(link, unit)
        slot = unit.eip % SLOTS
        self.slots[slot] = unit
        self.cells.write(TABLE + 4 * slot, unit.landing)

    # -- forgetting ------------------------------------------------------------------------------------

    def forget_pages(self, page: int | None) -> None:
        """Paging has changed, for one page or all: no jump may lead there before it was looked at again."""
        for link in list(self.far):
            if page is None or link.target >> 12 == page:
                self.unchain(link)
        for unit in list(self.slots.values()):
            if page is None or unit.eip >> 12 == page:
                self._forget_target(unit)

    def _forget_target(self, unit: Unit) -> None:
        slot = unit.eip % SLOTS
        if self.slots.get(slot) is unit:
            del self.slots[slot]
            self.cells.write(TABLE + 4 * slot, self.cache.miss)

    def discard(self, unit: Unit) -> None:
        """A unit is no longer true."""
        unit.alive = False
        if self.units.get(unit.key) is unit:
            del self.units[unit.key]
        for eip in unit.positions:
            if self.inside.get((eip, unit.user)) is unit:
                del self.inside[eip, unit.user]
        self.by_frame[unit.frame].discard(unit)
        for link in [*unit.callers, *unit.links]:
            self.unchain(link)
        self._forget_target(unit)
        self.ledger.work["units invalidated"] += 1

    def discard_at(self, eip: int) -> None:
        """Forget every unit that has an instruction at a guest address."""
        for unit in [unit for unit in set(self.inside.values()) if eip in unit.positions]:
            self.discard(unit)

    def check(self, frame: int) -> None:
        """Code in a frame may have been stored to: forget the units that are no longer true."""
        ram = self.cache.host.ram
        for unit in list(self.by_frame.get(frame, ())):
            if ram.read(frame + unit.offset, len(unit.source)) == unit.source:
                self._mark(unit)
            else:
                self.discard(unit)

    def _mark(self, unit: Unit) -> None:
        """Let stores to the bytes of a unit be noticed."""
        page = self.cache.host.ram.code_page(unit.frame)
        for one in unit.instructions:
            if one.insn is not None:
                page.add(one.eip & 0xFFF, one.insn)

    def empty(self) -> None:
        """Forget everything; the cache is empty too."""
        for unit in self.inside.values():
            unit.alive = False
        self.units.clear()
        self.inside.clear()
        self.by_frame.clear()
        self.far.clear()
        self.slots.clear()
        self.cells.fill_table(self.cache.miss)
