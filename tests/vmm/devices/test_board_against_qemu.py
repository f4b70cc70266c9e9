"""The same accesses to the board's devices in QEMU, through its monitor, and in ours: every read must agree.

Left out is where QEMU departs from the datasheets or does more than this machine: the mouse on its keyboard
controller, the status bit that tells commands from data, the output port's bits that are pins, a second
century byte at 37h, the keyboard's refusal to resend.
"""

import random

import pytest
from qemu_oracle import QEMU, assert_agreement, in_qemu

from vmm.clock import Clock
from vmm.devices import PcDevices

pytestmark = pytest.mark.skipif(QEMU is None, reason="QEMU is not installed")
CLOCK = ("-rtc", "base=2025-01-01T00:00:00,clock=vm")


def cmos(index, value=None):
    return [(0x70, index), (0x71, value)]


def test_the_clock_chip_holds_what_qemus_holds_for_a_kernel_to_find():
    indices = (*(0, 2, 4, 7, 8, 9, 0x32), 0x0B, 0x0D, 0x0F, 0x15, 0x16, 0x17, 0x18, 0x30, 0x31, 0x34, 0x35)
    accesses = [access for index in (*indices, 0x5B, 0x5C, 0x5D) for access in cmos(index)]
    for megabytes in (16, 48, 128, 2047):
        pc = PcDevices(Clock(), memory=megabytes << 20)
        assert_agreement(pc.bus, accesses, "-m", f"{megabytes}M", *CLOCK)


def test_the_clock_chip_takes_what_qemus_takes():
    rng = random.Random(146818)
    accesses = cmos(0x0B, 0x82)
    for index, value in ((0, 0x12), (2, 0x34), (4, 0x21), (7, 0x28), (8, 0x02), (9, 0x24)):
        accesses += cmos(index, value) + cmos(index)
    accesses += cmos(0x0B, 0x02)
    for index in (0, 2, 4, 7, 8, 9, 0x0B):
        accesses += cmos(index)
    for _ in range(800):
        index = rng.choice((0x0B, 0x0F, *range(0x33, 0x37), *range(0x38, 0x80), 1, 3, 5))
        accesses += cmos(index, rng.randrange(256) & (0x8F if index == 0x0B else 0xFF)) + cmos(index)
    assert_agreement(PcDevices(Clock()).bus, accesses, *CLOCK)


def test_the_keyboard_controller_answers_as_qemus_does():
    rng = random.Random(8042)
    accesses = [(0x64, 0x60), (0x60, 0x65)]
    commands = (0x20, 0xAA, 0xAB, 0xAD, 0xAE, 0xC0, 0xD0, 0xDF)
    for _ in range(300):
        accesses += rng.choice(
            (
                [(0x64, rng.choice(commands))],
                [(0x64, 0x60), (0x60, rng.choice((0x41, 0x45, 0x61, 0x01, 0x00, 0x40)))],
                [(0x64, 0xD2), (0x60, rng.randrange(256))],
                [(0x64, 0xD1), (0x60, 0xCF)],
                [(0x60, rng.choice((0xEE, 0xF2, 0xF4, 0xF5, 0xF6, 0xFF)))],
                [(0x60, rng.choice((0xED, 0xF3))), (0x64, None), (0x60, None), (0x60, rng.randrange(8))],
                [(0x60, 0xF0), (0x60, None), (0x60, rng.randrange(1, 4))],
                [(0x60, 0xF0), (0x60, None), (0x60, 0), (0x64, None), (0x60, None)],
            )
        )
        accesses += [(0x64, None), (0x60, None)] * 4
    assert_agreement(PcDevices(Clock()).bus, accesses, masks={0x64: 0xF3})


def test_the_display_s_registers_keep_what_qemus_keep():
    rng = random.Random(0x3C0)
    accesses = [(0x3C2, 0x67), (0x3D4, 0x11), (0x3D5, 0x0E)]
    files = ((0x3C4, 5), (0x3CE, 9), (0x3D4, 0x19))
    for port, count in files:  # every register of both is set before it is read
        for index in range(count):
            accesses += [(port, index), (port + 1, 0)]
    for _ in range(1500):
        port, count = rng.choice(files)
        index = rng.randrange(count)
        accesses.append((port, index))
        if rng.random() < 0.5:
            value = rng.randrange(256) & PLAIN_BITS[port][index]
            accesses.append((port + 1, value & 0x7F if (port, index) == (0x3D4, 0x11) else value))
        accesses += [(port, None), (port + 1, None)]
        if rng.random() < 0.2:
            register = rng.randrange(0x10, 0x15)
            value = rng.randrange(256) & PLAIN_BITS[0x3C0][register - 0x10]
            accesses += [(0x3DA, None), (0x3C0, register | 0x20), (0x3C0, value), (0x3C0, register | 0x20)]
            accesses += [(0x3C1, None), (0x3DA, None)]
        if rng.random() < 0.2:
            start = rng.randrange(256)
            accesses += [(0x3C8, start), *((0x3C9, rng.randrange(64)) for _ in range(6))]
            accesses += [(0x3C7, start), *((0x3C9, None) for _ in range(6)), (0x3CC, None)]
    options = ("-device", "isa-vga")
    assert_agreement(PcDevices(Clock()).bus, accesses, *options, masks={0x3DA: 0})


PLAIN_BITS = {  # the bits that exist
    0x3C4: (0x03, 0x3D, 0x0F, 0x3F, 0x0E),
    0x3CE: (0x0F, 0x0F, 0x0F, 0x1F, 0x03, 0x7B, 0x0F, 0x0F, 0xFF),
    0x3D4: (0xFF,) * 0x19,
    0x3C0: (0xEF, 0xFF, 0x3F, 0x0F, 0x0F),
}


@pytest.mark.parametrize("port", [0x80, 0x92, 0xCF9])
def test_the_board_s_own_ports_read_as_qemus(port):
    pc = PcDevices(Clock())
    expected = in_qemu([(port, None)])
    assert [pc.bus.read(port, 1)] == expected
