"""Every guest under every mode: what it prints, how it ends, and that nobody can tell the difference."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from functools import cache

import pytest

import guests
from isa.state import EFLAGS, EIP
from vmm import Machine, Outcome, load_image
from vmm.image import Image
from vmm.modes import MODES

CATALOGUE = {guest.name: guest for guest in guests.catalogue()}
BUDGET = 2_000_000
SAME_BUILD = [name for name, mode in MODES.items() if mode.promises_equivalence and not mode.paravirtual]


@cache
def image(guest: str, paravirtual: bool = False) -> Image:
    defines = {"PARA": 1} if paravirtual else None
    return load_image(CATALOGUE[guest].path, include_dirs=(guests.LIBRARY,), defines=defines)


def memory_of(machine: Machine) -> str:
    memory = machine.mode.guest.memory
    return hashlib.sha256(memory.read_bytes(0, memory.size)).hexdigest()


@cache
def native(guest: str) -> tuple[int, str]:
    """Instructions and final memory on bare hardware."""
    machine = Machine(image(guest))
    return machine.run(BUDGET).instructions, memory_of(machine)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("guest", CATALOGUE)
def test_a_guest_does_under_a_mode_what_its_header_says(guest: str, mode: str) -> None:
    expected = CATALOGUE[guest]
    if MODES[mode].paravirtual and not expected.has_para:
        pytest.skip(f"{guest} has no paravirtual port")
    machine = Machine(image(guest, MODES[mode].paravirtual), mode)
    result = machine.run(BUDGET)
    if mode in expected.modes:
        assert (result.outcome, result.console) == (Outcome.SUCCESS, expected.expected), result.text
        assert result.divergences == []
    elif MODES[mode].promises_equivalence:
        pytest.fail(f"{guest} does not say that it runs under {mode}")
    elif expected.naive:
        promised = {machine.image.symbol(divergence.label) for divergence in expected.naive}
        assert promised <= {divergence.eip for divergence in result.divergences}
    else:
        assert result.console == expected.expected


@pytest.mark.parametrize("mode", [mode for mode in SAME_BUILD if mode != SAME_BUILD[0]])
@pytest.mark.parametrize("guest", CATALOGUE)
def test_a_guest_cannot_tell_a_faithful_monitor_from_bare_hardware(guest: str, mode: str) -> None:
    machine = Machine(image(guest), mode)
    result = machine.run(BUDGET)
    assert (result.instructions, memory_of(machine)) == native(guest)


@pytest.mark.parametrize("mode", [mode for mode in SAME_BUILD if mode != SAME_BUILD[0]])
@pytest.mark.parametrize("guest", ["syscall", "popf", "pagefault", "selfmod", "vectors", "kernel", "minos"])
def test_a_stop_after_any_instruction_finds_the_guest_as_on_bare_hardware(guest: str, mode: str) -> None:
    stops = sorted(random.Random(guest + mode).sample(range(native(guest)[0]), 60))
    bare, virtual = Machine(image(guest)), Machine(image(guest), mode)
    for stop in stops:
        assert bare.advance(stop) is None
        assert virtual.advance(stop) is None
        b, v = bare.mode.guest.s, virtual.mode.guest.s
        assert virtual.mode.count == stop
        assert v[:EIP] == b[:EIP]
        assert (v[EIP], v[EFLAGS]) == (b[EIP], b[EFLAGS]), f"after {stop} instructions"
        assert virtual.devices.console == bare.devices.console


@pytest.mark.parametrize("mode", SAME_BUILD)
def test_minos_reads_a_disk_by_interrupt(mode: str) -> None:
    disk = b"the first sector\n".ljust(64 * 512, b"\0")
    machine = Machine(dataclasses.replace(image("minos"), disk=disk), mode)
    result = machine.run(BUDGET)
    expected = CATALOGUE["minos"].expected.replace("minos: no disk\n", "minos: a disk of 64 sectors\n")
    assert result.console == expected.replace("disk: there is none\n", "the first sector\n")
    bare = Machine(dataclasses.replace(image("minos"), disk=disk))
    assert (bare.run(BUDGET).instructions, memory_of(bare)) == (result.instructions, memory_of(machine))


def test_two_runs_of_a_guest_are_the_same() -> None:
    first, second = (Machine(image("kernel"), SAME_BUILD[1]) for _ in range(2))
    assert first.run(BUDGET) == second.run(BUDGET)
    assert memory_of(first) == memory_of(second)
