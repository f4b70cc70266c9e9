"""The 8254: each mode by its datasheet, the commands, port 61h, and IRQ 0 without drift.

`SteppingChannel` is a counter that counts, one clock pulse at a time, as the datasheet tells it. The
channel under test computes instead of counting; over random programs both must agree at every tick.
"""

import json
import random

import pytest

from vmm.clock import INSTRUCTIONS_PER_SECOND, Clock
from vmm.devices.pic import PicPair
from vmm.devices.pit import PIT_HZ, Channel, Pit

BOTH = 3


def channel(mode, count=None, *, gate=True, bcd=False, tick=0):
    """A channel programmed at `tick` for two-byte counts."""
    c = Channel(gate=gate)
    c.program(BOTH << 4 | mode << 1 | bcd, tick)
    if count is not None:
        set_count(c, count, tick)
    return c


def set_count(c, count, tick):
    c.write(count & 0xFF, tick)
    c.write(count >> 8, tick)


def count_of(c, tick):
    c.latch_count(tick)
    return c.read(tick) | c.read(tick) << 8


def wave(c, start, stop):
    """The output from tick to tick, as 0s and 1s."""
    levels = []
    for tick in range(start, stop):
        c.catch_up(tick)
        levels.append(str(int(c.out(tick))))
    return "".join(levels)


class SteppingChannel:
    def __init__(self, gate):
        self.gate = gate
        self.mode, self.cr, self.ce, self.out = 0, None, 0, False
        self.load = self.armed = self.started = self.odd = False
        self.null = True
        self.wrap, self.frozen = 0x10000, 0

    def program(self, mode, bcd):
        self._stop()
        self.mode, self.cr, self.out, self.wrap = mode, None, mode != 0, 10_000 if bcd else 0x10000
        self.null = True

    def shown(self):
        if not self.started:
            return self.frozen
        return int(str(self.ce), 16) if self.wrap == 10_000 else self.ce

    def _stop(self):
        self.frozen = self.shown()
        self.load = self.armed = self.started = False

    def first_byte(self):
        if self.mode == 0:
            self._stop()
            self.out = False

    def new_count(self, count):
        self.cr, self.null = count, True
        self.first_byte()
        if self.mode in (0, 4) or (self.mode in (2, 3) and not self.started):
            self.load = True

    def set_gate(self, gate):
        if gate and not self.gate and self.mode in (1, 2, 3, 5) and self.cr is not None:
            self.load = True
        if not gate and self.gate and self.mode in (2, 3) and self.started:
            self.out, self.load = True, False
        self.gate = gate

    def pulse(self):
        if self.load:
            self._take()
            self.out = self.mode in (2, 3, 4, 5)
            self.armed = self.started = True
            self.load = False
        elif self.started and (self.gate or self.mode in (1, 5)):
            (self._end, self._end, self._rate, self._square, self._strobe, self._strobe)[self.mode]()

    def _take(self):
        self.ce, self.null = self.cr % self.wrap, False
        if self.mode == 3:
            self.odd = bool(self.cr & 1)
            self.ce &= ~1

    def _down(self, by=1):
        self.ce = (self.ce - by) % self.wrap

    def _end(self):
        self._down()
        if self.ce == 0 and self.armed:
            self.out, self.armed = True, False

    def _strobe(self):
        self._down()
        self.out = not (self.ce == 0 and self.armed)
        if not self.out:
            self.armed = False

    def _rate(self):
        if self.ce == 1:
            self._take()
        else:
            self._down()
        self.out = self.ce != 1

    def _square(self):
        if self.ce == (0 if self.odd and self.out and self.armed else 2):
            self.out = not self.out
            self._take()
            self.armed = True
        else:
            self._down(2)


def test_random_programs_agree_with_a_counter_that_counts():
    rng = random.Random(8254)
    for _ in range(150):
        gate = rng.random() < 0.7
        computed, stepping = Channel(gate=gate), SteppingChannel(gate)
        long = rng.random() < 0.05
        for tick in range(3000 if long else 300):
            if tick == 0 or rng.random() < 0.01:
                mode, bcd = rng.randrange(6), rng.random() < 0.3
                computed.program(BOTH << 4 | mode << 1 | bcd, tick)
                stepping.program(mode, bcd)
            if rng.random() < 0.03:
                count = rng.randrange(2, 40) if not long else rng.choice((0, 999, 1000, 1001))
                shown = int(str(count), 16) if stepping.wrap == 10_000 else count
                set_count(computed, shown, tick)
                stepping.new_count(count or stepping.wrap)
            if rng.random() < 0.05:
                gate = not gate
                computed.set_gate(gate, tick)
                stepping.set_gate(gate)
            seen = (computed.out(tick), computed.shown(tick), computed.null_count)
            assert seen == (stepping.out, stepping.shown(), stepping.null), (tick, stepping.mode)
            change = computed.next_change(tick)
            before = stepping.out
            stepping.pulse()
            computed.catch_up(tick + 1)
            assert stepping.out == before or change == tick + 1, "a change of the output was foretold"


def test_mode_0_goes_high_n_plus_1_ticks_after_the_count_is_written_and_stays():
    c = channel(0, 4, tick=10)
    assert wave(c, 10, 20) == "0000011111"


def test_mode_0_counts_on_through_zero():
    c = channel(0, 2)
    assert [count_of(c, tick) for tick in (1, 2, 3, 4, 5)] == [2, 1, 0, 0xFFFF, 0xFFFE]


def test_mode_0_is_stopped_by_the_first_byte_and_by_a_low_gate():
    c = channel(0, 4)
    c.set_gate(False, 3)
    assert count_of(c, 50) == 2
    c.set_gate(True, 50)
    assert wave(c, 50, 54) == "0011"
    c.write(4, 54)
    assert wave(c, 54, 70) == "0" * 16
    c.write(0, 70)
    assert wave(c, 70, 77) == "0000011"


def test_mode_1_gives_a_pulse_of_n_ticks_for_each_trigger():
    c = channel(1, 3, gate=False)
    assert wave(c, 0, 5) == "11111"
    c.set_gate(True, 5)
    c.set_gate(False, 6)
    assert wave(c, 6, 11) == "00011"
    c.set_gate(True, 11)
    assert wave(c, 11, 14) == "100"
    c.set_gate(False, 14)
    c.set_gate(True, 14)
    assert wave(c, 14, 20) == "000011", "a trigger during the pulse begins it again"


def test_mode_1_takes_a_new_count_at_the_next_trigger():
    c = channel(1, 3, gate=False)
    c.set_gate(True, 0)
    set_count(c, 5, 1)
    assert c.null_count
    assert wave(c, 1, 6) == "00011"
    c.set_gate(False, 6)
    c.set_gate(True, 6)
    assert wave(c, 6, 14) == "10000011"


def test_mode_2_is_low_for_the_last_tick_of_each_period():
    c = channel(2, 4)
    assert wave(c, 0, 13) == "1" + "1110" * 3
    assert [count_of(c, tick) for tick in (13, 14, 15, 16, 17)] == [4, 3, 2, 1, 4]


def test_mode_2_takes_a_new_count_when_the_period_ends():
    c = channel(2, 4)
    set_count(c, 3, 2)
    assert c.null_count
    assert wave(c, 2, 11) == "110110110"
    assert not c.null_count


def test_mode_2_is_forced_high_by_the_gate_and_begins_anew_with_it():
    c = channel(2, 4)
    c.set_gate(False, 4)
    assert wave(c, 4, 8) == "1111"
    assert count_of(c, 8) == 1
    c.set_gate(True, 8)
    assert wave(c, 8, 13) == "11110"


@pytest.mark.parametrize(("count", "period"), [(4, "1100"), (5, "11100"), (2, "10"), (3, "110")])
def test_mode_3_is_high_for_the_larger_half(count, period):
    assert wave(channel(3, count), 0, 1 + 3 * count) == "1" + period * 3


def test_mode_3_counts_down_by_two():
    even, odd = channel(3, 6), channel(3, 5)
    assert [count_of(even, tick) for tick in range(1, 8)] == [6, 4, 2, 6, 4, 2, 6]
    assert [count_of(odd, tick) for tick in range(1, 8)] == [4, 2, 0, 4, 2, 4, 2]


def test_mode_3_takes_a_new_count_when_the_half_period_ends():
    c = channel(3, 8)
    set_count(c, 4, 3)
    assert wave(c, 3, 13) == "1100110011"


def test_mode_4_strobes_once_n_plus_1_ticks_after_the_count_is_written():
    c = channel(4, 3)
    assert wave(c, 0, 70_000).count("0") == 1
    set_count(c, 3, 70_000)
    assert wave(c, 70_000, 70_007) == "1111011"


def test_mode_5_strobes_n_plus_1_ticks_after_the_trigger():
    c = channel(5, 3, gate=False)
    assert "0" not in wave(c, 0, 20)
    c.set_gate(True, 20)
    assert wave(c, 20, 27) == "1111011"


def test_modes_6_and_7_are_2_and_3():
    for written, mode in ((6, 2), (7, 3)):
        c = channel(written, 4)
        c.latch_status(0)
        assert c.read(0) >> 1 & 7 == mode


def test_a_count_of_zero_is_the_largest():
    assert channel(2, 0).reload == 0x10000
    assert channel(2, 0, bcd=True).reload == 10_000
    assert count_of(channel(2, 0), 1) == 0


def test_a_bcd_counter_counts_decimal_digits():
    c = channel(2, 0x1000, bcd=True)
    assert [count_of(c, tick) for tick in (1, 2, 1000, 1001)] == [0x1000, 0x0999, 0x0001, 0x1000]
    ending = channel(0, 0x0001, bcd=True)
    assert count_of(ending, 3) == 0x9999


def test_single_byte_access_sets_the_other_byte_to_zero():
    low, high = Channel(), Channel()
    low.program(1 << 4 | 2 << 1, 0)
    low.write(0x12, 0)
    high.program(2 << 4 | 2 << 1, 0)
    high.write(0x12, 0)
    assert (low.reload, high.reload) == (0x12, 0x1200)
    assert (low.read(1), low.read(1)) == (0x12, 0x12)
    assert (high.read(1), high.read(2)) == (0x12, 0x11)


def test_a_latched_count_stands_until_it_is_read_and_a_second_latch_is_ignored():
    c = channel(2, 0x1234)
    c.latch_count(1)
    c.latch_count(2)
    assert (c.read(50), c.read(60)) == (0x34, 0x12)
    assert c.read(0x35) | c.read(0x35) << 8 == 0x1200


def test_reads_and_writes_of_two_bytes_may_interleave():
    c = channel(2, 0x1234)
    assert c.read(1) == 0x34
    c.write(0x78, 1)
    assert c.read(1) == 0x12
    c.write(0x56, 1)
    assert c.reload == 0x5678


def test_a_control_word_forgets_latches_and_half_written_counts():
    c = channel(2, 0x1234)
    c.latch_count(1)
    c.latch_status(1)
    c.write(0xFF, 1)
    c.program(BOTH << 4 | 2 << 1, 2)
    set_count(c, 0x0099, 2)
    assert c.reload == 0x99
    assert c.read(3) == 0x99


class Board:
    """A PIT on a clock, its IRQ 0 at an initialised PIC."""

    def __init__(self):
        self.clock = Clock()
        self.pic = PicPair()
        for port, value in ((0x20, 0x11), (0x21, 0x20), (0x21, 0x04), (0x21, 0x01)):
            self.pic.write(port, value, 1)
        self.pit = Pit(self.clock, self.pic)

    def out(self, port, *values):
        for value in values:
            self.pit.write(port, value, 1)

    def at_tick(self, tick):
        self.clock.advance(self.pit._crystal.instant(tick))

    def interrupts(self, until):
        """The instants at which IRQ 0 is taken, by a CPU that ends each at once."""
        taken = []
        while (deadline := self.clock.deadline()) is not None and deadline <= until:
            self.clock.advance(deadline)
            if self.pic.intr:
                self.pic.acknowledge()
                self.pic.write(0x20, 0x20, 1)
                taken.append(self.clock.now)
        self.clock.advance(until)
        return taken


@pytest.mark.parametrize("mode", [2, 3])
def test_a_periodic_timer_interrupts_at_the_exact_instruction_for_ever(mode):
    board, divisor = Board(), 11_932
    board.out(0x43, 0x30 | mode << 1)
    board.out(0x40, divisor & 0xFF, divisor >> 8)
    board.pic.read(0x20, 1)
    board.pic.acknowledge()  # the output rose with the control word
    board.pic.write(0x20, 0x20, 1)
    taken = board.interrupts(100 * INSTRUCTIONS_PER_SECOND)
    exact = [-(-(1 + n * divisor) * INSTRUCTIONS_PER_SECOND // PIT_HZ) for n in range(1, len(taken) + 1)]
    assert taken == exact
    assert len(taken) == (100 * PIT_HZ - 1) // divisor


def test_an_unprogrammed_timer_schedules_nothing():
    assert Board().clock.deadline() is None


def test_mode_0_interrupts_once():
    board = Board()
    board.out(0x43, 0x30)
    board.out(0x40, 0xE8, 0x03)
    assert len(board.interrupts(INSTRUCTIONS_PER_SECOND)) == 1
    assert board.clock.deadline() is None


def test_reprogramming_moves_the_one_event_and_leaves_no_others():
    board = Board()
    for n in range(1000):
        board.out(0x43, 0x34)
        board.out(0x40, n & 0xFF, 0x10)
    assert board.clock.pending == 1


@pytest.mark.parametrize("mode", [2, 3])
def test_the_illegal_count_of_one_gives_a_constant_output(mode):
    board = Board()
    board.out(0x43, 0x30 | mode << 1)
    board.out(0x40, 1, 0)
    board.interrupts(10_000)
    assert board.clock.deadline() is None


def test_the_latch_command_and_a_live_read_agree():
    board = Board()
    board.out(0x43, 0x34)
    board.out(0x40, 0x00, 0x10)
    board.at_tick(0x101)
    board.out(0x43, 0x00)
    latched = board.pit.read(0x40, 1) | board.pit.read(0x40, 1) << 8
    assert latched == 0xF00
    assert board.pit.read(0x40, 1) | board.pit.read(0x40, 1) << 8 == 0xF00


def test_read_back_gives_status_before_count_for_each_counter_chosen():
    board = Board()
    board.out(0x43, 0x34, 0x96)  # counter 0: both bytes, mode 2; counter 2: low byte, mode 3
    board.out(0x40, 0x00, 0x10)
    board.out(0x42, 0x20)
    board.at_tick(5)
    board.out(0x43, 0xCA)  # status and count of counters 0 and 2
    board.at_tick(500)
    assert [board.pit.read(0x40, 1) for _ in range(3)] == [0xB4, 0xFC, 0x0F]
    assert [board.pit.read(0x42, 1) for _ in range(2)] == [0x96, 0x20]


def test_the_null_count_bit_is_set_until_the_count_is_loaded():
    board = Board()
    board.out(0x43, 0x34)
    board.out(0x40, 0x00, 0x10)
    board.out(0x43, 0xE2)
    assert board.pit.read(0x40, 1) == 0xF4
    board.at_tick(1)
    board.out(0x43, 0xE2)
    assert board.pit.read(0x40, 1) == 0xB4


def test_the_control_register_cannot_be_read():
    assert Board().pit.read(0x43, 1) == 0xFF


def test_port_61_gates_counter_2_and_shows_its_output():
    board = Board()
    board.out(0x61, 0x00)
    board.out(0x43, 0xB0)  # mode 0: the classic calibration of a delay loop
    board.out(0x42, 100, 0)
    board.at_tick(1000)
    assert not board.pit.read(0x61, 1) & 0x20
    board.out(0x61, 0x01)
    board.at_tick(1099)
    assert not board.pit.read(0x61, 1) & 0x20
    board.at_tick(1100)
    assert board.pit.read(0x61, 1) & 0x20


def test_port_61_keeps_its_low_four_bits():
    board = Board()
    board.out(0x61, 0xFE)
    assert board.pit.read(0x61, 1) & 0x0F == 0x0E
    assert board.pit.read(0x61, 1) & 0xC0 == 0


def test_the_refresh_bit_toggles_every_fifteen_microseconds():
    board, toggles, last = Board(), 0, 0
    for now in range(INSTRUCTIONS_PER_SECOND // 1000):
        board.clock.advance(now)
        bit = board.pit.read(0x61, 1) & 0x10
        toggles += bit != last
        last = bit
    assert toggles == PIT_HZ // 1000 // 18


def test_a_reloaded_timer_goes_on_at_the_same_instant():
    board = Board()
    board.out(0x43, 0x36)
    board.out(0x40, 0x01, 0x10)
    board.interrupts(123_456)
    board.out(0x40, 0x77)  # in the middle of a count
    board.out(0x43, 0xC2)  # with latched status and count
    copy = Board()
    state = json.loads(json.dumps([board.clock.save(), board.pic.save(), board.pit.save()]))
    copy.clock.load(state[0])
    copy.pic.load(state[1])
    copy.pit.load(state[2])
    for each in (board, copy):
        each.out(0x40, 0x20)
    assert [copy.pit.read(0x40, 1) for _ in range(5)] == [board.pit.read(0x40, 1) for _ in range(5)]
    assert copy.interrupts(2_000_000) == board.interrupts(2_000_000)
    assert copy.pit.save() == board.pit.save()


def test_loading_disarms_the_timer_that_was_running():
    board, idle = Board(), Board()
    board.out(0x43, 0x34)
    board.out(0x40, 0x00, 0x10)
    board.pit.load(idle.pit.save())
    assert board.clock.deadline() is None
