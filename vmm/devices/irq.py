"""Where a device's interrupt goes: the wires of the board.

Here: `InterruptLines`, all that a device needs to know of interrupt controllers (a `PicPair` is one; a
machine with an I/O APIC has a board that drives both), and `InterruptSource`, all that a processor does.
Next: pic.py, apic.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class InterruptLines(Protocol):
    """The sixteen ISA interrupt lines; a device drives its own up and down."""

    def set_irq(self, line: int, level: bool) -> None: ...


class InterruptSource(Protocol):
    """The INTR pin and the INTA cycle; `on_change` is called when the pin moves."""

    on_change: Callable[[], None] | None
    intr: bool

    def acknowledge(self) -> int: ...
