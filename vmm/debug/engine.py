"""`Debugger`: a machine that somebody else stops, steps, breaks and takes back. An API without a terminal.

It is given a way to make fresh machines, all alike; machines are deterministic, so going back is running
a fresh one to an earlier instruction. It steps guest instructions in every mode. A sink on the machine's
ledger keeps the latest events: what trapped, what the monitor did about it. Every command that moves the
guest returns a `Stopped`. Nothing here formats text for people beyond one line; see `screens`.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from isa.consts import ESP
from isa.insn import Insn
from isa.state import CPL
from vmm.debug.breakpoints import AddressBreak, Break, Changed, EventBreak, Stops, Watch
from vmm.debug.expression import ExpressionError, evaluate
from vmm.debug.places import GuestScope, fetch, place, resolve
from vmm.events import Event
from vmm.machine import BREAKPOINT, Machine, Outcome, Stop

FOREVER = 1 << 62
HISTORY = 2000  # events kept
LONG_WAY = 200_000  # instructions that are worth a word before they are run again

B = TypeVar("B", AddressBreak, Watch, EventBreak)
CALLS = frozenset({"call", "call far", "int", "int1", "int3", "into"})


class DebugError(Exception):
    """A command cannot be carried out; the message is for people."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Where the guest is now and why.

    `why` is empty after a plain step. `ended` says how the guest ended, if it did. `before` is the guest's
    state at the stop before this one, `events` what happened in between (the latest of it).
    """

    why: str
    count: int
    eip: int
    before: array[int]
    events: tuple[Event, ...] = ()
    ended: Stop | None = None
    changed: Changed | None = None
    hit: tuple[Break, ...] = ()


@dataclass(slots=True)
class _Run:
    """What a run in progress has met."""

    events: deque[Event] = field(default_factory=lambda: deque(maxlen=HISTORY))
    fired: list[EventBreak] = field(default_factory=list)


class Debugger:
    """One guest under inspection. `fresh` makes machines at their first instruction, each like the last."""

    def __init__(
        self,
        fresh: Callable[[], Machine],
        *,
        on_console: Callable[[int], None] | None = None,
        on_progress: Callable[[str], None] | None = None,
    ) -> None:
        self.fresh = fresh
        self.on_console = on_console
        self.on_progress = on_progress
        self.breaks: dict[int, Break] = {}
        self.history: deque[Event] = deque(maxlen=HISTORY)
        self.ended: Stop | None = None
        self._number = 0
        self._run = _Run()
        self._silent = False
        self._interrupted = False
        self.machine = self._boot()
        self._stops = Stops(self.machine)
        self.before = self.state[:]

    def _boot(self) -> Machine:
        machine = self.fresh()
        machine.ledger.sinks.append(self._note)
        machine.devices.on_console = self._console
        self.history.clear()
        self.ended = None
        return machine

    def _console(self, byte: int) -> None:
        if self.on_console is not None and not self._silent:
            self.on_console(byte)

    def _note(self, event: Event) -> None:
        self.history.append(event)
        self._run.events.append(event)
        if not self._silent:
            for stop in self.breaks.values():
                if isinstance(stop, EventBreak) and stop.matches(event):
                    self._run.fired.append(stop)
                    self.machine.request_stop()

    # -- looking ------------------------------------------------------------------------------------

    @property
    def state(self) -> array[int]:
        """The guest's own registers, as it believes them."""
        self.machine.mode.settle()
        return self.machine.mode.guest.s

    @property
    def real(self) -> array[int] | None:
        """The registers of the processor that runs the guest for it; None on bare hardware."""
        return self.machine.mode.real_state()

    @property
    def count(self) -> int:
        return self.machine.mode.count

    @property
    def eip(self) -> int:
        """Linear address of the guest's next instruction."""
        return self.machine.mode.guest_eip

    @property
    def instruction(self) -> Insn | None:
        """The next instruction, if it can be read."""
        return fetch(self.machine, self.eip)

    def evaluate(self, text: str) -> int:
        """The value of an expression. Raises `ExpressionError`."""
        self.machine.mode.settle()
        return evaluate(text, GuestScope(self.machine))

    def resolve(self, text: str) -> int:
        """The address of a place. Raises `ExpressionError`."""
        self.machine.mode.settle()
        return resolve(text, self.machine)

    # -- moving -------------------------------------------------------------------------------------

    def step(self, count: int = 1) -> Stopped:
        """Execute `count` guest instructions, or fewer if something stops the guest."""
        return self._go(self.count + count)

    def resume(self, times: int = 1) -> Stopped:
        """Run until something stops the guest, the `times`-th time it does."""
        before = self.state[:]
        stopped = self._go(FOREVER)
        for _ in range(times - 1):
            if stopped.ended is not None or not (stopped.hit or stopped.changed):
                break
            stopped = self._go(FOREVER)
        self.before = before
        return replace(stopped, before=before)

    def run_to(self, address: int) -> Stopped:
        """Run until the guest comes to a linear address."""
        return self._go(FOREVER, address)

    def over(self) -> Stopped:
        """Execute one instruction; a call, an INT or a repeated string instruction as a whole."""
        insn = self.instruction
        if insn is None or not (insn.rep or insn.name in CALLS):
            return self.step()
        before, level, esp = self.state[:], self.state[CPL], self.state[ESP]
        target = self.eip + insn.length
        while True:
            stopped = self._go(FOREVER, target)
            if stopped.why or self.state[CPL] != level or self.state[ESP] >= esp:
                break
        self.before = before
        return replace(stopped, before=before)

    def back(self, count: int = 1) -> Stopped:
        """Go `count` instructions back."""
        return self.go_to(max(0, self.count - count))

    def reset(self) -> Stopped:
        """Start the guest anew; breakpoints stay."""
        return self.go_to(0)

    def go_to(self, count: int) -> Stopped:
        """The guest after `count` instructions, from a fresh machine."""
        before = self.state[:]
        if count > LONG_WAY and self.on_progress is not None:
            self.on_progress(f"running {count:,} instructions again")
        self._run = _Run()
        self._silent, self._interrupted = True, False
        try:
            self.machine = self._boot()
            stop = self.machine.advance(count)
        finally:
            self._silent = False
        self._stops.begin(self.machine, None)
        self._run = _Run()  # what happened on the way is history, not news
        return self._stopped(stop, before)

    def interrupt(self) -> None:
        """Stop a run in progress; a signal handler may call this."""
        self._interrupted = True
        self.machine.request_stop()

    # -- what stops the guest -----------------------------------------------------------------------

    def break_at(self, text: str, condition: str = "") -> AddressBreak:
        """Stop before the instruction at a place. Raises `ExpressionError`."""
        address = self.resolve(text)
        if condition:
            self.evaluate(condition)
        return self._add(AddressBreak(self._next_number(), text.strip(), address, condition))

    def break_on(self, event: str, detail: str = "") -> EventBreak:
        """Stop after an event of a kind of `breakpoints.EVENTS`."""
        return self._add(EventBreak(self._next_number(), event, detail))

    def watch(self, text: str, size: int = 4) -> Watch:
        """Stop when memory changes. Raises `ExpressionError`."""
        return self._add(Watch(self._next_number(), text.strip(), self.resolve(text), size))

    def delete(self, number: int) -> None:
        """Forget a breakpoint."""
        if number not in self.breaks:
            raise DebugError(f"there is no breakpoint {number}")
        del self.breaks[number]

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _add(self, stop: B) -> B:
        self.breaks[stop.number] = stop
        return stop

    # -- running ------------------------------------------------------------------------------------

    def _go(self, until: int, temporary: int | None = None) -> Stopped:
        """Run to `until` guest instructions, to an address, or to whatever stops the guest earlier."""
        if self.ended is not None:
            raise DebugError(f"the guest has ended: {self.ended.text}; `back` and `reset` still work")
        before = self.state[:]
        self._run = _Run()
        self._interrupted = self.machine.stop_requested = False
        while True:
            stop = self._advance(until, temporary)
            if stop is not BREAKPOINT or self.eip == temporary or self._stops.changed or any(self._hit()):
                return self._stopped(stop, before)

    def _advance(self, until: int, temporary: int | None) -> Stop | None:
        """One run of the machine under the breakpoints there are."""
        machine, stops, mode = self.machine, self._stops, self.machine.mode
        stops.watches = [stop for stop in self.breaks.values() if isinstance(stop, Watch)]
        stops.addresses = {}
        for stop in self.breaks.values():
            if isinstance(stop, AddressBreak):
                stops.addresses.setdefault(stop.address, []).append(stop)
        stops.begin(machine, temporary)
        if not self.breaks and temporary is None:
            return machine.advance(until)
        if not mode.heeds_breakpoints:
            return self._advance_slowly(until)
        mode.breakpoints = stops
        try:
            return machine.advance(until)
        finally:
            mode.breakpoints = ()

    def _advance_slowly(self, until: int) -> Stop | None:
        """The same for a mode that does not look at breakpoints: one instruction at a time."""
        machine, mode = self.machine, self.machine.mode
        while mode.count < until:
            mode.settle()
            if mode.guest_eip in self._stops:
                return BREAKPOINT
            stop = machine.advance(mode.count + 1)
            if stop is not None:
                return stop
        return None

    def _stopped(self, stop: Stop | None, before: array[int]) -> Stopped:
        """What a run came to."""
        self.machine.stop_requested = False
        self.machine.mode.settle()
        self.before = before
        why, ended, changed = "", None, None
        hit: tuple[Break, ...] = ()
        if stop is not None and stop.outcome not in (None, Outcome.INTERRUPTED):
            self.ended = ended = stop
            why = f"the guest has ended: {stop.outcome}, {stop.text}"
        elif (changed := self._stops.look()) is not None:
            changed.watch.hits += 1
            why = f"watch {changed.watch.number}: {self._change(changed)}"
        elif self._run.fired:
            hit = tuple(dict.fromkeys(self._run.fired))
            why = "; ".join(f"breakpoint {b.number} {b}" for b in hit)
        elif stop is BREAKPOINT:
            hit = tuple(self._hit())
            why = "; ".join(f"breakpoint {b.number} {b}" for b in hit)
        elif self._interrupted:
            why = "interrupted"
        for one in hit:
            one.hits += 1
        return Stopped(why, self.count, self.eip, before, tuple(self._run.events), ended, changed, hit)

    def _hit(self) -> Iterator[AddressBreak]:
        """The breakpoints here whose conditions hold, or cannot be evaluated."""
        for stop in self._stops.addresses.get(self.eip, ()):
            try:
                if not stop.condition or self.evaluate(stop.condition):
                    yield stop
            except ExpressionError:
                yield stop

    def _change(self, changed: Changed) -> str:
        """`[ticks] 00000000 → 01000000, by timer.asm:12 (tick)`."""
        before, after = (b.hex() if b is not None else "not mapped" for b in (changed.before, changed.after))
        by = f", by {place(self.machine.image, changed.by)}" if changed.by is not None else ""
        return f"{changed.watch.place}: {before} → {after}{by}"
