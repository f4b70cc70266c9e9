"""The proof that the native engine is the reference engine, only faster: the same state at every stop.

Guests, the loops of the bench and random kernels run in every mode, stopped at random instruction counts,
with the engine changed at random on the way; registers, flags, every word of the state, RAM, devices, console
and all figures have to be those of a run in the reference engine. VMSIM_STOPS says how many stops each gets.
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
from isa.engine.library import Library
from isa.engine.native import available
from isa.engine.store import Store
from isa.engine.threaded import Threaded
from vmm import Machine
from vmm.image import Image
from vmm.modes import MODES

pytestmark = pytest.mark.skipif(not available(), reason="llvmlite is not installed")

SEED = int(os.environ.get("VMSIM_SEED", random.SystemRandom().getrandbits(24)))
CASES = [
    (guest.name, mode) for guest in guests.catalogue() for mode in MODES if mode in (*guest.modes, "naive")
]
STOPS = int(os.environ.get("VMSIM_STOPS", "8"))
LOOPS = sorted((guests.LIBRARY / "bench").glob("*.asm"))
LOOP_BUDGET = 60_000
CHUNK = 1 << 16
KERNELS = 12
KERNEL_BUDGET = 3_000
MIXTURES = 2
TIERS = ("reference", "native", "handlers")


@cache
def image(name: str, para: bool) -> Image:
    path = guests.find(name)
    program = assemble(path, defines={"PARA": 1} if para else {}, include_dirs=(guests.LIBRARY,))
    return Image(name, Path(path), program.origin, program.entry, program.image, program)


class Watched:
    """A machine, and digests of its RAM that are made anew only for what has changed."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.ram = memoryview(machine.mode.cpu.memory.ram.data)
        self.was = [b""] * (len(self.ram) // CHUNK)
        self.digests = [""] * len(self.was)

    def digest(self) -> str:
        for n, was in enumerate(self.was):
            now = bytes(self.ram[n * CHUNK : (n + 1) * CHUNK])
            if now != was:
                self.was[n] = now
                self.digests[n] = blake2b(now).hexdigest()
        return blake2b("".join(self.digests).encode()).hexdigest()


def observe(watched: Watched) -> dict[str, Any]:
    """Everything that could tell one engine from another."""
    machine = watched.machine
    mode = machine.mode
    devices = machine.devices
    return {
        "count": mode.count,
        "idle": machine.idle,
        "cpu": (mode.real_state() or mode.cpu.s).tolist(),
        "guest": mode.guest.s.tolist(),
        "ram": watched.digest(),
        "console": bytes(devices.console),
        "exit": devices.exit_code,
        "deadline": machine.clock.deadline(),
        "intr": devices.pic.intr,
        "traps": dict(machine.ledger.traps),
        "work": dict(machine.ledger.work),
    }


def run(machine: Machine, stops: list[int], engines: list[str]) -> tuple[list[dict[str, Any]], list[object]]:
    """The machine at each stop, run in the engine named for the way there, and how it ended."""
    seen, ends, watched = [], [], Watched(machine)
    for stop, engine in zip(stops, engines, strict=True):
        machine.mode.cpu.use_engine(engine)
        end = machine.advance(stop)
        machine.mode.settle()
        seen.append(observe(watched))
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


def compare(make: Any, budget: int, seed: str, mixtures: int = MIXTURES) -> None:
    """Reference, native, and mixtures of both."""
    r = random.Random(seed)
    whole = make()
    whole.mode.cpu.use_engine("reference")
    whole.advance(budget)
    total = max(1, whole.mode.count)
    stops = [*sorted(r.randrange(total + 1) for _ in range(STOPS)), budget]
    expected = run(make(), stops, ["reference"] * len(stops))
    mixed = [[r.choice(TIERS) for _ in stops] for _ in range(mixtures)]
    for engines in [["native"] * len(stops), *mixed]:
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


def loop_image(path: Path) -> Image:
    program = assemble(path, defines={"ROUNDS": 2}, include_dirs=(guests.LIBRARY,))
    return Image(path.stem, path, program.origin, program.entry, program.image, program)


@pytest.mark.parametrize("path", LOOPS, ids=lambda path: path.stem)
def test_a_loop_of_the_bench_does_the_same_in_every_engine(path: Path) -> None:
    made = loop_image(path)
    print(f"VMSIM_SEED={SEED}")
    compare(lambda: Machine(made, memory=16 << 20), LOOP_BUDGET, f"{SEED} {path.stem}")


def test_nothing_compiled_before_makes_no_difference() -> None:
    """Every handler is made while the guest runs, and used from then on."""
    made = image("kernel", False)

    def cold() -> Machine:
        machine = Machine(made, memory=4 << 20)
        machine.mode.cpu._prepared = Threaded(machine.mode.cpu, Library(Store(None)))
        return machine

    print(f"VMSIM_SEED={SEED}")
    compare(cold, 100_000, f"{SEED} cold", mixtures=0)


@pytest.mark.parametrize("mode", [name for name, mode in MODES.items() if not mode.paravirtual])
@pytest.mark.parametrize("batch", range(2))
def test_a_random_kernel_does_the_same_in_every_engine(batch: int, mode: str) -> None:
    for n in range(KERNELS):
        seed = SEED + batch * KERNELS + n
        made, _ = random_kernel(seed)
        compare(lambda made=made: Machine(made, mode, memory=2 << 20), KERNEL_BUDGET, f"{seed} {mode}")
