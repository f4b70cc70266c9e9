"""The translation cache: simulated memory with code in it, and what every address there stands for.

Frames of the host, mapped read-only into the monitor's corner of the linear space as they are needed. Code
is placed one unit after the other and never across a page; when the cache is full it is emptied as a whole.
Each address where the processor can come back has a `Site`. Next: `directory`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from isa.consts import PAGE_SIZE
from vmm.monitor.memory import ShadowTables
from vmm.monitor.vm import MONITOR_BASE, Host
from vmm.rewrite.code import INT3, Hold, Leave, Piece
from vmm.rewrite.translator import Link, Unit, stub

if TYPE_CHECKING:
    from vmm.events import Ledger

CACHE = MONITOR_BASE + 0x10_0000
CACHE_SIZE = 1 << 20


class CacheFull(Exception):
    """No room for a unit: empty the cache and translate again."""


@dataclass(slots=True, eq=False)
class Site:
    """What an address of the cache means: a piece, and the unit and link it belongs to."""

    piece: Piece
    unit: Unit | None
    link: Link | None = None


class TranslationCache:
    """Where translations live."""

    def __init__(self, host: Host, shadow: ShadowTables, ledger: Ledger, size: int = CACHE_SIZE) -> None:
        self.host = host
        self.shadow = shadow
        self.ledger = ledger
        self.size = size
        self.frames: list[int] = []
        self.sites: dict[int, Site] = {}
        self.used = 0
        self.miss = 0
        self.empty()

    def empty(self) -> None:
        """Forget all code. What remains is the one INT3 to which unknown indirect targets lead."""
        self.sites.clear()
        for frame in self.frames:
            self.host.ram.code_page(frame).uncounted = frozenset()
        self.used = 0
        self.miss = self._place([Piece(INT3, 0, Hold.MIDDLE, leave=Leave.MISS)], None)[0]

    # -- placing -------------------------------------------------------------------------------------

    def add(self, unit: Unit) -> None:
        """Place a unit, with a stub behind it for each of its jumps."""
        jumps = [piece for piece in unit.pieces if piece.target is not None]
        stubs = [stub(piece.target) for piece in jumps if piece.target is not None]
        addresses = self._place([*unit.pieces, *stubs], unit)
        unit.at = addresses[0]
        unit.size = addresses[-1] + len(INT3) - unit.at if stubs else addresses[-1] - unit.at + 1
        at = dict(zip(map(id, unit.pieces), addresses, strict=False))
        for one in unit.instructions:
            unit.positions[one.eip] = at[id(one.pieces[0])]
        self._link(unit, jumps, addresses[len(unit.pieces) :], at)

    def add_landing(self, unit: Unit, pieces: list[Piece]) -> Link:
        """Place the landing of a unit; its last piece jumps to the unit."""
        jump = pieces[-1]
        assert jump.target is not None
        *addresses, stub_at = self._place([*pieces, stub(jump.target)], unit)
        unit.landing = addresses[0]
        before = len(unit.links)
        self._link(unit, [jump], [stub_at], {id(jump): addresses[-1]})
        return unit.links[before]

    def _link(self, unit: Unit, jumps: list[Piece], stubs: list[int], at: dict[int, int]) -> None:
        for piece, stub_at in zip(jumps, stubs, strict=True):
            assert piece.target is not None
            link = Link(at[id(piece)], len(piece.code), piece.target, stub_at)
            unit.links.append(link)
            self.sites[stub_at].link = link
            self.point(link, stub_at)

    def _place(self, pieces: list[Piece], unit: Unit | None) -> list[int]:
        """Write pieces one after the other; their addresses."""
        code = b"".join(piece.code for piece in pieces)
        page, offset = divmod(self.used, PAGE_SIZE)
        if offset + len(code) > PAGE_SIZE:
            page, offset = page + 1, 0
        if page * PAGE_SIZE + offset + len(code) > self.size:
            raise CacheFull
        frame = self._frame(page)
        self.host.ram.write(frame + offset, code)
        self.ledger.work["cache bytes written"] += len(code)
        self.used = page * PAGE_SIZE + offset + len(code)
        addresses, weightless = [], []
        for piece in pieces:
            addresses.append(CACHE + page * PAGE_SIZE + offset)
            self.sites[addresses[-1]] = Site(piece, unit)
            if not piece.counts:
                weightless.append(offset)
            offset += len(piece.code)
        code_page = self.host.ram.code_page(frame)
        code_page.uncounted = code_page.uncounted.union(weightless)
        return addresses

    def _frame(self, page: int) -> int:
        while len(self.frames) <= page:
            frame = self.host.allocate()
            self.shadow.map_monitor(CACHE + len(self.frames) * PAGE_SIZE, frame, user=True, writable=False)
            self.frames.append(frame)
        return self.frames[page]

    # -- changing and reading ------------------------------------------------------------------------

    def point(self, link: Link, to: int) -> None:
        """Write the displacement of a jump."""
        end = link.at + link.length
        self.host.ram.write32(self.physical(end - 4), (to - end) & 0xFFFF_FFFF)
        self.ledger.work["cache bytes written"] += 4

    def physical(self, at: int) -> int:
        page, offset = divmod(at - CACHE, PAGE_SIZE)
        return self.frames[page] + offset

    def read(self, at: int, size: int) -> bytes:
        return self.host.ram.read(self.physical(at), size)
