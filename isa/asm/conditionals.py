"""`.if` and its family: which lines count.

Here: the stack of open conditionals, and the tests. A condition is evaluated where it stands, with
the constants defined above it; labels have no addresses yet, so a condition about them is an error
that says so (`.assert` checks such things once the layout is known).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING

from isa.asm.diagnostics import Problem
from isa.asm.lexer import Cursor, Token, tokenize
from isa.asm.source import Line

if TYPE_CHECKING:
    from isa.asm.assembler import Assembler

Test = Callable[["Assembler", Cursor, Token], bool]


def _truth(asm: Assembler, cursor: Cursor, token: Token) -> bool:
    value = asm.absolute(cursor, f"the condition of {token.text}")
    cursor.finish()
    return value != 0


def _compare(relation: Callable[[int, int], bool]) -> Test:
    def test(asm: Assembler, cursor: Cursor, token: Token) -> bool:
        value = asm.absolute(cursor, f"the condition of {token.text}")
        cursor.finish()
        return relation(value, 0)

    return test


def _defined(wanted: bool) -> Test:
    def test(asm: Assembler, cursor: Cursor, token: Token) -> bool:
        name = cursor.next()
        if name.kind != "name":
            raise Problem(f"{token.text} needs the name of a symbol", name)
        cursor.finish()
        known = asm.symbols.is_defined(name.text) or name.text.lower() in asm.macros
        return known == wanted

    return test


def _blank(wanted: bool) -> Test:
    return lambda asm, cursor, token: cursor.ended == wanted


def _same_text(wanted: bool) -> Test:
    def test(asm: Assembler, cursor: Cursor, token: Token) -> bool:
        end = cursor.tokens[-1].column - 1
        text = cursor.line.text[token.column - 1 + len(token.text) : end]
        left, comma, right = text.partition(",")
        if not comma:
            raise Problem(f"{token.text} compares two texts with a comma between", token)
        return (left.strip() == right.strip()) == wanted

    return test


TESTS: dict[str, Test] = {
    ".if": _truth,
    ".ifdef": _defined(True),
    ".ifndef": _defined(False),
    ".ifnotdef": _defined(False),
    ".ifeq": _compare(operator.eq),
    ".ifne": _compare(operator.ne),
    ".ifgt": _compare(operator.gt),
    ".ifge": _compare(operator.ge),
    ".iflt": _compare(operator.lt),
    ".ifle": _compare(operator.le),
    ".ifb": _blank(True),
    ".ifnb": _blank(False),
    ".ifc": _same_text(True),
    ".ifnc": _same_text(False),
}


class _Open:
    """A conditional that has begun."""

    __slots__ = ("active", "done", "has_else", "line", "outer")

    def __init__(self, line: Line, outer: bool, active: bool) -> None:
        self.line = line
        self.outer = outer
        """Whether the lines around it count."""
        self.active = outer and active
        self.done = active
        """Whether some branch has been taken."""
        self.has_else = False


class Conditionals:
    """The stack of conditionals that are open."""

    def __init__(self, asm: Assembler) -> None:
        self.asm = asm
        self.stack: list[_Open] = []

    @property
    def skipping(self) -> bool:
        """Whether lines do not count at present."""
        return bool(self.stack) and not self.stack[-1].active

    def open(self, cursor: Cursor, token: Token) -> None:
        """`.if` and the like, on a line that counts."""
        entry = _Open(cursor.line, True, False)
        # Even if the condition cannot be read there is an .endif to match.
        self.stack.append(entry)
        entry.done = True
        active = TESTS[token.text.lower()](self.asm, cursor, token)
        entry.active = entry.done = active

    def skip(self, line: Line, word: str) -> None:
        """A line that does not count: only the shape of conditionals matters."""
        if word in TESTS:
            self.stack.append(_Open(line, False, False))
        elif word in _PARTS:
            tokens = tokenize(line)
            at = next(i for i, t in enumerate(tokens) if t.text.lower() == word)
            _PARTS[word](self, Cursor(tokens, at + 1), tokens[at])

    def part(self, cursor: Cursor, token: Token) -> None:
        """`.elseif`, `.else`, `.endif` on a line that counts."""
        _PARTS[token.text.lower()](self, cursor, token)

    def _top(self, token: Token) -> _Open:
        if not self.stack:
            raise Problem(f"`{token.text}` without .if", token)
        return self.stack[-1]

    def elseif(self, cursor: Cursor, token: Token) -> None:
        """Another condition, if none was true before."""
        top = self._top(token)
        if top.has_else:
            raise Problem(".elseif after .else", token)
        top.active = False
        if top.outer and not top.done:
            top.active = top.done = _truth(self.asm, cursor, token)

    def otherwise(self, cursor: Cursor, token: Token) -> None:
        """The rest."""
        top = self._top(token)
        if top.has_else:
            raise Problem("a second .else", token)
        top.has_else = True
        top.active = top.outer and not top.done
        top.done = True
        cursor.finish()

    def end(self, cursor: Cursor, token: Token) -> None:
        """The end of the innermost conditional."""
        self._top(token)
        self.stack.pop()
        cursor.finish()

    def close_to(self, depth: int) -> Problem | None:
        """End what a frame left open; the problem to report, if it left anything."""
        if len(self.stack) <= depth:
            return None
        line = self.stack[depth].line
        del self.stack[depth:]
        column, length = line.extent()
        return Problem(
            "this condition is never closed: `.endif` is missing", line=line, column=column, length=length
        )


_PARTS: dict[str, Callable[[Conditionals, Cursor, Token], None]] = {
    ".elseif": Conditionals.elseif,
    ".else": Conditionals.otherwise,
    ".endif": Conditionals.end,
}
PARTS = frozenset(_PARTS)
