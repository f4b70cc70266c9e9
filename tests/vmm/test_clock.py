"""Virtual time: order, exactness, cancellation, and restoring what a snapshot saved."""

import random
from fractions import Fraction

import pytest

from vmm.clock import INSTRUCTIONS_PER_SECOND, Clock, Oscillator, Timer, instructions_in


def test_events_run_in_order_of_time_and_ties_in_order_of_scheduling():
    clock, log = Clock(), []
    for when, name in ((20, "c"), (10, "a"), (20, "d"), (10, "b")):
        clock.at(when, lambda name=name: log.append((clock.now, name)))
    clock.advance(30)
    assert log == [(10, "a"), (10, "b"), (20, "c"), (20, "d")]
    assert clock.now == 30


def test_advance_runs_nothing_before_its_instant():
    clock, log = Clock(), []
    clock.at(10, lambda: log.append(clock.now))
    clock.advance(9)
    assert log == []
    assert clock.deadline() == 10
    clock.advance(10)
    assert log == [10]
    assert clock.deadline() is None


def test_an_event_scheduled_by_an_event_runs_in_the_same_advance_if_due():
    clock, log = Clock(), []

    def again():
        log.append(clock.now)
        if len(log) < 4:
            clock.at(clock.now + 5, again)

    clock.at(5, again)
    clock.advance(15)
    assert log == [5, 10, 15]
    assert clock.deadline() == 20


def test_an_event_asked_for_in_the_past_runs_at_the_next_advance():
    clock, log = Clock(), []
    clock.advance(100)
    clock.at(5, lambda: log.append(clock.now))
    assert clock.deadline() == 100
    clock.advance(100)
    assert log == [100]


def test_a_cancelled_timer_does_not_run_and_is_no_deadline():
    clock, log = Clock(), []
    timer = clock.at(10, lambda: log.append("cancelled"))
    clock.at(20, lambda: log.append("kept"))
    timer.cancel()
    timer.cancel()
    assert clock.deadline() == 20
    assert clock.pending == 1
    clock.advance(30)
    timer.cancel()
    assert log == ["kept"]
    assert clock.pending == 0


def test_cancelling_inside_a_callback_stops_a_timer_of_the_same_instant():
    clock, log = Clock(), []
    timers: list[Timer] = []
    clock.at(10, lambda: timers[0].cancel())
    timers.append(clock.at(10, lambda: log.append("too late")))
    clock.advance(10)
    assert log == []


def test_cancelled_timers_do_not_pile_up():
    clock = Clock()
    keep = clock.at(10**9, lambda: None)
    for n in range(10_000):
        clock.at(10**6 + n, lambda: None).cancel()
    assert len(clock._queue) < 200
    assert clock.pending == 1
    assert clock.deadline() == keep.when


def test_time_does_not_run_backwards():
    clock = Clock()
    clock.advance(10)
    with pytest.raises(ValueError, match="forward"):
        clock.advance(9)


def test_nanoseconds_round_up_to_whole_instructions():
    clock = Clock()
    assert [instructions_in(ns) for ns in (0, 1, 100, 101, 200)] == [0, 1, 1, 2, 2]
    clock.advance(7)
    assert clock.after_ns(250, lambda: None).when == 10
    assert clock.ns == 700


def test_seconds_are_exact_after_a_century():
    clock = Clock()
    clock.advance(100 * 365 * 86_400 * INSTRUCTIONS_PER_SECOND + 3)
    assert clock.seconds() == (100 * 365 * 86_400, 300)


@pytest.mark.parametrize("hz", [1_193_182, 32_768, 115_200, 1, 9_999_999])
def test_an_oscillator_ticks_at_the_first_instruction_that_reaches_the_tick(hz):
    crystal = Oscillator(hz)
    rng = random.Random(hz)
    for _ in range(500):
        tick = rng.randrange(10 ** rng.randrange(1, 15))
        instant = crystal.instant(tick)
        assert Fraction(instant * hz, INSTRUCTIONS_PER_SECOND) >= tick
        assert crystal.tick(instant) == tick
        assert instant == 0 or crystal.tick(instant - 1) == tick - 1


def test_restored_timers_keep_their_place_among_ties():
    clock = Clock()
    first, second = clock.at(10, lambda: None), clock.at(10, lambda: None)
    state, saved = clock.save(), (first.saved, second.saved)

    later, log = Clock(), []
    later.load(state)
    later.restore(saved[1], lambda: log.append("second"))  # whichever owner comes first
    later.restore(saved[0], lambda: log.append("first"))
    later.at(10, lambda: log.append("new"))
    later.advance(10)
    assert log == ["first", "second", "new"]


def test_a_timer_that_ran_or_was_cancelled_saves_as_nothing():
    clock = Clock()
    ran, cancelled = clock.at(1, lambda: None), clock.at(2, lambda: None)
    clock.advance(1)
    cancelled.cancel()
    assert ran.saved is None
    assert cancelled.saved is None
    assert clock.restore(None, lambda: None) is None
    assert clock.pending == 0


def test_loading_an_earlier_time_leaves_the_timers_of_others_armed():
    clock, log = Clock(), []
    state = clock.save()
    clock.advance(50)
    clock.at(60, lambda: log.append(clock.now))
    clock.load(state)
    assert clock.now == 0
    clock.advance(60)
    assert log == [60]
