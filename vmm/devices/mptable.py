"""What a BIOS leaves in memory for a kernel that looks for an I/O APIC: the MultiProcessor tables.

Here: `mp_tables`, the floating pointer and the configuration table behind it, for one processor, one I/O
APIC, and the ISA lines on its inputs as ioapic.py wires them. Whoever starts a machine with an APIC writes
them where the address says; kernels search the BIOS's 64 KB.
Reference: MultiProcessor Specification 1.4, chapter 4.
"""

from __future__ import annotations

import struct

from vmm.devices.apic import LAPIC_BASE, LAPIC_VERSION
from vmm.devices.ioapic import IOAPIC_BASE, TIMER_INPUT, VERSION_VALUE
from vmm.devices.pic import CASCADE, LINES

MP_ADDRESS = 0xF_5800
FLOATING_SIZE = 16
PROCESSOR, BUS, IOAPIC, INTERRUPT, LOCAL_INTERRUPT = range(5)
INT, NMI, _SMI, EXTINT = range(4)
ENABLED, BOOT_PROCESSOR = 1, 2
IOAPIC_ID = 1
ALL_APICS = 0xFF


def _summed(data: bytes, at: int) -> bytes:
    """The bytes with the one at `at` such that all add up to 0."""
    return data[:at] + bytes((-sum(data) & 0xFF,)) + data[at + 1 :]


def mp_tables(signature: int, features: int, address: int = MP_ADDRESS) -> tuple[int, bytes]:
    """Where the tables go and what they are. `signature` and `features` are CPUID's of the processor."""
    processor = struct.pack(
        "<BBBBIIQ", PROCESSOR, 0, LAPIC_VERSION & 0xFF, ENABLED | BOOT_PROCESSOR, signature, features, 0
    )
    bus = struct.pack("<BB6s", BUS, 0, b"ISA   ")
    ioapic = struct.pack("<BBBBI", IOAPIC, IOAPIC_ID, VERSION_VALUE & 0xFF, ENABLED, IOAPIC_BASE)
    lines = [
        struct.pack("<BBHBBBB", INTERRUPT, INT, 0, 0, line, IOAPIC_ID, line or TIMER_INPUT)
        for line in range(LINES)
        if line != CASCADE
    ]
    local = [
        struct.pack("<BBHBBBB", LOCAL_INTERRUPT, kind, 0, 0, 0, ALL_APICS, pin)
        for pin, kind in enumerate((EXTINT, NMI))
    ]
    entries = [processor, bus, ioapic, *lines, *local]
    body = b"".join(entries)
    header = struct.pack(
        "<4sHBB8s12sIHHIHBB",
        *(b"PCMP", 44 + len(body), 4, 0, b"VMSIM   ", b"PC          "),
        *(0, 0, len(entries), LAPIC_BASE, 0, 0, 0),
    )
    pointer = struct.pack("<4sIBBB5s", b"_MP_", address + FLOATING_SIZE, 1, 4, 0, bytes(5))
    return address, _summed(pointer, 10) + _summed(header + body, 7)
