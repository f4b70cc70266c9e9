"""Hostile kernels hurt only themselves: no exception, no end but theirs, and the same as on bare hardware.

`VMSIM_HOSTILE` is how many, `VMSIM_SEED` the first. What a processor does with a translation that the
kernel has changed and not flushed is open: a kernel whose end depends on it, on bare hardware too, is left out.
"""

from __future__ import annotations

import gc
import hashlib
import os
import random
import resource

import pytest
from hostile_kernels import MEMORY, hostile_kernel

from isa.state import WORDS
from vmm import Machine, Outcome
from vmm.image import Image
from vmm.modes import MODES

COUNT = int(os.environ.get("VMSIM_HOSTILE", "200"))
SEED = int(os.environ.get("VMSIM_SEED", random.SystemRandom().getrandbits(24)))
BUDGET = 600
FAITHFUL = [name for name, mode in MODES.items() if mode.promises_equivalence and not mode.paravirtual]
MOST_OPEN = 0.05  # of the kernels may depend on what is open
GROWTH = 64 << 10  # KB by which the process may grow after the first kernels


def end(machine: Machine) -> tuple[object, ...]:
    """All that can be seen of a machine: how it ended, time, the processor's state, memory, console."""
    result = machine.run(BUDGET)
    memory = machine.mode.guest.memory.read_bytes(0, MEMORY)
    return (
        result.outcome, result.exit_code, result.instructions, result.idle, result.console,
        machine.mode.guest.s[:WORDS].tolist(), hashlib.blake2b(memory).digest(),
    )  # fmt: skip


def depends_on_stale_translations(image: Image) -> bool:
    """Whether bare hardware that remembers no translation ends otherwise than one that does."""
    machine = Machine(image, memory=MEMORY)
    for count in range(BUDGET):
        if machine.advance(count) is not None:
            break
        machine.mode.cpu.engine.flush_tlb()
    return end(machine) != end(Machine(image, memory=MEMORY))


@pytest.mark.parametrize("mode", FAITHFUL[1:2])
def test_a_hostile_kernel_ends_as_on_bare_hardware(mode: str) -> None:
    outcomes, left_out, size = set(), 0, 0
    for n in range(COUNT):
        image = hostile_kernel(SEED + n)
        bare, virtual = end(Machine(image, memory=MEMORY)), end(Machine(image, mode, memory=MEMORY))
        outcomes.add(bare[0])
        if virtual != bare:
            assert virtual[0] is not Outcome.ERROR, f"VMSIM_SEED={SEED + n}"
            assert depends_on_stale_translations(image), f"VMSIM_SEED={SEED + n}: {bare[:5]} {virtual[:5]}"
            left_out += 1
        if n % 50 == 0:
            gc.collect()  # machines are cycles with large blocks of memory in them
        if n == min(100, COUNT // 2):
            size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert {Outcome.BUDGET, Outcome.TRIPLE_FAULT} <= outcomes
    assert left_out <= MOST_OPEN * COUNT
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - size < GROWTH
