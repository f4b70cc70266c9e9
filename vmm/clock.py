"""Virtual time: one tick is one guest instruction, and nothing reads the wall clock.

Here: `Clock`, a queue of timers ordered by instruction count, and `Oscillator`, which converts between
instructions and the ticks of a crystal (the PIT's 1.193182 MHz) in exact integers, so that nothing drifts.

The machine runs the CPU until `deadline()`, calls `advance(now)` with the count it reached, and goes on.
Before a guest touches a port it calls `advance` as well: a device sees the time of the access itself.
An idle machine skips to the deadline; the time skipped is part of `now`.

Not here: who keeps the count (vmm.machine) and what the timers do (vmm.devices). A callback cannot be
saved; its owner saves `timer.saved` and re-arms it with `Clock.restore`, ties keeping their order.
Read next: vmm/devices/pit.py, the clock's main customer.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from math import gcd
from typing import Any

INSTRUCTIONS_PER_SECOND = 10_000_000  # one instruction = 100 ns of virtual time
NS_PER_SECOND = 1_000_000_000
NS_PER_INSTRUCTION = NS_PER_SECOND // INSTRUCTIONS_PER_SECOND

_COMPACT_ABOVE = 64  # cancelled timers are swept out of a queue longer than this


class Timer:
    """One event to come. Events of one instant run in the order in which they were scheduled."""

    __slots__ = ("_clock", "callback", "live", "order", "when")

    def __init__(self, clock: Clock, when: int, order: int, callback: Callable[[], None]) -> None:
        self._clock = clock
        self.when = when
        self.order = order
        self.callback = callback
        self.live = True  # neither run nor cancelled

    def __lt__(self, other: Timer) -> bool:
        return (self.when, self.order) < (other.when, other.order)

    def cancel(self) -> None:
        """Harmless if the timer has run or was cancelled before."""
        if self.live:
            self.live = False
            self._clock._cancelled()

    @property
    def saved(self) -> list[int] | None:
        """What `Clock.restore` needs; None once the timer has run."""
        return [self.when, self.order] if self.live else None


class Clock:
    def __init__(self) -> None:
        self.now = 0  # instructions so far, with the idle time skipped
        self._queue: list[Timer] = []
        self._dead = 0  # cancelled timers still in the queue
        self._order = 0

    def at(self, when: int, callback: Callable[[], None]) -> Timer:
        """Run `callback` at instruction `when`, or at the next `advance` if that is past."""
        timer = self._push(max(when, self.now), self._order, callback)
        self._order += 1
        return timer

    def after_ns(self, ns: int, callback: Callable[[], None]) -> Timer:
        return self.at(self.now + instructions_in(ns), callback)

    def restore(self, saved: list[int] | None, callback: Callable[[], None]) -> Timer | None:
        """Re-arm a timer from its `saved`, in its old place among ties."""
        return self._push(saved[0], saved[1], callback) if saved is not None else None

    def deadline(self) -> int | None:
        """The instruction count of the next event."""
        queue = self._queue
        while queue and not queue[0].live:
            heapq.heappop(queue)
            self._dead -= 1
        return queue[0].when if queue else None

    def advance(self, now: int) -> None:
        """Move to `now`, running what falls due on the way; each callback sees its own instant as `now`."""
        if now < self.now:
            raise ValueError(f"time runs forward: at instruction {self.now}, asked for {now}")
        queue = self._queue
        while queue and queue[0].when <= now:
            timer = heapq.heappop(queue)
            if not timer.live:
                self._dead -= 1
                continue
            timer.live = False
            self.now = max(self.now, timer.when)
            timer.callback()
        self.now = now

    @property
    def ns(self) -> int:
        return self.now * NS_PER_INSTRUCTION

    def seconds(self) -> tuple[int, int]:
        """Virtual time as whole seconds and the nanoseconds beyond them."""
        return divmod(self.ns, NS_PER_SECOND)

    @property
    def pending(self) -> int:
        """How many events are still to come."""
        return len(self._queue) - self._dead

    def save(self) -> dict[str, Any]:
        return {"now": self.now, "order": self._order}

    def load(self, state: dict[str, Any]) -> None:
        """Load the clock before its users. Timers stay: each is its owner's to cancel and to restore."""
        self.now = state["now"]
        self._order = state["order"]

    def _push(self, when: int, order: int, callback: Callable[[], None]) -> Timer:
        timer = Timer(self, when, order, callback)
        heapq.heappush(self._queue, timer)
        return timer

    def _cancelled(self) -> None:
        """Sweep when most of the queue is dead, in place: `advance` may be walking it."""
        self._dead += 1
        if len(self._queue) > _COMPACT_ABOVE and self._dead * 2 > len(self._queue):
            self._queue[:] = [timer for timer in self._queue if timer.live]
            heapq.heapify(self._queue)
            self._dead = 0


class Oscillator:
    """A crystal of `hz`, at 0 ticks at instruction 0. Its ticks are counted exactly, so they never drift."""

    def __init__(self, hz: int) -> None:
        common = gcd(hz, INSTRUCTIONS_PER_SECOND)
        self._ticks = hz // common
        self._instructions = INSTRUCTIONS_PER_SECOND // common

    def tick(self, now: int) -> int:
        """How often it has ticked by instruction `now`."""
        return now * self._ticks // self._instructions

    def instant(self, tick: int) -> int:
        """The first instruction at which it has ticked `tick` times: `tick(instant(k)) == k` below 10 MHz."""
        return -(-tick * self._instructions // self._ticks)


def instructions_in(ns: int) -> int:
    """The fewest instructions that take at least `ns`."""
    return -(-ns // NS_PER_INSTRUCTION)
