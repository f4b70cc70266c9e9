"""The machine and its monitors.

    machine, image, clock, devices   a PC with a guest on it
    modes                            the techniques: bare, trap-and-emulate, rewriting, paravirtual
    monitor                          what monitors are made of, by mechanism
    events                           what can be observed

`from vmm import Machine, load_image` is the way in for programs; `vmsim` (cli.py) for people.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isa.lazy import later

if TYPE_CHECKING:
    from vmm.image import Image, LoadError, load_image
    from vmm.machine import Machine, Outcome, Result

__all__ = ["Image", "LoadError", "Machine", "Outcome", "Result", "load_image"]

__getattr__ = later(
    __name__,
    {
        **dict.fromkeys(("Image", "LoadError", "load_image"), "image"),
        **dict.fromkeys(("Machine", "Outcome", "Result"), "machine"),
    },
)
