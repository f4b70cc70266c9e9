"""Expressions: what a number, a label or `(end - start) / 4` is worth.

Here: the nodes of the tree, the parser (precedences as in C, lowest `||`, highest unary), and
evaluation against a `Context`. Before the layout is known the context refuses labels and `.` by
raising `NotYet`; so one routine answers both "what is it?" and "is it a constant?".

Values are integers of at most 64 bits; whether a value fits the place it goes to is for that place to
say. `/` and `%` truncate towards zero and `>>` keeps the sign, as in C; comparisons give 1 or 0.
A register may stand in an expression, because an address is one: `operands.py` takes it apart.

Not here: what names mean (`symbols.py`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Protocol

from isa.asm.diagnostics import Problem
from isa.asm.lexer import Cursor, Token
from isa.asm.names import REGISTERS, RESERVED

MAX_OPERATORS = 200
MAX_NESTING = 40
LIMIT = 1 << 64


class NotYet(Exception):
    """The value depends on where things come to lie, which is not known yet."""


class Context(Protocol):
    """What an expression may ask while it is evaluated."""

    epoch: int
    """Values of constants may be remembered while this stays the same; 0 means never."""

    def name(self, name: Name) -> int:
        """The value of a label or constant."""
        ...

    def here(self, index: int) -> int:
        """The address of the item with this index."""
        ...

    def start(self) -> int:
        """The address of the first byte."""
        ...


class Scope(Protocol):
    """What the parser may ask about names."""

    att: bool
    """Whether names of registers without a percent sign are names like any other."""

    def resolve(self, token: Token) -> Node:
        """The node for a name at this point of the source."""
        ...

    def numeric(self, token: Token) -> Node:
        """The node for `1b` or `1f` at this point of the source."""
        ...

    def position(self) -> int:
        """The index of the item that is being made."""
        ...


class Node:
    """A part of an expression. `token` is where it stands."""

    __slots__ = ("token",)

    def __init__(self, token: Token) -> None:
        self.token = token

    def value(self, ctx: Context) -> int:
        """The value, or `NotYet`, or a `Problem`."""
        raise NotImplementedError

    def children(self) -> tuple[Node, ...]:
        """The parts."""
        return ()


class Num(Node):
    """A number that is already known."""

    __slots__ = ("number",)

    def __init__(self, token: Token, number: int) -> None:
        super().__init__(token)
        self.number = number

    def value(self, ctx: Context) -> int:
        return self.number


class Name(Node):
    """A label or constant whose value is looked up when it is needed."""

    __slots__ = ("name",)

    def __init__(self, token: Token, name: str) -> None:
        super().__init__(token)
        self.name = name

    def value(self, ctx: Context) -> int:
        return ctx.name(self)


class Here(Node):
    """`.` or `$`: the address of the statement it stands in."""

    __slots__ = ("index",)

    def __init__(self, token: Token, index: int) -> None:
        super().__init__(token)
        self.index = index

    def value(self, ctx: Context) -> int:
        return ctx.here(self.index)


class Start(Node):
    """`$$`: the address of the first byte."""

    __slots__ = ()

    def value(self, ctx: Context) -> int:
        return ctx.start()


class Register(Node):
    """A register, as part of an address."""

    __slots__ = ("name",)

    def __init__(self, token: Token, name: str) -> None:
        super().__init__(token)
        self.name = name

    def value(self, ctx: Context) -> int:
        raise Problem(
            f"the register `{self.name}` cannot stand in a number",
            self.token,
            hint="an address with registers is written in brackets: [ebx + 4*ecx + 8]",
        )


class Unary(Node):
    """`-x`, `~x`, `!x`."""

    __slots__ = ("op", "x")

    def __init__(self, token: Token, op: str, x: Node) -> None:
        super().__init__(token)
        self.op = op
        self.x = x

    def value(self, ctx: Context) -> int:
        return UNARY[self.op](self.x.value(ctx))

    def children(self) -> tuple[Node, ...]:
        return (self.x,)


class Binary(Node):
    """Two values and an operator."""

    __slots__ = ("op", "x", "y")

    def __init__(self, token: Token, op: str, x: Node, y: Node) -> None:
        super().__init__(token)
        self.op = op
        self.x = x
        self.y = y

    def value(self, ctx: Context) -> int:
        return apply(self.token, self.op, self.x.value(ctx), self.y.value(ctx))

    def children(self) -> tuple[Node, ...]:
        return (self.x, self.y)


UNARY: dict[str, Callable[[int], int]] = {
    "-": operator.neg,
    "+": operator.pos,
    "~": operator.invert,
    "!": lambda x: int(not x),
}


def _divide(x: int, y: int) -> int:
    quotient = abs(x) // abs(y)
    return quotient if (x < 0) == (y < 0) else -quotient


def _shift_left(x: int, y: int) -> int:
    return x << y if y < 128 else (LIMIT if x else 0)


BINARY: dict[str, Callable[[int, int], int]] = {
    "||": lambda x, y: int(bool(x) or bool(y)),
    "&&": lambda x, y: int(bool(x) and bool(y)),
    "|": operator.or_,
    "^": operator.xor,
    "&": operator.and_,
    "==": lambda x, y: int(x == y),
    "!=": lambda x, y: int(x != y),
    "<>": lambda x, y: int(x != y),
    "<": lambda x, y: int(x < y),
    "<=": lambda x, y: int(x <= y),
    ">": lambda x, y: int(x > y),
    ">=": lambda x, y: int(x >= y),
    "<<": _shift_left,
    ">>": lambda x, y: x >> min(y, 128),
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": lambda x, y: x - y * _divide(x, y),
}

_LEVELS = (
    ("||",),
    ("&&",),
    ("|",),
    ("^",),
    ("&",),
    ("==", "!=", "<>"),
    ("<", "<=", ">", ">="),
    ("<<", ">>"),
    ("+", "-"),
    ("*", "/", "%"),
)
PRECEDENCE = {op: level for level, ops in enumerate(_LEVELS, 1) for op in ops}


def apply(token: Token, op: str, x: int, y: int) -> int:
    """One operator on two known values."""
    if op in "/%" and y == 0:
        raise Problem("division by zero", token)
    if op in ("<<", ">>") and y < 0:
        raise Problem("a shift by a negative number", token)
    result = BINARY[op](x, y)
    if not -LIMIT < result < LIMIT:
        raise Problem("this does not fit in 64 bits", token)
    return result


def leftmost(node: Node) -> Token:
    """Where an expression begins; a binary node itself stands at its operator."""
    while isinstance(node, Binary):
        node = node.x
    return node.token


class ExpressionParser:
    """Parses one expression from a cursor. One object per expression, because it counts."""

    def __init__(self, cursor: Cursor, scope: Scope, registers: bool = False) -> None:
        self.cursor = cursor
        self.scope = scope
        self.registers = registers
        self.operators = 0
        self.depth = 0

    def parse(self, level: int = 1) -> Node:
        """An expression whose operators bind at least as tightly as `level`."""
        cursor = self.cursor
        left = self.unary()
        while True:
            token = cursor.here
            if token.kind != "op":
                return left
            binds = PRECEDENCE.get(token.text, 0)
            if binds < level or (token.text == "%" and self.scope.att and _is_register(cursor)):
                return left
            cursor.next()
            self.count(token)
            left = binary(token, token.text, left, self.parse(binds + 1))

    def count(self, token: Token) -> None:
        """Keep trees small enough to walk by recursion."""
        self.operators += 1
        if self.operators > MAX_OPERATORS:
            raise Problem("this expression is too long", token, hint="give a part of it a name with .equ")

    def unary(self) -> Node:
        """A prefix operator and what it applies to, or a primary."""
        token = self.cursor.here
        if token.kind == "op" and token.text in UNARY:
            self.cursor.next()
            self.count(token)
            self._enter(token)
            inner = self.unary()
            self.depth -= 1
            if isinstance(inner, Num):
                return Num(token, UNARY[token.text](inner.number))
            return inner if token.text == "+" else Unary(token, token.text, inner)
        return self.primary()

    def _enter(self, token: Token) -> None:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise Problem("this expression is nested too deeply", token)

    def primary(self) -> Node:
        """A number, a character, a name, a register, `.`, `$`, `$$` or something in parentheses."""
        cursor = self.cursor
        token = cursor.next()
        kind = token.kind
        if kind == "num":
            if token.value >= LIMIT:
                raise Problem("this number does not fit in 64 bits", token)
            return Num(token, token.value)
        if kind == "name":
            return self._name(token)
        if kind == "char" or kind == "string":
            if not 1 <= len(token.data) <= 4:
                raise Problem("a character constant holds one to four bytes", token)
            return Num(token, int.from_bytes(token.data, "little"))
        if kind == "ref":
            return self.scope.numeric(token)
        if kind == "op":
            return self._punctuation(token)
        if kind == "float":
            raise Problem(
                f"`{token.text}` is no integer", token, hint="floating point goes with .float and .double"
            )
        raise Problem(f"expected a value {cursor.found()}", cursor.here)

    def _name(self, token: Token) -> Node:
        text = token.text
        if text == ".":
            return Here(token, self.scope.position())
        if self.scope.att:
            return self.scope.resolve(token)
        lower = text.lower()
        if lower in REGISTERS:
            node = Register(token, lower)
            if not self.registers:
                node.value(NOTHING)
            return node
        if lower == "offset" and self.cursor.here.kind in ("name", "ref", "num"):
            return self.primary()
        if lower in RESERVED:
            raise Problem(f"`{text}` has a meaning of its own and cannot stand in a value", token)
        return self.scope.resolve(token)

    def _punctuation(self, token: Token) -> Node:
        cursor = self.cursor
        if token.text == "(":
            self._enter(token)
            inner = self.parse()
            self.depth -= 1
            cursor.expect(")")
            return inner
        if token.text == "$":
            if cursor.here.kind in ("num", "name", "ref") and cursor.here.column == token.column + 1:
                raise Problem(
                    f"`${cursor.here.text}` is an AT&T operand",
                    token,
                    hint=f"write {cursor.here.text} without the dollar sign, or put .att_syntax above",
                )
            return Here(token, self.scope.position())
        if token.text == "$$":
            return Start(token)
        if token.text == "%" and cursor.here.text.lower() in REGISTERS:
            raise Problem(
                f"`%{cursor.here.text}` is an AT&T operand",
                token,
                hint=f"write Intel operands: {cursor.here.text} without the percent sign, destination first; "
                "or put .att_syntax above",
            )
        raise Problem(f"expected a value but found `{token.text}`", token)


def _is_register(cursor: Cursor) -> bool:
    """Whether `%eax` stands here, where a comma is missing, rather than a remainder."""
    name = cursor.peek()
    return name.text.lower() in REGISTERS and name.column == cursor.here.column + 1


def binary(token: Token, op: str, x: Node, y: Node) -> Node:
    """A binary node, folded where both sides are known; sums with a constant stay flat."""
    if isinstance(y, Num):
        if isinstance(x, Num):
            return Num(x.token, apply(token, op, x.number, y.number))
        if op in "+-" and isinstance(x, Binary) and x.op in "+-" and isinstance(x.y, Num):
            first = x.y.number if x.op == "+" else -x.y.number
            total = apply(token, "+", first, y.number if op == "+" else -y.number)
            return Binary(x.token, "+", x.x, Num(y.token, total))
    return Binary(token, op, x, y)


class _Nothing:
    """A context in which nothing but numbers is known."""

    epoch = 0

    def name(self, name: Name) -> int:
        raise NotYet

    def here(self, index: int) -> int:
        raise NotYet

    def start(self) -> int:
        raise NotYet


NOTHING: Context = _Nothing()
