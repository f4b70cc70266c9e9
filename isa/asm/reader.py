"""In which order lines are read: files, and the expansions and inclusions that push in between.

Here: `Reader`, a stack of frames of lines, with the limits that make a source that would expand
forever an error with a place; and `collect`, which takes the body of a macro or repetition unread.

Not here: what a macro is (`macros.py`), which lines are skipped (`conditionals.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from isa.asm.diagnostics import Fatal, Problem
from isa.asm.source import Line

MAX_DEPTH = 64
"""Macros within macros, files within files."""
MAX_EXPANDED_LINES = 100_000
"""Lines that come out of macros and repetitions, all together."""
MAX_EXPANDED_TEXT = 8 << 20
"""The same in characters."""
MAX_LINES = 1_000_000
"""Lines of all kinds."""

_FIRST_WORD = re.compile(r"\s*(?:[\w.$]+:\s*)*(\.[A-Za-z]\w*)")


def directive_of(text: str) -> str:
    """The directive a line starts with, in lower case, or nothing. Does not read the rest."""
    match = _FIRST_WORD.match(text)
    return match[1].lower() if match else ""


class Frame:
    """Lines waiting to be read."""

    __slots__ = ("conditionals", "is_macro", "lines", "pos")

    def __init__(self, lines: Sequence[Line], conditionals: int, is_macro: bool) -> None:
        self.lines = lines
        self.pos = 0
        self.conditionals = conditionals
        """How many conditionals were open when this began; as many must be when it ends."""
        self.is_macro = is_macro


class Reader:
    """The stack of frames."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.expanded = 0
        self.expanded_text = 0
        self.total = 0

    def push(self, lines: Sequence[Line], conditionals: int, at: Line, is_macro: bool = False) -> None:
        """Read these lines next, then go on after the line `at`."""
        if len(self.frames) >= MAX_DEPTH:
            raise Fatal(
                f"more than {MAX_DEPTH} macros or files within each other",
                line=at,
                column=at.extent()[0],
                length=at.extent()[1],
                hint="does this call or include itself without end?",
            )
        if lines:
            self.frames.append(Frame(lines, conditionals, is_macro))

    def count(self, lines: int, characters: int, at: Line) -> None:
        """Account for an expansion before it is made."""
        self.expanded += lines
        self.expanded_text += characters
        if self.expanded > MAX_EXPANDED_LINES or self.expanded_text > MAX_EXPANDED_TEXT:
            column, length = at.extent()
            raise Fatal(
                f"macros and repetitions expand to more than {MAX_EXPANDED_LINES} lines",
                line=at,
                column=column,
                length=length,
                hint="for room use .space or .fill rather than a repetition",
            )

    def next(self) -> Line | None:
        """The next line of the innermost frame; `None` when that frame has ended."""
        frame = self.frames[-1]
        if frame.pos >= len(frame.lines):
            return None
        line = frame.lines[frame.pos]
        frame.pos += 1
        self.total += 1
        if self.total > MAX_LINES:
            raise Fatal(f"more than {MAX_LINES} lines", line=line)
        return line

    def leave_macro(self) -> int | None:
        """End the innermost macro early; the number of conditionals that were open when it began."""
        for depth in range(len(self.frames) - 1, -1, -1):
            if self.frames[depth].is_macro:
                conditionals = self.frames[depth].conditionals
                del self.frames[depth + 1 :]
                self.frames[depth].pos = len(self.frames[depth].lines)
                return conditionals
        return None

    def collect(self, start: Line, openers: frozenset[str], closers: frozenset[str]) -> list[Line]:
        """The lines up to the directive that closes a block, with blocks inside counted."""
        depth = 1
        body: list[Line] = []
        while (line := self.next()) is not None:
            word = directive_of(line.text)
            if word in openers:
                depth += 1
            elif word in closers:
                depth -= 1
                if depth == 0:
                    return body
            body.append(line)
        column, length = start.extent()
        closer = min(closers, key=len)
        raise Problem(
            f"this block is never closed: `{closer}` is missing", line=start, column=column, length=length
        )
