"""Pages that hold translated code: whoever stores there without a trap says so.

The guest's own stores are stopped by the shadow tables, which map such a page read-only (VMware's write
traces). The monitor's stores on the guest's behalf, and those of devices, go to physical memory. There the
bytes of translated instructions are marked like those of decoded ones, in the `CodePage`, which tells its
watchers when any of them is stored to; here that is passed on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from isa.memory import Ram


@dataclass(frozen=True, slots=True)
class _Tracer:
    """Somebody who wants to know when code in a frame has been stored to."""

    frame: int
    changed: Callable[[int], None]

    def __call__(self, number: int, first: int, last: int) -> None:
        self.changed(self.frame)


def trace(ram: Ram, frame: int, changed: Callable[[int], None]) -> None:
    """Be told from now on when code in a frame may have been stored to."""
    watchers, tracer = ram.code_page(frame).watchers, _Tracer(frame, changed)
    if tracer not in watchers:
        watchers.append(tracer)
