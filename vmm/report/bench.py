"""How fast vmsim is: rates of the simulator itself, each beside the bar it is meant to clear.

These are wall-clock times of this computer, the opposite of what guests see; nothing of them enters a
simulation. Every figure is the median of several rounds.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import guests
from isa.asm import assemble
from isa.decode import decode
from vmm.compare import applicable_modes, build
from vmm.image import Image
from vmm.machine import Machine
from vmm.modes import BARE, MODES
from vmm.report.run import SCHEMA

ROUNDS = 5
LOOP_INSTRUCTIONS = 300_000
DECODED = 4000
ENGINE = "reference"
COMMAND = "import cli; cli.main()"

LOOP = """
start:  mov ecx, 1
again:  add eax, ecx
        xor edx, eax
        mov [0x200000], edx
        lea ecx, [eax + edx*2]
        test ecx, ecx
        jmp again
"""
TRAPS = """
start:  cli
        jmp start
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: `unit` says what it counts, `bar` what it should be at least, or for times at most."""

    name: str
    engine: str
    unit: str
    value: float
    bar: float | None = None

    @property
    def is_time(self) -> bool:
        """Less is better."""
        return self.unit in ("ms", "us")

    @property
    def clears(self) -> bool:
        """Whether the bar is reached."""
        if self.bar is None:
            return True
        return self.value <= self.bar if self.is_time else self.value >= self.bar


def rows() -> Iterator[Row]:
    """All figures, as they are found."""
    yield Row("a loop of ordinary instructions", ENGINE, "mips", _mips(LOOP), 0.5)
    yield Row("decoding an instruction not seen before", "decoder", "us", _decoding(), 15)
    yield Row("vmsim --help", "command line", "ms", _command("--help"), 150)
    yield Row("vmsim run hello", "command line", "ms", _command("run", "hello"), 400)
    image = build(guests.LIBRARY / "kernel.asm", BARE)
    for mode in applicable_modes(image):
        yield Row(f"kernel, {mode}", ENGINE, "mips", _guest(mode))
    for mode in MODES:
        if not MODES[mode].paravirtual:
            events = _traps(mode)
            if events:
                yield Row(f"traps at CLI, {mode}", ENGINE, "events_per_second", events)


def ratios(found: list[Row]) -> dict[str, float]:
    """How many times longer the kernel takes this computer under a mode than bare."""
    speeds = {
        row.name.removeprefix("kernel, "): row.value for row in found if row.name.startswith("kernel, ")
    }
    return {mode: round(speeds[BARE] / speed, 2) for mode, speed in speeds.items() if mode != BARE}


def document(found: list[Row]) -> dict[str, Any]:
    """What `bench --json` prints."""
    listed = [
        {
            "name": row.name,
            "engine": row.engine,
            row.unit: round(row.value, 3),
            "bar": row.bar,
            "clears": row.clears,
        }
        for row in found
    ]
    return {"schema": SCHEMA, "rows": listed, "ratios": ratios(found)}


def line(row: Row) -> tuple[str, str]:
    """(colour, text) of a figure."""
    unit = {"mips": "MIPS", "us": "µs", "ms": "ms", "events_per_second": "per second"}[row.unit]
    value = f"{row.value:,.0f}" if row.value >= 100 else f"{row.value:.2f}"
    bar = "" if row.bar is None else f"  ({'at most' if row.is_time else 'at least'} {row.bar:g})"
    return ("red" if not row.clears else "", f"{row.name:42} {value:>10} {unit}{bar}")


def _seconds(action: Callable[[], object], rounds: int = ROUNDS) -> float:
    times = []
    for _ in range(rounds):
        before = time.perf_counter()
        action()
        times.append(time.perf_counter() - before)
    return median(times)


def _image(source: str) -> Image:
    program = assemble(source)
    return Image("bench", Path("bench.asm"), program.origin, program.entry, program.image, program)


def _mips(source: str) -> float:
    image = _image(source)
    machines = iter([Machine(image) for _ in range(ROUNDS)])
    return LOOP_INSTRUCTIONS / 1e6 / _seconds(lambda: next(machines).run(LOOP_INSTRUCTIONS))


def _traps(mode: str) -> float:
    """Traps per second of a loop that does nothing else; 0 where nothing traps."""
    image, machines = _image(TRAPS), []

    def run() -> None:
        machines.append(Machine(image, mode))
        machines[-1].run(20_000)

    seconds = _seconds(run, 3)
    return sum(machines[0].ledger.traps.values()) / seconds


def _guest(mode: str) -> float:
    """Guest instructions, in millions, per second of a whole run."""
    image = build(guests.LIBRARY / "kernel.asm", mode)
    counts: list[int] = []
    seconds = _seconds(lambda: counts.append(Machine(image, mode).run().instructions), 3)
    return counts[0] / 1e6 / seconds


def _decoding() -> float:
    fresh = iter(range(1 << 24, 1 << 30, 257))

    def some() -> None:
        for _ in range(DECODED):
            decode(
                b"\x81\x84\x8b" + (next(fresh) * 3 & 0x7FFFFFFF).to_bytes(4, "little") + b"\x44\x33\x22\x11"
            )

    return _seconds(some, 3) * 1e6 / DECODED


def _command(*arguments: str) -> float:
    command = [sys.executable, "-c", COMMAND, *arguments]
    return 1000 * _seconds(lambda: subprocess.run(command, capture_output=True, check=False))
