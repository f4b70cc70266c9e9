"""The machine and its monitors.

    machine, image, clock, devices   a PC with a guest on it
    modes                            the techniques: bare, trap-and-emulate, rewriting, paravirtual
    monitor                          what monitors are made of, by mechanism
    events                           what can be observed

`from vmm import Machine, load_image` is the way in for programs; `vmsim` (cli.py) for people.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmm.image import Image, LoadError, load_image
    from vmm.machine import Machine, Outcome, Result

__all__ = ["Image", "LoadError", "Machine", "Outcome", "Result", "load_image"]

_HOMES = {"Image": "image", "LoadError": "image", "load_image": "image"}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `vmsim --help` needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"vmm.{_HOMES.get(name, 'machine')}"), name)
