"""Guests under a debugger, for the tests of this folder."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from debugged_guests import guest_machine

from vmm.debug import Debugger, shell

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
