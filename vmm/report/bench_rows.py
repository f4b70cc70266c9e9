"""What `vmsim bench` finds: rows, ratios between contestants, and the bars that stand beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import exp, log
from typing import Any

from isa.cpu import ENGINES
from vmm.report.loops import COMPUTE
from vmm.report.race import Figure, ratio
from vmm.report.run import SCHEMA

AUTO, REFERENCE, *NATIVE = ENGINES
FASTEST, HANDLERS = NATIVE[0], NATIVE[-1]  # with regions, and without
QEMU, QEMU_EXACT, BOCHS, UNICORN = "qemu", "qemu -icount", "bochs", "unicorn"
ALL_COMPUTE = "all compute loops"
TIMES = ("ms", "seconds", "mb")  # less is better
MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Row:
    """One figure, the median of several: `unit` says what it counts, `bar` what it should be at least, or for
    times and sizes at most. `low` and `high` are the least and the most there were."""

    name: str
    engine: str
    unit: str
    value: float
    low: float
    high: float
    bar: float | None = None
    what: str = ""

    @property
    def less_is_better(self) -> bool:
        return self.unit in TIMES

    @property
    def clears(self) -> bool:
        """Whether the bar is reached."""
        if self.bar is None:
            return True
        return self.value <= self.bar if self.less_is_better else self.value >= self.bar


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times faster one contestant is than another at something."""

    name: str
    first: str
    second: str
    value: float
    low: float
    high: float
    bar: float | None = None

    @property
    def key(self) -> str:
        return f"{self.name}: {self.first} / {self.second}"

    @property
    def clears(self) -> bool:
        return self.bar is None or self.value >= self.bar


@dataclass
class Findings:
    """Everything so far. `failures` are contestants that could not run something, and why."""

    rows: list[Row] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    failures: list[tuple[str, str, str]] = field(default_factory=list)


# What the native engines must reach: loops, who, against whom, how many times as fast.
RATIO_BARS: tuple[tuple[Sequence[str], str, str, float], ...] = (
    (COMPUTE, HANDLERS, BOCHS, 2.0),
    (COMPUTE, FASTEST, QEMU, 1.15),
    ((ALL_COMPUTE,), FASTEST, QEMU, 1.5),
    (("sysc", "pf"), FASTEST, QEMU, 6.0),
    (("repmovs",), FASTEST, QEMU, 1.0),
)
RATE_BARS = {("sysc", FASTEST): 5e6, ("pf", FASTEST): 5e6}  # traps that compiled code delivers
TRAP_BARS = {"flags": 5e6, "ports": 1e5, "fills": 1e5}  # compiled monitor code's; a monitor's in Python
AGAINST = (QEMU, QEMU_EXACT, BOCHS, UNICORN)


def rows_of(name: str, unit: str, what: str, figures: Iterable[Figure]) -> list[Row]:
    """A loop's figures as rows; rates become millions where that is the unit."""
    scale = MILLION if unit == "mips" else 1.0
    found = []
    for figure in figures:
        if figure.rates:
            value, low, high = (x / scale for x in (figure.value, *figure.spread))
            bar = RATE_BARS.get((name, figure.contestant))
            found.append(Row(name, figure.contestant, unit, value, low, high, bar, what))
    return found


def ratios_of(name: str, figures: Sequence[Figure]) -> list[Ratio]:
    """Each native engine against each peer at one loop."""
    found = []
    for first in figures:
        for second in figures:
            if first.contestant in NATIVE and second.contestant in AGAINST:
                values = ratio(first, second)
                if values is not None:
                    bar = ratio_bar(name, first.contestant, second.contestant)
                    found.append(Ratio(name, first.contestant, second.contestant, *values, bar))
    return found


def ratio_bar(name: str, first: str, second: str) -> float | None:
    """What that ratio must be at least, if anything."""
    bars = [bar for names, *pair, bar in RATIO_BARS if name in names and pair == [first, second]]
    return max(bars, default=None)


def means(ratios: Sequence[Ratio]) -> list[Ratio]:
    """The geometric mean over the compute loops of every pair that ran them all."""
    found = []
    for first, second in dict.fromkeys((r.first, r.second) for r in ratios):
        chosen = [r for r in ratios if (r.first, r.second) == (first, second) and r.name in COMPUTE]
        if len(chosen) == len(COMPUTE):
            parts = ([r.value for r in chosen], [r.low for r in chosen], [r.high for r in chosen])
            value, low, high = (exp(sum(map(log, part)) / len(part)) for part in parts)
            bar = ratio_bar(ALL_COMPUTE, first, second)
            found.append(Ratio(ALL_COMPUTE, first, second, value, low, high, bar))
    return found


def document(found: Findings) -> dict[str, Any]:
    """What `bench --json` prints. `ratios` maps a name to a number; `bars` has those that must be reached."""
    return {
        "schema": SCHEMA,
        "rows": [
            {
                "name": row.name,
                "engine": row.engine,
                row.unit: round(row.value, 3),
                "low": round(row.low, 3),
                "high": round(row.high, 3),
                "what": row.what,
                "bar": row.bar,
                "clears": row.clears,
            }
            for row in found.rows
        ],
        "ratios": {r.key: round(r.value, 3) for r in found.ratios},
        "spread": {r.key: [round(r.low, 3), round(r.high, 3)] for r in found.ratios},
        "bars": [
            {"name": r.key, "value": round(r.value, 3), "bar": r.bar, "clears": r.clears}
            for r in found.ratios
            if r.bar is not None
        ],
        "failures": [{"name": name, "engine": engine, "why": why} for name, engine, why in found.failures],
    }
