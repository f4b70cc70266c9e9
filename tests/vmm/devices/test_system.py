"""The board's own ports: wire A20, reset, the POST code."""

import pytest

from vmm.clock import Clock
from vmm.devices import PcDevices


class Board:
    def __init__(self):
        self.a20, self.resets = [], []
        self.pc = PcDevices(Clock(), on_a20=self.a20.append, on_reset=lambda: self.resets.append(1))

    def out(self, port, *values):
        for value in values:
            self.pc.bus.write(port, value, 1)


def test_a20_is_on_at_power_on():
    assert Board().pc.a20


def test_a20_is_on_while_port_92_or_the_keyboard_controller_wants_it():
    board = Board()
    board.out(0x92, 0x02)
    board.out(0x64, 0xD1)
    board.out(0x60, 0xDD)
    assert board.pc.a20
    assert board.a20 == []
    board.out(0x92, 0x00)
    assert not board.pc.a20
    board.out(0x64, 0xDF)
    assert board.a20 == [False, True]


def test_port_92_reads_back_its_two_bits():
    board = Board()
    board.out(0x92, 0xFE)
    assert board.pc.bus.read(0x92, 1) == 0x02


@pytest.mark.parametrize(
    ("port", "values"), [(0x92, (0x01,)), (0x92, (0x03,)), (0xCF9, (0x02, 0x06)), (0xCF9, (0x04,))]
)
def test_a_rising_edge_resets(port, values):
    board = Board()
    board.out(port, *values)
    assert board.resets == [1]


def test_only_a_rising_edge_resets():
    board = Board()
    board.out(0x92, 0x01, 0x01, 0x00)
    board.out(0xCF9, 0x02, 0x00)
    assert board.resets == [1]


def test_the_reset_register_keeps_the_kind_of_reset():
    board = Board()
    board.out(0xCF9, 0xFB)
    assert board.pc.bus.read(0xCF9, 1) == 0x02


def test_the_keyboard_controller_pulls_the_same_line():
    board = Board()
    board.out(0x64, 0xFE)
    assert board.resets == [1]


def test_the_post_code_is_kept_and_cannot_be_read():
    board = Board()
    board.out(0x80, 0x31)
    assert board.pc.system.post_code == 0x31
    assert board.pc.bus.read(0x80, 1) == 0xFF


def test_wire_a20_is_told_again_after_a_snapshot_is_loaded():
    board, other = Board(), Board()
    board.out(0x64, 0xDD)
    state = board.pc.save()
    other.pc.load(state)
    assert other.a20 == [False]
    assert not other.pc.a20
    assert other.pc.save() == state
