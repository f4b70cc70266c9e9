"""The local APIC of the one processor: interrupts by vector, priorities, a timer, messages to itself.

Here: `LocalApic`, the page of registers at FEE00000h, and the processor's side of it: `intr` and
`acknowledge`, the same protocol as the PIC's, which this one sits in front of. What the PIC asks for passes
while LINT0 lets it (ExtINT, not masked), or input 0 of the I/O APIC does; RESET leaves LINT0 open, as a
BIOS would, so a kernel that knows no APIC never notices.

    vector    FF ┌────────────┐ priority class F      a request is delivered while its class is above
              ⋮  │ 16 of each │                       that of TPR and of everything in service;
              10 └────────────┘ priority class 1      EOI ends the highest in service

The timer counts 100 MHz, divided: 10 ticks an instruction. Registers are 32 bits at multiples of 16.
NMIs come as messages, to itself or from the I/O APIC, or from LINT0 if that is to be one; no register of the
APIC holds them back. Not here: SMI, INIT and start-up messages (there is nobody to send them to), x2APIC, the
MSR of the base; performance and thermal entries are registers and no more.
Datasheet: SDM 3A, chapter 11 (in older editions 8, 10). Read next: ioapic.py, mptable.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vmm.clock import Clock, Timer
from vmm.devices.pic import PicPair

LAPIC_BASE, LAPIC_SIZE = 0xFEE0_0000, 0x1000
LAPIC_VERSION = 0x0005_0014  # six local vectors
TICKS_PER_INSTRUCTION = 10

# registers, by offset / 16
ID, VERSION, TPR, APR, PPR, EOI, LDR, DFR, SVR = 0x02, 0x03, 0x08, 0x09, 0x0A, 0x0B, 0x0D, 0x0E, 0x0F
ISR, TMR, IRR = range(0x10, 0x18), range(0x18, 0x20), range(0x20, 0x28)
ESR, ICR_LOW, ICR_HIGH = 0x28, 0x30, 0x31
LVT_TIMER, LVT_THERMAL, LVT_COUNTER, LVT_LINT0, LVT_LINT1, LVT_ERROR = range(0x32, 0x38)
INITIAL_COUNT, CURRENT_COUNT, DIVIDE = 0x38, 0x39, 0x3E

VECTOR, MODE, MASKED, PERIODIC = 0xFF, 0x700, 0x1_0000, 0x2_0000
LVT_BITS = dict.fromkeys((LVT_THERMAL, LVT_COUNTER), 0x1_07FF) | dict.fromkeys(
    (LVT_LINT0, LVT_LINT1), 0x1_A7FF
)
LVT_BITS |= {LVT_TIMER: 0x3_00FF, LVT_ERROR: 0x1_00FF}
PLAIN = {TPR: 0xFF, LDR: 0xFF00_0000, DFR: 0xF000_0000, ICR_HIGH: 0xFF00_0000, DIVIDE: 0x0B}
DFR_ONES, DFR_FLAT = 0x0FFF_FFFF, 0xF
SVR_ENABLED, SVR_BITS = 0x100, 0x3FF
FIXED, LOWEST, NMI, EXTINT = 0, 1, 4, 7
ICR_BITS, ICR_LOGICAL, ICR_SHORTHAND_SHIFT = 0x000C_CFFF, 0x800, 18
TO_SELF, TO_ALL = 1, 2
ESR_SEND_VECTOR, ESR_RECEIVED_VECTOR, ESR_REGISTER = 0x20, 0x40, 0x80
FIRST_VECTOR = 16
BROADCAST = 0xFF


class LocalApic:
    """`on_eoi` is told the vector when a level-triggered interrupt ends."""

    name = "apic"

    def __init__(self, clock: Clock, pic: PicPair) -> None:
        self._clock = clock
        self._pic = pic
        self._timer: Timer | None = None
        self.on_eoi: Callable[[int], None] | None = None
        self.on_change: Callable[[], None] | None = None
        self.on_nmi: Callable[[], None] | None = None
        self.extint_elsewhere: Callable[[], bool] = lambda: False  # another way for the PIC's request
        self.intr = False  # the processor is asked for attention
        self._lint0 = False  # the PIC asked, when last looked at
        self.irr = self.isr = self.tmr = 0  # a bit for each vector
        self.errors = 0  # since the last write to ESR
        self.registers = dict.fromkeys((TPR, LDR, ICR_LOW, ICR_HIGH, INITIAL_COUNT, DIVIDE, ESR, ID), 0)
        self.registers |= dict.fromkeys(LVT_BITS, MASKED)
        self.registers |= {LVT_LINT0: EXTINT << 8, SVR: 0xFF, DFR: 0xFFFF_FFFF}
        self._started = 0  # the tick at which the count was its initial value
        self._counting = 0  # from here down

    # the processor's side

    def acknowledge(self) -> int:
        """INTA: a vector of its own, else the PIC's, else the spurious one."""
        vector = self._deliverable()
        if vector is not None:
            self.irr &= ~(1 << vector)
            self.isr |= 1 << vector
            self.settle()
            return vector
        if self._pic.intr and self._extint_open:
            return self._pic.acknowledge()
        return self.registers[SVR] & VECTOR

    def settle(self) -> None:
        """Whether the processor is asked has to be looked at again."""
        if self._pic.intr != self._lint0:
            self._lint0 = self._pic.intr
            if self._lint0 and self.lint0_is_nmi:
                self.nmi()
        intr = self._deliverable() is not None or (self._pic.intr and self._extint_open)
        if intr != self.intr:
            self.intr = intr
            if self.on_change is not None:
                self.on_change()

    @property
    def enabled(self) -> bool:
        return bool(self.registers[SVR] & SVR_ENABLED)

    @property
    def _extint_open(self) -> bool:
        lint0 = self.registers[LVT_LINT0]
        return (not lint0 & MASKED and lint0 & MODE == EXTINT << 8) or self.extint_elsewhere()

    @property
    def lint0_is_nmi(self) -> bool:
        return self.registers[LVT_LINT0] & (MASKED | MODE) == NMI << 8

    def nmi(self) -> None:
        """An NMI arrives."""
        if self.on_nmi is not None:
            self.on_nmi()

    @property
    def priority(self) -> int:
        """PPR: the task's priority, or the class of the highest in service."""
        task, serving = self.registers[TPR], max(self.isr.bit_length() - 1, 0)
        return task if task >> 4 >= serving >> 4 else serving & 0xF0

    def _deliverable(self) -> int | None:
        highest = self.irr.bit_length() - 1
        return highest if self.enabled and highest >> 4 > self.priority >> 4 else None

    # messages

    def accept(self, vector: int, *, level: bool = False) -> None:
        """A fixed interrupt arrives. Vectors below 16 are an error, and while disabled nothing arrives."""
        if not self.enabled:
            return
        if vector < FIRST_VECTOR:
            self._error(ESR_RECEIVED_VECTOR)
            return
        bit = 1 << vector
        self.irr |= bit
        self.tmr = self.tmr | bit if level else self.tmr & ~bit
        self.settle()

    def is_addressed(self, destination: int, *, logical: bool) -> bool:
        """Whether a message to `destination` (8 bits) is for this processor."""
        if not logical:
            return destination in (self.registers[ID] >> 24, BROADCAST)
        own = self.registers[LDR] >> 24
        if self.registers[DFR] >> 28 == DFR_FLAT:
            return bool(destination & own)
        same_cluster = destination >> 4 in (own >> 4, 0xF)
        return same_cluster and bool(destination & own & 0xF)

    def _send(self) -> None:
        """The interrupt command register was written: a message, which can only be to itself."""
        command = self.registers[ICR_LOW]
        vector, mode = command & VECTOR, command >> 8 & 7
        shorthand = command >> ICR_SHORTHAND_SHIFT & 3
        to = self.registers[ICR_HIGH] >> 24
        addressed = shorthand in (TO_SELF, TO_ALL) or (
            not shorthand and self.is_addressed(to, logical=bool(command & ICR_LOGICAL))
        )
        if mode == NMI and addressed and shorthand != TO_SELF:
            self.nmi()
        if mode not in (FIXED, LOWEST):
            return
        if vector < FIRST_VECTOR:
            self._error(ESR_SEND_VECTOR)
        elif addressed:
            self.accept(vector)

    def _end_of_interrupt(self) -> None:
        if not self.isr:
            return
        vector = self.isr.bit_length() - 1
        self.isr &= ~(1 << vector)
        if self.tmr >> vector & 1 and self.on_eoi is not None:
            self.on_eoi(vector)
        self.settle()

    def _error(self, bit: int) -> None:
        self.errors |= bit
        entry = self.registers[LVT_ERROR]
        if not entry & MASKED and entry & VECTOR >= FIRST_VECTOR:
            self.accept(entry & VECTOR)

    # registers

    def read(self, offset: int, size: int) -> int:
        register, shift = offset >> 4, 8 * (offset & 15)
        return self._read(register) >> shift if shift < 32 else 0

    def write(self, offset: int, value: int, size: int) -> None:
        if offset & 15 == 0 and size >= 4:
            self._write(offset >> 4, value & 0xFFFF_FFFF)

    def _read(self, register: int) -> int:
        if register == VERSION:
            return LAPIC_VERSION
        if register == PPR:
            return self.priority
        if register == CURRENT_COUNT:
            return self._count()
        for block, bits in ((ISR, self.isr), (TMR, self.tmr), (IRR, self.irr)):
            if register in block:
                return bits >> 32 * (register - block.start) & 0xFFFF_FFFF
        if register in self.registers:
            return self.registers[register]
        if register not in (APR, EOI):
            self._error(ESR_REGISTER)
        return 0

    def _write(self, register: int, value: int) -> None:
        registers = self.registers
        if register == EOI:
            self._end_of_interrupt()
        elif register == SVR:
            registers[SVR] = value & SVR_BITS
            if not self.enabled:
                for entry in LVT_BITS:
                    registers[entry] |= MASKED
        elif register == ESR:
            registers[ESR], self.errors = self.errors, 0
        elif register == ICR_LOW:
            registers[ICR_LOW] = value & ICR_BITS
            self._send()
        elif register in LVT_BITS:
            masked = 0 if self.enabled else MASKED
            registers[register] = value & LVT_BITS[register] | masked
        elif register == ID:
            registers[ID] = value & 0xFF00_0000
        elif register == INITIAL_COUNT:
            self._counting, self._started = value, self._tick()
            registers[INITIAL_COUNT] = value
        elif register == DIVIDE:
            self._change_divider(value)
        elif register in PLAIN:
            registers[register] = value & PLAIN[register] | (DFR_ONES if register == DFR else 0)
        elif not self._read_only(register):
            self._error(ESR_REGISTER)
        self._arm()
        self.settle()

    @staticmethod
    def _read_only(register: int) -> bool:
        return register in (VERSION, APR, PPR, CURRENT_COUNT, *ISR, *TMR, *IRR)

    # the timer

    def _tick(self) -> int:
        return self._clock.now * TICKS_PER_INSTRUCTION

    @property
    def _divider(self) -> int:
        value = self.registers[DIVIDE]
        return 1 << ((value & 3 | value >> 1 & 4) + 1 & 7)

    def _count(self) -> int:
        """The current count, from the time that has passed."""
        elapsed = (self._tick() - self._started) // self._divider
        if elapsed < self._counting:
            return self._counting - elapsed
        initial = self.registers[INITIAL_COUNT]
        if not self.registers[LVT_TIMER] & PERIODIC or not initial:
            return 0
        return initial - (elapsed - self._counting) % initial

    def _change_divider(self, value: int) -> None:
        """The count goes on from where it is, at another speed."""
        self._counting, self._started = self._count(), self._tick()
        self.registers[DIVIDE] = value & PLAIN[DIVIDE]

    def _arm(self) -> None:
        """Wait for the count to reach 0, if that will interrupt."""
        tick = self._next_zero()
        when = -(-tick // TICKS_PER_INSTRUCTION) if tick is not None else None
        if self._timer is not None:
            if self._timer.live and self._timer.when == when:
                return
            self._timer.cancel()
        self._timer = self._clock.at(when, self._expire) if when is not None else None

    def _next_zero(self) -> int | None:
        """The tick after now at which the count is next 0."""
        entry, initial = self.registers[LVT_TIMER], self.registers[INITIAL_COUNT]
        if entry & MASKED or not initial:
            return None
        tick, zero = self._tick(), self._started + self._counting * self._divider
        if zero > tick:
            return zero
        if not entry & PERIODIC:
            return None
        period = initial * self._divider
        return zero + ((tick - zero) // period + 1) * period

    def _expire(self) -> None:
        self._timer = None
        entry = self.registers[LVT_TIMER]
        if entry & VECTOR >= FIRST_VECTOR:
            self.accept(entry & VECTOR)
        else:
            self._error(ESR_RECEIVED_VECTOR)
        self._arm()

    def save(self) -> dict[str, Any]:
        return {
            "registers": {f"{register:x}": value for register, value in self.registers.items()},
            "irr": f"{self.irr:x}",
            "isr": f"{self.isr:x}",
            "tmr": f"{self.tmr:x}",
            "errors": self.errors,
            "started": self._started,
            "counting": self._counting,
            "lint0": self._lint0,
            "timer": self._timer.saved if self._timer is not None else None,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.registers = {int(register, 16): value for register, value in state["registers"].items()}
        self.irr, self.isr, self.tmr = (int(state[name], 16) for name in ("irr", "isr", "tmr"))
        self.errors = state["errors"]
        self._started, self._counting = state["started"], state["counting"]
        self._lint0 = state["lint0"]
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.restore(state["timer"], self._expire)
        self.settle()
