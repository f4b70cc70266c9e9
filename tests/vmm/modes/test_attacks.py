"""Guests that attack their monitor: they hurt only themselves, and end as on bare hardware, every time."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import guests
from isa.state import EFLAGS, EIP
from vmm import Machine, Outcome, load_image
from vmm.image import Image
from vmm.modes import MODES

ATTACKS = sorted((guests.LIBRARY / "attacks").glob("*.asm"))
FAITHFUL = [name for name, mode in MODES.items() if mode.promises_equivalence and not mode.paravirtual]
BUDGET = 3_000_000
MEMORY = 8 << 20


def image(path: Path) -> Image:
    return load_image(path, include_dirs=(guests.LIBRARY,))


def end(path: Path, mode: str) -> tuple[object, ...]:
    machine = Machine(image(path), mode, memory=MEMORY)
    result = machine.run(BUDGET)
    s = machine.mode.guest.s
    memory = hashlib.blake2b(machine.mode.guest.memory.read_bytes(0, MEMORY)).digest()
    return result.outcome, result.exit_code, result.instructions, s[: EIP + 1].tolist(), s[EFLAGS], memory


@pytest.mark.parametrize("engine", ["reference", "native"])
@pytest.mark.parametrize("mode", FAITHFUL[1:])
@pytest.mark.parametrize("path", ATTACKS, ids=lambda path: path.stem)
def test_an_attack_ends_as_on_bare_hardware(path, mode, engine, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("VMSIM_ENGINE", engine)
    bare = end(path, FAITHFUL[0])
    died = "; ends: triple fault" in path.read_text()
    assert bare[0] is (Outcome.TRIPLE_FAULT if died else Outcome.SUCCESS)
    assert end(path, mode) == bare
