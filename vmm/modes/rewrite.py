"""`rewrite`: binary translation on the x86 that was really built, as VMware did it before VT-x.

The guest's user code runs by direct execution in ring 3, where a real x86 does what a program expects.
Its kernel never runs itself: what runs, in ring 1, is its translation, made when it is first reached and
kept in a cache at the top of the linear space. What is sensitive has become harmless in the translation,
or leaves the cache for the monitor, which emulates it by its own definition like any other mode. User code
with IF clear or IOPL above 0, whose PUSHF and POPF would show or lose it, is translated too, for ring 3
(VMware's rule for direct execution). Code in segments that are not flat, in rings 1 and 2 or under TF is
interpreted, instruction by instruction.

What direct execution shows to a program that asks, it showed under VMware too: SGDT, SIDT, SLDT, STR and
SMSW, and what LAR, LSL, VERR and VERW find in the real tables. These are reported as divergences, the only
ones there are. Next: `vmm/rewrite`.
"""

from __future__ import annotations

from array import array
from collections import Counter
from typing import TYPE_CHECKING

from isa import consts as c
from isa.exits import ALL_VECTORS, Exit, Reason, TrapPolicy
from isa.faults import NotModelled, PageFault
from isa.state import (
    ATTR,
    BASE,
    CPL,
    CR4,
    EFLAGS,
    EIP,
    FPU_IP,
    GDT_BASE,
    GDT_LIMIT,
    IDT_BASE,
    IDT_LIMIT,
    LIMIT,
    SHADOW,
)  # fmt: skip
from isa.table import BY_NAME, ROWS
from vmm.events import Translated
from vmm.machine import BREAKPOINT, Stop
from vmm.modes.deprivileged import EVERY_FAULT
from vmm.modes.observing import Observing
from vmm.monitor import events
from vmm.monitor.cpu import MonitorBug
from vmm.monitor.vm import MONITOR_BASE
from vmm.monitor.world import World
from vmm.rewrite.cache import CacheFull, Site, TranslationCache
from vmm.rewrite.cells import HITS, IF_BEFORE, IF_CELL, SPILL_ECX, TARGET, Cells
from vmm.rewrite.code import Hold, Leave
from vmm.rewrite.directory import Directory
from vmm.rewrite.listing import Line, listing
from vmm.rewrite.traced import trace
from vmm.rewrite.translator import Link, Unit, translate
from vmm.rewrite.world import CacheWorld, ProgramWorld

if TYPE_CHECKING:
    from vmm.machine import Machine

TRACE_FAULTS_TOLERATED = 4  # of one instruction, before it is translated into a call-out (AA: adaptive)
# What shows a program the real machine or its descriptor tables, without a trap (Robin and Irvine, 3B and 3C).
SHOW_PROGRAMS = "sgdt sidt sldt str smsw lar lsl verr verw".split()
MONITOR_GDT, MONITOR_IDT, IDT_SIZE = MONITOR_BASE, MONITOR_BASE + 0x1000, 0x800


class Rewrite(Observing):
    """Binary translation of the guest's kernel, direct execution of its programs."""

    name = "rewrite"
    title = "the kernel translated at run time in ring 1, programs directly in ring 3, on a real x86"
    heeds_breakpoints = True
    # Not a trap: the simulator looks over the program's shoulder at what passes unseen.
    policy = TrapPolicy(
        exceptions=EVERY_FAULT,
        software_interrupts=ALL_VECTORS,
        instructions=frozenset(BY_NAME[name].index for name in SHOW_PROGRAMS),
    )

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.cells = Cells(self.host, self.shadow)
        self.cache = TranslationCache(self.host, self.shadow, self.ledger)
        self.directory = Directory(self.cache, self.cells, self.ledger)
        self.world: World = ProgramWorld(self.guest, self.cpu)
        self.cache_world = CacheWorld(self.guest, self.cpu)
        self.loaded: World = self.world
        self.pages: dict[tuple[int, bool], int] = {}  # linear page, level -> frame, since paging changed
        self._own_tables()
        self.waiting: Link | None = None  # the jump that left the cache for want of a translation
        self.missed = False  # an indirect jump left it
        self.trace_faults: Counter[int] = Counter()
        self.simulated: set[int] = set()

    def _own_tables(self) -> None:
        """The real tables have nothing for ring 3: every segment load and port of a program's traps."""
        s = self.cpu.s
        s[GDT_LIMIT] = s[LIMIT + c.LDTR] = s[LIMIT + c.TR] = 0
        s[GDT_BASE], s[IDT_BASE], s[IDT_LIMIT] = MONITOR_GDT, MONITOR_IDT, IDT_SIZE - 1
        s[CR4] |= c.CR4_TSD

    def settle(self) -> None:
        """Counted in the cache, reported here."""
        self.ledger.work["indirect hits"] = self.cells.read(HITS)

    def real_state(self) -> array[int]:
        """As the last exit left it: in the cache, where the translation stands."""
        return self.cpu.s

    # -- which code runs how ---------------------------------------------------------------------------

    def step_world(self, until: int) -> Stop | None:
        """Run the guest in one of three ways until `until` or until the monitor is needed."""
        if self.breakpoints and self.guest_eip in self.breakpoints:
            return BREAKPOINT
        if self._runs_directly():
            self.waiting, self.missed = None, False
            self._switch(self.world)
            return super().step_world(until)
        if self._is_translatable():
            return self._run_translated(until)
        return self._interpreted() if self.is_protected() else self._run_virtually(until)

    def _switch(self, world: World) -> None:
        """The real segments are whatever the other world loaded."""
        if self.loaded is not world:
            world.forget()
            self.loaded = world

    def _runs_directly(self) -> bool:
        """A program in ring 3 whose PUSHF and POPF show and do what they should."""
        s = self.guest.s
        return s[CPL] == 3 and s[EFLAGS] & (c.IF | c.IOPL) == c.IF and not self.debugs_itself()

    def _is_translatable(self) -> bool:
        """Code in flat segments of ring 0 or 3, below the monitor, not stepping."""
        s = self.guest.s
        flat = s[BASE + c.CS] == 0 and s[LIMIT + c.CS] == c.M32 and s[ATTR + c.CS] & c.ATTR_DB
        big_stack = s[ATTR + c.SS] & c.ATTR_DB
        level = s[CPL] in (0, 3)
        plain = not s[EFLAGS] & (c.TF | c.VM) and not self.debugs_itself()
        return bool(flat and big_stack and level and plain and s[EIP] < MONITOR_BASE)

    def _interpreted(self) -> Stop | None:
        """One instruction, on the virtual processor."""
        self.waiting, self.missed = None, False
        return self.interpret_one()

    def _run_virtually(self, until: int) -> Stop | None:
        """Real and virtual-8086 mode."""
        self.waiting, self.missed = None, False
        return self.run_virtually(until)

    # -- the translation of the guest's code -----------------------------------------------------------

    def _run_translated(self, until: int) -> Stop | None:
        """Enter the cache at the guest's EIP, and answer why it was left."""
        try:
            found = self._find()
        except PageFault as fault:
            self.trapped("#PF true", None, "the guest's code is not mapped")
            return self.reflect(fault)
        except NotModelled as missing:
            return self.ending(Exit(Reason.NOT_MODELLED, what=missing.what))
        if found is None:
            return self._interpreted()
        one = events.waits_for_shadow(self.guest) or bool(self.breakpoints)
        limit = self.cpu.count + 1 if one else until
        start = self.cpu.count
        source = self.guest.interrupts
        self.cells.show(self.guest)
        self._switch(self.cache_world)
        self.cache_world.enter_at(found, door_open=source is None or not source.intr)
        leave = self._run_to_boundary(limit)
        self.cpu.until = until if limit < until else self.cpu.until
        return self._left(leave, start)

    def _run_to_boundary(self, limit: int) -> Exit:
        """Run in the cache; a sequence in which a request to stop was heard is finished."""
        leave = self.cpu.run(limit)
        asked = leave.reason is Reason.STOP
        while leave.reason is Reason.STOP and self._site().piece.hold is not Hold.GUEST:
            leave = self.cpu.run(self.cpu.count + 1)
        self.cpu.stop_requested = self.cpu.stop_requested or asked
        return leave

    def _site(self) -> Site:
        """What the place where the processor stands in the cache means."""
        return self.cache.sites[self.cpu.s[EIP]]

    def _left(self, leave: Exit, start: int) -> Stop | None:
        """The processor came back from the cache: reconstruct the guest, then see what it was."""
        guest = self.guest
        site = self._site()
        self.cache_world.leave()
        flags = guest.s[EFLAGS] & ~c.IF | self.cells.read(IF_CELL)
        guest.engine.set_eflags(flags & c.M32)
        guest.s[EIP] = site.piece.eip
        x87 = self.cache.sites.get(guest.s[FPU_IP])
        if x87 is not None:
            guest.s[FPU_IP] = x87.piece.eip
        if site.piece.hold is Hold.SPILLED:
            guest.s[c.ECX] = self.cells.read(SPILL_ECX)
        guest.count = self.cpu.count
        if self.cpu.count > start:
            guest.s[SHADOW] = 1 if site.piece.after_sti and not self.cells.read(IF_BEFORE) else 0
        if leave.reason in (Reason.UNTIL, Reason.STOP):
            return None
        if leave.reason is Reason.SOFTWARE_INTERRUPT and site.piece.leave is not None:
            return self._planted(site)
        if site.piece.hold is Hold.MIDDLE:
            raise MonitorBug(f"{leave} in the middle of the sequence for {site.piece.eip:#x}")
        insn = self._peek_insn()
        return self.answer(Exit(leave.reason, leave.fault, leave.vector, insn, leave.what, leave.faults))

    def _planted(self, site: Site) -> Stop | None:
        """An INT3 of the translator's."""
        if site.piece.leave is Leave.CALL_OUT:
            return self._call_out()
        self.ledger.work["dispatches"] += 1
        if site.piece.leave is Leave.EXIT:
            self.waiting = site.link
            return None
        self.ledger.work["indirect misses"] += 1
        guest = self.guest
        guest.s[c.ECX] = self.cells.read(SPILL_ECX)
        guest.s[EIP] = self.cells.read(TARGET)
        self.cpu.count += 1
        guest.count = self.cpu.count
        guest.s[SHADOW] = 0
        self.missed = True
        return None

    def _call_out(self) -> Stop | None:
        insn = self._peek_insn()
        name = ROWS[insn.row].name if insn is not None else "no instruction"
        self.ledger.work["call-outs"] += 1
        self.trapped(f"callout: {name}", insn, "the translation leaves the cache here")
        return self.interpret()

    def listing(self, guest_eip: int) -> list[Line]:
        """The unit with the instruction at a guest address, beside its translation; empty if there is none."""
        found = self.directory.find((guest_eip, False)) or self.directory.find((guest_eip, True))
        return listing(found[0], self.cache) if found is not None else []

    # -- finding and making translations ---------------------------------------------------------------

    def _find(self) -> int | None:
        """The cache address for the guest's EIP, translating if need be; None if there is no RAM behind it.

        Raises `PageFault` if the guest cannot fetch there.
        """
        waiting, missed = self.waiting, self.missed
        self.waiting, self.missed = None, False
        eip, user = self.guest.s[EIP], self.guest.s[CPL] == 3
        frame = self._frame(eip, user)
        if frame < 0:
            return None
        found = self.directory.find((eip, user))
        if found is not None and found[0].frame != frame:
            self.directory.discard(found[0])
            found = None
        if found is None or ((waiting or missed) and found[1] != found[0].at):
            unit, fresh = self._translate(eip, user, frame)
            if fresh:
                return unit.at
            found = unit, unit.at
        unit = found[0]
        if waiting is not None and waiting.target == eip:
            self.directory.chain(waiting, unit)
        elif missed:
            try:
                self.directory.remember_target(unit)
            except CacheFull:
                self._empty()
                return self._translate(eip, user, frame)[0].at
        return found[1]

    def _frame(self, eip: int, user: bool) -> int:
        """The host frame of the page at `eip`, as the processor would find it now; -1 if it is no RAM."""
        key = eip >> 12, user
        frame = self.pages.get(key)
        if frame is None:
            physical = self.guest.engine.translate(eip, 0, int(user))
            frame = self.pages[key] = self.vm.memory.frame(physical >> 12)
        return frame

    def _translate(self, eip: int, user: bool, frame: int) -> tuple[Unit, bool]:
        """Make a unit. True: everything else was forgotten to make room."""
        unit = translate(self.host.ram, frame, eip, user, self.simulated)
        emptied = False
        try:
            self.cache.add(unit)
        except CacheFull:
            self._empty()
            emptied = True
            self.cache.add(unit)
        if frame not in self.shadow.traced:
            self.shadow.trace(frame)
            trace(self.host.ram, frame, self.directory.check)
        self.directory.add(unit)
        work = self.ledger.work
        work["units translated"] += 1
        work["guest bytes translated"] += len(unit.source)
        for one in unit.instructions:
            work[f"instructions {one.treatment}"] += 1
        if self.ledger.listening:
            count = len(unit.instructions)
            self.ledger.emit(Translated(self.count, eip, unit.at, len(unit.source), unit.size, count))
        return unit, emptied

    def _empty(self) -> None:
        """The cache is full: begin anew."""
        self.cache.empty()
        self.directory.empty()
        self.ledger.work["cache emptied"] += 1

    def flushed(self, gva: int | None) -> None:
        """The virtual processor dropped a translation of addresses, or all: code may be elsewhere now."""
        super().flushed(gva)
        if gva is None or self.guest.s[CR4] & c.CR4_PSE:
            self.pages.clear()
            self.directory.forget_pages(None)
        else:
            for user in (False, True):
                self.pages.pop((gva >> 12, user), None)
            self.directory.forget_pages(gva >> 12)

    # -- stores to translated code ----------------------------------------------------------------------

    def page_fault(self, leave: Exit, fault: PageFault) -> Stop | None:
        """A store to a page with translated code is emulated; the rest is as ever."""
        try:
            traced = bool((fault.error or 0) & c.PF_W) and self.shadow.stores_to_traced(fault.address)
        except (PageFault, NotModelled):
            traced = False
        if not traced:
            return super().page_fault(leave, fault)
        self.trapped("#PF trace", leave.insn, "the page holds translated code")
        self.ledger.work["trace faults"] += 1
        eip = self.guest.s[EIP]
        if self.guest.s[CPL] == 0:
            self._learn(eip)
        return self.interpret()

    def _learn(self, eip: int) -> None:
        """An instruction that often stores to a page with code is better translated into a call-out."""
        self.trace_faults[eip] += 1
        if self.trace_faults[eip] == TRACE_FAULTS_TOLERATED:
            self.simulated.add(eip)
            self.directory.discard_at(eip)
            self.ledger.work["instructions adapted"] += 1
