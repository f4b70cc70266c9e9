"""Ports no PC was built with, and every emulator has: a console, a firmware's log, a verdict.

`DebugConsole`, port E9h: a byte written appears on the console; a read gives E9h, which is how a guest
finds out that the port is there (Bochs `port_e9_hack`, QEMU `-device isa-debugcon`). The same device at
port 402h takes what SeaBIOS has to tell about itself.
`DebugExit`, port F4h: a write ends the run, 0 for success and anything else as a failure code (QEMU
`-device isa-debug-exit,iobase=0xf4`, whose process then exits with 2 * code + 1).

Not here: what becomes of the bytes and the verdict; that is the owner's, see pc.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

DEBUG_CONSOLE_PORT = 0xE9
FIRMWARE_LOG_PORT = 0x402
DEBUG_EXIT_PORT = 0xF4


class DebugConsole:
    def __init__(
        self, sink: Callable[[int], None], port: int = DEBUG_CONSOLE_PORT, name: str = "debug-console"
    ) -> None:
        self.name = name
        self.ports: tuple[range, ...] = (range(port, port + 1),)
        self.sink = sink

    def read(self, port: int, size: int) -> int:
        return DEBUG_CONSOLE_PORT

    def write(self, port: int, value: int, size: int) -> None:
        self.sink(value)

    def save(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        pass


class DebugExit:
    name = "debug-exit"
    ports: tuple[range, ...] = (range(DEBUG_EXIT_PORT, DEBUG_EXIT_PORT + 1),)
    widths: ClassVar[dict[int, int]] = {DEBUG_EXIT_PORT: 4}  # `out 0xf4, eax` is one verdict, not four

    def __init__(self, on_exit: Callable[[int], None]) -> None:
        self.on_exit = on_exit

    def read(self, port: int, size: int) -> int:
        return 0

    def write(self, port: int, value: int, size: int) -> None:
        self.on_exit(value)

    def save(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        pass
