"""Expressions of the debugger: registers, flags, symbols, memory and arithmetic, on 32-bit words.

`evaluate("dword [esp + 4] == popf_here && if", scope)` gives a number; a `Scope` knows the names and the
memory. Everything is unsigned and wraps at 32 bits, comparisons give 1 or 0. Numbers are written 0x1f, 1fh,
0b101 or 31; memory `[address]`, a dword unless `byte` or `word` stands before it. There is no `eval` here
and nothing that can change the guest. Whatever is wrong is an `ExpressionError` with a message for people.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import NamedTuple, Protocol

from isa.consts import M32

MAX_DEPTH = 60
SIZES = {"byte": 1, "word": 2, "dword": 4}

_TOKEN = re.compile(
    r"\s*(?:(?P<number>0[xX][0-9a-fA-F]+|0[bB][01]+(?![0-9a-fA-FhH])|[0-9][0-9a-fA-F]*[hH]|[0-9]+)(?![\w.])"
    r"|(?P<name>[A-Za-z_.$@?][\w.$@?]*)"
    r"|(?P<sign><<|>>|<=|>=|==|!=|&&|\|\||[-+*&|^~!<>()\[\]]))"
)


class ExpressionError(Exception):
    """The expression cannot be read, or names something that is not there."""


class Scope(Protocol):
    """Where names and memory come from."""

    def value(self, name: str) -> int | None:
        """A register, flag or symbol."""

    def suggestion(self, name: str) -> str:
        """`, did you mean …?` or nothing."""

    def memory(self, address: int, size: int) -> bytes | None:
        """The guest's bytes, None where nothing is mapped."""


class Token(NamedTuple):
    kind: str
    text: str


Operation = Callable[[int, int], int]
# Sign -> how tightly it binds, what it does; the order is C's, but & ^ | bind tighter than comparisons.
BINARY: dict[str, tuple[int, Operation]] = {
    "||": (1, lambda x, y: int(bool(x) or bool(y))),
    "&&": (2, lambda x, y: int(bool(x) and bool(y))),
    "==": (3, operator.eq),
    "!=": (3, operator.ne),
    "<": (4, operator.lt),
    ">": (4, operator.gt),
    "<=": (4, operator.le),
    ">=": (4, operator.ge),
    "|": (5, operator.or_),
    "^": (6, operator.xor),
    "&": (7, operator.and_),
    "<<": (8, lambda x, y: x << min(y, 32)),
    ">>": (8, lambda x, y: x >> min(y, 32)),
    "+": (9, operator.add),
    "-": (9, operator.sub),
    "*": (10, operator.mul),
}
UNARY: dict[str, Callable[[int], int]] = {
    "-": operator.neg,
    "+": operator.pos,
    "~": operator.invert,
    "!": lambda x: int(not x),
}


def evaluate(text: str, scope: Scope) -> int:
    """The value of an expression, 0 to 2^32 - 1."""
    parser = _Parser(_tokens(text), scope)
    value = parser.expression(0, 0)
    if parser.peek is not None:
        raise ExpressionError(f"`{parser.peek.text}` is not expected there")
    return value


def _tokens(text: str) -> list[Token]:
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ExpressionError(f"`{text[at:].strip()}` is not understood")
        kind = str(match.lastgroup)
        found.append(Token(kind, match[kind]))
        at = match.end()
    if not found:
        raise ExpressionError("an expression is missing")
    return found


def number(text: str) -> int:
    """A literal as the tokens allow it."""
    text = text.lower()
    if text.startswith(("0x", "0b")):
        return int(text, 0)
    return int(text[:-1], 16) if text.endswith("h") else int(text)


class _Parser:
    """Precedence climbing over a list of tokens; values are computed as it goes."""

    def __init__(self, tokens: list[Token], scope: Scope) -> None:
        self.tokens = tokens
        self.scope = scope
        self.at = 0

    @property
    def peek(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self) -> Token:
        token = self.peek
        if token is None:
            raise ExpressionError("the expression ends too early")
        self.at += 1
        return token

    def want(self, sign: str) -> None:
        token = self.peek
        if token is None or token.text != sign:
            raise ExpressionError(f"`{sign}` is missing" + (f" before `{token.text}`" if token else ""))
        self.at += 1

    def expression(self, tightness: int, depth: int) -> int:
        """Operands joined by operators that bind more tightly than `tightness`."""
        value = self.operand(depth + 1)
        while (token := self.peek) is not None and token.text in BINARY:
            binds, operation = BINARY[token.text]
            if binds <= tightness:
                break
            self.at += 1
            value = operation(value, self.expression(binds, depth + 1)) & M32
        return value

    def operand(self, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise ExpressionError("the expression is nested too deeply")
        token = self.take()
        if token.kind == "number":
            value = number(token.text)
            if value > M32:
                raise ExpressionError(f"{token.text} has more than 32 bits")
            return value
        if token.text in UNARY:
            return UNARY[token.text](self.operand(depth + 1)) & M32
        if token.text == "(":
            value = self.expression(0, depth)
            self.want(")")
            return value
        if token.text == "[":
            return self.memory(4, depth)
        if token.kind == "name":
            return self.name(token.text, depth)
        raise ExpressionError(f"`{token.text}` is not expected there")

    def memory(self, size: int, depth: int) -> int:
        """What stands at an address; the bracket is open already."""
        address = self.expression(0, depth)
        self.want("]")
        data = self.scope.memory(address, size)
        if data is None:
            raise ExpressionError(f"nothing is mapped at {address:#010x}")
        return int.from_bytes(data, "little")

    def name(self, name: str, depth: int) -> int:
        size = SIZES.get(name.lower())
        following = self.peek
        if size and following is not None and following.text.lower() in ("ptr", "["):
            if following.text != "[":
                self.at += 1
            self.want("[")
            return self.memory(size, depth)
        value = self.scope.value(name)
        if value is None:
            raise ExpressionError(f"`{name}` is neither a register nor a symbol{self.scope.suggestion(name)}")
        return value & M32
