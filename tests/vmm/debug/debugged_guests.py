"""Built-in guests in machines, for the tests of the debugger."""

from __future__ import annotations

from functools import cache

import guests
from vmm import Machine, load_image
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
