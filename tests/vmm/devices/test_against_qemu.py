"""The same accesses to QEMU's PIC and UART, through its monitor, and to ours: every read must agree.

QEMU's machine never starts, so its time stands still; the serial port's interrupt is what the PIC gets to
see. Left out is where QEMU departs from the datasheets: an edge that stays requested after its line fell,
a non-specific EOI that ends a level set aside by special mask mode, FCR bits taken without bit 0, a
transmitter interrupt from a FIFO reset, no changes of MSR in loopback, a line that does not ask OUT2.
"""

import random
import re
import shutil
import subprocess

import pytest

from vmm.clock import Clock
from vmm.devices import PcDevices

QEMU = shutil.which("qemu-system-i386")
pytestmark = pytest.mark.skipif(QEMU is None, reason="QEMU is not installed")

DATA, IER, FCR, LCR, MCR, LSR, MSR = (0x3F8 + register for register in (0, 1, 2, 3, 4, 5, 6))
STATUS_ONLY = {MSR: 0xF0}


def in_qemu(accesses):
    """`(port, value)` writes, `(port, None)` reads; what the reads gave."""
    lines = [
        f"i /b {port:#x}\n" if value is None else f"o /b {port:#x} {value:#x}\n" for port, value in accesses
    ]
    machine = [QEMU, "-S", "-display", "none", "-machine", "pc", "-nodefaults", "-monitor", "stdio"]
    serial = ["-chardev", "null,id=nobody", "-device", "isa-serial,chardev=nobody"]
    script = "".join([*lines, "quit\n"]).encode()
    run = subprocess.run(machine + serial, input=script, capture_output=True, timeout=120, check=True)
    return [int(value, 16) for value in re.findall(rb"portb\[\w+\] = (0x[0-9a-f]+)", run.stdout)]


def in_ours(accesses):
    bus, seen = PcDevices(Clock()).bus, []
    for port, value in accesses:
        if value is None:
            seen.append(bus.read(port, 1))
        else:
            bus.write(port, value, 1)
    return seen


def assert_agreement(accesses):
    reads = [(n, port) for n, (port, value) in enumerate(accesses) if value is None]
    theirs, ours = in_qemu(accesses), in_ours(accesses)
    assert len(theirs) == len(reads)
    for (n, port), expected, actual in zip(reads, theirs, ours, strict=True):
        mask = STATUS_ONLY.get(port, 0xFF)
        assert actual & mask == expected & mask, (hex(port), accesses[max(0, n - 12) : n + 1])


def test_the_pic_answers_as_qemus_does():
    rng = random.Random(8259)
    accesses = [(LCR, 3), (MCR, 0x0B), (0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1)]
    new_edge = [(IER, 0), (IER, 2)]
    levels = [command | level for command in (0x60, 0xC0, 0xE0) for level in range(8)]
    for _ in range(800):
        accesses += rng.choice(
            (
                new_edge,
                new_edge,
                [(0x20, rng.choice((0x20, 0xA0, 0x80, 0x00, 0x40, 0x64, 0xE4, *levels)))],
                [(0x20, 0x0C), (0x20, None)],
                [(0x20, rng.choice((0x0A, 0x0B))), (0x20, None)],
                [(0x21, rng.choice((0, 0, 0x10, rng.randrange(256)))), (0x21, None)],
                [(0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, rng.choice((0x01, 0x03, 0x11)))],
            )
        )
    assert_agreement(accesses)


def test_the_uart_answers_as_qemus_does():
    rng = random.Random(16550)
    values = {
        IER: lambda: rng.randrange(8) & 5,
        FCR: lambda: rng.choice((0x00, 0x01, 0x41, 0x01 | rng.randrange(256))),
        LCR: lambda: rng.choice((0x03, 0x03, 0x83)),
        MCR: lambda: rng.randrange(16) | 0x10,
    }
    accesses = [(LCR, 3), (IER, 0), (MCR, 0x10), (FCR, 0)]
    for _ in range(1500):
        port = DATA + rng.randrange(8)
        if rng.random() < 0.5 or port in (LSR, MSR):
            accesses.append((port, None))
        else:
            accesses.append((port, values.get(port, lambda: rng.randrange(256))()))
    assert_agreement(accesses)
