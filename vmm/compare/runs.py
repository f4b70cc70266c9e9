"""Running a guest under several modes and holding each against bare hardware.

Equal means: the same end and verdict, the same console, and, where the same image runs, the same number
of guest instructions and the same memory, byte for byte. A mode that promises equivalence and is not
equal has a bug; one that does not promise it shows why it cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vmm.compare.builds import applicable_modes, build, fit
from vmm.cost import Cycles, Profile, price
from vmm.image import Image
from vmm.machine import Machine, Outcome, Result, Stop
from vmm.modes import BARE
from vmm.monitor.cpu import MonitorBug

BUDGET = 1_000_000_000  # for each mode: a guest without an end costs it several times
BUDGET_FACTOR = 20  # a guest that went astray need not be followed further than this
BUDGET_SLACK = 100_000
CONTEXT = 40  # characters shown on each side of the place where two consoles part

Listener = Callable[[str, Machine], None]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as on bare hardware."""

    kind: str
    location: str
    expected: str
    actual: str
    rule: str


@dataclass(slots=True)
class Run:
    """One mode's run. `differences` is None for the run that the others are compared with."""

    result: Result
    cycles: Cycles
    image: Image
    differences: list[Difference] | None = None
    memory_compared: bool = False

    @property
    def mode(self) -> str:
        """The mode's name."""
        return self.result.mode

    @property
    def equal(self) -> bool:
        """Nothing differs from bare hardware."""
        return not self.differences

    @property
    def finished(self) -> bool:
        """The guest came to its own end."""
        return self.result.outcome in (Outcome.SUCCESS, Outcome.FAILURE)


@dataclass(slots=True)
class Comparison:
    """All runs of one guest, bare hardware first."""

    guest: str
    profile: Profile
    runs: list[Run] = field(default_factory=list)
    interrupted: bool = False

    @property
    def bare(self) -> Run:
        """The measure of the others."""
        return self.runs[0]

    @property
    def monitored(self) -> list[Run]:
        """The others."""
        return self.runs[1:]

    def slowdown(self, run: Run, apart: Sequence[str] = ()) -> float | None:
        """How many times the cycles of bare hardware a run takes, some activities left out.

        None if there is no such number: a run that went another way did not do the same work.
        """
        if not run.finished or not self.bare.finished or not run.equal:
            return None
        bare = self.bare.cycles
        return (run.cycles.total - run.cycles.of(*apart)) / (bare.total - bare.of(*apart))

    def broken_promises(self, *, strict: bool = False) -> list[Run]:
        """Runs that differ though their mode promises equivalence; with `strict`, all that differ."""
        return [
            run
            for run in self.monitored
            if (run.result.promises_equivalence and run.differences)
            or (strict and (run.differences or run.result.divergences))
        ]


def compare(
    path: Path,
    modes: Sequence[str] | None,
    profile: Profile,
    *,
    budget: int = BUDGET,
    memory: int | None = None,
    defines: Mapping[str, int] | None = None,
    on_start: Listener | None = None,
    judge: Callable[[Result], Result] | None = None,
) -> Comparison:
    """Run the guest bare and under each of `modes` (None: all that apply), and compare.

    `on_start` gets each machine before it runs; `judge` may have the last word on how a run ended.
    Raises `LoadError`, `AsmError`.
    """
    image = build(path, BARE, defines)
    memory = memory or image.memory
    fit(image, memory)
    comparison = Comparison(image.name, profile)
    images = {False: image}
    bare_memory = b""
    for mode in _order(modes if modes is not None else applicable_modes(image)):
        mine = image if mode == BARE else build(path, mode, defines)
        mine = images.setdefault(mine.data != image.data, mine)
        machine = Machine(mine, mode, memory=memory)
        if on_start is not None:
            on_start(mode, machine)
        result = _run(machine, budget)
        if judge is not None:
            result = judge(result)
        run = Run(result, price(result, profile), mine)
        comparison.runs.append(run)
        if result.outcome is Outcome.INTERRUPTED:
            comparison.interrupted = True
            break
        if mode == BARE:
            bare_memory = _memory(machine)
            budget = min(budget, BUDGET_FACTOR * result.instructions + BUDGET_SLACK)
        else:
            run.differences = _differences(comparison.bare, run)
            if mine is image and run.finished:
                run.memory_compared = True
                run.differences += _memory_differences(image, bare_memory, _memory(machine))
    return comparison


def _run(machine: Machine, budget: int) -> Result:
    """A run to its end; a mistake of the monitor's own ends this run and not the comparison."""
    try:
        return machine.run(budget)
    except (MonitorBug, AssertionError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        text = f"internal error: {type(error).__name__}: {error}"
        return machine.result(Stop(Outcome.ERROR, text))


def _order(modes: Sequence[str]) -> list[str]:
    return [BARE, *(mode for mode in modes if mode != BARE)]


def _memory(machine: Machine) -> bytes:
    return machine.mode.guest.memory.read_bytes(0, machine.memory)


def _differences(bare: Run, run: Run) -> list[Difference]:
    found = []
    expected, actual = bare.result, run.result
    if (expected.outcome, expected.exit_code) != (actual.outcome, actual.exit_code):
        found.append(
            Difference(
                "outcome", "how it ends", _end(expected), _end(actual), "the same guest must end the same way"
            )
        )
    if expected.console != actual.console:
        found.append(_console_difference(expected.console, actual.console))
    if run.image is bare.image and run.finished and expected.instructions != actual.instructions:
        before, after = f"{expected.instructions:,}", f"{actual.instructions:,}"
        rule = "the same code must execute the same instructions"
        found.append(Difference("instructions", "the number of guest instructions", before, after, rule))
    return found


def _end(result: Result) -> str:
    return f"{result.outcome}: {result.text}" if result.text else str(result.outcome)


def _console_difference(expected: str, actual: str) -> Difference:
    """Where two consoles part."""
    limit = min(len(expected), len(actual))
    at = next((n for n in range(limit) if expected[n] != actual[n]), limit)
    line = expected.count("\n", 0, at) + 1
    start = expected.rfind("\n", 0, at) + 1
    rule = "the same guest must print the same"
    return Difference(
        "console", f"console line {line}", _excerpt(expected, start, at), _excerpt(actual, start, at), rule
    )


def _excerpt(text: str, start: int, at: int) -> str:
    start = max(start, at - CONTEXT)
    end = text.find("\n", at)
    shown = text[start : min(len(text) if end < 0 else end, at + CONTEXT)]
    return repr(shown) if shown else "nothing more"


def _memory_differences(image: Image, expected: bytes, actual: bytes) -> list[Difference]:
    """The first place where two memories differ, and how many bytes do."""
    if expected == actual:
        return []
    page = 4096
    wrong = [n for n in range(0, len(expected), page) if expected[n : n + page] != actual[n : n + page]]
    differing = [at for start in wrong for at in range(start, start + page) if expected[at] != actual[at]]
    first = differing[0]
    symbol = image.symbolize(first)
    place = f"{first:#010x}" + (f" ({symbol})" if symbol else "")
    n = len(differing)
    location = f"memory at {place}" + (f" and {n - 1:,} more bytes" if n > 1 else "")
    return [
        Difference(
            "memory", location, f"{expected[first]:#04x}", f"{actual[first]:#04x}", "memory must end the same"
        )
    ]
