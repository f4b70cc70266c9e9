"""Pages that hold translated code: whoever stores there without a trap says so.

The guest's own stores are stopped by the shadow tables, which map such a page read-only (VMware's write
traces). The monitor's stores on the guest's behalf, and those of devices, go to physical memory. There the
bytes of translated instructions are marked like those of decoded ones, in the `CodePage`, which is cleared
when any of them is stored to; here that is passed on.
"""

from __future__ import annotations

from collections.abc import Callable

from isa.memory import CodePage, Ram


class TracedPage(CodePage):
    """The code page of a frame, with somebody who wants to know when it is cleared."""

    __slots__ = ("cleared", "frame")

    def __init__(self, former: CodePage, frame: int, cleared: Callable[[int], None]) -> None:
        for name in CodePage.__slots__:  # whatever it is for its engines, it stays
            setattr(self, name, getattr(former, name))
        self.frame = frame
        self.cleared = cleared

    def clear(self) -> None:
        super().clear()
        self.cleared(self.frame)


def trace(ram: Ram, frame: int, cleared: Callable[[int], None]) -> None:
    """Be told from now on when code in a frame may have been stored to."""
    page = ram.code_page(frame)
    if not isinstance(page, TracedPage):
        ram.code[frame] = TracedPage(page, frame, cleared)
