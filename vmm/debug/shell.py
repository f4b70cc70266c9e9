"""The interpreter: reads lines, runs commands, writes text. `run(machine, commands, out)` is the way in.

With `commands` it is a script: each is echoed and carried out, the first mistake ends it with status 2.
Without, it reads the standard input: on a terminal with a prompt, line editing, and Ctrl-C to stop a run;
from a pipe without. What the guest prints is shown as it comes, a line at a time, marked `console |`.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

from vmm.debug.commands import COMMANDS, CommandError, Commands, Quit, find
from vmm.debug.engine import DebugError, Debugger
from vmm.debug.expression import ExpressionError
from vmm.debug.paint import paint_for
from vmm.machine import Machine

PROMPT = "(vmsim) "
OK, USAGE = 0, 2


def run(machine: Machine, commands: list[str] | None, out: TextIO) -> int:
    """Debug the guest of `machine`. Returns the exit status."""
    shell = Shell(machine, out)
    return shell.interact() if commands is None else shell.script(commands)


class Shell:
    """One session."""

    def __init__(self, machine: Machine, out: TextIO) -> None:
        self.out = out
        self.paint = paint_for(out)
        self.line = bytearray()  # the guest's line so far
        self.debugger = Debugger(machine.another, on_console=self._console, on_progress=self._progress)
        self.commands = Commands(self.debugger, self.write, self.paint)
        self.last = ""  # what an empty line repeats

    # -- writing ------------------------------------------------------------------------------------

    def write(self, lines: Iterable[str]) -> None:
        """Lines to the user, after what the guest has printed so far."""
        self._flush_console()
        for line in lines:
            self.out.write(line.rstrip() + "\n")
        self.out.flush()

    def _console(self, byte: int) -> None:
        if byte == 0x0A or len(self.line) > 500:
            self._flush_console(True)
        else:
            self.line.append(byte)

    def _flush_console(self, ended: bool = False) -> None:
        if self.line or ended:
            text = "".join(chr(b) if 32 <= b < 127 else f"\\x{b:02x}" for b in self.line if b != 0x0D)
            self.line.clear()
            self.out.write(self.paint("console", f"console | {text}").rstrip() + "\n")
            self.out.flush()

    def _progress(self, text: str) -> None:
        self.write([self.paint("dim", f"… {text}")])

    # -- executing ----------------------------------------------------------------------------------

    def execute(self, line: str) -> None:
        """One command line. Raises what is wrong with it, and `Quit`."""
        word, _, rest = line.strip().partition(" ")
        if not word:
            return
        known = find(word)
        self.last = line if known.repeats else ""
        known.call(self.commands, rest.strip())

    def script(self, commands: list[str]) -> int:
        """Carry out commands, each of them one or several with `;` between."""
        self.welcome()
        for line in (part.strip() for text in commands for part in text.split(";")):
            if not line or line.startswith("#"):
                continue
            self.write([self.paint("dim", PROMPT + line)])
            try:
                with self._interruptible():
                    self.execute(line)
            except Quit:
                return OK
            except (CommandError, DebugError, ExpressionError) as error:
                self.write([self.paint("warn", f"error: {error}")])
                return USAGE
        return OK

    def interact(self) -> int:
        """Commands from the standard input until it ends or somebody quits."""
        terminal = sys.stdin.isatty()
        if terminal:
            self._prepare_terminal()
        self.welcome()
        while True:
            try:
                line = input(PROMPT) if terminal else _next_line()
            except EOFError:
                self.write([""] if terminal else [])
                return OK
            except KeyboardInterrupt:
                self.write(["", "`quit` or Ctrl-D leaves"])
                continue
            try:
                with self._interruptible():
                    self.execute(line if line.strip() else self.last)
            except Quit:
                return OK
            except (CommandError, DebugError, ExpressionError) as error:
                self.write([self.paint("warn", str(error))])

    def welcome(self) -> None:
        """Where we are before anything has run."""
        machine = self.debugger.machine
        self.write([f"{machine.image.name} under {machine.mode.name}: {machine.mode.title}"])
        self.write(self.commands.screens.here())

    def _prepare_terminal(self) -> None:
        """Line editing, with completion of commands and symbols."""
        try:
            import readline
        except ImportError:
            return
        symbols = sorted(self.debugger.machine.image.symbols)

        def complete(text: str, state: int) -> str | None:
            first = not readline.get_line_buffer()[: readline.get_begidx()].strip()
            known = [f"{name} " for name in COMMANDS] if first else symbols
            return next((n for k, n in enumerate(w for w in known if w.startswith(text)) if k == state), None)

        readline.set_completer(complete)
        readline.parse_and_bind("tab: complete")

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """While a command runs, Ctrl-C stops the guest in place of us."""

        def stop(_signal: int, _frame: FrameType | None) -> None:
            self.debugger.interrupt()

        try:
            before = signal.signal(signal.SIGINT, stop)
        except ValueError:  # not in the main thread: there is no Ctrl-C to take
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def _next_line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line
