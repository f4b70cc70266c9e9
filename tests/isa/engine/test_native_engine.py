"""The proof that the native engine is the reference engine, only faster: the same state at every stop.

Guests and random kernels run in every mode, stopped at random instruction counts, with the engine changed
at random on the way; registers, flags, every word of the state, RAM, devices, console and all figures have
to be those of a run in the reference engine.
"""

from __future__ import annotations

import os
import random
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from random_kernels import random_kernel

import guests
from isa.asm import assemble
from isa.engine.native import available
from vmm import Machine
from vmm.image import Image
from vmm.modes import MODES

pytestmark = pytest.mark.skipif(not available(), reason="llvmlite is not installed")

SEED = int(os.environ.get("VMSIM_SEED", random.SystemRandom().getrandbits(24)))
CASES = [
    (guest.name, mode) for guest in guests.catalogue() for mode in MODES if mode in (*guest.modes, "naive")
]
STOPS = 8
KERNELS = 12
KERNEL_BUDGET = 3_000
MIXTURES = 2


@cache
def image(name: str, para: bool) -> Image:
    path = guests.find(name)
    program = assemble(path, defines={"PARA": 1} if para else {}, include_dirs=(guests.LIBRARY,))
    return Image(name, Path(path), program.origin, program.entry, program.image, program)


def observe(machine: Machine) -> dict[str, Any]:
    """Everything that could tell one engine from another."""
    mode = machine.mode
    devices = machine.devices
    return {
        "count": mode.count,
        "idle": machine.idle,
        "cpu": mode.cpu.s.tolist(),
        "guest": mode.guest.s.tolist(),
        "ram": blake2b(mode.cpu.memory.ram.data).hexdigest(),
        "console": bytes(devices.console),
        "exit": devices.exit_code,
        "deadline": machine.clock.deadline(),
        "intr": devices.pic.intr,
        "traps": dict(machine.ledger.traps),
        "work": dict(machine.ledger.work),
    }


def run(machine: Machine, stops: list[int], engines: list[str]) -> tuple[list[dict[str, Any]], list[object]]:
    """The machine at each stop, run in the engine named for the way there, and how it ended."""
    seen, ends = [], []
    for stop, engine in zip(stops, engines, strict=True):
        machine.mode.cpu.use_engine(engine)
        end = machine.advance(stop)
        machine.mode.settle()
        seen.append(observe(machine))
        ends.append(end)
        if end is not None:
            break
    return seen, ends


def differences(was: Any, should: Any) -> Any:
    """What differs, and where."""
    if isinstance(was, list):
        return [(n, x, y) for n, (x, y) in enumerate(zip(was, should, strict=True)) if x != y]
    if isinstance(was, dict):
        return {k: (was.get(k), should.get(k)) for k in {*was, *should} if was.get(k) != should.get(k)}
    return was, should


def compare(make: Any, budget: int, seed: str) -> None:
    """Reference, native, and mixtures of both."""
    r = random.Random(seed)
    whole = make()
    whole.mode.cpu.use_engine("reference")
    whole.advance(budget)
    total = max(1, whole.mode.count)
    stops = [*sorted(r.randrange(total + 1) for _ in range(STOPS)), budget]
    expected = run(make(), stops, ["reference"] * len(stops))
    mixtures = [[r.choice(("reference", "native")) for _ in stops] for _ in range(MIXTURES)]
    for engines in [["native"] * len(stops), *mixtures]:
        found = run(make(), stops, engines)
        assert found[1] == expected[1], f"{seed}, {engines}"
        for stop, engine, was, should in zip(stops, engines, found[0], expected[0], strict=False):
            if was != should:
                different = {
                    key: differences(was[key], should[key]) for key in should if was[key] != should[key]
                }
                raise AssertionError(f"{seed}: at {stop} in {engine}: {different}")


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_a_guest_does_the_same_in_every_engine(name: str, mode: str) -> None:
    made = image(name, MODES[mode].paravirtual)
    print(f"VMSIM_SEED={SEED}")
    compare(lambda: Machine(made, mode, memory=4 << 20), 400_000, f"{SEED} {name} {mode}")


@pytest.mark.parametrize("mode", [name for name, mode in MODES.items() if not mode.paravirtual])
@pytest.mark.parametrize("batch", range(2))
def test_a_random_kernel_does_the_same_in_every_engine(batch: int, mode: str) -> None:
    for n in range(KERNELS):
        seed = SEED + batch * KERNELS + n
        made, _ = random_kernel(seed)
        compare(lambda made=made: Machine(made, mode, memory=2 << 20), KERNEL_BUDGET, f"{seed} {mode}")
