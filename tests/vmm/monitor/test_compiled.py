"""Compiled monitor code: emulates as Python does, counts as Python does, at any stop."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import guests
from isa.state import FLAG_OP, FLAG_R, SHADOW, WORDS
from vmm import Machine, Outcome, load_image
from vmm.events import Event, Trap
from vmm.image import Image
from vmm.modes.full import COMMON

MODE = "full"
BUDGET = 400_000
EVERYTHING = """
.include "lib/boot.inc"
.include "lib/trap.inc"

main:
    call traps_init
    mov ebx, 0x1f0000
    mov esi, 3000
again:
    mov [ebx + 64], esi                 ; the page is the processor's own to write
    cli
    pushfd
    sti
    nop
    popfd
    sti
    add edx, esi
    pushfd
    pop eax
    xor eax, 0x200
    push eax
    popfd
    pushfw
    popfw
    std
    pushfd
    cld
    popfd
    cld
    push cs
    pop eax
    push ds
    pop es
    mov eax, cs
    mov [ebx], ss
    mov eax, cr0
    mov ecx, cr3
    mov edx, cr2
    smsw eax
    sgdt [ebx + 8]
    sidt [ebx + 16]
    sldt ax
    str ax
    mov eax, 0x10
    lar ecx, eax
    lsl edx, eax
    verr ax
    verw ax
    mov eax, 0x33
    lar ecx, eax
    jz wrong
    sub esp, 8
    rdtsc
    sub eax, edi
    mov edi, eax
    add esp, 8
    dec esi
    jnz again
    xor eax, eax
    ret
wrong:
    mov eax, 1
    ret
trap:
    mov eax, 99
    jmp finish
"""


def everything(folder: Path) -> Image:
    path = folder / "everything.asm"
    path.write_text(EVERYTHING)
    return load_image(path, include_dirs=(guests.LIBRARY,))


def built_in(name: str) -> Image:
    path = guests.find(name)
    assert path is not None
    return load_image(path, include_dirs=(guests.LIBRARY,))


def seen(machine: Machine) -> tuple[object, ...]:
    s = machine.mode.guest.s
    words = [0 if FLAG_OP <= n <= FLAG_R else s[n] for n in range(WORDS)]
    words[SHADOW] = int(words[SHADOW] > 0)
    return machine.mode.count, words, dict(machine.ledger.traps), dict(machine.ledger.work)


@pytest.mark.parametrize("name", ["everything", "popf", "timer", "kernel", "vectors", "minos"])
def test_at_any_stop_it_is_as_if_python_had_done_it(name, tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    image = everything(tmp_path) if name == "everything" else built_in(name)
    machines = []
    for engine in ("reference", "native"):
        monkeypatch.setenv("VMSIM_ENGINE", engine)
        machines.append(Machine(image, MODE))
    rng = random.Random(name)
    stop = 0
    while stop < BUDGET:
        stop += rng.choice((1, 2, 3, 40, 1_000, 20_000))
        ends = [machine.advance(stop) for machine in machines]
        assert ends[0] == ends[1]
        assert seen(machines[0]) == seen(machines[1]), f"after {stop} instructions"
        if ends[0] is not None:
            break
    assert ends[0] is not None and ends[0].outcome is Outcome.SUCCESS
    one, other = (machine.mode.guest.memory.read_bytes(0, machine.memory) for machine in machines)
    assert one == other


def test_common_instructions_do_not_leave_native_code(tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("VMSIM_ENGINE", "native")
    machine = Machine(everything(tmp_path), MODE)
    python = machine.mode.interpret  # type: ignore[attr-defined]
    calls = 0

    def interpret() -> object:
        nonlocal calls
        calls += 1
        return python()

    machine.mode.interpret = interpret  # type: ignore[attr-defined]
    result = machine.run(BUDGET)
    assert result.outcome is Outcome.SUCCESS
    assert sum(result.traps[name] for name in COMMON if name in result.traps) > 3000 * 25
    assert calls < 200 + 3000  # POP ES loads a segment: Python's business


def test_who_listens_hears_of_every_trap(tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("VMSIM_ENGINE", "native")
    silent, heard = (Machine(built_in("popf"), MODE) for _ in range(2))
    events: list[Event] = []
    heard.ledger.sinks.append(events.append)
    traps = silent.run(BUDGET).traps
    assert heard.run(BUDGET).traps == traps
    assert sum(isinstance(event, Trap) for event in events) == sum(traps.values())
