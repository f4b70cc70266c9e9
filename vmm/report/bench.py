"""`vmsim bench`: how fast vmsim is, and with `--peers` how fast others are at the same, in the same sitting.

    loops         the contestants at guests/bench/*.asm           race
    traps         traps a second under each monitor
    program       what starting costs, in time and memory
    kernels       minos, and kernels of packages, to their goal   bench_kernels

These are CPU times of this computer, the opposite of what guests see; nothing of them enters a simulation.
Next: `bench_rows` for figures and bars, `bench_table` for how they are shown.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from vmm.modes import MODES
from vmm.report import bench_kernels
from vmm.report.bench_rows import (
    AUTO,
    BOCHS,
    FASTEST,
    NATIVE,
    QEMU,
    QEMU_EXACT,
    REFERENCE,
    TRAP_BARS,
    UNICORN,
    Findings,
    Row,
    means,
    ratios_of,
    rows_of,
)
from vmm.report.contestants import COMMAND, Bochs, Contestant, Failed, Qemu, Unicorn, Vmsim, measure
from vmm.report.loops import COMPUTE, Loop, loops
from vmm.report.race import Say, race
from vmm.report.words import Unknown

LOOPS, TRAPS, PROGRAM, KERNELS = PARTS = ("loops", "traps", "program", "kernels")
TRAPPING = ("flags", "ports", "fills")  # loops for monitors
TRAPPING_LONG = (*TRAPPING, "sysc", "pf", "tables")
STEPPED = ("alu", "float", "sysc", "pf")  # loops that the reference engine runs, too: one speaks for all
ROUNDS_WITH_PEERS = 3
QUICK, LONG = 0.25, 0.6  # seconds of a measurement
BILLION = 1_000_000_000  # instructions of a compute loop, where peers are measured, for all that compile
START_BAR, HELP_BAR, MEMORY_BAR = 200.0, 150.0, 120.0  # ms, ms, MB


@dataclass(frozen=True)
class Plan:
    """What to measure: with peers or without, which loops or parts, how many rounds."""

    peers: bool = False
    only: frozenset[str] = frozenset()
    rounds: int = 1

    def wants(self, part: str) -> bool:
        """Whether a part, or anything of it, is asked for."""
        names = {LOOPS: {loop.name for loop in loops()}, TRAPS: set(), PROGRAM: set(), KERNELS: set()}[part]
        return not self.only or bool(self.only & {part, *names})

    def loop(self, name: str) -> bool:
        """Whether a loop is asked for."""
        return not self.only or name in self.only or LOOPS in self.only


def plan_of(peers: bool = False, only: str | None = None, rounds: int | None = None) -> Plan:
    """The plan that these options mean. `Unknown` for a name that means nothing here."""
    known = [*PARTS, *(loop.name for loop in loops())]
    asked = [name.strip() for name in (only or "").split(",") if name.strip()]
    for name in asked:
        if name not in known:
            raise Unknown(f"there is nothing to measure named `{name}`; there are {', '.join(known)}")
    return Plan(peers, frozenset(asked), rounds or (ROUNDS_WITH_PEERS if peers else 1))


def ours(loop: Loop) -> list[Contestant]:
    """Our engines at a loop."""
    stepped = [Vmsim(REFERENCE, 0.7, engine=REFERENCE)] if loop.name in STEPPED else []
    return [*stepped, *(Vmsim(name, 300, name == FASTEST, name) for name in NATIVE)]


def peers() -> list[Contestant]:
    """Those that are installed."""
    everyone = (
        Qemu(QEMU, 800, True),
        Qemu(QEMU_EXACT, 500, True, options=("-icount", "shift=0,sleep=off")),
        Bochs(BOCHS, 70),
        Unicorn(UNICORN, 100),
    )
    return [peer for peer in everyone if peer.available()]


def run(plan: Plan, say: Say, shown: Callable[[str, Findings], None]) -> Findings:
    """Measure; `shown` is told of each part as it is complete."""
    found = Findings()
    for part, action in ((LOOPS, _loops), (TRAPS, _traps), (PROGRAM, _program), (KERNELS, _kernels)):
        if plan.wants(part):
            action(plan, say, found)
            shown(part, found)
    return found


def _loops(plan: Plan, say: Say, found: Findings) -> None:
    for loop in loops():
        if not plan.loop(loop.name):
            continue
        contestants = [*ours(loop), *(peers() if plan.peers else [])]
        seconds = LONG if plan.peers else QUICK
        _race(plan, say, found, loop, contestants, seconds)
    found.ratios += means(found.ratios)


def _race(
    plan: Plan, say: Say, found: Findings, loop: Loop, contestants: list[Contestant], seconds: float
) -> None:
    """One loop."""
    work = BILLION if plan.peers and loop.name in COMPUTE else 0
    figures = race(loop, contestants, plan.rounds, seconds, work, say)
    found.rows += rows_of(loop.name, loop.unit, loop.what, figures)
    found.ratios += ratios_of(loop.name, figures)
    found.failures += [(loop.name, figure.contestant, figure.failure) for figure in figures if figure.failure]


def _traps(plan: Plan, say: Say, found: Findings) -> None:
    """Loops that trap, under every mode that takes guests as they are."""
    by_name = {loop.name: loop for loop in loops()}
    monitors = [mode for mode in MODES if MODES[mode].monitored and not MODES[mode].paravirtual]
    for name in TRAPPING_LONG if plan.peers else TRAPPING:
        contestants: list[Contestant] = [Vmsim(mode, 1, engine=FASTEST, mode=mode) for mode in monitors]
        loop = by_name[name]
        figures = race(loop, contestants, plan.rounds, QUICK, 0, say)
        for row in rows_of(f"{name}, {TRAPS}", loop.unit, loop.what, figures):
            bar = TRAP_BARS.get(name) if MODES[row.engine].promises_equivalence else None
            found.rows.append(
                Row(row.name, row.engine, row.unit, row.value, row.low, row.high, bar, row.what)
            )
        found.failures += [(name, figure.contestant, figure.failure) for figure in figures if figure.failure]


def _program(plan: Plan, say: Say, found: Findings) -> None:
    """What the command itself takes, once Python has compiled it, which it may have been told not to keep."""
    rounds = plan.rounds + 2
    with tempfile.TemporaryDirectory() as folder:
        compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": f"{folder}/bytecode"}
        for name, arguments, environment, bar in (
            ("vmsim --help", ("--help",), {}, HELP_BAR),
            ("vmsim run hello", ("run", "hello"), {}, START_BAR),
            ("vmsim run hello, nothing kept", ("run", "hello"), {"VMSIM_CACHE": f"{folder}/none"}, None),
            ("vmsim run hello, natively", ("run", "hello"), {"VMSIM_ENGINE": FASTEST}, None),
        ):
            say(f"{name} …")
            _command(name, arguments, {**compiled, **environment}, rounds, bar, found)


def _command(
    name: str, arguments: tuple[str, ...], environment: Mapping[str, str], rounds: int, bar: float | None,
    found: Findings,
) -> None:  # fmt: skip
    command = [sys.executable, "-c", COMMAND, *arguments]
    if "VMSIM_CACHE" not in environment:
        measure(command, environment)  # what is kept between processes is made
    runs = []
    for n in range(rounds):
        fresh = {key: f"{value}{n}" for key, value in environment.items() if key == "VMSIM_CACHE"}
        runs.append(measure(command, {**environment, **fresh})[0])
    for unit, figures, limit in (
        ("ms", [1000 * run.seconds for run in runs], bar),
        ("mb", [run.megabytes for run in runs], MEMORY_BAR if bar is not None else None),
    ):
        found.rows.append(Row(name, AUTO, unit, median(figures), min(figures), max(figures), limit))


def _kernels(plan: Plan, say: Say, found: Findings) -> None:
    """Whole kernels, each in every engine that can be expected to arrive."""
    qemu = plan.peers and Qemu(QEMU, 0).available()
    entries: list[tuple[str, str, Callable[[], float]]] = []
    for engine in (REFERENCE, FASTEST):
        entries.append(("minos", engine, lambda engine=engine: bench_kernels.minos(engine)))  # type: ignore[misc]
    if qemu:
        entries.append(("minos", QEMU, bench_kernels.minos_on_qemu))
    for kernel, files in bench_kernels.present() if plan.peers else ():
        entries.append(
            (kernel.name, FASTEST, lambda k=kernel, f=files: bench_kernels.ours(k, f, FASTEST))  # type: ignore[misc]
        )
        if qemu:
            entries.append(
                (kernel.name, QEMU, lambda k=kernel, f=files: bench_kernels.on_qemu(k, f))  # type: ignore[misc]
            )
    for name, who, action in entries:
        say(f"{name} on {who} …")
        try:
            times = [action() for _ in range(plan.rounds)]
        except Failed as failed:
            found.failures.append((name, who, str(failed)))
            continue
        found.rows.append(
            Row(name, who, "seconds", median(times), min(times), max(times), what="to its goal")
        )
