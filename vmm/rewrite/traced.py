"""Pages that hold translated code: whoever stores there without a trap says so.

The guest's own stores are stopped by the shadow tables, which map such a page read-only (VMware's write
traces). The monitor's stores on the guest's behalf, and those of devices, go to physical memory; the
`CodePage` of that memory is told about each, and passes it on.
"""

from __future__ import annotations

from collections.abc import Callable

from isa.consts import PAGE_SIZE
from isa.memory import CodePage, Ram

Stored = Callable[[int, int, int], None]  # frame, offset, size


class TracedPage(CodePage):
    """The code page of a frame, with somebody who wants to know of stores."""

    __slots__ = ("changed", "frame")

    def __init__(self, former: CodePage, frame: int, changed: Stored) -> None:
        super().__init__()
        self.insns, self.mask, self.uncounted = former.insns, former.mask, former.uncounted
        self.frame = frame
        self.changed = changed

    def stored(self, offset: int, size: int) -> None:
        super().stored(offset, size)
        self.changed(self.frame, offset, size)

    def clear(self) -> None:
        super().clear()
        self.changed(self.frame, 0, PAGE_SIZE)


def trace(ram: Ram, frame: int, changed: Stored) -> None:
    """Be told of every store to a frame from now on."""
    page = ram.code_page(frame)
    if not isinstance(page, TracedPage):
        ram.code[frame] = TracedPage(page, frame, changed)
