"""The console of a machine, both directions, and the power switch: a run as a person sees it.

What the guest prints goes to a stream and is searched for the text that ends the run; what is typed goes
to COM1. When the guest resets the machine it starts again, as hardware does, if the caller wants that.

Unattended, a run is the same every time: it ends at the latest when its budget is used up, or when the
guest has waited `PATIENCE` in HLT. At a keyboard there is no such end: a person has Ctrl-C, and the time
that the guest waits passes for the person, too. Not here: Ctrl-C and time limits (watch.py).
"""

from __future__ import annotations

import os
import select
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from vmm.clock import INSTRUCTIONS_PER_SECOND
from vmm.image import read_file
from vmm.machine import DEFAULT_BUDGET, NEVER, RESET, Machine, Result

SLICE = 1_000_000  # guest instructions between two looks at the keyboard
PATIENCE = 1000 * INSTRUCTIONS_PER_SECOND  # what a guest may wait for in all
LOOK_SECONDS = 0.05  # how long a wait for a key may keep Ctrl-C waiting
READ = 4096


class Terminal:
    """A machine's console and keyboard. With `reboots` a reset starts the machine again.

    `out` gets the console, `log` what a firmware logs, unless the guest is that firmware: then `out` does.
    """

    def __init__(
        self,
        machine: Machine,
        out: BinaryIO | None = None,
        until: str | None = None,
        *,
        log: BinaryIO | None = None,
        reboots: bool = False,
    ) -> None:
        from vmm.report.live import console_writer

        self.machine = machine
        self.reboots = reboots
        self.on_machine: Callable[[Machine], None] | None = None  # told of each machine that is to run
        self.write: Callable[[int], None] | None = console_writer(out) if out is not None else None
        self.until = until.encode("utf-8", "surrogateescape") if until else b""
        self.keyboard: TextIO | None = None
        self.prompt = b""
        self.lines: list[bytes] = []  # still to be typed, the last one first
        machine.devices.on_console = self._console
        if machine.image.is_firmware:
            machine.devices.on_log = machine.devices.put_console
        elif log is not None:
            machine.devices.on_log = console_writer(log)

    def feed(self, source: str | None, prompt: str | None, stdin: TextIO) -> None:
        """What the guest is to read from COM1: `-` is stdin, a file its contents, anything else itself.

        With a `prompt` each line waits until the console has printed it: a kernel forgets what it was sent
        before its driver was ready.
        """
        if source is None:
            return
        if source == "-" and stdin.isatty():
            self.keyboard = stdin
            return
        if source == "-":
            data = stdin.buffer.read()
        elif os.path.isfile(source):
            data = read_file(Path(source))
        else:
            data = source.encode("utf-8", "surrogateescape").decode("unicode_escape").encode("latin-1")
        if prompt:
            self.prompt = prompt.encode("utf-8", "surrogateescape")
            self.lines = data.splitlines(keepends=True)[::-1]
        else:
            self.machine.devices.uart.feed(data)

    # -- running --------------------------------------------------------------------------------------------

    def run(self, budget: int | None = None) -> Result:
        """Run to the end, or for `budget` instructions; None: as many as is sensible."""
        if budget is None:
            budget = DEFAULT_BUDGET if self.keyboard is None else NEVER
        with _raw(self.keyboard):
            result = self._boot(budget, 0, PATIENCE)
            while self.reboots and self.machine.finished == RESET and result.text == RESET:
                self.machine = self.machine.rebooted()
                more = self._boot(budget, result.instructions, PATIENCE - result.idle)
                result = more.after(result)
        return result

    def _boot(self, budget: int, spent: int, patience: int) -> Result:
        """Run until the guest ends or resets the machine; `spent` of the budget is gone."""
        machine = self.machine
        if self.on_machine is not None:
            self.on_machine(machine)
        if self.keyboard is None:
            machine.patience = patience
            return machine.run(budget, spent)
        machine.on_wait = self._wait
        while self.keyboard is not None and machine.mode.count < budget - spent:
            stop = machine.advance(min(machine.mode.count + SLICE, budget - spent))
            if stop is not None:
                return machine.result(stop)
            self._type(0)
        machine.on_wait, machine.patience = None, machine.idle + patience
        return machine.run(budget, spent)

    def _wait(self, ticks: int) -> int:
        """Wait with the guest: for `ticks` of its time, or until somebody types. How long it was."""
        began = time.monotonic()
        while not self.machine.stop_requested and self.keyboard is not None:
            passed = int((time.monotonic() - began) * INSTRUCTIONS_PER_SECOND)
            if passed >= ticks:
                return ticks
            if self._type(min((ticks - passed) / INSTRUCTIONS_PER_SECOND, LOOK_SECONDS)):
                break
        return min(int((time.monotonic() - began) * INSTRUCTIONS_PER_SECOND), ticks)

    def _type(self, seconds: float) -> bool:
        """Pass on what is typed within some seconds; whether anything was."""
        if self.keyboard is None or not select.select([self.keyboard], [], [], seconds)[0]:
            return False
        data = os.read(self.keyboard.fileno(), READ)
        if data:
            self.machine.devices.uart.feed(data)
        else:  # the terminal has gone
            self.keyboard = None
        return True

    def _console(self, byte: int) -> None:
        if self.write is not None:
            self.write(byte)
        if self.lines and self._printed(byte, self.prompt):
            self.machine.devices.uart.feed(self.lines.pop())
        if self._printed(byte, self.until):
            text = self.until.decode("utf-8", "replace")
            self.machine.finish(f"the console has printed `{text}`")

    def _printed(self, byte: int, text: bytes) -> bool:
        """Whether the console ends with a text, now that it has got a byte more."""
        return bool(text) and byte == text[-1] and self.machine.devices.console.endswith(text)


@contextmanager
def _raw(keyboard: TextIO | None) -> Iterator[None]:
    """Keys as they are typed, shown by the guest if at all; Enter sends what the key of a terminal sends.

    Ctrl-C stays the user's own.
    """
    if keyboard is None:
        yield
        return
    before = termios.tcgetattr(keyboard)
    now = termios.tcgetattr(keyboard)
    now[0] &= ~termios.ICRNL
    now[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(keyboard, termios.TCSADRAIN, now)
    try:
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def screen(machine: Machine) -> list[str]:
    """The text on the display, without what is blank below and to the right."""
    lines = [line.rstrip() for line in machine.devices.vga.screen()]
    while lines and not lines[-1]:
        lines.pop()
    return lines
