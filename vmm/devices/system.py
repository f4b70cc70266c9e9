"""The board's own ports: system control port A (92h), reset control (CF9h), the POST code (80h).

Here: `SystemControl`, with the two bits of port 92h (fast A20, fast reset), the reset register, and the
last POST code, which a firmware shows on two digits; and `A20Gate`, wire A20 as the keyboard controller
and port 92h drive it together: it is on while either of them wants it.

Not here: what a reset does (pc.py passes it on) and port 61h (pit.py).
Datasheets: Intel 82371SB (PIIX3), 290550: "Port 92 Register", "Reset Control Register".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

POST_CODE, PORT_A, RESET_CONTROL = 0x80, 0x92, 0xCF9
PORT_A_RESET, PORT_A_A20 = 0x01, 0x02
RESET_CPU = 0x04  # its rising edge resets
RESET_KEPT = 0x06  # and whether the reset is hard


class A20Gate:
    """Wire A20 and who holds it."""

    def __init__(self, on_a20: Callable[[bool], None] | None = None) -> None:
        self.on_a20 = on_a20  # told when the wire changes
        self.keyboard = True
        self.fast = False

    @property
    def a20(self) -> bool:
        return self.keyboard or self.fast

    def set_keyboard(self, on: bool) -> None:
        self.drive(on, self.fast)

    def set_fast(self, on: bool) -> None:
        self.drive(self.keyboard, on)

    def drive(self, keyboard: bool, fast: bool) -> None:
        before = self.a20
        self.keyboard, self.fast = keyboard, fast
        if self.on_a20 is not None and self.a20 != before:
            self.on_a20(self.a20)


class SystemControl:
    name = "system"
    ports: tuple[range, ...] = tuple(range(port, port + 1) for port in (POST_CODE, PORT_A, RESET_CONTROL))

    def __init__(self, gate: A20Gate, on_reset: Callable[[], None] | None = None) -> None:
        self.gate = gate
        self.on_reset = on_reset
        self.post_code = 0
        self.port_a = 0
        self.reset_control = 0

    def read(self, port: int, size: int) -> int:
        if port == PORT_A:
            return self.port_a
        return self.reset_control if port == RESET_CONTROL else 0xFF

    def write(self, port: int, value: int, size: int) -> None:
        if port == POST_CODE:
            self.post_code = value
        elif port == PORT_A:
            rising = value & ~self.port_a & PORT_A_RESET
            self.port_a = value & (PORT_A_RESET | PORT_A_A20)
            self.gate.set_fast(bool(value & PORT_A_A20))
            self._reset(rising)
        else:
            rising = value & ~self.reset_control & RESET_CPU
            self.reset_control = value & RESET_KEPT
            self._reset(rising)

    def save(self) -> dict[str, Any]:
        registers = {name: getattr(self, name) for name in ("post_code", "port_a", "reset_control")}
        return registers | {"a20": [self.gate.keyboard, self.gate.fast]}

    def load(self, state: dict[str, Any]) -> None:
        self.post_code, self.port_a = state["post_code"], state["port_a"]
        self.reset_control = state["reset_control"]
        self.gate.drive(*state["a20"])

    def _reset(self, rising: int) -> None:
        if rising and self.on_reset is not None:
            self.on_reset()
