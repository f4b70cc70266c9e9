"""Paravirtualization as a mode: its guests, their steps and stops, what is told of them."""

from __future__ import annotations

import hashlib
import random
from functools import cache
from pathlib import Path

import pytest

import guests
from isa.asm import assemble
from isa.state import CPL
from vmm import Machine, Outcome, Result, load_image
from vmm.events import Event, Hypercall, Injected, Reflected, SoftwareInterrupt, Trap
from vmm.image import Image
from vmm.modes.para import Para

NAMES = [guest.name for guest in guests.catalogue() if guest.has_para]
BUDGET = 2_000_000


@cache
def image(name: str) -> Image:
    path = guests.find(name)
    assert path is not None
    return load_image(path, include_dirs=(guests.LIBRARY,), defines={"PARA": 1})


def finish(name: str) -> tuple[Machine, Result]:
    machine = Machine(image(name), Para.name)
    return machine, machine.run(BUDGET)


def fingerprint(machine: Machine) -> tuple[object, ...]:
    memory = machine.mode.cpu.memory
    digest = hashlib.sha256(memory.read_bytes(0, memory.size)).hexdigest()
    s = machine.mode.cpu.s
    return s.tobytes(), digest, machine.idle, dict(machine.ledger.traps), dict(machine.ledger.work)


def small(source: str) -> Machine:
    program = assemble(source, name="small.asm")
    made = Image("small", Path("small.asm"), program.origin, program.entry, program.image, program)
    return Machine(made, Para.name, memory=6 << 20)


@pytest.mark.parametrize("name", NAMES)
def test_the_kernel_runs_in_ring_1_and_no_privileged_instruction_of_it_traps(name: str) -> None:
    machine, result = finish(name)
    assert (result.outcome, result.exit_code) == (Outcome.SUCCESS, 0)
    assert machine.mode.cpu.s[CPL] == 1
    assert result.work.get("instructions emulated", 0) == 0
    assert result.traps["hypercall"] == result.work["hypercalls"]
    calls = sum(n for key, n in result.work.items() if key.startswith("hypercall: "))
    assert calls == result.work["hypercalls"]


@pytest.mark.parametrize("name", ["syscall", "timer", "kernel"])
def test_a_run_in_pieces_is_the_same_run(name: str) -> None:
    whole, result = finish(name)
    pieces = Machine(image(name), Para.name)
    r = random.Random(name)
    stop = None
    while stop is None:
        stop = pieces.advance(pieces.mode.count + r.choice((1, 1, 2, 17, 400, 3000)))
    assert pieces.mode.count == result.instructions
    assert fingerprint(pieces) == fingerprint(whole)
    assert pieces.devices.console == whole.devices.console


def test_single_steps_find_the_same_states_as_one_leap() -> None:
    end = 3_000
    step = Machine(image("kernel"), Para.name)
    for count in range(1, end + 1):
        assert step.advance(count) is None
        assert step.mode.count == count
        if count % 500 == 0:
            leap = Machine(image("kernel"), Para.name)
            assert leap.advance(count) is None
            assert fingerprint(leap) == fingerprint(step)


def test_what_happens_is_told_in_order() -> None:
    events: list[Event] = []
    machine = Machine(image("kernel"), Para.name)
    machine.ledger.sinks.append(events.append)
    result = machine.run(BUDGET)
    work = result.work
    assert sum(isinstance(event, Hypercall) for event in events) == work["hypercalls"]
    assert sum(isinstance(event, Trap) for event in events) == sum(result.traps.values())
    assert sum(isinstance(event, Reflected) for event in events) == work["exceptions bounced"]
    assert sum(isinstance(event, Injected) for event in events) == work["events delivered"]
    assert sum(isinstance(event, SoftwareInterrupt) for event in events) == result.traps["int 0x80"]
    assert [event.count for event in events] == sorted(event.count for event in events)
    assert finish("kernel")[1] == result  # and nobody can tell that we listened


def test_the_console_is_that_of_bare_hardware() -> None:
    path = guests.find("kernel")
    assert path is not None
    bare = Machine(load_image(path, include_dirs=(guests.LIBRARY,))).run(BUDGET)
    assert finish("kernel")[1].console == bare.console


def test_a_kernel_that_is_not_built_for_it_ends_in_words() -> None:
    path = guests.find("hello")
    assert path is not None
    result = Machine(load_image(path, include_dirs=(guests.LIBRARY,)), Para.name).run(BUDGET)
    assert result.outcome is Outcome.TRIPLE_FAULT
    assert "#GP" in result.text and "boot.inc:" in result.text


def test_a_stop_is_heeded_even_by_a_kernel_that_only_faults() -> None:
    source = """
.org 0x100000
    mov ebx, table
    xor eax, eax
    int 0x82
again: ud2
handler: add esp, 12
    jmp again
table: .byte 6, 0
    .word 0xe019
    .long handler, 0, 0
"""
    machine = small(source)
    assert machine.advance(100) is None
    machine.request_stop()
    stop = machine.advance(1_000_000)
    assert stop is not None and stop.outcome is Outcome.INTERRUPTED
