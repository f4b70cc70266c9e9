"""A translation lives until it is dropped, whatever the tables say meanwhile, in every engine and on every road."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_native_engine import SEED, compare

from isa.cpu import ENGINES
from isa.engine.native import available
from vmm import Machine, Outcome, load_image

STALE = load_image(Path(__file__).with_name("stale_pages.asm"))
BUDGET = 20_000


@pytest.mark.parametrize("engine", [name for name in ENGINES if name == "reference" or available()])
def test_pages_that_are_unmapped_are_there_until_they_are_flushed(engine: str) -> None:
    machine = Machine(STALE, memory=1 << 20)
    machine.mode.cpu.use_engine(engine)
    ended = machine.advance(BUDGET)
    assert ended is not None and ended.outcome is Outcome.SUCCESS, ended


@pytest.mark.skipif(not available(), reason="llvmlite is not installed")
def test_they_are_there_at_every_stop() -> None:
    print(f"VMSIM_SEED={SEED}")
    compare(lambda: Machine(STALE, memory=1 << 20), BUDGET, f"{SEED} stale")
