"""What is shown while something runs: the guest's console, and which mode is at work."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, TextIO

NEWLINE = ord("\n")


def console_writer(stream: BinaryIO) -> Callable[[int], None]:
    """Passes what comes on, byte for byte; a person sees each at once, a pipe each line."""
    eager = stream.isatty()

    def write(byte: int) -> None:
        stream.write(bytes((byte,)))
        if eager or byte == NEWLINE:
            stream.flush()

    return write


class Progress:
    """One line that says what is running, on a terminal only."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.shown = 0

    def show(self, text: str) -> None:
        """Replace what is shown."""
        if self.stream.isatty():
            self.stream.write("\r" + text.ljust(self.shown) + "\r")
            self.stream.flush()
            self.shown = len(text)

    def clear(self) -> None:
        """Leave nothing behind."""
        if self.shown:
            self.show("")


WORTH_SAYING = 16  # handlers; they take a twentieth of a second


def tell_compiling(stream: TextIO, may_write: Callable[[], bool]) -> None:
    """Say on a terminal when native code is being made, which takes a moment the first time.

    `may_write` says whether the line is free: the guest's console is on the same terminal.
    """
    if not stream.isatty():
        return
    from isa.engine.library import on_compile

    progress = Progress(stream)

    def tell(handlers: int) -> None:
        if handlers >= WORTH_SAYING and may_write():
            progress.show("compiling native code, which is kept for the next time …")
        elif not handlers:
            progress.clear()

    on_compile.append(tell)
