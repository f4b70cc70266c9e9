"""INT, IRET and faults compiled for the tables that they meet, while the tables change."""

from __future__ import annotations

import os
import random
from array import array
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import test_native_engine
from test_regions import EAGER, SEED

from isa.consts import CR0_PE, CR0_TS
from isa.engine import regions, transfer
from isa.engine.native import available
from isa.engine.threaded import Threaded
from isa.state import CR0
from vmm import Machine, load_image
from vmm.image import Image

pytestmark = pytest.mark.skipif(not available(), reason="llvmlite is not installed")

IMAGE = load_image(Path(__file__).with_name("changing_tables.asm"))
MEMORY, BUDGET = 1 << 20, 60_000
LISTS = int(os.environ.get("VMSIM_TABLES", "8"))
EDITS = 24
RESTORED = 0.6  # of the edits are taken back by the next one


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Eager engines, and what they have compiled."""
    found: list[str] = []
    module = transfer.Expecting.module

    def noted(self: transfer.Expecting) -> tuple[str, str]:
        result = module(self)
        found.append(self.insn.name if isinstance(self, transfer.Transfer) else "fault")
        return result

    monkeypatch.setattr(regions, "PACE", replace(EAGER, slice=150, regions=60))
    monkeypatch.setattr(transfer.Expecting, "module", noted)
    yield found


def word(address: int) -> int:
    at = address - IMAGE.origin
    return int.from_bytes(IMAGE.data[at : at + 4], "little")


def alternatives(r: random.Random) -> tuple[int, int]:
    """A word of the tables, and something else that could stand there."""
    assert IMAGE.program is not None
    where = IMAGE.program.symbols
    kind = r.randrange(6)
    if kind == 0:  # access and flags of a segment
        at = where["gdt"] + 8 * r.choice((1, 2, 3, 4, 6, 7)) + 4
        access = r.choice(
            (0x100, 0x8000, 0x2000, 0x4000, 0x400, 0x200, 0x800, 0x40_0000, 0x80_0000, 0xF_0000)
        )
        return at, word(at) ^ access
    if kind == 1:  # its limit
        at = where["gdt"] + 8 * r.choice((1, 2, 3, 4))
        return at, r.choice((0xFFFF, 0x7FFF, 0x1F, 0xFFF0))
    if kind == 2:  # selector or target of a gate
        at = where["idt"] + 8 * r.choice((6, 14, 0x80))
        return at, word(at) ^ r.choice((0x10_0000, 0x18_0000, 0x38_0000, 1, 0x3_0000))
    if kind == 3:  # its type and level
        at = where["idt"] + 8 * r.choice((6, 14, 0x80)) + 4
        return at, word(at) ^ r.choice((0x100, 0x6000, 0x8000, 0x800, 0x4000))
    if kind == 4:  # the inner stack
        at = where["tss"] + r.choice((4, 8))
        return at, r.choice((0x1D000, 0x1E002, 0x1DFFF, 8)) if at & 4 == where["tss"] + 4 & 4 else r.choice(
            (0x20, 0x13, 0)
        )
    return where["selectors"], r.choice((0x23, 0x3B, 0x33, 0x10, 0x20, 0x1B, 0x38))


def with_edits(edits: list[tuple[int, int]]) -> Image:
    assert IMAGE.program is not None
    packed = b"".join(x.to_bytes(4, "little") for edit in edits for x in edit)
    start = IMAGE.program.symbols["edits"] - IMAGE.origin
    return replace(IMAGE, data=IMAGE.data[:start] + packed + IMAGE.data[start + len(packed) :])


def changing(r: random.Random) -> Image:
    edits: list[tuple[int, int]] = []
    while len(edits) < EDITS:
        at, value = alternatives(r)
        edits.append((at, value))
        if r.random() < RESTORED:
            edits.append((at, word(at)))
    return with_edits(edits)


def test_what_is_compiled_for_tables_notices_that_they_change(made: list[str]) -> None:
    print(f"VMSIM_SEED={SEED}")
    for seed in range(SEED, SEED + LISTS):
        image = changing(random.Random(seed))
        test_native_engine.compare(lambda image=image: Machine(image, memory=MEMORY), BUDGET, str(seed))
    assert {"int", "iret", "fault"} <= set(made)


def unchanging() -> Threaded:
    """The engine of a machine whose tables have stayed as they are."""
    assert IMAGE.program is not None
    at = IMAGE.program.symbols["selectors"]
    machine = Machine(with_edits([(at, word(at))] * EDITS), memory=MEMORY)
    machine.mode.cpu.use_engine("native")
    machine.advance(BUDGET)
    native = machine.mode.cpu.native
    assert native is not None
    return native


def test_it_stands_where_the_transfers_are(made: list[str]) -> None:
    native = unchanging()
    assert native.regions is not None
    assert any(native.context[regions.DELIVERIES : regions.DELIVERIES + 2 * regions.VECTORS])
    functions = regions.store_of(native.library)._addresses.values()
    heads = [index for page in native.regions.pages.values() for index in page.heads]
    assert heads and all(native.pool.handler(index) in functions for index in heads)
    assert {"int", "iret", "fault"} <= set(made)


def test_a_task_switch_flag_is_none_of_their_business(made: list[str]) -> None:
    native = unchanging()
    assert native.regions is not None
    delivery = next(iter(native.regions.deliveries.values()))
    state = array("I", bytes(4 * len(native.cpu.s)))
    for n, value in delivery.known.items():
        state[n] = value
    assert delivery.holds(state)
    state[CR0] ^= CR0_TS
    assert delivery.holds(state)
    state[CR0] ^= CR0_PE
    assert not delivery.holds(state)
