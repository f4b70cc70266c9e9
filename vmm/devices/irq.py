"""Where a device's interrupt goes: the wires of the board.

Here: `InterruptLines`, all that a device needs to know of interrupt controllers. A `PicPair` is one; a
machine with an I/O APIC has a board that drives both.
Next: pic.py, apic.py.
"""

from __future__ import annotations

from typing import Protocol


class InterruptLines(Protocol):
    """The sixteen ISA interrupt lines; a device drives its own up and down."""

    def set_irq(self, line: int, level: bool) -> None: ...
