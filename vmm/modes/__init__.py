"""The modes: each technique of virtualization as one class; nothing outside this folder names one.

`MODES` maps the names that users type to the classes, in the order in which they are compared. A class is
imported when it is asked for: a run under one technique loads no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from vmm.modes.base import Mode


class _Modes(Mapping[str, type[Mode]]):
    """The classes by name; module `vmm.modes.full` has the class `Full`."""

    names = ("native", "full", "naive", "rewrite", "para")

    def __getitem__(self, name: str) -> type[Mode]:
        if name not in self.names:
            raise KeyError(name)
        mode: type[Mode] = getattr(import_module(f"vmm.modes.{name}"), name.capitalize())
        return mode

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


MODES = _Modes()

BARE = "native"  # no monitor: what the others are compared with

__all__ = ["BARE", "MODES", "Mode"]
