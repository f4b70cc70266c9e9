"""Frames claimed back from a guest: it does not notice, however few it is left with."""

from __future__ import annotations

from functools import cache

import pytest

import guests
from isa.consts import PAGE_SIZE
from isa.state import EFLAGS, EIP
from vmm import Machine, load_image
from vmm.modes import MODES
from vmm.monitor.residence import RESERVE, Frames, OutOfMemory
from vmm.monitor.vm import Host, VirtualMachine

MEMORY = 4 << 20
BUDGET = 2_000_000
MONITORS = [name for name, mode in MODES.items() if mode.promises_equivalence and not mode.paravirtual][1:]


def machine_for(name: str, mode: str | None = None) -> Machine:
    path = guests.find(name)
    assert path is not None
    return Machine(load_image(path, include_dirs=(guests.LIBRARY,)), mode, memory=MEMORY)


def vm_of(machine: Machine) -> VirtualMachine:
    return machine.mode.vm  # type: ignore[attr-defined, no-any-return]


def end(machine: Machine) -> tuple[object, ...]:
    result = machine.run(BUDGET)
    s = machine.mode.guest.s
    return (
        result.outcome, result.console, result.instructions, s[: EIP + 1].tolist(), s[EFLAGS],
        memory_of(machine),
    )  # fmt: skip


def memory_of(machine: Machine) -> bytes:
    """All of it, a few pages at a time."""
    parts = []
    for at in range(0, MEMORY, 16 * PAGE_SIZE):
        parts.append(machine.mode.guest.memory.read_bytes(at, 16 * PAGE_SIZE))
        frames = getattr(getattr(machine.mode, "vm", None), "frames", None)
        if frames is not None and frames.is_short:
            vm_of(machine).claim(RESERVE)
    return b"".join(parts)


@cache
def bare(name: str) -> tuple[object, ...]:
    return end(machine_for(name))


@pytest.mark.parametrize("engine", ["reference", "native"])
@pytest.mark.parametrize("mode", MONITORS)
@pytest.mark.parametrize("name", ["minos", "kernel", "pagefault", "boot", "selfmod"])
def test_a_guest_with_a_handful_of_frames_ends_as_with_all(name, mode, engine, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("VMSIM_ENGINE", engine)
    machine = machine_for(name, mode)
    vm = vm_of(machine)
    assert machine.advance(500) is None
    taken = vm.claim(1 << 20)
    assert taken == MEMORY // PAGE_SIZE - RESERVE
    vm.host.spare = vm.host.spare[: RESERVE + 8]  # the others went to somebody else
    assert end(machine) == bare(name)
    assert vm.frames is not None and vm.frames.resident <= 3 * RESERVE
    assert machine.ledger.work["pages read in"] > 0


def test_what_was_in_memory_is_there_again() -> None:
    machine = machine_for("minos", MONITORS[0])
    memory = machine.mode.guest.memory
    machine.advance(20_000)
    before = memory.read_bytes(0, MEMORY)
    vm = vm_of(machine)
    vm.claim(1 << 20)
    assert memory.read_bytes(0, MEMORY) == before
    assert end(machine) == bare("minos")


def test_pages_of_zeros_take_no_place_in_the_file() -> None:
    machine = machine_for("hello", MONITORS[0])
    vm = vm_of(machine)
    vm.claim(1 << 20)
    assert vm.frames is not None
    assert vm.frames.used < 16


def test_without_a_spare_frame_nothing_comes_back() -> None:
    host = Host(1 << 20, MODES[MONITORS[0]].policy)  # type: ignore[attr-defined]
    frames = Frames(host, host.scattered_frames(), 256, machine_for("hello").ledger)
    assert frames.take(1000) == 256 - RESERVE
    host.spare.clear()
    with pytest.raises(OutOfMemory):
        frames[0]
