"""ACPI's fixed hardware, as a PIIX4 has it: the power management timer, and switching off.

Here: `PowerManagement`, PM1 status, enable and control with the interrupt on IRQ 9 (the SCI), the timer of
3.579545 MHz and 24 bits at base + 8, sleep type 0 as "off", and the pair of ports B2h and B3h by which a
kernel asks the firmware to hand power management over (F1h) or to take it back (F0h). The chip answers
that itself: no SMI comes.

    base + 0  PM1 status   + 2  PM1 enable   + 4  PM1 control   + 8  timer (32 bits, the upper 8 are 0)

Not here: where the base is (pci.py), general purpose events, throttling, the SMBus.
Datasheet: Intel 82371AB (PIIX4), 290562, 7.2; ACPI 1.0b, 4.7. Read next: pci.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vmm.clock import Clock, Oscillator, Timer
from vmm.devices.irq import InterruptLines

DEFAULT_BASE = 0x600  # where SeaBIOS puts the ports
PM_PORTS = 0x40
IRQ_SCI = 9
PM_HZ = 3_579_545
TIMER_BITS = 24
HALF_WRAP = 1 << TIMER_BITS - 1  # the highest bit changes this often, and that is the timer's event

STATUS, ENABLE, CONTROL, TIMER = 0x00, 0x02, 0x04, 0x08
TMR, GBL, PWRBTN, WAKE = 0x0001, 0x0020, 0x0100, 0x8000  # of status, the first three of enable
STATUS_CLEARABLE = 0x8D31
ENABLE_BITS = 0x0521
CONTROL_SCI, CONTROL_SLEEP = 0x0001, 0x2000
CONTROL_BITS = 0x1C03  # SCI_EN, BM_RLD, the sleep type
SLEEP_TYPE_SHIFT, SLEEP_OFF = 10, 0

APM_CONTROL, APM_STATUS = 0xB2, 0xB3
ACPI_ENABLE, ACPI_DISABLE = 0xF1, 0xF0


class PowerManagement:
    """The registers at the base, which `ports` follows."""

    name = "acpi"

    def __init__(
        self, clock: Clock, lines: InterruptLines, on_power_off: Callable[[], None] | None = None
    ) -> None:
        self._clock = clock
        self._lines = lines
        self._crystal = Oscillator(PM_HZ)
        self._timer: Timer | None = None
        self._seen = 0  # the tick up to which timer events are in the status
        self.on_power_off = on_power_off
        self.base = DEFAULT_BASE
        self.ports: tuple[range, ...] = ()
        self.status = self.enable = self.control = 0

    def move(self, base: int | None) -> None:
        """Answer at another base from now on, or nowhere."""
        self.base = base if base is not None else self.base
        self.ports = (range(base, base + PM_PORTS),) if base is not None else ()

    @property
    def tick(self) -> int:
        return self._crystal.tick(self._clock.now)

    def press_power_button(self) -> None:
        """Somebody presses the button: an event for a kernel that listens."""
        self.status |= PWRBTN
        self._drive()

    def read(self, port: int, size: int) -> int:
        at = port - self.base
        if TIMER <= at < TIMER + 4:
            return (self.tick & (1 << TIMER_BITS) - 1) >> 8 * (at - TIMER) & 0xFF
        self._catch_up()
        words = {STATUS: self.status, ENABLE: self.enable, CONTROL: self.control}
        return words.get(at & ~1, 0) >> 8 * (at & 1) & 0xFF

    def write(self, port: int, value: int, size: int) -> None:
        at, shift = port - self.base, 8 * (port & 1)
        self._catch_up()
        value, kept = value << shift, 0xFF00 >> shift
        if at & ~1 == STATUS:
            self.status &= ~(value & STATUS_CLEARABLE)
        elif at & ~1 == ENABLE:
            self.enable = self.enable & kept | value & ENABLE_BITS
        elif at & ~1 == CONTROL:
            self.control = self.control & kept | value & CONTROL_BITS
            if value & CONTROL_SLEEP and self.control >> SLEEP_TYPE_SHIFT & 7 == SLEEP_OFF:
                self._power_off()
        self._drive()

    def hand_over(self, to_kernel: bool) -> None:
        """The firmware's answer to a kernel that wants power management: events become interrupts."""
        self.control = self.control & ~CONTROL_SCI | (CONTROL_SCI if to_kernel else 0)
        self._drive()

    def save(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "enable": self.enable,
            "control": self.control,
            "seen": self._seen,
            "timer": self._timer.saved if self._timer is not None else None,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.status, self.enable, self.control = state["status"], state["enable"], state["control"]
        self._seen = state["seen"]
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.restore(state["timer"], self._drive)

    def _catch_up(self) -> None:
        """A change of the timer's highest bit since the last look is an event."""
        seen, self._seen = self._seen, self.tick
        if seen // HALF_WRAP != self._seen // HALF_WRAP:
            self.status |= TMR

    def _drive(self) -> None:
        """The SCI; while it is low and the timer is to raise it, wait for that."""
        self._catch_up()
        high = bool(self.control & CONTROL_SCI and self.status & self.enable & (TMR | GBL | PWRBTN))
        self._lines.set_irq(IRQ_SCI, high)
        waits = self.enable & TMR and self.control & CONTROL_SCI and not high
        when = self._crystal.instant((self._seen // HALF_WRAP + 1) * HALF_WRAP) if waits else None
        if self._timer is not None:
            if self._timer.live and self._timer.when == when:
                return
            self._timer.cancel()
        self._timer = self._clock.at(when, self._drive) if when is not None else None

    def _power_off(self) -> None:
        if self.on_power_off is not None:
            self.on_power_off()


class ApmPorts:
    """The control and status ports that a kernel and a firmware talk through."""

    name = "apm"
    ports: tuple[range, ...] = (range(APM_CONTROL, APM_STATUS + 1),)

    def __init__(self, power: PowerManagement) -> None:
        self._power = power
        self.control = self.status = 0

    def read(self, port: int, size: int) -> int:
        return self.control if port == APM_CONTROL else self.status

    def write(self, port: int, value: int, size: int) -> None:
        if port == APM_STATUS:
            self.status = value
            return
        self.control = value
        if value in (ACPI_ENABLE, ACPI_DISABLE):
            self._power.hand_over(value == ACPI_ENABLE)

    def save(self) -> dict[str, Any]:
        return {"control": self.control, "status": self.status}

    def load(self, state: dict[str, Any]) -> None:
        self.control, self.status = state["control"], state["status"]
