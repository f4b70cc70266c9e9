"""Hostile kernels hurt only themselves: no exception, no end but theirs, and the same as on bare hardware.

`VMSIM_HOSTILE` is how many, `VMSIM_SEED` the first. What a processor does with a translation that the
kernel has changed and not flushed is open: a kernel whose end depends on it, on bare hardware too, is left out.
So is what an instruction reads in a page-table entry that it uses itself: whether accessed and dirty bits are
set by then depends on whether the instruction was begun twice, which a hidden page fault makes it. Such a
kernel has to end, to the last bit, as on bare hardware that begins everything twice.
"""

from __future__ import annotations

import ctypes
import gc
import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hostile_kernels import MEMORY, hostile_kernel

from isa.consts import PAGE_SIZE
from isa.cpu import Cpu
from isa.faults import NotModelled, PageFault
from isa.memory import PhysicalMemory, Ram
from isa.state import SHADOW, WORDS
from isa.tlb import FETCH_LOGGED
from vmm import Machine, Outcome
from vmm.image import Image
from vmm.modes import BARE, MODES

COUNT = int(os.environ.get("VMSIM_HOSTILE", "200"))
SEED = int(os.environ.get("VMSIM_SEED", random.SystemRandom().getrandbits(24)))
BUDGET = 600
MONITORS = [
    name
    for name, mode in MODES.items()
    if mode.promises_equivalence and not mode.paravirtual and name != BARE
]
MOST_OPEN = 0.05  # of the kernels may depend on what is open
GROWTH = 64 << 20  # bytes by which what lives on may grow after the first kernels


def end(machine: Machine) -> tuple[object, ...]:
    """All that can be seen of a machine: how it ended, time, the processor's state, memory, console."""
    result = machine.run(BUDGET)
    state = machine.mode.guest.s[:WORDS].tolist()
    state[SHADOW] = int(state[SHADOW] > 1)  # 1: it has been
    memory = machine.mode.guest.memory.read_bytes(0, MEMORY)
    return result.outcome, result.exit_code, result.instructions, result.idle, result.console, state, memory


def begun_twice(image: Image) -> tuple[object, ...]:
    """The end on bare hardware that begins each instruction once before, and keeps only what that says in
    the page tables: as a hidden page fault under a monitor does."""
    machine = Machine(image, memory=MEMORY)
    cpu = machine.mode.cpu
    for count in range(BUDGET):
        if machine.advance(count) is not None:
            break
        machine.mode.settle()
        for address, entry in accessed_and_dirty(cpu):
            cpu.memory.write_bytes(address, entry.to_bytes(4, "little"))
    return end(machine)


def accessed_and_dirty(cpu: Cpu) -> list[tuple[int, int]]:
    """(address, entry) of all that the next instruction would mark in the page tables, were nothing cached."""
    ram = Ram(MEMORY)
    ram.write(0, cpu.memory.read_bytes(0, MEMORY))
    scout = Cpu(PhysicalMemory(ram), model=cpu.model)
    scout.s[:] = cpu.s
    scout.sync()
    marks: list[tuple[int, int]] = []
    store = scout.engine.store_physical

    def mark(address: int, entry: int, w: int) -> None:
        marks.append((address, entry))
        store(address, entry, w)

    scout.engine.store_physical = mark  # type: ignore[method-assign]
    with suppress(NotModelled):
        scout.execute()
    return marks


def resident() -> int:
    """Bytes of memory that this process has, without what nobody refers to any more, nor what the C library
    keeps for later: machines are cycles with large blocks of memory in them."""
    gc.collect()
    with suppress(AttributeError):  # glibc's
        ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def depends_on_stale_translations(image: Image) -> bool:
    """Whether bare hardware that remembers no translation, or all that it may, ends otherwise than one that
    remembers those it has used."""
    usual = end(Machine(image, memory=MEMORY))
    return any(end(_remembering(image, how)) != usual for how in (_nothing, _everything))


def _remembering(image: Image, remember: Callable[[Cpu], None]) -> Machine:
    """A machine that has run, and did something about its translations between any two instructions."""
    machine = Machine(image, memory=MEMORY)
    for count in range(BUDGET):
        if machine.advance(count) is not None:
            break
        remember(machine.mode.cpu)
    return machine


def _nothing(cpu: Cpu) -> None:
    cpu.engine.flush_tlb()


def _everything(cpu: Cpu) -> None:
    """What a processor may look up that nobody has asked for: SDM 3A, 4.10.2.3. Nothing is marked accessed."""
    engine = cpu.engine
    if engine.tlb.counts[FETCH_LOGGED] > 1:
        return  # nothing was flushed since
    usual, engine.store_physical = engine.store_physical, lambda *_: None  # type: ignore[method-assign]
    for linear in range(0, MEMORY, PAGE_SIZE):
        for user in (0, 1):
            with suppress(PageFault):
                page, _ = engine._fill(linear, 0, user)
                if page >= 0 and not engine.tlb.fetch[user][linear >> 12]:
                    engine.tlb.fill_fetch(linear >> 12, user, engine.ram.code_page(page).number)
    engine.store_physical = usual  # type: ignore[method-assign]


@pytest.mark.parametrize("mode", MONITORS)
def test_a_hostile_kernel_ends_as_on_bare_hardware(mode: str) -> None:
    outcomes, left_out, first, most = set(), 0, 0, 0
    for n in range(COUNT):
        image = hostile_kernel(SEED + n)
        monitored = Machine(image, mode, memory=MEMORY)
        bare, virtual = end(Machine(image, memory=MEMORY)), end(monitored)
        outcomes.add(bare[0])
        if virtual != bare:
            assert virtual[0] is not Outcome.ERROR, f"VMSIM_SEED={SEED + n}"
            told = monitored.ledger.divergences  # what direct execution shows, a mode says itself
            known = told or begun_twice(image) == virtual or depends_on_stale_translations(image)
            assert known, f"VMSIM_SEED={SEED + n}: {bare[:5]} {virtual[:5]}"
            left_out += 1
        if n % 50 == 0:
            most = max(most, resident())
        if n == min(100, COUNT // 2):
            first = resident()
    assert {Outcome.BUDGET, Outcome.TRIPLE_FAULT} <= outcomes
    assert left_out <= MOST_OPEN * COUNT
    print(f"{left_out} left out; {first >> 20} MB, at most {most >> 20}")
    assert most - first < GROWTH
