"""Regions do what the reference engine does: the same state at every stop, wherever it falls.

Here regions are made as eagerly as possible: a few instructions between two samples, and every sample in
new code makes one, at once. So they begin in the middle of loops, are entered and left at every place,
lose their pages to stores, and run out of budget at any instruction.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import region_programs
import test_native_engine
import test_native_smc
from hostile_kernels import MEMORY, hostile_kernel
from random_kernels import random_kernel

from isa.asm import assemble
from isa.cpu import Cpu
from isa.decode import decode
from isa.engine import regions, regionstore, transfer
from isa.engine.native import available
from isa.engine.regionform import WORTH, Plan, form
from isa.insn import Insn
from vmm import Machine
from vmm.modes import MODES

pytestmark = pytest.mark.skipif(not available(), reason="llvmlite is not installed")

SEED = int(os.environ.get("VMSIM_SEED", random.SystemRandom().getrandbits(24)))
EAGER = regions.Pace(
    slice=400, longest=3000, hot=1, worth=1, faults=1, background=False, changes=3, regions=12
)
PROGRAMS, STOPS, LENGTH = 25, 12, 20_000
KERNELS = 8
HOSTILE, HOSTILE_BUDGET = 30, 12_000
TRANSFERRING = 3  # hostile kernels with a compiled transfer, of which there must be some (about one in eight)
GUESTS = [case for case in test_native_engine.CASES if case[1] in ("native", "full", "rewrite")]


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Eager regions, and the numbers of the pages that got one."""
    placed: list[int] = []
    into = regions.Regions._into

    def note(self: regions.Regions, which: tuple[int, int], heads: tuple[int, ...]) -> regions.Install:
        install = into(self, which, heads)

        def noted(address: int) -> None:
            placed.append(which[0])
            install(address)

        return noted

    monkeypatch.setattr(regions, "PACE", EAGER)
    monkeypatch.setattr(regions.Regions, "_into", note)
    print(f"VMSIM_SEED={SEED}")
    yield placed


@pytest.mark.parametrize("base", [0, 0x20], ids=["flat", "based"])
def test_random_programs(base: int, eager: list[int]) -> None:
    for seed in range(SEED, SEED + PROGRAMS):
        r = random.Random(seed)
        code, stops = region_programs.program(r), sorted(r.randrange(LENGTH) for _ in range(STOPS))
        expected = region_programs.run(code, stops, ["reference"] * STOPS, base=base)
        assert region_programs.run(code, stops, ["native"] * STOPS, base=base) == expected, seed
        mixture = [r.choice(("reference", "native", "handlers")) for _ in stops]
        assert region_programs.run(code, stops, mixture, base=base) == expected, (seed, mixture)
    assert len(eager) > PROGRAMS


@pytest.fixture
def transfers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What INTs, IRETs and deliveries were compiled."""
    made: list[str] = []
    module = transfer.Expecting.module

    def noted(self: transfer.Expecting) -> tuple[str, str]:
        found = module(self)
        made.append(str(self.insn) if isinstance(self, transfer.Transfer) else "a fault")
        return found

    monkeypatch.setattr(transfer.Expecting, "module", noted)
    return made


def test_hostile_kernels_change_tables_under_what_is_compiled_for_them(
    transfers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most of these kernels are at their end after a few dozen instructions: hence the short slices."""
    monkeypatch.setattr(regions, "PACE", replace(EAGER, slice=24, longest=60))
    with_transfers = 0
    for seed in range(SEED, SEED + 20 * HOSTILE):
        made = hostile_kernel(seed)
        before = len(transfers)
        test_native_engine.compare(
            lambda made=made: Machine(made, memory=MEMORY), HOSTILE_BUDGET, f"{seed} hostile", mixtures=1
        )
        with_transfers += len(transfers) > before
        if seed - SEED >= HOSTILE and with_transfers >= TRANSFERRING:
            break
    assert with_transfers >= TRANSFERRING


@pytest.mark.parametrize(("name", "mode"), GUESTS)
def test_a_guest(name: str, mode: str) -> None:
    made = test_native_engine.image(name, MODES[mode].paravirtual)
    test_native_engine.compare(lambda: Machine(made, mode, memory=4 << 20), 150_000, f"{SEED} {name} {mode}")


@pytest.mark.parametrize("path", test_native_engine.LOOPS, ids=lambda path: path.stem)
def test_a_loop_of_the_bench(path: Path) -> None:
    made = test_native_engine.loop_image(path)
    test_native_engine.compare(
        lambda: Machine(made, memory=16 << 20), test_native_engine.LOOP_BUDGET, f"{SEED} {path.stem}"
    )


@pytest.mark.parametrize("mode", ["native", "full"])
def test_random_kernels(mode: str, eager: list[int]) -> None:
    for seed in range(SEED, SEED + KERNELS):
        made, _ = random_kernel(seed)
        test_native_engine.compare(
            lambda made=made: Machine(made, mode, memory=2 << 20), 3000, f"{seed} {mode}"
        )
    assert eager


def test_code_that_changes_itself(eager: list[int]) -> None:
    r = random.Random(SEED)
    stops_of = range(test_native_smc.STOPS)
    for n in range(20):
        code = test_native_smc.program(r)
        stops = sorted(r.randrange(test_native_smc.LENGTH) for _ in stops_of)
        expected = test_native_smc.run(code, stops, ["reference" for _ in stops_of])
        assert test_native_smc.run(code, stops, ["native" for _ in stops_of]) == expected, f"program {n}"


LOOP = bytes.fromhex("40 01c3 49 75fa ebf8")  # inc eax; add ebx, eax; dec ecx; jne; jmp


def heads(cpu: Cpu) -> int:
    """How many records lead to regions."""
    assert cpu.native is not None and cpu.native.regions is not None
    return sum(len(page.heads) for page in cpu.native.regions.pages.values())


def test_a_page_that_changes_loses_its_regions_and_is_given_up_at_last() -> None:
    cpu = region_programs.start(LOOP, "native")
    for n in range(EAGER.changes):
        cpu.run(cpu.count + 5000)
        assert heads(cpu), f"after {n} changes"
        cpu.memory.ram.write(region_programs.CODE, LOOP)
        assert not heads(cpu)
    cpu.run(cpu.count + 5000)
    assert not heads(cpu)


BESIDE = bytes.fromhex("010d40100000 a140100000 a344100000 49 75ed ebeb")  # add [1040h], ecx; mov …; jmp


def test_a_store_beside_code_neither_leaves_the_region_nor_loses_it() -> None:
    cpu, reference = (region_programs.start(BESIDE, engine) for engine in ("native", "reference"))
    assert cpu.run(20_000) == reference.run(20_000)
    assert cpu.s == reference.s and bytes(cpu.memory.ram.data) == bytes(reference.memory.ram.data)
    assert cpu.native is not None and cpu.native.regions is not None
    assert heads(cpu) and all(page.changes == 0 for page in cpu.native.regions.pages.values())


def formed(source: str, start: str) -> tuple[dict[str, int], Plan | None]:
    """The labels of a program, and the region around one of them."""
    program = assemble("org 0\n" + source)
    known: dict[int, Insn] = {}
    at = 0
    while at < len(program.image):
        known[at] = decode(program.image[at : at + 15])
        at += known[at].length
    return program.symbols, form(program.symbols[start], known.get)


def test_a_region_is_what_leads_back() -> None:
    where, plan = formed(
        "outer: mov ecx, 9\ninner: dec ecx\njne inner\ndec edx\njne outer\nafter: hlt", "inner"
    )
    assert plan is not None
    assert plan.heads == (where["outer"], where["inner"])
    assert where["after"] not in plan.pieces
    assert plan.pieces[where["inner"]].bound == 4  # dec, jne, dec, jne: then the budget is looked at again
    assert plan.goes_back(where["inner"], where["inner"])


def test_a_function_that_calls_itself_is_one_region() -> None:
    source = "f: dec eax\nje out\npush eax\ncall f\nback: pop eax\ncall f\nagain: nop\nout: ret"
    where, plan = formed(source, "back")
    assert plan is not None and plan.returns == (where["back"], where["again"])
    ret = plan.pieces[where["out"]]
    assert set(ret.goals) == {where["back"], where["again"]}


def test_where_nothing_leads_back_a_region_is_what_lies_ahead() -> None:
    long = "inc ebx\n" * WORTH
    where, plan = formed(f"start: mov eax, 1\ncmp eax, ebx\nje over\n{long}over: cli\nafter: nop", "start")
    assert plan is not None and plan.heads[0] == where["start"]
    assert where["over"] not in plan.pieces  # CLI is left to its handler


def test_a_region_that_would_be_left_at_once_is_none() -> None:
    _, plan = formed("start: mov eax, 1\ncmp eax, ebx\nje over\ninc ebx\nover: cli\nafter: nop", "start")
    assert plan is None
    _, plan = formed("start: dec ecx\nint 0x80\njnz start\nafter: nop", "start")
    assert plan is None
    _, plan = formed("start: dec ecx\njz away\nint 0x80\naway: test eax, eax\njnz start\nafter: nop", "start")
    assert plan is not None  # a way around the call


def test_a_region_of_an_earlier_process_is_taken_from_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMSIM_CACHE", str(tmp_path))
    states, compiled = [], []
    for damaged in (False, False, True):
        store = None

        def own_store(library: object) -> regionstore.RegionStore:
            nonlocal store
            store = store or regionstore.RegionStore(library.addresses)  # type: ignore[attr-defined]
            return store

        monkeypatch.setattr(regions, "store_of", own_store)
        if damaged:
            for path in tmp_path.rglob("r_*.o"):
                path.write_bytes(path.read_bytes()[:-7])
        cpu = region_programs.start(LOOP, "native")
        cpu.run(50_000)
        assert heads(cpu) and store is not None
        states.append(cpu.s.tolist())
        compiled.append(store.compiled)
    assert compiled[0] > 0 and compiled[1] == 0 and compiled[2] == compiled[0]
    assert states[0] == states[1] == states[2]


def test_a_region_is_compiled_beside_the_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "PACE", regions.Pace(slice=1000, hot=1))
    cpu = region_programs.start(LOOP, "native")
    cpu.run(1000)
    while not heads(cpu):
        cpu.run(cpu.count + 100_000)
    count = cpu.count
    reference = region_programs.start(LOOP, "reference")
    reference.s[:] = cpu.s
    reference.count = count
    reference.sync()
    assert cpu.run(count + 12_345) == reference.run(count + 12_345)
    assert cpu.s == reference.s
