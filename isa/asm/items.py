"""What a program is made of once it is parsed: the items, in the order of the source.

Here: one small class for each thing that takes room in the image. An item knows its line and, once
it has been prepared, its size; jumps, alignment, `.org` and room whose amount depends on labels get
theirs from `relax.py`. An item's index is its place in the list, and labels and `.` refer to it.

Not here: how items come about (`assembler.py`, `directives.py`) or become bytes (`relax.py`).
"""

from __future__ import annotations

from typing import NamedTuple

from isa.asm.expression import Node
from isa.asm.lexer import Token
from isa.asm.operands import Parsed
from isa.asm.source import Line
from isa.asm.widths import CODE32, Mode


class Fix(NamedTuple):
    """A value to write into bytes once addresses are known."""

    offset: int
    width: int
    expr: Node
    signed: bool = False
    """Whether the processor extends the sign, so that only -128..127 (and the like) fit."""


class Item:
    """Something that takes room."""

    __slots__ = ("line", "size")

    def __init__(self, line: Line) -> None:
        self.line = line
        self.size = 0


class Bytes(Item):
    """Bytes, with values to be filled in: data, and instructions once they are encoded."""

    __slots__ = ("data", "fixes")

    def __init__(self, line: Line, data: bytes, fixes: tuple[Fix, ...] = ()) -> None:
        super().__init__(line)
        self.data = data
        self.fixes = fixes
        self.size = len(data)


class Instruction(Item):
    """An instruction as parsed; `encoder.py` makes it a `Bytes` or a `Branch`."""

    __slots__ = ("att", "mnemonic", "mode", "operands", "prefixes", "token")

    def __init__(
        self,
        line: Line,
        token: Token,
        operands: list[Parsed],
        prefixes: tuple[Token, ...],
        mode: Mode = CODE32,
        mnemonic: str = "",
    ) -> None:
        super().__init__(line)
        self.mode = mode
        self.token = token
        self.mnemonic = mnemonic or token.text.lower()
        """As Intel has it; `token` is what was written."""
        self.att = bool(mnemonic)
        """Whether it was written in AT&T syntax."""
        self.operands = operands
        self.prefixes = prefixes


class Branch(Item):
    """A jump or call to a place, in the shortest form that reaches."""

    __slots__ = ("long", "mnemonic", "prefix", "short", "target", "token", "width")

    def __init__(
        self,
        line: Line,
        token: Token,
        mnemonic: str,
        short: bytes,
        long: bytes,
        target: Node,
        prefix: bytes = b"",
        width: int = 4,
    ) -> None:
        super().__init__(line)
        self.token = token
        self.mnemonic = mnemonic
        self.short = short
        """Opcode of the form with 8 bits, or nothing."""
        self.long = long
        """Opcode of the form with a whole displacement, or nothing."""
        self.target = target
        self.prefix = prefix
        self.width = width
        """Bytes of the whole displacement; with 2 the place wraps around at 64 KiB."""
        self.size = len(prefix) + (len(short) + 1 if short else len(long) + width)

    @property
    def is_short(self) -> bool:
        """Whether the form chosen is the short one."""
        return bool(self.short) and self.size == len(self.prefix) + len(self.short) + 1

    def grow(self) -> None:
        """Take the long form; there is no way back."""
        self.size = len(self.prefix) + len(self.long) + self.width


class Align(Item):
    """Filling up to a multiple of a power of two, unless that takes more than `limit` bytes."""

    __slots__ = ("boundary", "fill", "limit")

    def __init__(self, line: Line, boundary: int, fill: bytes, limit: int | None) -> None:
        super().__init__(line)
        self.boundary = boundary
        self.fill = fill
        self.limit = limit


class Org(Item):
    """Filling up to an address."""

    __slots__ = ("fill", "target", "token")

    def __init__(self, line: Line, token: Token, target: Node, fill: int) -> None:
        super().__init__(line)
        self.token = token
        self.target = target
        self.fill = fill


class Repeat(Item):
    """The same unit several times over; the count may depend on labels."""

    __slots__ = ("count", "token", "unit")

    def __init__(self, line: Line, token: Token, count: Node, unit: Item) -> None:
        super().__init__(line)
        self.token = token
        self.count = count
        self.unit = unit
