"""Guests under a debugger, for the tests of this folder."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache

import pytest

import guests
from vmm import Machine, load_image
from vmm.debug import Debugger, shell
from vmm.image import Image
from vmm.modes import MODES


@cache
def guest_image(name: str, paravirtual: bool) -> Image:
    path = guests.find(name)
    assert path is not None
    defines = {"PARA": 1} if paravirtual else None
    return load_image(path, include_dirs=(guests.LIBRARY,), defines=defines)


def guest_machine(name: str, mode: str) -> Machine:
    return Machine(guest_image(name, MODES[mode].paravirtual), mode)


Make = Callable[[str, str], Debugger]
Script = Callable[..., tuple[int, str]]


@pytest.fixture
def debug() -> Make:
    return lambda name, mode: Debugger(lambda: guest_machine(name, mode))


@pytest.fixture
def script() -> Script:
    """Run commands on a guest; the exit status and the text."""

    def run(name: str, mode: str, *commands: str) -> tuple[int, str]:
        out = io.StringIO()
        return shell.run(guest_machine(name, mode), list(commands), out), out.getvalue()

    return run
