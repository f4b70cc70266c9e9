"""Power management: the timer, its event, handing over, switching off."""

import random

import pytest
from reloading import goes_on_alike

from vmm.clock import INSTRUCTIONS_PER_SECOND, Clock
from vmm.devices import PcDevices

BASE = 0x600
STATUS, ENABLE, CONTROL, TIMER = BASE, BASE + 2, BASE + 4, BASE + 8
OFF = 0x2000


class Board:
    def __init__(self):
        self.off = []
        self.pc = PcDevices(Clock(), on_power_off=lambda: self.off.append(1))
        self.pc.firmware()
        self.pc.bus.write(0xA1, 0, 1)
        self.read, self.write = self.pc.bus.read, self.pc.bus.write

    def wait(self, instructions):
        self.pc.clock.advance(self.pc.clock.now + instructions)


def test_at_power_on_there_are_no_ports_and_the_firmware_puts_them_at_600():
    pc = PcDevices(Clock())
    assert pc.bus.owner(TIMER) is None
    pc.firmware()
    assert pc.bus.owner(TIMER) is pc.power


def test_the_timer_runs_at_3_579545_mhz_and_has_24_bits():
    board = Board()
    board.wait(INSTRUCTIONS_PER_SECOND)
    assert board.read(TIMER, 4) == 3_579_545
    board.wait(9 * INSTRUCTIONS_PER_SECOND)
    assert board.read(TIMER, 4) == 35_795_450 % (1 << 24)
    assert board.read(TIMER, 2) == board.read(TIMER, 4) & 0xFFFF


def test_a_kernel_takes_over_by_the_control_port():
    board = Board()
    assert not board.read(CONTROL, 2) & 1
    board.write(0xB2, 0xF1, 1)
    assert board.read(CONTROL, 2) & 1
    board.write(0xB2, 0xF0, 1)
    assert not board.read(CONTROL, 2) & 1
    board.write(0xB3, 0x5A, 1)
    assert (board.read(0xB2, 1), board.read(0xB3, 1)) == (0xF0, 0x5A)


def test_the_timer_s_event_comes_when_its_highest_bit_changes():
    board = Board()
    board.write(0xB2, 0xF1, 1)
    board.write(ENABLE, 1, 2)
    half = (1 << 23) * INSTRUCTIONS_PER_SECOND // 3_579_545
    board.wait(half - 10)
    assert not board.pc.pic.slave.irr & 2
    assert not board.read(STATUS, 2) & 1
    board.wait(20)
    assert board.pc.pic.slave.irr & 2
    assert board.read(STATUS, 2) & 1
    board.write(STATUS, 1, 2)
    assert not board.pc.pic.slave.irr & 2
    board.wait(half)
    assert board.pc.pic.slave.irr & 2


def test_the_event_is_noted_without_being_enabled_and_interrupts_nobody():
    board = Board()
    board.wait(3 * INSTRUCTIONS_PER_SECOND)
    assert board.read(STATUS, 2) & 1
    assert not board.pc.pic.slave.irr & 2


def test_the_power_button_is_an_event():
    board = Board()
    board.write(0xB2, 0xF1, 1)
    board.write(ENABLE, 0x100, 2)
    board.pc.power.press_power_button()
    assert board.pc.pic.slave.irr & 2
    assert board.read(STATUS, 2) == 0x100


@pytest.mark.parametrize("accesses", [((CONTROL, OFF, 2),), ((CONTROL, 0, 1), (CONTROL + 1, OFF >> 8, 1))])
def test_sleep_type_0_switches_off(accesses):
    board = Board()
    for access in accesses:
        board.write(*access)
    assert board.off == [1]
    assert not board.read(CONTROL, 2) & OFF


def test_other_sleep_types_do_not_switch_off():
    board = Board()
    board.write(CONTROL, OFF | 1 << 10, 2)
    board.write(CONTROL, 0, 2)
    assert board.off == []


def test_the_ports_move_but_never_over_others():
    board = Board()

    def base(value):
        board.write(0xCF8, 0x8000_0B40, 4)
        board.write(0xCFC, value, 4)

    base(0xB001)
    assert board.pc.bus.owner(BASE) is None
    assert board.read(0xB008, 4) == board.pc.power.tick
    base(0x03C1)
    assert board.pc.bus.owner(0x3C0) is board.pc.vga
    assert board.pc.bus.owner(0xB000) is None
    base(BASE)
    assert board.pc.bus.owner(BASE) is board.pc.power


def test_a_guest_may_write_anything_at_any_time_and_a_reload_changes_nothing():
    def scribble(which, seed, count):
        r, log = random.Random(seed), []
        for _ in range(count):
            port, size = (
                r.choice((BASE + r.randrange(64), STATUS, ENABLE, CONTROL, 0xB2)),
                r.choice((1, 2, 4)),
            )
            if r.random() < 0.5:
                which.write(port, r.getrandbits(8 * size), size)
            else:
                log.append(which.read(port, size))
            if r.random() < 0.3:
                which.wait(r.choice((1, 1000, 5_000_000)))
            log.append(which.pc.pic.slave.irr)
        return log

    goes_on_alike(Board, scribble, 4, 50)
