"""What names mean: labels, constants, and the labels `1:` that may be defined many times.

Here: the table, filled while the source is read and asked again when values are needed. A constant
that is defined more than once means, at each use, its latest definition above that use; so a use
after a definition holds that definition's own expression and never looks the name up again.

A name that starts with a dot belongs to the last label without one: `.loop` under `print` is
`print.loop`.
Read next: `relax.py`, which gives labels their addresses.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from isa.asm.diagnostics import Problem, did_you_mean
from isa.asm.expression import Context, Name, Node, NotYet, Num
from isa.asm.lexer import Token
from isa.asm.names import COMMON_MNEMONICS, REGISTERS, REGISTERS_64, RESERVED
from isa.asm.source import Line, SourceFile

MAX_CHAIN = 60
"""How many constants may be defined one through another before it is taken for a mistake."""


@dataclass(slots=True)
class Label:
    """A name for the address of the item with this index."""

    index: int
    line: Line


@dataclass(slots=True)
class Constant:
    """A name for an expression."""

    node: Node
    line: Line | None
    fixed: bool = False
    busy: bool = False
    epoch: int = -1
    memo: int = 0


_NO_TOKEN = Token("num", "", 1, Line(SourceFile("<defines>", "", None), 0, ""))


class SymbolTable:
    """All names of one program: the `Scope` of the parser, and a `Context` that knows constants only."""

    epoch = 0

    def __init__(self, defines: Mapping[str, int]) -> None:
        self.labels: dict[str, Label] = {}
        self.constants: dict[str, Constant] = {}
        self.parent = ""
        self.att = False
        """In AT&T syntax a dot makes no name local, and words of Intel syntax are names like any other."""
        self.index = 0
        self._numeric: dict[int, int] = {}
        for name, number in defines.items():
            self.constants[name] = Constant(Num(_NO_TOKEN, int(number)), None)

    # ---- definitions

    def full_name(self, name: str) -> str:
        """`.loop` with its parent; any other name as it is."""
        return self.parent + name if name.startswith(".") and not self.att else name

    def define_label(self, token: Token) -> None:
        """A label stands before the item that comes next."""
        if token.kind in ("num", "ref"):
            number = int(token.text, 10)
            count = self._numeric[number] = self._numeric.get(number, 0) + 1
            self.labels[f"{number}#{count}"] = Label(self.index, token.line)
            return
        self.check_new(token)
        name = self.full_name(token.text)
        if name in self.constants:
            raise _twice(token, self.constants[name].line)
        if name in self.labels:
            raise _twice(token, self.labels[name].line)
        self.labels[name] = Label(self.index, token.line)
        if not token.text.startswith("."):
            self.parent = token.text

    def define_constant(self, token: Token, node: Node, once: bool = False) -> None:
        """A constant is defined, or defined anew."""
        self.check_new(token)
        name = self.full_name(token.text)
        if name in self.labels:
            raise _twice(token, self.labels[name].line)
        old = self.constants.get(name)
        if old is not None and (once or old.fixed):
            raise _twice(token, old.line)
        with contextlib.suppress(NotYet):
            node = Num(node.token, node.value(self))
        self.constants[name] = Constant(node, token.line, once)

    def check_new(self, token: Token) -> None:
        """Refuse names that mean something already."""
        lower = token.text.lower()
        if token.kind != "name" or lower == ".":
            raise Problem(f"`{token.text}` cannot be a name", token)
        if not self.att and (lower in REGISTERS or lower in RESERVED):
            what = "a register" if lower in REGISTERS else "a word of the assembler"
            raise Problem(f"`{token.text}` is {what} and cannot be a name", token)

    def is_defined(self, name: str) -> bool:
        """For `.ifdef`: whether the name is defined above this point."""
        name = self.full_name(name)
        return name in self.labels or name in self.constants

    # ---- what the expression parser asks

    def resolve(self, token: Token) -> Node:
        name = self.full_name(token.text)
        known = self.constants.get(name)
        if known is not None and (isinstance(known.node, Num) or not known.fixed):
            # Later definitions must not change what is meant here.
            return Num(token, known.node.number) if isinstance(known.node, Num) else Bound(token, known, self)
        return Name(token, name)

    def numeric(self, token: Token) -> Node:
        number = int(token.text[:-1])
        count = self._numeric.get(number, 0)
        if token.text[-1] in "bB":
            if token.value >= 0 and not count:
                return Num(token, token.value)
            if not count:
                raise Problem(
                    f"there is no label `{number}:` above this line", token, hint=f"`{number}f` looks below"
                )
            return Name(token, f"{number}#{count}")
        return Name(token, f"{number}#{count + 1}")

    def position(self) -> int:
        return self.index

    # ---- values before the layout: constants only

    def name(self, name: Name) -> int:
        constant = self.constants.get(name.name)
        if constant is not None:
            return self.constant_value(constant, name.token, self)
        raise NotYet

    def here(self, index: int) -> int:
        raise NotYet

    def start(self) -> int:
        raise NotYet

    def constant_value(self, constant: Constant, token: Token, ctx: Context) -> int:
        """The value of a constant in `ctx`, remembered for as long as the context's epoch stays the same."""
        epoch = ctx.epoch
        if isinstance(constant.node, Num):
            return constant.node.number
        if constant.epoch == epoch and epoch:
            return constant.memo
        if constant.busy:
            raise Problem(f"`{token.text}` is defined through itself", token)
        self._depth += 1
        constant.busy = True
        try:
            if self._depth > MAX_CHAIN:
                raise Problem("too many constants defined one through another", token)
            value = constant.node.value(ctx)
        finally:
            constant.busy = False
            self._depth -= 1
        constant.epoch, constant.memo = epoch, value
        return value

    _depth = 0

    # ---- undefined names

    def undefined(self, node: Node) -> list[Problem]:
        """A problem for each name in `node` that nothing defines."""
        found: list[Problem] = []
        stack: list[Node] = [node]
        while stack:
            part = stack.pop()
            if isinstance(part, Name) and part.name not in self.labels and part.name not in self.constants:
                found.append(self._unknown(part))
            stack.extend(part.children())
        return found[::-1]

    def _unknown(self, name: Name) -> Problem:
        token = name.token
        if "#" in name.name:
            return Problem(
                f"there is no label `{token.text[:-1]}:` below this line",
                token,
                hint=f"`{token.text[:-1]}b` looks above",
            )
        return Problem(f"undefined symbol `{token.text}`", token, hint=self._advice(token))

    def _advice(self, token: Token) -> str | None:
        text = token.text
        if text.lower() in REGISTERS_64:
            return "this is a 64-bit register; the machine is a 32-bit one"
        if text.lower() in REGISTERS:
            return f"in AT&T syntax registers are written %{text}"
        if text.startswith("."):
            for full, label in self.labels.items():
                if full.endswith(text) and "#" not in full:
                    return f"`{text}` on line {label.line.number} belongs to another label: write `{full}`"
        if text.lower() in COMMON_MNEMONICS:
            return "one instruction stands on a line; a comment starts with ; or #"
        names = {*self.visible_labels(), *self.constants}
        folded = {n.lower(): n for n in names}
        if text.lower() in folded:
            return f"names are case-sensitive: did you mean `{folded[text.lower()]}`?"
        return did_you_mean(text, names) or did_you_mean(text.lower(), REGISTERS)

    def visible_labels(self) -> Iterable[str]:
        """Names of labels that a reader would know, so not the numeric ones."""
        return (name for name in self.labels if "#" not in name)


class Bound(Node):
    """A constant as it stood at this point of the source."""

    __slots__ = ("constant", "table")

    def __init__(self, token: Token, constant: Constant, table: SymbolTable) -> None:
        super().__init__(token)
        self.constant = constant
        self.table = table

    def value(self, ctx: Context) -> int:
        return self.table.constant_value(self.constant, self.token, ctx)


def _twice(token: Token, line: Line | None) -> Problem:
    where = f"first defined at {line.path}:{line.number}" if line else "defined by the caller"
    return Problem(f"`{token.text}` is defined twice", token, notes=(where,))
