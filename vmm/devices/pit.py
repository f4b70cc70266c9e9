"""The interval timer of a PC: an 8254 with three counters, and port 61h.

Here: `Channel`, one counter in modes 0-5, and `Pit`, which programs three of them: counter 0 drives
IRQ 0, counter 1 (memory refresh) nothing, counter 2 the speaker, with its gate and output in port 61h.

A channel does not count: it remembers the tick at which its count was loaded, and computes count and
output from the ticks since. Ticks come from the clock's instruction count by an exact ratio, so a timer
never drifts; each change of counter 0's output is one timer of the clock. All after the datasheet: a count
is loaded one tick after it is written, in modes 2 and 3 at the end of the (half) period under way; a falling
gate stops modes 0, 2, 3, 4; a rising gate triggers 1, 2, 3, 5. A count of 1 in modes 2 and 3 is illegal
there and gives a constant output here.

Not here: the sound. Datasheet: Intel 82C54, 231244. Read next: pic.py, where IRQ 0 arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from vmm.clock import Clock, Oscillator, Timer
from vmm.devices.irq import InterruptLines

PIT_HZ = 1_193_182
COUNTER_0, COUNTER_2, CONTROL = 0x40, 0x42, 0x43
PORT_B = 0x61
IRQ_TIMER = 0
SPEAKER = 2  # the counter behind port 61h

CONTROL_BCD = 0x01
CONTROL_MODE_SHIFT = 1
CONTROL_RW_SHIFT = 4
CONTROL_SC_SHIFT = 6
RW_LATCH, RW_LSB, RW_MSB, RW_BOTH = range(4)
SC_READ_BACK = 3
READ_BACK_NO_COUNT = 0x20
READ_BACK_NO_STATUS = 0x10
STATUS_OUT = 0x80
STATUS_NULL_COUNT = 0x40

PORT_B_GATE2 = 0x01
PORT_B_KEPT = 0x0F  # gate, speaker data, parity and channel check enables read as written
PORT_B_REFRESH = 0x10
PORT_B_OUT2 = 0x20
REFRESH_TICKS = 18  # memory refresh, 15 microseconds: bit 4 toggles with it

EVENT_COUNT, RETRIGGERABLE, RATE, SQUARE, SOFT_STROBE, HARD_STROBE = range(6)
MODE_OF = (0, 1, 2, 3, 4, 5, 2, 3)  # M2 is "don't care" in modes 2 and 3
PERIODIC = (RATE, SQUARE)
TRIGGERED = (RETRIGGERABLE, HARD_STROBE)  # only the gate loads a count


@dataclass
class Channel:
    gate: bool = True
    mode: int = EVENT_COUNT
    access: int = RW_BOTH
    bcd: bool = False
    reload: int | None = None  # the count register, 1 to 65536; None until one is written
    count: int = 0  # the count being counted
    started: bool = False  # a count has been loaded, and not stopped by a control word
    base: int = 0  # the tick at which `count` was loaded
    held: int | None = None  # ticks counted when a low gate stopped it
    load_at: int | None = None  # the tick at which `reload` becomes `count`
    frozen: int = 0  # the 16 bits that a counter shows while it is not started
    null_count: bool = True  # the count register is not yet loaded
    low_written: int | None = None  # first byte of two
    high_next: bool = False  # read the second byte next
    latches: list[int] = field(default_factory=list)  # bytes latched, to be read first
    status: int | None = None  # latched status, to be read before them

    def program(self, control: int, tick: int) -> None:
        self.catch_up(tick)
        self._stop(tick)
        self.access = control >> CONTROL_RW_SHIFT & 3
        self.mode = MODE_OF[control >> CONTROL_MODE_SHIFT & 7]
        self.bcd = bool(control & CONTROL_BCD)
        self.reload = self.low_written = self.status = None
        self.high_next = False
        self.null_count = True
        self.latches = []

    def write(self, value: int, tick: int) -> None:
        self.catch_up(tick)
        if self.access == RW_BOTH and self.low_written is None:
            self.low_written = value
            if self.mode == EVENT_COUNT:  # the first byte stops the count and lowers the output
                self._stop(tick)
            return
        low = {RW_LSB: value, RW_MSB: 0, RW_BOTH: self.low_written or 0}[self.access]
        high = 0 if self.access == RW_LSB else value
        self.low_written = None
        self._set_reload(self._from_digits(low | high << 8), tick)

    def read(self, tick: int) -> int:
        self.catch_up(tick)
        if self.status is not None:
            value, self.status = self.status, None
            return value
        if self.latches:
            return self.latches.pop(0)
        return self._bytes(tick)[self._turn()]

    def latch_count(self, tick: int) -> None:
        """Held until read; a second latch before that is ignored."""
        self.catch_up(tick)
        if not self.latches:
            both = self._bytes(tick)
            turns = {RW_LSB: (0,), RW_MSB: (1,), RW_BOTH: (self.high_next, not self.high_next)}
            self.latches = [both[turn] for turn in turns[self.access]]

    def latch_status(self, tick: int) -> None:
        self.catch_up(tick)
        if self.status is None:
            self.status = (
                self.out(tick) * STATUS_OUT
                | self.null_count * STATUS_NULL_COUNT
                | self.access << CONTROL_RW_SHIFT
                | self.mode << CONTROL_MODE_SHIFT
                | self.bcd * CONTROL_BCD
            )

    def set_gate(self, gate: bool, tick: int) -> None:
        self.catch_up(tick)
        if gate == self.gate:
            return
        self.gate = gate
        if self.mode in TRIGGERED or (self.mode in PERIODIC and gate):
            if gate and self.reload is not None:
                self.load_at = tick + 1
        elif self.started:
            if not gate:
                self.held = tick - self.base
                self.load_at = None if self.mode in PERIODIC else self.load_at
            elif self.held is not None:
                self.base, self.held = tick - self.held, None

    def catch_up(self, tick: int) -> None:
        """Load the count that fell due."""
        if self.load_at is None or self.load_at > tick or self.reload is None:
            return
        second_half = self._in_second_half(self.load_at)
        self.base, self.count, self.load_at = self.load_at, self.reload, None
        if second_half:
            self.base -= (self.count + 1) // 2
        self.started, self.null_count = True, False
        self.held = 0 if not self.gate and self.mode not in TRIGGERED else None

    def out(self, tick: int) -> bool:
        """The OUT pin; the channel is caught up."""
        if not self.started:
            return self.mode != EVENT_COUNT
        if self.held is not None and self.mode in PERIODIC:
            return True
        return _OUT[self.mode](self._elapsed(tick), self.count)

    def shown(self, tick: int) -> int:
        """The 16 bits of the counting element; the channel is caught up."""
        if not self.started:
            return self.frozen
        value = self._counter(tick) % self._wrap
        return sum(value // 10**place % 10 << 4 * place for place in range(4)) if self.bcd else value

    def next_change(self, tick: int) -> int | None:
        """The next tick at which the output may change; the channel is caught up."""
        edge = None
        if self.started and self.held is None:
            after = _NEXT[self.mode](tick - self.base, self.count)
            edge = None if after is None else self.base + after
        if edge is None or self.load_at is None:
            return edge if self.load_at is None else self.load_at
        return min(edge, self.load_at)

    def _set_reload(self, reload: int, tick: int) -> None:
        self.reload = reload
        self.null_count = True
        if self.mode in TRIGGERED:
            return
        if self.mode == EVENT_COUNT:
            self._stop(tick)
        if self.mode not in PERIODIC or not self.started:
            self.load_at = tick + 1
        elif self.held is None:
            self.load_at = self.base + _reload_after(self.mode, tick - self.base, self.count)

    def _stop(self, tick: int) -> None:
        self.frozen = self.shown(tick)
        self.started, self.held, self.load_at = False, None, None

    def _elapsed(self, tick: int) -> int:
        return tick - self.base if self.held is None else self.held

    def _in_second_half(self, tick: int) -> bool:
        """A square wave given a new count in its high half goes on with its low half."""
        if self.mode != SQUARE or not self.started or self.held is not None:
            return False
        return (tick - self.base) % self.count == (self.count + 1) // 2

    def _counter(self, tick: int) -> int:
        """The counting element as a number, once started."""
        elapsed, count = self._elapsed(tick), self.count
        if self.mode == RATE:
            return count - elapsed % count
        if self.mode == SQUARE:  # counts down by two, an odd count from one less
            place, half = elapsed % count, (count + 1) // 2
            return (count & ~1) - 2 * (place - half if place >= half else place)
        return (count - elapsed) % self._wrap

    @property
    def _wrap(self) -> int:
        return 10_000 if self.bcd else 0x10000

    def _from_digits(self, written: int) -> int:
        """A count as written; 0 is the largest. A digit above 9 counts for what it is worth."""
        if self.bcd:
            written = sum((written >> 4 * place & 0xF) * 10**place for place in range(4))
        return written or self._wrap

    def _bytes(self, tick: int) -> list[int]:
        shown = self.shown(tick)
        return [shown & 0xFF, shown >> 8]

    def _turn(self) -> int:
        """Which byte to read: 0 the low, 1 the high one."""
        if self.access != RW_BOTH:
            return int(self.access == RW_MSB)
        self.high_next = not self.high_next
        return int(not self.high_next)


def _reload_after(mode: int, elapsed: int, count: int) -> int:
    """When a running periodic counter next takes a new count: the end of its period or half period."""
    place = elapsed % count
    half = (count + 1) // 2
    return elapsed - place + (half if mode == SQUARE and place < half else count)


def _next_rate(elapsed: int, count: int) -> int | None:
    if count < 2:
        return None
    place = elapsed % count
    return elapsed - place + (count - 1 if place < count - 1 else count)


def _next_square(elapsed: int, count: int) -> int | None:
    return _reload_after(SQUARE, elapsed, count) if count >= 2 else None


def _next_end(elapsed: int, count: int) -> int | None:
    return count if elapsed < count else None


def _next_strobe(elapsed: int, count: int) -> int | None:
    return next((edge for edge in (count, count + 1) if elapsed < edge), None)


# by mode, from the ticks since the count was loaded and the count: OUT, and when it next changes
_OUT: tuple[Callable[[int, int], bool], ...] = (
    lambda elapsed, count: elapsed >= count,
    lambda elapsed, count: elapsed >= count,
    lambda elapsed, count: elapsed % count != count - 1,
    lambda elapsed, count: elapsed % count < (count + 1) // 2,
    lambda elapsed, count: elapsed != count,
    lambda elapsed, count: elapsed != count,
)
_NEXT: tuple[Callable[[int, int], int | None], ...] = (
    _next_end,
    _next_end,
    _next_rate,
    _next_square,
    _next_strobe,
    _next_strobe,
)


class Pit:
    name = "pit"
    ports: tuple[range, ...] = (range(COUNTER_0, CONTROL + 1), range(PORT_B, PORT_B + 1))

    def __init__(self, clock: Clock, pic: InterruptLines) -> None:
        self._clock = clock
        self._pic = pic
        self._crystal = Oscillator(PIT_HZ)
        self._timer: Timer | None = None
        self.channels = (Channel(), Channel(), Channel(gate=False))
        self.port_b = 0

    @property
    def tick(self) -> int:
        return self._crystal.tick(self._clock.now)

    def read(self, port: int, size: int) -> int:
        tick = self.tick
        if port == PORT_B:
            speaker = self.channels[SPEAKER]
            speaker.catch_up(tick)
            refresh = (tick // REFRESH_TICKS & 1) * PORT_B_REFRESH
            return self.port_b | refresh | speaker.out(tick) * PORT_B_OUT2
        if port == CONTROL:
            return 0xFF  # the control register cannot be read: nothing drives the bus
        return self.channels[port - COUNTER_0].read(tick)

    def write(self, port: int, value: int, size: int) -> None:
        tick = self.tick
        if port == PORT_B:
            self.port_b = value & PORT_B_KEPT
            self.channels[SPEAKER].set_gate(bool(value & PORT_B_GATE2), tick)
        elif port == CONTROL:
            self._control(value, tick)
        else:
            self.channels[port - COUNTER_0].write(value, tick)
        if port in (COUNTER_0, CONTROL):
            self._drive()

    def save(self) -> dict[str, Any]:
        return {
            "channels": [asdict(channel) for channel in self.channels],
            "port_b": self.port_b,
            "timer": self._timer.saved if self._timer is not None else None,
        }

    def load(self, state: dict[str, Any]) -> None:
        for channel, saved in zip(self.channels, state["channels"], strict=True):
            vars(channel).update(saved | {"latches": list(saved["latches"])})
        self.port_b = state["port_b"]
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.restore(state["timer"], self._drive)

    def _control(self, value: int, tick: int) -> None:
        select = value >> CONTROL_SC_SHIFT
        if select == SC_READ_BACK:
            for number, channel in enumerate(self.channels):
                if not value >> number + 1 & 1:
                    continue
                if not value & READ_BACK_NO_COUNT:
                    channel.latch_count(tick)
                if not value & READ_BACK_NO_STATUS:
                    channel.latch_status(tick)
        elif value >> CONTROL_RW_SHIFT & 3 == RW_LATCH:
            self.channels[select].latch_count(tick)
        else:
            self.channels[select].program(value, tick)

    def _drive(self) -> None:
        """Put counter 0's output on IRQ 0, and wait for its next change."""
        channel, tick = self.channels[0], self.tick
        channel.catch_up(tick)
        self._pic.set_irq(IRQ_TIMER, channel.out(tick))
        change = channel.next_change(tick)
        when = self._crystal.instant(change) if change is not None else None
        if self._timer is not None:
            if self._timer.live and self._timer.when == when:
                return
            self._timer.cancel()
        self._timer = self._clock.at(when, self._drive) if when is not None else None
