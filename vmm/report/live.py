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
