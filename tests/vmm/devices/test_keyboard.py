"""The keyboard controller: its own commands, the keyboard's, and text that somebody types."""

import json
import random

import pytest

from vmm.clock import Clock
from vmm.devices.keyboard import KeyboardController
from vmm.devices.keys import EXTENDED, SET_1, codes, key_of
from vmm.devices.pic import PicPair

DATA, COMMAND = 0x60, 0x64
MILLISECOND = 10_000


class Board:
    def __init__(self):
        self.clock = Clock()
        self.pic = PicPair()
        for port, value in ((0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1)):
            self.pic.write(port, value, 1)
        self.a20, self.resets = [], []
        self.chip = KeyboardController(
            self.clock, self.pic, self.a20.append, lambda: self.resets.append(self.clock.now)
        )

    def command(self, value, *arguments):
        self.chip.write(COMMAND, value, 1)
        for argument in arguments:
            self.chip.write(DATA, argument, 1)

    def data(self, *values):
        for value in values:
            self.chip.write(DATA, value, 1)

    @property
    def full(self):
        return bool(self.chip.read(COMMAND, 1) & 1)

    def drain(self):
        """All bytes that wait, as a driver reads them; each has interrupted once."""
        out = []
        while self.full:
            out.append(self.chip.read(DATA, 1))
        return out

    def listen(self, milliseconds=1000):
        """The bytes that come by interrupt."""
        out = []
        for _ in range(milliseconds):
            self.clock.advance(self.clock.now + MILLISECOND)
            while self.pic.intr:
                assert self.pic.acknowledge() == 0x21
                out.append(self.chip.read(DATA, 1))
                self.pic.write(0x20, 0x20, 1)
        return out


def test_the_self_test_passes_and_sets_the_system_flag():
    board = Board()
    board.chip.ram[0] = 0
    assert board.chip.read(COMMAND, 1) == 0x10
    board.command(0xAA)
    assert board.chip.read(COMMAND, 1) == 0x1D
    assert board.drain() == [0x55]


def test_the_line_of_the_keyboard_is_good_and_there_is_none_for_a_mouse():
    board = Board()
    board.command(0xAB)
    board.command(0xA9)
    board.command(0xD4, 0xF2)
    assert board.drain() == [0x00, 0x02]


def test_the_command_byte_reads_back():
    board = Board()
    board.command(0x60, 0x65)
    board.command(0x20)
    assert board.drain() == [0x65]


def test_the_controller_s_memory_reads_back():
    board = Board()
    board.command(0x7F, 0xA5)
    board.command(0x3F)
    assert board.drain() == [0xA5]


def test_the_status_tells_commands_from_data():
    board = Board()
    board.command(0xAE)
    assert board.chip.read(COMMAND, 1) & 0x08
    board.data(0xEE)
    assert not board.chip.read(COMMAND, 1) & 0x08


def test_the_output_port_drives_wire_a20():
    board = Board()
    board.command(0xD0)
    assert board.drain() == [0xCF]
    board.command(0xD1, 0xDD)
    board.command(0xD1, 0xDF)
    board.command(0xDD)
    board.command(0xDF)
    assert board.a20 == [False, True, False, True]
    assert board.resets == []


@pytest.mark.parametrize("how", [(0xFE,), (0xF0,), (0xD1, 0xDE)])
def test_the_reset_line_can_be_pulled_in_three_ways(how):
    board = Board()
    board.command(*how)
    assert board.resets == [0]


@pytest.mark.parametrize("command", [0xFF, 0xF1, 0xF3])
def test_pulses_of_other_lines_reset_nothing(command):
    board = Board()
    board.command(command)
    assert board.resets == []


def test_the_loop_commands_give_their_byte_back():
    board = Board()
    board.command(0xD2, 0x31)
    board.command(0xD3, 0x32)
    assert board.drain() == [0x31, 0x32]


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        ((0xFF,), [0xFA, 0xAA]),
        ((0xF2,), [0xFA, 0xAB, 0x83]),
        ((0xED, 0x07), [0xFA, 0xFA]),
        ((0xF3, 0x20), [0xFA, 0xFA]),
        ((0xEE,), [0xEE]),
        ((0xF4,), [0xFA]),
        ((0xF6,), [0xFA]),
        ((0xF9,), [0xFA]),
        ((0xE0,), [0xFE]),
        ((0xF0, 0x00), [0xFA, 0xFA, 0x02]),
        ((0xF0, 0x03, 0xF0, 0x00), [0xFA, 0xFA, 0xFA, 0xFA, 0x03]),
        ((0xF0, 0x04), [0xFA, 0xFE]),
        ((0xED, 0xF2), [0xFA, 0xFA, 0xAB, 0x83]),
    ],
)
def test_the_keyboard_answers(sent, answer):
    board = Board()
    board.command(0x60, 0x01)  # without translation
    board.data(*sent)
    assert board.drain() == answer


def test_the_identity_is_translated_like_a_scan_code():
    board = Board()
    board.data(0xF2)
    assert board.drain() == [0xFA, 0xAB, 0x41]


def test_resend_repeats_the_last_byte():
    board = Board()
    board.data(0xEE, 0xFE)
    assert board.drain() == [0xEE, 0xEE]


def test_lights_and_scan_set_go_back_with_a_reset():
    board = Board()
    board.data(0xED, 2, 0xF0, 1)
    assert (board.chip.keyboard.leds, board.chip.keyboard.scan_set) == (2, 1)
    board.data(0xFF)
    assert (board.chip.keyboard.leds, board.chip.keyboard.scan_set) == (0, 2)


def test_every_byte_interrupts_once():
    board = Board()
    board.data(0xF2)
    assert board.listen(5) == [0xFA, 0xAB, 0x41]


def test_without_the_enable_bit_nothing_interrupts():
    board = Board()
    board.command(0x60, 0x40)
    board.data(0xF2)
    assert not board.pic.intr
    board.command(0x60, 0x41)
    assert board.pic.intr


def test_typed_text_comes_as_set_1_by_interrupts():
    board = Board()
    board.chip.type("aB1\n")
    a, b, one, enter, shift = 0x1E, 0x30, 0x02, 0x1C, 0x2A
    expected = [a, a | 0x80, shift, b, b | 0x80, shift | 0x80, one, one | 0x80, enter, enter | 0x80]
    assert board.listen() == expected


def test_without_translation_typed_text_comes_as_set_2():
    board = Board()
    board.command(0x60, 0x01)
    board.chip.type("a")
    assert board.listen() == [0x1C, 0xF0, 0x1C]


def test_typed_text_waits_while_the_keyboard_may_not_send():
    board = Board()
    board.command(0xAD)
    board.chip.type("a")
    assert board.listen(10) == []
    board.command(0xAE)
    assert board.listen(10) == [0x1E, 0x9E]
    board.data(0xF5)
    assert board.listen(10) == [0xFA]
    board.chip.type("b")
    assert board.listen(10) == []
    board.data(0xF4)
    assert board.listen(10) == [0xFA, 0x30, 0xB0]


def test_typed_text_waits_for_a_driver_that_polls():
    board = Board()
    board.command(0x60, 0x40)
    board.chip.type("xyz")
    seen = []
    for _ in range(100):
        board.clock.advance(board.clock.now + 7 * MILLISECOND)
        seen += board.drain()
    assert seen == [0x2D, 0xAD, 0x15, 0x95, 0x2C, 0xAC]


def test_named_keys_have_their_prefix():
    board = Board()
    board.chip.press("up")
    board.chip.press("up", release=True)
    assert board.listen(10) == [0xE0, 0x48, 0xE0, 0xC8]


def test_what_no_key_types_is_refused_whole():
    board = Board()
    with pytest.raises(ValueError, match="'é'"):
        board.chip.type("caf\u00e9")
    with pytest.raises(KeyError):
        board.chip.press("turbo")
    assert board.listen(10) == []


@pytest.mark.parametrize("key", [*SET_1, *EXTENDED])
def test_the_controller_makes_set_1_of_what_a_key_sends(key):
    board = Board()
    expected = [*codes(key, 1), *codes(key, 1, release=True)]
    board.chip.press(key)
    board.chip.press(key, release=True)
    assert board.listen(10) == expected


def test_every_printable_character_has_a_key():
    assert all(key_of(chr(n)) for n in range(0x20, 0x7F))
    assert key_of("\x03") == ("c", "ctrl")
    assert [key_of(each) for each in "\n\r\t\b\x1b"] == [
        *(("enter", ""), ("enter", ""), ("tab", ""), ("backspace", ""), ("esc", "")),
    ]


def test_no_two_keys_send_the_same_in_any_set():
    for scan_set in (1, 2, 3):
        sent = [codes(key, scan_set) for key in (*SET_1, *EXTENDED)]
        assert len(set(sent)) == len(sent), scan_set


def test_a_guest_may_write_anything_at_any_time_and_a_reload_changes_nothing():
    rng = random.Random(8042)
    board = Board()

    def scribble(which, seed, count):
        r, log = random.Random(seed), []
        for _ in range(count):
            what = r.random()
            if what < 0.4:
                which.chip.write(r.choice((DATA, COMMAND)), r.randrange(256), 1)
            elif what < 0.8:
                log.append(which.chip.read(r.choice((DATA, COMMAND)), 1))
            elif what < 0.9:
                which.clock.advance(which.clock.now + r.choice((1, MILLISECOND, 5 * MILLISECOND)))
            else:
                which.chip.type(r.choice("aA\n~"))
            log.append(which.pic.intr)
        return log

    for _ in range(200):
        scribble(board, rng.random(), 100)
        copy = Board()
        clock, chip = json.loads(json.dumps([board.clock.save(), board.chip.save()]))
        copy.clock.load(clock)
        copy.chip.load(chip)
        copy.pic.load(board.pic.save())
        seed = rng.random()
        assert scribble(copy, seed, 60) == scribble(board, seed, 60)
        assert copy.chip.save() == board.chip.save()
        assert board.clock.pending <= 1
        board.chip.typed.clear()
