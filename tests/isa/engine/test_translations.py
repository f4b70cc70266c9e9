"""Translations in every engine and on every road: a translation lives until it is dropped, whatever the tables
say meanwhile, and an instruction begins again where making one has marked a table's entry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile_kernels import MEMORY, hostile_kernel
from test_native_engine import SEED, compare

from isa import boundary
from isa.cpu import ENGINES
from isa.engine.native import available
from isa.engine.reference import Reference
from isa.faults import Again
from isa.table import ROWS
from vmm import Machine, Outcome, load_image
from vmm.image import Image
from vmm.machine import Stop

HERE = Path(__file__).parent
STALE, MARKED = (load_image(HERE / f"{name}.asm") for name in ("stale_pages", "marked_entries"))
BUDGET, KERNELS = 20_000, 150
EVERY = pytest.mark.parametrize("engine", [name for name in ENGINES if name == "reference" or available()])


def end(image: Image, engine: str) -> Stop | None:
    machine = Machine(image, memory=1 << 20)
    machine.mode.cpu.use_engine(engine)
    return machine.advance(BUDGET)


@EVERY
def test_pages_that_are_unmapped_are_there_until_they_are_flushed(engine: str) -> None:
    ended = end(STALE, engine)
    assert ended is not None and ended.outcome is Outcome.SUCCESS, ended


@EVERY
def test_an_instruction_reads_the_marks_that_it_makes_in_page_tables(engine: str) -> None:
    ended = end(MARKED, engine)
    assert ended is not None and ended.outcome is Outcome.SUCCESS, ended


@pytest.mark.skipif(not available(), reason="llvmlite is not installed")
@pytest.mark.parametrize("image", [STALE, MARKED], ids=lambda image: image.name)
def test_both_are_so_at_every_stop(image: Image) -> None:
    print(f"VMSIM_SEED={SEED}")
    compare(lambda: Machine(image, memory=1 << 20), BUDGET, f"{SEED} {image.name}")


def test_what_begins_again_has_changed_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hostile kernels mark entries of page tables at every turn."""
    begun: list[str] = []

    def watched(run: Callable[..., None], what: str) -> Callable[..., None]:
        def execute(b: Reference, *arguments: Any) -> None:
            state, record = bytes(b.s), b.record
            try:
                run(b, *arguments)
            except Again:
                begun.append(what)
                assert (bytes(b.s), b.record) == (state, record), (seed, what)
                raise

        return execute

    monkeypatch.setattr(boundary, "interrupt", watched(boundary.interrupt, "a delivery"))
    print(f"VMSIM_SEED={SEED}")
    for seed in range(SEED, SEED + KERNELS):
        machine = Machine(hostile_kernel(seed), memory=MEMORY)
        cpu = machine.mode.cpu
        cpu.use_engine("reference")
        handlers = cpu.engine.handlers
        handlers[:] = [watched(run, row.name) for run, row in zip(handlers, ROWS, strict=True)]
        machine.advance(3000)
    assert "a delivery" in begun and len(set(begun)) > 1
