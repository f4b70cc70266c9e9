"""Measuring a loop on several contestants in the same sitting: rounds in turn, so that all meet the same noise.

A figure is work over CPU time, from which the time of a run with one round is subtracted: what it takes to
start. What an engine compiles while the loop runs counts, in every run; it is part of the work. The number
of rounds is found by trying, so that a run takes about a wanted time, or does at least a wanted amount of
work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from vmm.report.contestants import Contestant, Failed
from vmm.report.loops import INSTRUCTIONS, Loop

FEWEST = 1  # rounds of the run whose time is that of starting
TRIES = 8
ENOUGH = 0.3  # of the wanted time: then the number of rounds is known well enough
CAUTION = 1000  # times fewer rounds than expected at first: a loop may be what an engine is slow at
MOST = 25.0  # times more rounds than before, in one step
MOST_ROUNDS = (1 << 32) - 1
Say = Callable[[str], None]


@dataclass
class Figure:
    """A contestant's rates at a loop, in units of work a second, one for each round; or why there are none."""

    contestant: str
    rates: list[float] = field(default_factory=list)
    work: int = 0
    failure: str = ""

    @property
    def value(self) -> float:
        return median(self.rates)

    @property
    def spread(self) -> tuple[float, float]:
        return min(self.rates), max(self.rates)


@dataclass
class Runner:
    """One contestant at one loop."""

    loop: Loop
    contestant: Contestant
    figure: Figure
    rounds: int = 0
    start: float = 0.0  # what starting took the last time

    def seconds(self, rounds: int) -> float:
        return self.contestant.run(self.loop.image(rounds)).seconds

    def prepare(self, seconds: float, work: int) -> None:
        """Find out how many rounds take so long; one that compiles does at least so much work. `Failed`."""
        self.contestant.warm(self.loop.image(FEWEST))
        self.start = self.seconds(FEWEST)
        rate = self.contestant.nominal * (1e6 if self.loop.what == INSTRUCTIONS else 1e5)
        rounds = max(2, int(rate * seconds / self.loop.work / CAUTION))
        for _ in range(TRIES):
            took = max(self.seconds(rounds) - self.start, 1e-4)
            if took >= ENOUGH * seconds:
                break
            rounds = min(int(rounds * min(MOST, seconds / took) + 1), MOST_ROUNDS)
        wanted = rounds * seconds / took
        least = work / self.loop.work if self.contestant.compiles else 0
        self.rounds = int(min(max(wanted, least, FEWEST + 1), MOST_ROUNDS))
        self.figure.work = self.rounds * self.loop.work

    def once(self) -> None:
        """One measurement; the first goes with the last look at starting. `Failed`."""
        if self.figure.rates:
            self.start = self.seconds(FEWEST)
        took = max(self.seconds(self.rounds) - self.start, 1e-6)
        self.figure.rates.append((self.rounds - FEWEST) * self.loop.work / took)


def race(
    loop: Loop, contestants: Sequence[Contestant], rounds: int, seconds: float, work: int, say: Say
) -> list[Figure]:
    """All of them at one loop, `rounds` times in turn."""
    runners = [Runner(loop, contestant, Figure(contestant.name)) for contestant in contestants]
    for runner in _standing(runners):
        say(f"{loop.name} on {runner.contestant.name} …")
        _attempt(runner, lambda runner=runner: runner.prepare(seconds, work))  # type: ignore[misc]
    for n in range(rounds):
        for runner in _standing(runners):
            say(f"{loop.name} on {runner.contestant.name}, round {n + 1} of {rounds} …")
            _attempt(runner, runner.once)
    return [runner.figure for runner in runners]


def _standing(runners: list[Runner]) -> Iterator[Runner]:
    return (runner for runner in runners if not runner.figure.failure)


def _attempt(runner: Runner, action: Callable[[], None]) -> None:
    try:
        action()
    except Failed as failed:
        runner.figure.failure = str(failed)


def ratio(first: Figure, second: Figure) -> tuple[float, float, float] | None:
    """How many times faster the first is, round by round: the median, the least, the most."""
    pairs = [x / y for x, y in zip(first.rates, second.rates, strict=False)]
    return (median(pairs), min(pairs), max(pairs)) if pairs else None
