"""Random kernels with system instructions: every faithful mode gives what bare hardware gives.

`VMSIM_RANDOM` is how many for each mode, `VMSIM_SEED` the first.
"""

from __future__ import annotations

import os
import random

import pytest
from random_kernels import random_kernel

from isa.state import EFLAGS, EIP
from vmm import Machine, Outcome
from vmm.modes import MODES

BUDGET = 3_000
BATCHES = 8
PER_BATCH = max(1, int(os.environ.get("VMSIM_RANDOM", "400")) // BATCHES)
MEMORY = 2 << 20
SEED = int(os.environ.get("VMSIM_SEED", random.SystemRandom().getrandbits(24)))
FAITHFUL = [name for name, mode in MODES.items() if mode.promises_equivalence and not mode.paravirtual]


def observe(seed: int, mode: str) -> tuple[tuple[object, ...], bool]:
    """How it ended, and whether the mode itself reported something that differs from bare hardware."""
    image, _text = random_kernel(seed)
    machine = Machine(image, mode, memory=MEMORY)
    result = machine.run(BUDGET)
    state = machine.mode.guest.s
    memory = machine.mode.guest.memory.read_bytes(0x100000, len(image.data))
    end = (
        result.outcome, result.instructions, result.exit_code, list(state[: EIP + 1]), state[EFLAGS], hash(memory),
    )  # fmt: skip
    return end, bool(result.divergences)


@pytest.mark.parametrize("mode", FAITHFUL[1:])
@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_random_kernel_ends_as_on_bare_hardware_or_the_mode_says_why_not(batch: int, mode: str) -> None:
    ended = set()
    for n in range(PER_BATCH):
        seed = SEED + batch * PER_BATCH + n
        (bare, _), (virtual, reported) = observe(seed, FAITHFUL[0]), observe(seed, mode)
        if reported or Outcome.UNSUPPORTED in (bare[0], virtual[0]):
            continue
        assert virtual == bare, f"VMSIM_SEED={SEED}, kernel {seed}: {random_kernel(seed)[1]}"
        ended.add(bare[0])
    assert ended
