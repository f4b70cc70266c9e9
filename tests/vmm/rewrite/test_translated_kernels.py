"""Random kernels under a busy timer, stopped anywhere: translated as on bare hardware."""

from __future__ import annotations

import os
import random

import pytest
from translated_kernels import translated_kernel

from isa.state import EFLAGS, EIP
from vmm import Machine
from vmm.image import Image
from vmm.modes.rewrite import Rewrite

SEED = int(os.environ.get("VMSIM_SEED", random.SystemRandom().getrandbits(24)))
BATCHES, PER_BATCH = 5, 20
BUDGET = 6_000
MEMORY = 2 << 20


def state(machine: Machine) -> tuple[object, ...]:
    s = machine.mode.guest.s
    return machine.mode.count, machine.idle, list(s[: EIP + 1]), s[EFLAGS]


def memory(machine: Machine) -> bytes:
    return machine.mode.guest.memory.read_bytes(0, MEMORY)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_random_kernel_is_at_any_stop_what_it_is_on_bare_hardware(batch: int) -> None:
    for seed in range(SEED + batch * PER_BATCH, SEED + (batch + 1) * PER_BATCH):
        image, pieces = translated_kernel(seed)
        bare, virtual = Machine(image, memory=MEMORY), Machine(image, "rewrite", memory=MEMORY)
        stops = [*sorted(random.Random(seed).sample(range(BUDGET), 50)), BUDGET]
        for stop in stops:
            ended = bare.advance(stop)
            assert virtual.advance(stop) == ended
            assert state(virtual) == state(bare), f"VMSIM_SEED={SEED}, kernel {seed} at {stop}: {pieces}"
            if ended is not None:
                break
        assert memory(virtual) == memory(bare), f"VMSIM_SEED={SEED}, kernel {seed}: {pieces}"


def through(image: Image, size: int | None = None) -> Machine:
    """Run to the end, with a cache of so many bytes."""
    machine = Machine(image, "rewrite", memory=MEMORY)
    assert isinstance(machine.mode, Rewrite)
    if size is not None:
        machine.mode.cache.size = size
    machine.advance(BUDGET)
    return machine


@pytest.mark.parametrize("seed", range(8))
def test_a_cache_that_is_always_full_changes_nothing_but_the_work(seed: int) -> None:
    image, _ = translated_kernel(seed)
    large, small = through(image), through(image, size=600)
    assert state(small) == state(large)
    assert memory(small) == memory(large)
    assert small.ledger.work["cache emptied"] > large.ledger.work["cache emptied"] == 0


@pytest.mark.parametrize("seed", range(6))
def test_a_request_to_stop_in_the_middle_of_a_sequence_does_no_harm(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processor may have a spilled register then; the guest is brought to its next instruction."""
    image, pieces = translated_kernel(seed)
    bare, virtual = Machine(image, memory=MEMORY), Machine(image, "rewrite", memory=MEMORY)
    engine = virtual.mode.cpu.engine
    dice = random.Random(seed)
    left = 3
    store = engine.store

    def store_and_ask(*arguments: int) -> None:
        nonlocal left
        store(*arguments)
        left -= 1
        if left == 0:
            virtual.mode.request_stop()
            left = dice.randrange(2, 12)

    monkeypatch.setattr(engine, "store", store_and_ask)
    for stop in range(0, BUDGET, 97):
        ended = bare.advance(stop)
        assert virtual.advance(stop) == ended
        assert state(virtual) == state(bare), f"kernel {seed} at {stop}: {pieces}"
