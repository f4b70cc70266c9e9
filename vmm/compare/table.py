"""The comparison as tables: modes are columns, rows come in groups.

Three groups that must not be mixed: how it ended and whether that equals bare hardware; what was counted,
which are facts of the simulation; what is modelled, which is cycles under a cost profile and carries an
almost-equal sign. What a row shows for a run is a function of that run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from vmm.compare.runs import Comparison, Run
from vmm.cost import ACTIVITIES
from vmm.cost.prices import CALL_OUT, DELIVERED, EXECUTED, PORTS, TRANSLATION

TRAP_KINDS = 8
NOTHING = "·"
GAP = 2
Cell = Callable[[Run], "str | Text"]


@dataclass(frozen=True, slots=True)
class Group:
    """A heading, and rows of a label and a cell for each run."""

    title: str
    remark: str
    style: str
    rows: tuple[tuple[str, tuple[Text, ...]], ...]


def tables(comparison: Comparison) -> Iterator[RenderableType]:
    """The whole comparison: the modes, then each group under its heading, all in the same columns."""
    groups = _groups(comparison)
    modes = [Text(run.mode, style="bold") for run in comparison.runs]
    lines = [cells for group in groups for _, cells in group.rows]
    widths = [max(len(cells[n]) for cells in [modes, *lines]) for n in range(len(modes))]
    label = max(len(label) for group in groups for label, _ in group.rows)
    head = _grid(label, widths)
    head.add_row(Text(comparison.guest, style="bold"), *modes)
    yield head
    for n, group in enumerate(groups):
        if n:
            yield ""
        yield Text.assemble((group.title, f"bold {group.style}"), (f"  {group.remark}", "dim"))
        grid = _grid(label, widths)
        for name, cells in group.rows:
            grid.add_row(name, *cells, style=group.style)
        yield grid


def _grid(label: int, widths: list[int]) -> Table:
    grid = Table(box=None, show_header=False, padding=(0, 0, 0, GAP), pad_edge=False)
    grid.add_column(width=label, no_wrap=True)
    for width in widths:
        grid.add_column(justify="right", width=width, no_wrap=True)
    return grid


def _groups(comparison: Comparison) -> list[Group]:
    profile = comparison.profile
    kinds = (
        ("the end", "and whether it equals bare hardware", "", _ending()),
        ("counted", "facts of the simulation", "", _counted(comparison)),
        ("modelled", f"cycles of the profile {profile.name}, not measured", "cyan", _modelled(comparison)),
    )
    groups = []
    for title, remark, style, rows in kinds:
        shown = []
        for label, cell in rows:
            cells = tuple(_text(cell(run)) for run in comparison.runs)
            if any(text.plain != NOTHING for text in cells):
                shown.append((f"  {label}", cells))
        groups.append(Group(title, remark, style, tuple(shown)))
    return groups


def _text(cell: str | Text) -> Text:
    return Text(cell) if isinstance(cell, str) else cell


def number(count: int) -> str:
    """A count, or a dot for nothing."""
    return f"{count:,}" if count else NOTHING


def cycles(count: int) -> str:
    """A modelled figure, rounded as a model deserves."""
    if not count:
        return NOTHING
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= 10 * size or (count >= size and unit != "k"):
            scaled = count / size
            return f"≈{scaled:.{0 if scaled >= 100 else 1 if scaled >= 10 else 2}f}{unit}"
    return f"≈{count:,}"


# -- how it ended -----------------------------------------------------------------------------------------


def _ending() -> list[tuple[str, Cell]]:
    return [
        ("outcome", _outcome),
        ("verdict", lambda run: NOTHING if run.result.exit_code is None else str(run.result.exit_code)),
        ("console", lambda run: _same(run, "console")),
        ("memory", lambda run: _same(run, "memory") if run.memory_compared else _other_build(run)),
        ("silent failures", lambda run: Text(number(len(run.result.divergences)), style="red")),
    ]


def _outcome(run: Run) -> Text:
    return Text(str(run.result.outcome), style="green" if run.result.outcome == "success" else "red")


def _same(run: Run, kind: str) -> str | Text:
    if run.differences is None:
        return NOTHING
    if any(difference.kind == kind for difference in run.differences):
        return Text("differs", style="bold red")
    return Text("equal", style="green")


def _other_build(run: Run) -> str:
    return NOTHING if run.differences is None or not run.finished else "own build"


# -- what was counted ---------------------------------------------------------------------------------------


def _counted(comparison: Comparison) -> list[tuple[str, Cell]]:
    rows: list[tuple[str, Cell]] = [
        ("guest instructions", lambda run: number(run.result.instructions)),
        ("idle in HLT", lambda run: number(run.result.idle)),
        ("system calls, INT n", lambda run: number(interrupts_by_software(run))),
        ("faults of the guest", lambda run: number(faults(run))),
        (
            "interrupts",
            lambda run: number(work(run, "delivered: interrupt", "interrupts injected", "events delivered")),
        ),
        ("sensitive, executed", lambda run: number(starting(run.result.work, EXECUTED))),
        ("traps", lambda run: number(traps(run))),
    ]
    kinds = _largest(comparison)
    rows += [(f"  {kind}", _trap_cell(kind)) for kind in kinds]
    rows.append(
        ("  other kinds", lambda run: number(traps(run) - sum(run.result.traps.get(k, 0) for k in kinds)))
    )
    for label, figures in WORK_ROWS:
        rows.append((label, _work_cell(figures)))
    return rows


WORK_ROWS = (
    ("instructions emulated", ("instructions emulated",)),
    ("call-outs", ("call-outs",)),
    ("units translated", ("units translated",)),
    ("guest bytes translated", ("guest bytes translated",)),
    ("dispatches", ("dispatches",)),
    ("indirect look-ups", ("indirect hits", "indirect misses")),
    ("hypercalls", ("hypercalls",)),
    ("page-table updates", ("page-table updates",)),
    ("pages validated", ("pages validated",)),
    ("shadow entries written", ("shadow entries written",)),
    ("shadow flushes", ("shadow flushes",)),
    ("guest tables compared", ("guest tables compared",)),
    ("instructions interpreted", ("instructions interpreted",)),
)


def work(run: Run, *figures: str) -> int:
    """The sum of some figures of a run's work."""
    return sum(run.result.work.get(figure, 0) for figure in figures)


def starting(counts: dict[str, int], *prefixes: str) -> int:
    """The sum of the figures whose names start so."""
    return sum(count for name, count in counts.items() if name.startswith(prefixes))


def traps(run: Run) -> int:
    """How often the processor left the guest; a call-out does not."""
    return sum(run.result.traps.values()) - starting(run.result.traps, CALL_OUT)


def interrupts_by_software(run: Run) -> int:
    """INT n, whoever delivered it."""
    return starting(run.result.work, DELIVERED + "int 0x") + starting(
        run.result.traps, "int 0x", CALL_OUT + "int 0x"
    )


def faults(run: Run) -> int:
    """Faults that the guest's own handlers got."""
    return starting(run.result.work, DELIVERED + "#") + work(run, "faults reflected", "exceptions bounced")


def _largest(comparison: Comparison) -> list[str]:
    """The kinds of traps that matter most, by their largest count in any mode."""
    most: Counter[str] = Counter()
    for run in comparison.runs:
        for kind, count in run.result.traps.items():
            if not kind.startswith(CALL_OUT):
                most[kind] = max(most[kind], count)
    return [kind for kind, _ in most.most_common(TRAP_KINDS)]


def _trap_cell(kind: str) -> Cell:
    return lambda run: number(run.result.traps.get(kind, 0))


def _work_cell(figures: tuple[str, ...]) -> Cell:
    return lambda run: number(work(run, *figures))


# -- what is modelled -----------------------------------------------------------------------------------------


def _modelled(comparison: Comparison) -> list[tuple[str, Cell]]:
    rows: list[tuple[str, Cell]] = [(name, _activity_cell(name)) for name in ACTIVITIES]
    rows.append(("all cycles", lambda run: cycles(run.cycles.total)))
    rows.append(("slowdown", lambda run: times(comparison.slowdown(run))))
    rows.append(("  ports apart", lambda run: times(comparison.slowdown(run, apart=(PORTS,)))))
    if any(run.cycles.of(TRANSLATION) for run in comparison.runs):
        both = (PORTS, TRANSLATION)
        rows.append(("  and all translated", lambda run: times(comparison.slowdown(run, apart=both))))
    return rows


def _activity_cell(activity: str) -> Cell:
    return lambda run: cycles(run.cycles.of(activity))


def times(factor: float | None) -> str:
    """A slowdown."""
    return NOTHING if factor is None else f"≈{factor:.{0 if factor >= 100 else 1 if factor >= 10 else 2}f}×"
