"""The coprocessor's error line: FERR#, IRQ 13, port F0h and IGNNE#, as the PC/AT wires them.

With CR0.NE clear an x87 exception does not become #MF: the processor pulls FERR#, a latch on the board
raises IRQ 13, and the processor waits. The handler writes to port F0h, which lowers IRQ 13 and pulls IGNNE#,
so that its own x87 instructions run; IGNNE# is let go when the exception is cleared (`Cpu.ignore_math_error`).

Not here: port F1h, which reset a 287. Datasheet: SDM 1, 8.7.1 and appendix D.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vmm.devices.irq import InterruptLines

CLEAR_ERROR = 0xF0
IRQ = 13


class CoprocessorError:
    name = "coprocessor"
    ports: tuple[range, ...] = (range(CLEAR_ERROR, CLEAR_ERROR + 1),)

    def __init__(self, lines: InterruptLines) -> None:
        self.on_ignore: Callable[[], None] | None = None  # the IGNNE# pin
        self.latched = False
        self._lines = lines

    def error(self) -> None:
        """The processor pulls FERR#."""
        self._drive(True)

    def _drive(self, latched: bool) -> None:
        self.latched = latched
        self._lines.set_irq(IRQ, latched)

    def read(self, port: int, size: int) -> int:
        return 0xFF

    def write(self, port: int, value: int, size: int) -> None:
        self._drive(False)
        if self.on_ignore is not None:
            self.on_ignore()

    def save(self) -> dict[str, Any]:
        return {"latched": self.latched}

    def load(self, state: dict[str, Any]) -> None:
        self.latched = state["latched"]  # the interrupt controller has the line
