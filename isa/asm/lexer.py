"""Characters to tokens, one line at a time.

Here: `Token` (kind, text, column, line, value), `tokenize`, and `Cursor`, through which parsers look
at tokens. Numbers of every spelling become ints here and nowhere else, because the encoder behind
this assembler reads an unprefixed decimal as hexadecimal whenever it feels like it.

Kinds: `name num float string char op ref end`. A `ref` is `1b` or `1f`, the nearest numeric label
backwards or forwards; `101b` may be one too and carries its binary value besides.

Comments start with `;`, `#` or `//`. `.` and `$` mean the current address.
Read next: `expression.py`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from isa.asm.diagnostics import Problem
from isa.asm.source import Line

_TOKEN = re.compile(
    r"""[ \t\f\v]*(?:
      (?P<name>[A-Za-z_.?@][\w.$?@]*)
    | (?P<num>[0-9][\w.]*)
    | (?P<op>\$\$|&&|\|\||<<|>>|==|!=|<>|<=|>=|//|[-+*/%&|^~!<>()\[\],:={}$])
    | (?P<comment>[;\#])
    | (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<char>'(?:[^'\\]|\\.)*')
    | (?P<bad>\S)
    )""",
    re.VERBOSE,
)

_ESCAPES = {"n": 10, "t": 9, "r": 13, "b": 8, "f": 12, "v": 11, "a": 7, "e": 27, "\\": 92, '"': 34, "'": 39}
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.)|([^\\]+)|\\", re.DOTALL)


class Token(NamedTuple):
    """One word of a line. `column` counts from 1."""

    kind: str
    text: str
    column: int
    line: Line
    value: int = 0
    data: bytes = b""


def tokenize(line: Line, separators: bool = False) -> list[Token]:
    """The tokens of a line, without comments, closed by one of kind `end`.

    With `separators`, `;` is an operator between statements instead of the start of a comment.
    """
    tokens: list[Token] = []
    text = line.text
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind is None:
            continue
        word = match[kind]
        column = match.start(kind) + 1
        if kind == "name" or kind == "op":
            if word == "//":
                return _close(tokens, line, column)
            tokens.append(Token(kind, word, column, line))
        elif kind == "num":
            tokens.append(_number(word, column, line))
        elif kind == "comment" and separators and word == ";":
            tokens.append(Token("op", word, column, line))
        elif kind == "comment":
            return _close(tokens, line, column)
        elif kind == "bad":
            raise _bad(word, column, line)
        else:
            tokens.append(Token(kind, word, column, line, 0, unescape(word, column, line)))
    return _close(tokens, line, len(text.rstrip()) + 1)


def _close(tokens: list[Token], line: Line, column: int) -> list[Token]:
    end = tokens[-1].column + len(tokens[-1].text) if tokens else column
    tokens.append(Token("end", "", end, line))
    return tokens


def _bad(word: str, column: int, line: Line) -> Problem:
    hints = {
        '"': "end the string with a double quote on the same line",
        "'": "end the character with a single quote, as in 'A'",
        "\\": "a backslash names a macro argument and is only meant inside .macro",
        "`": "strings are written in double quotes",
    }
    messages = {'"': "this string is never closed", "'": "this character is never closed"}
    rest = len(line.text.rstrip()) - column + 1
    return Problem(
        messages.get(
            word, f"unexpected character `{word}`" if word.isprintable() else f"unexpected {word!a}"
        ),
        line=line,
        column=column,
        length=rest if word in messages else 1,
        hint=hints.get(word),
    )


# ------------------------------------------------------------------------------------- numbers

_BASES: tuple[tuple[re.Pattern[str], int, int, int], ...] = (
    # pattern, base, characters to drop in front, characters to drop behind
    (re.compile(r"0[xX][0-9A-Fa-f_]*[0-9A-Fa-f]$"), 16, 2, 0),
    (re.compile(r"0[bB][01_]*[01]$"), 2, 2, 0),
    (re.compile(r"0[oO][0-7_]*[0-7]$"), 8, 2, 0),
    (re.compile(r"[0-9][0-9A-Fa-f_]*[hH]$"), 16, 0, 1),
    (re.compile(r"[0-7][0-7_]*[oOqQ]$"), 8, 0, 1),
    (re.compile(r"[0-9][0-9_]*$"), 10, 0, 0),
)
_REF = re.compile(r"[0-9]+[bBfF]$")
_BINARY = re.compile(r"[01][01_]+[bB]$")
_FLOAT = re.compile(r"[0-9]+\.[0-9]*(?:[eE][0-9]+)?$|[0-9]+[eE][0-9]+$")


def _number(word: str, column: int, line: Line) -> Token:
    if len(word) > 80:
        raise Problem("this number is too long", line=line, column=column, length=len(word))
    if _REF.match(word):
        value = int(word[:-1].replace("_", ""), 2) if _BINARY.match(word) else -1
        return Token("ref", word, column, line, value)
    if _BINARY.match(word):
        return Token("num", word, column, line, int(word[:-1].replace("_", ""), 2))
    for pattern, base, front, behind in _BASES:
        if pattern.match(word):
            digits = word[front : len(word) - behind].replace("_", "")
            if base == 10 and len(digits) > 1 and digits[0] == "0" and int(digits) > 7:
                raise Problem(
                    f"`{word}` is ambiguous: octal for some assemblers, decimal for others",
                    line=line,
                    column=column,
                    length=len(word),
                    hint=f"write {digits.lstrip('0')}"
                    + (f" or 0o{digits.lstrip('0')}" if set(digits) <= set("01234567") else ""),
                )
            return Token("num", word, column, line, int(digits, base))
    if _FLOAT.match(word):
        return Token("float", word, column, line)
    hint = "hexadecimal is written 0x1f or 1fh, binary 0b101 or 101b, octal 0o17"
    raise Problem(f"`{word}` is not a number", line=line, column=column, length=len(word), hint=hint)


def unescape(word: str, column: int, line: Line) -> bytes:
    """The bytes that a quoted string or character stands for."""
    inner = word[1:-1]
    if "\\" not in inner:
        return inner.encode("utf-8", "replace")
    out = bytearray()
    for match in _ESCAPE.finditer(inner):
        escape, plain = match.groups()
        if plain is not None:
            out += plain.encode("utf-8", "replace")
        elif escape is not None and escape[0] == "x" and len(escape) > 1:
            out.append(int(escape[1:], 16))
        elif escape is not None and escape[0] in "01234567":
            out.append(int(escape, 8) & 0xFF)
        elif escape is not None and escape in _ESCAPES:
            out.append(_ESCAPES[escape])
        else:
            raise Problem(
                f"unknown escape `\\{escape or ''}` in a string",
                line=line,
                column=column + 1 + match.start(),
                length=2,
                hint=r"known: \n \t \r \0 \\ \" \x41 and octal \101",
            )
    return bytes(out)


class Cursor:
    """A place among the tokens of one line."""

    __slots__ = ("line", "pos", "tokens")

    def __init__(self, tokens: list[Token], pos: int = 0) -> None:
        self.tokens = tokens
        self.pos = pos
        self.line = tokens[0].line

    @property
    def here(self) -> Token:
        """The token in front."""
        return self.tokens[self.pos]

    def peek(self, ahead: int = 1) -> Token:
        """The token `ahead` places further, or the end."""
        return self.tokens[min(self.pos + ahead, len(self.tokens) - 1)]

    def next(self) -> Token:
        """Take the token in front."""
        token = self.tokens[self.pos]
        if token.kind != "end":
            self.pos += 1
        return token

    def at(self, text: str) -> bool:
        """Whether the token in front is this operator."""
        token = self.tokens[self.pos]
        return token.kind == "op" and token.text == text

    def take(self, text: str) -> bool:
        """Take the token in front if it is this operator."""
        token = self.tokens[self.pos]
        if token.kind == "op" and token.text == text:
            self.pos += 1
            return True
        return False

    def expect(self, text: str, hint: str | None = None) -> Token:
        """Take this operator, or say that it is missing."""
        if self.at(text):
            return self.next()
        raise Problem(f"expected `{text}` {self.found()}", self.here, hint=hint)

    def found(self) -> str:
        """Words for what stands here, to end a message with."""
        return "before the end of the line" if self.here.kind == "end" else f"but found `{self.here.text}`"

    @property
    def ended(self) -> bool:
        """Whether all tokens are taken."""
        return self.tokens[self.pos].kind == "end"

    def finish(self) -> None:
        """Nothing may be left."""
        if not self.ended:
            raise Problem(f"unexpected `{self.here.text}` after the end of the statement", self.here)
