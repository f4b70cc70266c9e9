"""Regions: hot code found by sampling, compiled in the background, entered as if it were a handler.

Native code runs in slices. Where a slice ends is a sample of where execution is, so hot places show
without a counter anywhere. Around such a place a region is formed (`regionform`), compiled by a thread of
its own (`regioncode`, `regionstore`), and at the end of a later slice its address is put into the records
of its heads; whoever goes there enters it. Counts are exact in every tier, so when that happens no guest
can tell.

A region holds as long as its page is as it was: when that is stored to, `Pool` makes its records stubs
again, and nothing leads to the region any more. Code that keeps changing is left to the handlers.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from threading import Lock, Thread
from typing import TYPE_CHECKING

from isa import consts as c
from isa.engine.context import DELIVERIES, FAULTS, FLAT, VECTORS
from isa.engine.regionform import WORTH, Plan, compilable, form
from isa.engine.regionstore import RegionStore, name_of
from isa.engine.words import TraceError
from isa.insn import Insn
from isa.state import ATTR, BASE, CPL, EIP, LIMIT
from isa.table import ROWS

if TYPE_CHECKING:
    from isa.engine.library import Library
    from isa.engine.pool import Pool
    from isa.engine.threaded import Threaded
    from isa.engine.transfer import Delivery

TRANSFERS = frozenset({"int", "iret"})  # compiled for the tables that they meet (`transfer`)
DATA_SEGMENTS = (c.ES, c.SS, c.DS, c.FS, c.GS)


@dataclass(frozen=True, slots=True)
class Pace:
    """How eagerly regions are made. Slices are in instructions."""

    slice: int = 300_000  # between two samples, at first; they grow where regions do the work
    longest: int = 10_000_000
    hot: int = 800_000  # instructions that samples in new code of a page stand for, to make a region
    worth: int = WORTH  # instructions of a region without a loop
    faults: int = 20_000  # deliveries of a vector, to compile its delivery
    background: bool = True
    closely: int = 48  # instructions to look at one by one, for transfers, where no region can be made
    changes: int = 8  # regions lost to stores before a page is left to the handlers
    regions: int = 4096  # for one processor


PACE = Pace()


@dataclass(slots=True)
class _Page:
    """What is known of one code page, for one code size."""

    heat: int = 0  # instructions that samples in new code stood for
    covered: set[int] = field(default_factory=set)  # places in regions, or where none can be made
    heads: list[int] = field(default_factory=list)  # numbers of the records that enter regions
    changes: int = 0
    version: int = 0  # of the page's records


Install = Callable[[int], None]  # given the address of a function


_Job = tuple[str, Callable[[], str], Install]  # a function's name, its text, how to put it in place


@dataclass(slots=True, frozen=True)
class _Ready:
    """A function that is compiled, and how to put it in place."""

    address: int
    install: Install


@cache
def store_of(library: Library) -> RegionStore:
    """The compiled regions of this process."""
    return RegionStore(library.addresses)


def _region_ir(name: str, plan: Plan, known: dict[int, int]) -> str:
    """The module of a region."""
    from isa.engine.kernel import DECLARATIONS
    from isa.engine.regioncode import Region
    from isa.engine.ssa import METADATA

    return DECLARATIONS + Region(name, plan, known).trace() + METADATA


class Regions:
    """The regions of one processor's pool."""

    def __init__(self, native: Threaded, pace: Pace | None = None) -> None:
        self.native = native
        self.pool: Pool = native.pool
        self.pace = pace or PACE
        self.slice = self.pace.slice
        self.pages: dict[tuple[int, int], _Page] = {}
        self.made = 0
        self.delivered = [0] * VECTORS  # faults of each vector that native code has delivered and told
        self.deliveries: dict[int, Delivery] = {}  # what was compiled for them, by place in the context
        self._since = 0
        self._noise = 1
        self._closely = 0  # so many instructions are still looked at one by one
        self._jobs: deque[_Job] = deque()
        self._ready: list[_Ready] = []
        self._lock = Lock()
        self._thread: Thread | None = None

    # -- sampling ---------------------------------------------------------------------------------
    def budget(self) -> int:
        """Instructions to the next sample. Not always the same number, so that no loop hides from it."""
        if self._closely:
            return 1
        self._noise = (self._noise * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
        return self.slice - (self._noise >> 8) % (self.slice // 4 + 1)

    def ran(self, count: int) -> None:
        """Native code has run for `count` instructions: perhaps it is time to look where it is."""
        if self._ready:
            self._install()
        self._since += count
        if self._since >= self.slice // 2:
            self._sample(self._since)
            self._since = 0
        elif self._closely:
            self._closely -= 1
            self._look_closely()

    def _where(self) -> tuple[int, int] | None:
        """The code page that is executed, and where in it."""
        engine = self.native.engine
        linear = (self.native.cpu.s[EIP] + engine.cs_base) & c.M32
        number = engine.tlb.fetch[engine.user][linear >> 12]
        return (number - 1, linear & 0xFFF) if number else None

    def _sample(self, count: int) -> None:
        """Look where execution is; the sample stands for `count` instructions."""
        self._count_faults()
        where = self._where()
        if where is None:
            return
        number, place = where
        page = self.pages.setdefault((number, self.native.engine.key), _Page())
        if place in page.covered:
            self.slice = min(self.slice + self.slice // 16, self.pace.longest)
            return
        self.slice = self.pace.slice
        page.heat += count
        if page.heat < self.pace.hot or self._busy() or page.changes >= self.pace.changes:
            return
        page.heat = 0
        if not self.make(number, place):
            self._closely = self.pace.closely

    def _look_closely(self) -> None:
        """Hot code that no region is made of: what holds it up are often transfers."""
        where = self._where()
        if where is None:
            return
        number, place = where
        key = self.native.engine.key
        insn = self._insn(number, place)
        if insn is not None and ROWS[insn.row].name in TRANSFERS:
            page = self.pages.setdefault((number, key), _Page())
            if place not in page.covered and page.changes < self.pace.changes:
                self.make(number, place)

    def _busy(self) -> bool:
        self._go_on()
        return self._thread is not None and self._thread.is_alive()

    # -- making -----------------------------------------------------------------------------------
    def make(self, number: int, place: int) -> bool:
        """Have the region around a place in a code page compiled, or the transfer there; whether it is a region."""
        engine, pool = self.native.engine, self.pool
        key = engine.key
        page = self.pages.setdefault((number, key), _Page())
        if pool.split[number]:
            return False  # jumps in a region do not ask where their segment ends
        page.covered.add(place)
        first = self._insn(number, place)
        if first is None or self.made >= self.pace.regions:
            return False
        if ROWS[first.row].name in TRANSFERS:
            self._make_transfer((number, key), place, first)
            return False
        if not compilable(first):
            return False
        plan = form(place, lambda at: self._insn(number, at), worth=self.pace.worth)
        if plan is None or any(
            insn.row in pool.reference_only for piece in plan.pieces.values() for _, insn in piece.insns
        ):
            return False
        page.covered |= {at for piece in plan.pieces.values() for at, _ in piece.insns}
        known = self._known()
        name = name_of(plan, known, engine.bits)
        self._have(name, lambda: _region_ir(name, plan, known), self._into((number, key), plan.heads))
        return True

    def _insn(self, number: int, place: int) -> Insn | None:
        """The instruction at a place in a code page, if it has a record."""
        engine, pool = self.native.engine, self.pool
        at = place | engine.key
        insn = engine.ram.code[engine.ram.code_offsets[number]].insns.get(at)
        if insn is None or at not in pool.of_page.get(number, ()) or not pool.is_made(number, at):
            return None
        return insn

    def _make_transfer(self, page: tuple[int, int], place: int, insn: Insn) -> None:
        """Compile the transfer that is about to be executed, for the tables as they are."""
        from isa.engine.transfer import Transfer

        cpu = self.native.cpu
        at = (cpu.s[EIP] + self.native.engine.cs_base) & c.M32
        policy = cpu.policy
        trapping = insn.row in policy.instructions or policy.software_interrupts
        if at & 0xFFF != place or trapping or insn.row in self.pool.reference_only:
            return
        with suppress(TraceError):
            name, ir = Transfer(insn, cpu.s, cpu.peek).module()
            self._have(name, lambda: ir, self._into(page, (place,)))

    def _count_faults(self) -> None:
        """Compile the delivery of what is delivered often, from the level that is executed."""
        context, pace = self.native.context, self.pace
        for vector in range(VECTORS):
            if self.delivered[vector] + context[FAULTS + vector] >= pace.faults and not self._busy():
                self.delivered[vector] = -context[FAULTS + vector]
                self._make_delivery(vector)

    def _make_delivery(self, vector: int) -> None:
        from isa.engine.transfer import Delivery

        cpu, context = self.native.cpu, self.native.context
        at = DELIVERIES + 2 * vector + (cpu.s[CPL] == 3)
        known = self.deliveries.get(at)
        if (known is not None and known.holds(cpu.s)) or self.made >= self.pace.regions:
            return

        def install(address: int) -> None:
            context[at] = address

        with suppress(TraceError):
            made = self.deliveries[at] = Delivery(vector, cpu.s, cpu.peek)
            name, ir = made.module()
            self._have(name, lambda: ir, install)

    def _have(self, name: str, text: Callable[[], str], install: Install) -> None:
        """Compile a function, or find it compiled, and put it in place."""
        self.made += 1
        found = store_of(self.native.library).find(name)
        if found:
            install(found)
        elif self.pace.background:
            self._jobs.append((name, text, install))
            self._go_on()
        else:
            self._compile(name, text, install)
            self._install()

    def _known(self) -> dict[int, int]:
        """The state words that a region may take for granted: segments that are the linear space."""
        s, engine = self.native.cpu.s, self.native.engine
        known = {ATTR + c.SS: s[ATTR + c.SS]}
        if s[LIMIT + c.CS] == c.M32:
            known[LIMIT + c.CS] = c.M32
        for n in DATA_SEGMENTS:
            if s[BASE + n] == 0 and engine.read_end[n] == engine.write_end[n] == FLAT:
                known[BASE + n] = 0
        return known

    def _go_on(self) -> None:
        """Let a thread do the jobs that there are."""
        if self._jobs and (self._thread is None or not self._thread.is_alive()):
            self._thread = Thread(target=self._compile_beside, name="vmsim-regions")
            self._thread.start()

    def _compile_beside(self) -> None:
        """Compile in a thread of its own: what LLVM or the host refuse is left to the handlers."""
        while self._jobs:
            with suppress(RuntimeError, OSError):
                self._compile(*self._jobs.popleft())

    def _compile(self, name: str, text: Callable[[], str], install: Install) -> None:
        """Compile a function, to be put in place at the end of a slice."""
        try:
            ir = text()
        except TraceError:
            return
        address = store_of(self.native.library).compile(name, ir)
        with self._lock:
            self._ready.append(_Ready(address, install))

    # -- records ----------------------------------------------------------------------------------
    def _install(self) -> None:
        with self._lock:
            ready, self._ready = self._ready, []
        for one in ready:
            one.install(one.address)

    def _into(self, which: tuple[int, int], heads: tuple[int, ...]) -> Install:
        """Let the records of the heads lead to a function, if the page is still what it is now."""
        pool, version = self.pool, self.pages[which].version
        number, key = which

        def install(address: int) -> None:
            page = self.pages.get(which)
            if page is None or page.version != version:
                return
            for place in heads:
                index = pool.of_page[number][place | key]
                if not pool.originals[index]:
                    pool.originals[index] = pool.handler(index)
                    page.heads.append(index)
                pool.set_handler(index, address)

        return install

    def forget(self, number: int) -> None:
        """The code of a page has changed; records of instructions that have are stubs."""
        for key in (0, 0x1000):
            page = self.pages.get((number, key))
            if page is not None:
                for index in page.heads:
                    if self.pool.handler(index) != self.pool.library.unresolved:
                        self.pool.set_handler(index, self.pool.originals[index])
                    self.pool.originals[index] = 0
                page.changes += bool(page.covered)
                page.version += 1
                page.heat = 0
                page.heads.clear()
                page.covered.clear()

    def leave(self) -> None:
        """Give all heads back to their handlers."""
        for page in self.pages.values():
            for index in page.heads:
                self.pool.set_handler(index, self.pool.originals[index])
        self.native.context[DELIVERIES : DELIVERIES + 2 * VECTORS] = array("Q", bytes(16 * VECTORS))
        self.forget_all()

    def forget_all(self) -> None:
        """There are no records any more."""
        for page in self.pages.values():
            for index in page.heads:
                self.pool.originals[index] = 0
        self.pages.clear()
