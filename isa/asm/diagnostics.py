"""What the assembler says when something is wrong, and how it is shown.

Here: `Diagnostic`, one message with a place; `AsmError`, the exception that carries all of them;
`Problem`, the exception that the parts of the assembler raise among themselves when one statement
cannot be understood; `Reporter`, which collects problems so that one bad line does not hide the next.

Not here: any knowledge of assembly. A message is made where the mistake is seen, because only there
is it known what would have been right.

Read next: `source.py` (where places come from), `assembler.py` (who catches a `Problem`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isa.asm.lexer import Token
    from isa.asm.source import Line

MAX_DIAGNOSTICS = 50
"""After this many errors a reader has stopped reading."""


@dataclass(frozen=True)
class Diagnostic:
    """One message about one place of the source. Lines and columns count from 1."""

    path: str
    line: int
    column: int
    length: int
    message: str
    hint: str | None = None
    source_line: str = ""
    notes: tuple[str, ...] = ()
    severity: str = "error"

    def render(self) -> str:
        """The message as a block of plain text: place, source line, caret, hint, notes."""
        out = [f"{self.severity}: {self.message}"]
        if self.line:
            number = str(self.line)
            pad = " " * len(number)
            shown = self.source_line.expandtabs(1)
            start = max(0, min(self.column - 1, len(shown)))
            shown, start = _window(shown, start)
            width = max(1, min(self.length, len(shown) - start))
            out.append(f"{pad}--> {self.path}:{self.line}:{self.column}")
            out.append(f"{pad} |")
            out.append(f"{number} | {shown}")
            out.append(f"{pad} | {' ' * start}{'^' * width}")
        else:
            pad = ""
            out.append(f"--> {self.path}")
        if self.hint:
            out.append(f"{pad} = hint: {self.hint}")
        out.extend(f"{pad} = note: {note}" for note in self.notes)
        return "\n".join(out)


def _window(text: str, start: int, width: int = 160) -> tuple[str, int]:
    """Cut a very long line to the part around the caret."""
    if len(text) <= width:
        return text, start
    left = max(0, start - width // 2)
    return text[left : left + width], start - left


class AsmError(Exception):
    """The source cannot be assembled. `diagnostics` says why, in the order of the source."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        found = list(diagnostics)
        files = {path: n for n, path in reversed([*enumerate(d.path for d in found)])}
        self.diagnostics = sorted(found, key=lambda d: (files[d.path], d.line, d.column))
        super().__init__("\n\n".join(d.render() for d in self.diagnostics))


class Problem(Exception):
    """One statement cannot be understood; caught by the assembler, which goes on with the next one.

    The place is a token, or a line with a column, or nothing: then whoever catches it adds the
    statement it was working on.
    """

    def __init__(
        self,
        message: str,
        token: Token | None = None,
        *,
        line: Line | None = None,
        column: int = 1,
        length: int = 1,
        hint: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.notes = notes
        self.line = line
        self.column = column
        self.length = length
        if token is not None:
            self.at(token)

    def at(self, token: Token) -> Problem:
        """Give this problem the place of `token`."""
        self.line, self.column, self.length = token.line, token.column, max(1, len(token.text))
        return self

    def placed(self, token: Token) -> Problem:
        """Give this problem a place if it has none."""
        return self if self.line is not None else self.at(token)


class Fatal(Problem):
    """A problem after which going on makes no sense (a limit was reached, the source is no text)."""


@dataclass
class Reporter:
    """Collects errors and warnings, each once per place."""

    errors: list[Diagnostic] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)
    _seen: set[tuple[str, int, int, str]] = field(default_factory=set)

    @property
    def full(self) -> bool:
        """Whether so many errors were found that it is time to stop."""
        return len(self.errors) >= MAX_DIAGNOSTICS

    def add(self, problem: Problem, line: Line | None = None, severity: str = "error") -> None:
        """Record a problem; `line` is its place if it brought none of its own."""
        where = problem.line if problem.line is not None else line
        if where is None:
            diagnostic = Diagnostic("", 0, 0, 0, problem.message, problem.hint, "", problem.notes, severity)
        else:
            column, length = problem.column, problem.length
            if problem.line is None:
                column, length = where.extent()
            diagnostic = Diagnostic(
                where.path,
                where.number,
                column,
                length,
                problem.message,
                problem.hint,
                where.text,
                problem.notes + where.notes(),
                severity,
            )
        self.append(diagnostic)

    def append(self, diagnostic: Diagnostic) -> None:
        """Record a finished diagnostic unless the same one is already there."""
        key = (diagnostic.path, diagnostic.line, diagnostic.column, diagnostic.message)
        if key in self._seen:
            return
        self._seen.add(key)
        into = self.errors if diagnostic.severity == "error" else self.warnings
        if len(into) < MAX_DIAGNOSTICS:
            into.append(diagnostic)


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, if one is like it at all."""
    if len(word) > 60:
        return None
    import difflib  # only a mistake needs it

    near = (name for name in known if abs(len(name) - len(word)) <= 3)
    found = difflib.get_close_matches(word, list(itertools.islice(near, 2000)), n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint that proposes the closest known word."""
    match = closest(word, known)
    return f"did you mean `{match}`?" if match else None
