"""The clock chip: time in every format, the update, three interrupts, memory that lasts."""

import json
import random
from datetime import UTC, datetime, timedelta

import pytest

from vmm.clock import INSTRUCTIONS_PER_SECOND, Clock, instructions_in
from vmm.devices.cmos import (
    A_UIP,
    B_24,
    B_AIE,
    B_DM,
    B_PIE,
    B_SET,
    B_UIE,
    C_AF,
    C_IRQF,
    C_PF,
    C_UF,
    CENTURY,
    DEFAULT_EPOCH,
    HOURS,
    WEEKDAY,
    Cmos,
    memory_bytes,
)
from vmm.devices.pic import PicPair

SECOND = INSTRUCTIONS_PER_SECOND
START = datetime(2025, 1, 1, tzinfo=UTC)


class Board:
    def __init__(self, moment=START):
        self.clock = Clock()
        self.pic = PicPair()
        for port, value in ((0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1)):
            self.pic.write(port, value, 1)
        for port, value in ((0xA0, 0x11), (0xA1, 0x28), (0xA1, 2), (0xA1, 1)):
            self.pic.write(port, value, 1)
        self.chip = Cmos(self.clock, self.pic, int(moment.timestamp()))

    def __getitem__(self, register):
        self.chip.write(0x70, register, 1)
        return self.chip.read(0x71, 1)

    def __setitem__(self, register, value):
        self.chip.write(0x70, register, 1)
        self.chip.write(0x71, value, 1)

    def wait(self, instructions):
        self.clock.advance(self.clock.now + instructions)

    def time(self):
        return [self[register] for register in (9, 8, 7, 4, 2, 0)]

    def interrupts(self, seconds):
        """How often the chip interrupts in so many seconds when each is answered."""
        count, end = 0, self.clock.now + seconds * SECOND
        while (deadline := self.clock.deadline()) is not None and deadline <= end:
            self.clock.advance(deadline)
            if self.pic.intr:
                assert self.pic.acknowledge() == 0x28
                assert self[0x0C] & C_IRQF
                self.pic.write(0xA0, 0x20, 1)
                self.pic.write(0x20, 0x20, 1)
                count += 1
        self.clock.advance(end)
        return count


def test_time_is_bcd_and_24_hours_at_power_on():
    board = Board(datetime(2019, 12, 31, 23, 59, 58, tzinfo=UTC))
    assert board.time() == [0x19, 0x12, 0x31, 0x23, 0x59, 0x58]
    assert board[CENTURY] == 0x20
    assert board[WEEKDAY] == 3, "Tuesday; Sunday is 1"
    board.wait(2 * SECOND)
    assert board.time() == [0x20, 0x01, 0x01, 0x00, 0x00, 0x00]
    assert board[WEEKDAY] == 4


def test_the_default_epoch_is_a_round_one():
    assert datetime.fromtimestamp(DEFAULT_EPOCH, UTC) == START


@pytest.mark.parametrize(
    ("mode", "noon", "midnight", "evening"),
    [(B_24, 0x12, 0x00, 0x23), (0, 0x92, 0x12, 0x91), (B_24 | B_DM, 12, 0, 23), (B_DM, 0x8C, 12, 0x8B)],
)
def test_hours_come_in_four_formats(mode, noon, midnight, evening):
    board = Board()
    for byte, hour in ((noon, 12), (midnight, 0), (evening, 23)):
        board[0x0B] = B_SET | mode
        board[HOURS] = byte
        board[0x0B] = mode
        board.wait(3600 * SECOND)
        board[0]
        assert board.chip.time.hour == (hour + 1) % 24


@pytest.mark.parametrize("mode", [0, B_24, B_DM, B_DM | B_24])
def test_time_runs_as_the_calendar_does_in_every_format(mode):
    rng = random.Random(mode)
    moment = datetime(1999, 2, 27, 11, 59, 59, tzinfo=UTC)
    board = Board()
    board.chip.memory[0x0B] = mode
    board.chip.time = moment
    for _ in range(300):
        seconds = rng.choice((1, 59, 60, 3599, 43_200, 86_400, 86_400 * 28, 86_400 * 366))
        board.wait(seconds * SECOND)
        moment += timedelta(seconds=seconds)
        board[0]
        assert board.chip.time == moment
        assert board[WEEKDAY] == moment.isoweekday() % 7 + 1


def test_it_does_not_matter_how_often_one_looks():
    rng = random.Random(1)
    often, seldom = Board(), Board()
    for _ in range(2000):
        often.wait(rng.randrange(SECOND))
        often[0]
    seldom.wait(often.clock.now)
    assert often.time() == seldom.time()
    assert often[0x0C] == seldom[0x0C]


def test_the_weekday_counts_on_from_what_was_written():
    board = Board(datetime(2025, 1, 1, 23, 59, 59, tzinfo=UTC))
    board[WEEKDAY] = 7
    board.wait(SECOND)
    assert board[WEEKDAY] == 1


def test_update_in_progress_is_high_for_the_last_2228_us_of_a_second():
    board = Board()
    board.wait(SECOND - instructions_in(2_300_000))
    assert not board[0x0A] & A_UIP
    board.wait(instructions_in(100_000))
    assert board[0x0A] & A_UIP
    assert board[0] == 0
    board.wait(instructions_in(2_200_000))
    assert not board[0x0A] & A_UIP
    assert board[0] == 1


def test_with_SET_the_time_stands_still_and_no_update_is_announced():
    board = Board()
    board[0x0B] = B_SET | B_24
    board.wait(10 * SECOND - 1000)
    assert not board[0x0A] & A_UIP
    assert board.time()[-1] == 0
    board[0x0B] = B_24
    board.wait(SECOND)
    assert board.time()[-1] == 1


def test_after_a_reset_of_the_divider_the_first_update_comes_in_half_a_second():
    board = Board()
    board[0x0A] = 0x70
    board.wait(5 * SECOND + 1234)
    assert board.time()[-1] == 0
    board[0x0A] = 0x26
    board.wait(SECOND // 2 - 1000)
    assert board.time()[-1] == 0
    board.wait(2000)
    assert board.time()[-1] == 1


@pytest.mark.parametrize(
    ("rate", "hertz"), [(1, 256), (2, 128), (3, 8192), (6, 1024), (8, 256), (13, 8), (15, 2), (0, 0)]
)
def test_the_periodic_interrupt_has_the_rates_of_the_datasheet(rate, hertz):
    board = Board()
    board[0x0A] = 0x20 | rate
    board[0x0B] = B_24 | B_PIE
    assert board.interrupts(2) == 2 * hertz


def test_the_update_interrupt_comes_once_a_second():
    board = Board()
    board[0x0B] = B_24 | B_UIE
    assert board.interrupts(7) == 7


def test_the_alarm_rings_when_its_three_bytes_match():
    board = Board(datetime(2025, 3, 1, 23, 0, 0, tzinfo=UTC))
    board[1], board[3], board[5] = 0x30, 0x15, 0x06
    board[0x0B] = B_24 | B_AIE
    board.clock.advance(board.clock.deadline())
    assert board.pic.intr
    assert board.chip.time == datetime(2025, 3, 2, 6, 15, 30, tzinfo=UTC)
    assert board[0x0C] == C_IRQF | C_PF | C_AF | C_UF
    assert board[0x0C] == 0


@pytest.mark.parametrize(
    ("alarm", "per_day"),
    [((0xFF, 0xC0, 0xFF), 86_400), ((0x10, 0xFF, 0xFF), 1440), ((0, 0, 0xD0), 24), ((0, 0, 0x24), 0)],
)
def test_an_alarm_byte_from_C0_on_matches_always(alarm, per_day):
    board = Board(datetime(2025, 3, 1, 13, 37, 11, tzinfo=UTC))
    board[1], board[3], board[5] = alarm
    board[0x0B] = B_24 | B_AIE
    hours = 1 if per_day == 86_400 else 24
    assert board.interrupts(hours * 3600) == per_day * hours // 24


def test_flags_rise_without_being_enabled_but_interrupt_nobody():
    board = Board()
    board.wait(2 * SECOND)
    assert board.clock.deadline() is None
    assert board[0x0C] == C_PF | C_UF
    assert not board.pic.intr


def test_enabling_an_interrupt_whose_flag_is_up_raises_it_at_once():
    board = Board()
    board.wait(2 * SECOND)
    board[0x0B] = B_24 | B_UIE
    assert board.pic.intr
    assert board[0x0C] & C_IRQF
    assert not board.pic.intr


def test_setting_SET_takes_the_update_interrupt_away():
    board = Board()
    board[0x0B] = B_SET | B_UIE | B_PIE | B_24
    assert board[0x0B] == B_SET | B_PIE | B_24


def test_registers_C_and_D_cannot_be_written_and_the_index_not_read():
    board = Board()
    board[0x0C] = board[0x0D] = 0xFF
    assert (board[0x0C], board[0x0D]) == (0, 0x80)
    assert board.chip.read(0x70, 1) == 0xFF


def test_bit_7_of_the_index_masks_the_nmi_and_is_no_part_of_the_index():
    board = Board()
    board[0x0F] = 0x5A
    assert board[0x8F] == 0x5A
    assert board.chip.nmi_masked
    assert board[0x0F] == 0x5A
    assert not board.chip.nmi_masked


@pytest.mark.parametrize(
    ("size", "base", "extended", "high"),
    [
        (512 << 10, 512, 0, 0),
        (1 << 20, 640, 0, 0),
        (16 << 20, 640, 15 << 10, 0),
        (48 << 20, 640, 47 << 10, 512),
        (1 << 30, 640, 0xFFFF, 16128),
    ],
)
def test_the_size_of_memory_is_noted_as_bioses_do(size, base, extended, high):
    found = memory_bytes(size)
    words = {at: found[at] | found[at + 1] << 8 for at in (0x15, 0x17, 0x30, 0x34)}
    assert words == {0x15: base, 0x17: extended, 0x30: extended, 0x34: high}


def test_a_guest_may_write_anything_at_any_time_and_a_reload_changes_nothing():
    rng = random.Random(146818)
    board = Board()

    def scribble(which, seed, count):
        r, log = random.Random(seed), []
        for _ in range(count):
            register = r.choice((*range(16), CENTURY, r.randrange(256)))
            if r.random() < 0.5:
                which[register] = r.choice((0x26, 0x20 | r.randrange(16), r.randrange(256)))
            else:
                log.append(which[register])
            if r.random() < 0.3:
                which.wait(r.choice((1, 1000, SECOND // 3, 5 * SECOND, 86_400 * SECOND)))
            log.append(which.pic.intr)
        return log

    for _ in range(100):
        scribble(board, rng.random(), 100)
        copy = Board()
        state = json.loads(json.dumps([board.clock.save(), board.chip.save()]))
        copy.clock.load(state[0])
        copy.chip.load(state[1])
        copy.pic.load(board.pic.save())
        seed = rng.random()
        assert scribble(copy, seed, 60) == scribble(board, seed, 60)
        assert copy.chip.save() == board.chip.save()
        assert board.clock.pending <= 1
