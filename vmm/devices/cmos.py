"""The real-time clock with its CMOS memory: an MC146818 behind ports 70h and 71h.

Here: the ten bytes of time and alarm (BCD or binary, 12 or 24 hours), registers A to D with the periodic,
alarm and update-ended interrupts on IRQ 8, the update-in-progress bit, 114 bytes of memory, and what a
BIOS keeps there (`memory_bytes`). Time starts at `epoch`, seconds since 1970, and is virtual.

The chip costs nothing while nobody asks: flags and time are worked out from the crystal's ticks when they
are looked at, and a timer runs only while an enabled interrupt is to come. A second ends with the update:
the flag UIP is high in its last 2228 us (244 us of warning, 1984 us of update), and then time changes.
Bytes that are no time (minute 77) count on from the moment that they would name.

Not here: the NMI, which port 70h masks; daylight saving; the square-wave pin.
Datasheet: Motorola MC146818A; the PC's uses: IBM PC/AT Technical Reference. Read next: pc.py.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from vmm.clock import Clock, Oscillator, Timer
from vmm.devices.irq import InterruptLines

CMOS_INDEX, CMOS_DATA = 0x70, 0x71
INDEX_NMI_OFF = 0x80
IRQ_RTC = 8
RTC_HZ = 32_768
DEFAULT_EPOCH = 1_735_689_600  # 2025-01-01 00:00:00 UTC

SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR = 0, 2, 4, 6, 7, 8, 9
ALARMS = (1, 3, 5)  # seconds, minutes, hours
REGISTER_A, REGISTER_B, REGISTER_C, REGISTER_D = 0x0A, 0x0B, 0x0C, 0x0D
SHUTDOWN = 0x0F
CENTURY = 0x32  # a byte of memory that BIOSes count centuries in

A_UIP, A_DV, A_RS = 0x80, 0x70, 0x0F
A_RUNNING = 0x20  # DV: a crystal of 32768 Hz, counting
A_RESET = 0x60  # DV 11x: the divider is held in reset
A_DEFAULT = A_RUNNING | 0x06  # and 1024 Hz for the periodic interrupt
B_SET, B_PIE, B_AIE, B_UIE, B_DM, B_24 = 0x80, 0x40, 0x20, 0x10, 0x04, 0x02
C_IRQF, C_PF, C_AF, C_UF = 0x80, 0x40, 0x20, 0x10
D_VRT = 0x80  # the battery is good
PM = 0x80  # of the hours, when they run to 12
DONT_CARE = 0xC0  # an alarm byte from here on matches always

UPDATE_TICKS = 73  # 2228 us of the crystal
HALF_SECOND = RTC_HZ // 2  # after a reset of the divider the first update comes this early
UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_YEAR = 9000  # what BCD may name beyond it is taken for it


class Cmos:
    name = "cmos"
    ports: tuple[range, ...] = (range(CMOS_INDEX, CMOS_DATA + 1),)

    def __init__(self, clock: Clock, lines: InterruptLines, epoch: int = DEFAULT_EPOCH) -> None:
        self._clock = clock
        self._lines = lines
        self._crystal = Oscillator(RTC_HZ)
        self._timer: Timer | None = None
        self.index = 0
        self.memory = bytearray(128)
        self.memory[REGISTER_A] = A_DEFAULT
        self.memory[REGISTER_B] = B_24
        self.memory[REGISTER_D] = D_VRT
        self._origin = self._seen = self.tick  # a tick at which a second began; the last tick looked at
        self.time = UNIX_EPOCH + timedelta(seconds=epoch)

    @property
    def tick(self) -> int:
        return self._crystal.tick(self._clock.now)

    @property
    def nmi_masked(self) -> bool:
        return bool(self.index & INDEX_NMI_OFF)

    def read(self, port: int, size: int) -> int:
        if port == CMOS_INDEX:
            return 0xFF  # the index cannot be read
        register = self.index & 0x7F
        self._catch_up()
        value = self.memory[register]
        if register == REGISTER_A and self._updating:
            value |= A_UIP
        elif register == REGISTER_C:
            value = self._flags
            self.memory[REGISTER_C] = 0
            self._drive()
        return value

    def write(self, port: int, value: int, size: int) -> None:
        if port == CMOS_INDEX:
            self.index = value
            return
        register = self.index & 0x7F
        self._catch_up()
        if register == REGISTER_A:
            self._write_a(value)
        elif register == REGISTER_B:
            self.memory[REGISTER_B] = value & ~B_UIE if value & B_SET else value
        elif register not in (REGISTER_C, REGISTER_D):
            self.memory[register] = value
        self._drive()

    def save(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "memory": list(self.memory),
            "origin": self._origin,
            "seen": self._seen,
            "timer": self._timer.saved if self._timer is not None else None,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.index = state["index"]
        self.memory[:] = bytes(state["memory"])
        self._origin, self._seen = state["origin"], state["seen"]
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.restore(state["timer"], self._ring)

    def keep(self, before: Cmos) -> None:
        """Hold the memory and the time of a chip whose machine was reset; the battery has kept both."""
        before._catch_up()
        before.memory[REGISTER_B] &= ~(B_PIE | B_AIE | B_UIE)
        before.memory[REGISTER_C] = 0
        self.memory[:] = before.memory

    # the time of day

    @property
    def time(self) -> datetime:
        """What the seven bytes of time (and the century) say."""
        return self._moment(*(self._decode(self.memory[at]) for at in (SECONDS, MINUTES, DAY, MONTH, YEAR)))

    @time.setter
    def time(self, moment: datetime) -> None:
        memory, encode = self.memory, self._encode
        memory[SECONDS], memory[MINUTES] = encode(moment.second), encode(moment.minute)
        memory[HOURS] = self._encode_hour(moment.hour)
        memory[DAY], memory[MONTH] = encode(moment.day), encode(moment.month)
        memory[YEAR], memory[CENTURY] = encode(moment.year % 100), encode(moment.year // 100)
        memory[WEEKDAY] = encode(moment.isoweekday() % 7 + 1)  # Sunday is 1

    def _moment(self, second: int, minute: int, day: int, month: int, year: int) -> datetime:
        """The moment that numbers name, those out of range carried over."""
        years, month = divmod(month - 1, 12)
        year = min(max(self._decode(self.memory[CENTURY]) * 100 + year + years, 1), LAST_YEAR)
        start = datetime(year, month + 1, 1, tzinfo=UTC)
        return start + timedelta(days=day - 1, hours=self._hour(), minutes=minute, seconds=second)

    def _advance(self, seconds: int) -> None:
        """Let the time run on. The weekday counts by itself: whoever set it may count from another day."""
        before, weekday = self.time, self.memory[WEEKDAY]
        after = before + timedelta(seconds=seconds)
        self.time = after
        days = after.toordinal() - before.toordinal()
        self.memory[WEEKDAY] = self._encode((self._decode(weekday) - 1 + days) % 7 + 1) if days else weekday

    def _encode(self, value: int) -> int:
        return value if self.memory[REGISTER_B] & B_DM else value // 10 << 4 | value % 10

    def _decode(self, byte: int) -> int:
        return byte if self.memory[REGISTER_B] & B_DM else (byte >> 4) * 10 + (byte & 0x0F)

    def _encode_hour(self, hour: int) -> int:
        if self.memory[REGISTER_B] & B_24:
            return self._encode(hour)
        return self._encode((hour - 1) % 12 + 1) | (PM if hour >= 12 else 0)

    def _hour(self) -> int:
        byte = self.memory[HOURS]
        if self.memory[REGISTER_B] & B_24:
            return self._decode(byte)
        return self._decode(byte & ~PM & 0xFF) % 12 + (12 if byte & PM else 0)

    def _next_alarm(self) -> int | None:
        """Seconds from the time of now until the alarm bytes match, 1 to a day; None for never."""
        rings = [self.memory[at] for at in ALARMS]
        now = self.time
        start = now.hour * 3600 + now.minute * 60 + now.second
        hours = [h for h in range(24) if rings[2] >= DONT_CARE or self._encode_hour(h) == rings[2]]
        minutes = [m for m in range(60) if rings[1] >= DONT_CARE or self._encode(m) == rings[1]]
        seconds = [s for s in range(60) if rings[0] >= DONT_CARE or self._encode(s) == rings[0]]
        if not (hours and minutes and seconds):
            return None
        for hour in (*(h for h in hours if h >= now.hour), *(h + 24 for h in hours if h <= now.hour)):
            for minute in minutes:
                at = hour * 3600 + minute * 60
                if at + seconds[-1] > start:
                    return next(at + s - start for s in seconds if at + s > start)
        return None

    # the divider chain

    @property
    def _counting(self) -> bool:
        return self.memory[REGISTER_A] & A_DV == A_RUNNING

    @property
    def _updating(self) -> bool:
        ticking = self._counting and not self.memory[REGISTER_B] & B_SET
        return ticking and (self._seen - self._origin) % RTC_HZ >= RTC_HZ - UPDATE_TICKS

    @property
    def _period(self) -> int | None:
        """Ticks between periodic interrupts; the two fastest choices repeat slower ones."""
        rate = self.memory[REGISTER_A] & A_RS
        return None if not rate else 1 << (rate + 6 if rate < 3 else rate - 1)

    def _write_a(self, value: int) -> None:
        held = self.memory[REGISTER_A] & A_RESET == A_RESET
        self.memory[REGISTER_A] = value & ~A_UIP
        if held and self._counting:
            self._origin = self._seen - HALF_SECOND

    def _catch_up(self) -> None:
        """What the ticks since the last look have done to time and flags."""
        seen, self._seen = self._seen, self.tick
        if not self._counting or seen == self._seen:
            return
        start, end = seen - self._origin, self._seen - self._origin
        period = self._period
        if period is not None and end // period != start // period:
            self.memory[REGISTER_C] |= C_PF
        seconds = end // RTC_HZ - start // RTC_HZ
        if seconds and not self.memory[REGISTER_B] & B_SET:
            self.memory[REGISTER_C] |= C_UF
            alarm = self._next_alarm()
            if alarm is not None and alarm <= seconds:
                self.memory[REGISTER_C] |= C_AF
            self._advance(seconds)

    # the interrupt

    @property
    def _flags(self) -> int:
        """Register C: IRQF is the three flags and their enables."""
        flags = self.memory[REGISTER_C]
        return flags | (C_IRQF if flags & self.memory[REGISTER_B] & (B_PIE | B_AIE | B_UIE) else 0)

    def _ring(self) -> None:
        self._timer = None
        self._catch_up()
        self._drive()

    def _drive(self) -> None:
        """Put IRQF on IRQ 8; while it is low, wait for what will raise it."""
        high = bool(self._flags & C_IRQF)
        self._lines.set_irq(IRQ_RTC, high)
        tick = None if high else self._next_event()
        when = self._crystal.instant(tick) if tick is not None else None
        if self._timer is not None:
            if self._timer.live and self._timer.when == when:
                return
            self._timer.cancel()
        self._timer = self._clock.at(when, self._ring) if when is not None else None

    def _next_event(self) -> int | None:
        """The next tick at which an enabled interrupt falls due."""
        enabled, ticks = self.memory[REGISTER_B], []
        if not self._counting:
            return None
        elapsed = self._seen - self._origin
        if enabled & B_PIE and self._period is not None:
            ticks.append((elapsed // self._period + 1) * self._period)
        if not enabled & B_SET:
            seconds = [1] if enabled & B_UIE else []
            alarm = self._next_alarm() if enabled & B_AIE else None
            seconds += [alarm] if alarm is not None else []
            ticks += [(elapsed // RTC_HZ + n) * RTC_HZ for n in seconds]
        return self._origin + min(ticks) if ticks else None


def memory_bytes(ram: int) -> dict[int, int]:
    """What a BIOS, or the emulator before it, notes about `ram` bytes of memory."""
    base = min(ram >> 10, 640)
    extended = min(max((ram >> 10) - 1024, 0), 0xFFFF)
    high = min(max((ram >> 16) - 256, 0), 0xFFFF)  # above 16 MB, in 64 KB
    words = {0x15: base, 0x17: extended, 0x30: extended, 0x34: high}
    found = {0x5B: 0, 0x5C: 0, 0x5D: 0}  # nothing above 4 GB
    for at, value in words.items():
        found[at], found[at + 1] = value & 0xFF, value >> 8
    return found
