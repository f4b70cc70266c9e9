"""`vmsim bench` on a screen: a table for each part, the bars beside the figures, what does not reach one in red."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from vmm.report.bench import KERNELS, LOOPS, PROGRAM, TRAPS, plan_of, run
from vmm.report.bench_rows import Findings, Ratio, Row, document
from vmm.report.live import Progress

UNITS = {"mips": "MIPS", "events_per_second": "per s", "ms": "ms", "mb": "MB", "seconds": "s"}
RATES = ("mips", "events_per_second")
HEADINGS = {
    LOOPS: "loops: MIPS, or events a second; CPU time, start-up subtracted, compiling included",
    TRAPS: "events a second under each monitor",
    PROGRAM: "the program: CPU time and memory of the whole process",
    KERNELS: "whole kernels: CPU seconds to their goal",
}


def bench(
    stderr: TextIO, colour: bool, width: int | None, *, as_json: bool, **options: Any
) -> dict[str, Any]:
    """Measure what `options` ask for; unless it is wanted as a document, show each part on stdout as it is
    complete, `width` columns wide (None: as wide as the terminal)."""
    progress = Progress(stderr)
    console = Console(width=width, color_system="auto" if colour else None, highlight=False)

    def shown(part: str, found: Findings) -> None:
        progress.clear()
        for renderable in parts(part, found) if not as_json else ():
            console.print(renderable)

    return document(run(plan_of(**options), progress.show, shown))


def parts(part: str, found: Findings) -> Iterator[RenderableType]:
    """What to print for a part."""
    rows = [row for row in found.rows if _part(row) == part]
    if not rows:
        return
    yield Text(HEADINGS[part], style="bold")
    yield _grid(rows)
    if part == LOOPS and found.ratios:
        yield Text("ratios, and what they must be", style="bold")
        yield _ratios(found.ratios)
    failed = [entry for entry in found.failures if entry[0] in {row.name.partition(",")[0] for row in rows}]
    if failed:
        yield Text("what could not be run", style="bold")
        for name, who, why in failed:
            yield Text(f"  {name} on {who}: {why}")


def _part(row: Row) -> str:
    if row.unit in RATES:
        return TRAPS if row.name.endswith(TRAPS) else LOOPS
    return KERNELS if row.unit == "seconds" else PROGRAM


def _grid(rows: list[Row]) -> Table:
    """Names down, engines across."""
    table = Table(box=None, pad_edge=False)
    engines = list(dict.fromkeys(row.engine for row in rows))
    table.add_column("")
    table.add_column("unit")
    for engine in engines:
        table.add_column(engine, justify="right")
    for name, unit in dict.fromkeys((row.name, row.unit) for row in rows):
        mine = {row.engine: row for row in rows if (row.name, row.unit) == (name, unit)}
        table.add_row(name, UNITS[unit], *(_cell(mine.get(engine)) for engine in engines))
    return table


def _cell(row: Row | None) -> Text:
    if row is None:
        return Text("-")
    text = Text(number(row.value), style="" if row.clears else "red")
    if row.low != row.high:
        text.append(f" ({number(row.low)}–{number(row.high)})", style="dim")
    if row.bar is not None:
        text.append(
            f" {'≤' if row.less_is_better else '≥'} {number(row.bar)}", style="green" if row.clears else "red"
        )
    return text


def _ratios(ratios: Iterable[Ratio]) -> Table:
    """Loops down, pairs across."""
    table = Table(box=None, pad_edge=False)
    pairs = list(dict.fromkeys((ratio.first, ratio.second) for ratio in ratios))
    table.add_column("")
    for first, second in pairs:
        table.add_column(f"{first} / {second}", justify="right")
    for name in dict.fromkeys(ratio.name for ratio in ratios):
        mine = {(ratio.first, ratio.second): ratio for ratio in ratios if ratio.name == name}
        table.add_row(name, *(_ratio(mine.get(pair)) for pair in pairs))
    return table


def _ratio(ratio: Ratio | None) -> Text:
    if ratio is None:
        return Text("-")
    style = "" if ratio.bar is None else "green" if ratio.clears else "red"
    text = Text(f"{ratio.value:.2f}×", style=style)
    if ratio.low != ratio.high:
        text.append(f" ({ratio.low:.2f}–{ratio.high:.2f})", style="dim")
    if ratio.bar is not None:
        text.append(f" ≥ {ratio.bar:g}", style=style)
    return text


def number(value: float) -> str:
    """Three digits or so: 1.23, 45.6, 789, 12.3 M."""
    if value >= 1e6:
        return f"{value / 1e6:,.3g} M" if value < 1e9 else f"{value / 1e9:,.3g} G"
    if value >= 1e4:
        return f"{value / 1e3:,.3g} k"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
