"""The I/O APIC: 24 inputs, each with an entry that says which vector it sends to whom.

Here: `IoApic`, two registers at FEC00000h that lead to all others, and `Board`, the wires of a machine
with both kinds of interrupt controller: every ISA line goes to the PIC and to the input of its number,
but the timer's to input 2. Input 0 is the PIC's own request, for entries of the kind ExtINT.

    entry   | destination 63:56 | … | masked 16 | level 15 | remote IRR 14 | … | logical 11 | mode 10:8 | vector 7:0

An edge on a masked input is lost; a level waits. A level that was sent is not sent again before its EOI.
Not here: polarity (lines are high when they are active, whatever the entry says), other processors.
Datasheet: Intel 82093AA, 290566. Read next: mptable.py, which tells a kernel about the wires.
"""

from __future__ import annotations

from typing import Any

from vmm.devices.apic import EXTINT, FIXED, LOWEST, MODE, NMI, LocalApic
from vmm.devices.pic import CASCADE, PicPair

IOAPIC_BASE, IOAPIC_SIZE = 0xFEC0_0000, 0x1000
SELECT, WINDOW = 0x00, 0x10
INPUTS = 24
ID, VERSION, ARBITRATION, ENTRIES = 0x00, 0x01, 0x02, 0x10
VERSION_VALUE = (INPUTS - 1) << 16 | 0x11
TIMER_INPUT, EXTINT_INPUT = 2, 0

LOGICAL, REMOTE_IRR, LEVEL, MASKED = 1 << 11, 1 << 14, 1 << 15, 1 << 16
WRITABLE = 0xFF00_0000_0001_AFFF


class IoApic:
    name = "ioapic"

    def __init__(self, apic: LocalApic) -> None:
        self._apic = apic
        self.select = 0
        self.id = 0
        self.lines = 0
        self.entries = [MASKED] * INPUTS
        apic.on_eoi = self.end_of_interrupt
        apic.extint_elsewhere = self._passes_extint

    def set_input(self, number: int, level: bool) -> None:
        """A line goes up or down."""
        bit = 1 << number
        rising = level and not self.lines & bit
        self.lines = self.lines | bit if level else self.lines & ~bit
        if rising and not self.entries[number] & (LEVEL | MASKED):
            self._send(number)
        elif level:
            self._send_level(number)

    def end_of_interrupt(self, vector: int) -> None:
        """The processor is done with a level: if the line is still high, it interrupts again."""
        for number, entry in enumerate(self.entries):
            if entry & LEVEL and entry & 0xFF == vector:
                self.entries[number] &= ~REMOTE_IRR
                self._send_level(number)

    def read(self, offset: int, size: int) -> int:
        register, shift = offset & ~3, 8 * (offset & 3)
        if register == SELECT:
            return self.select >> shift
        return self._read() >> shift if register == WINDOW else 0

    def write(self, offset: int, value: int, size: int) -> None:
        if offset == SELECT:
            self.select = value & 0xFF
        elif offset == WINDOW and size >= 4:
            self._write(value & 0xFFFF_FFFF)

    def _read(self) -> int:
        if self.select in (ID, ARBITRATION):
            return self.id << 24
        if self.select == VERSION:
            return VERSION_VALUE
        number, high = divmod(self.select - ENTRIES, 2)
        return self.entries[number] >> 32 * high & 0xFFFF_FFFF if 0 <= number < INPUTS else 0

    def _write(self, value: int) -> None:
        if self.select == ID:
            self.id = value >> 24 & 0x0F
            return
        number, high = divmod(self.select - ENTRIES, 2)
        if not 0 <= number < INPUTS:
            return
        half = 0xFFFF_FFFF << 32 * high
        entry = self.entries[number]
        entry = entry & ~(half & WRITABLE) | value << 32 * high & WRITABLE
        self.entries[number] = entry if entry & LEVEL else entry & ~REMOTE_IRR
        if self.lines >> number & 1:
            self._send_level(number)
        self._apic.settle()

    def _send_level(self, number: int) -> None:
        entry = self.entries[number]
        waiting = self.lines >> number & 1 and not entry & (MASKED | REMOTE_IRR)
        if waiting and entry & LEVEL and self._send(number):
            self.entries[number] |= REMOTE_IRR

    def _send(self, number: int) -> bool:
        """The message of an entry; whether somebody took it."""
        entry = self.entries[number]
        addressed = self._apic.is_addressed(entry >> 56, logical=bool(entry & LOGICAL))
        if addressed and entry >> 8 & 7 == NMI:
            self._apic.nmi()
        if not addressed or not self._apic.enabled or entry >> 8 & 7 not in (FIXED, LOWEST):
            return False
        self._apic.accept(entry & 0xFF, level=bool(entry & LEVEL))
        return True

    @property
    def may_raise_nmi(self) -> bool:
        """Whether an input, here or of the local APIC, is open as an NMI."""
        return self._apic.lint0_is_nmi or any(entry & (MASKED | MODE) == NMI << 8 for entry in self.entries)

    def _passes_extint(self) -> bool:
        entry = self.entries[EXTINT_INPUT]
        addressed = self._apic.is_addressed(entry >> 56, logical=bool(entry & LOGICAL))
        return self._apic.enabled and not entry & MASKED and entry >> 8 & 7 == EXTINT and addressed

    def save(self) -> dict[str, Any]:
        entries = [f"{entry:x}" for entry in self.entries]
        return {"select": self.select, "id": self.id, "lines": self.lines, "entries": entries}

    def load(self, state: dict[str, Any]) -> None:
        self.select, self.id, self.lines = state["select"], state["id"], state["lines"]
        self.entries = [int(entry, 16) for entry in state["entries"]]
        self._apic.settle()


class Board:
    """The interrupt lines of a machine with PIC and I/O APIC."""

    def __init__(self, pic: PicPair, ioapic: IoApic) -> None:
        self._pic = pic
        self._ioapic = ioapic

    def set_irq(self, line: int, level: bool) -> None:
        self._pic.set_irq(line, level)
        if line != CASCADE:
            self._ioapic.set_input(line if line else TIMER_INPUT, level)
