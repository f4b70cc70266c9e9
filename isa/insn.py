"""An instruction as data: our own small records, made once by `decode` and never changed.

An `Insn` does not know where it lies: a branch holds its displacement, so one record serves every
address that maps the same bytes. Immediates and displacements are masked to their size already. The
definitions in `ops` see only this; capstone's objects stop in `decode`. What an instruction *means* is
its row in `table`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from isa import consts as c


class Kind(IntEnum):
    """What an operand is. The order matters to the reference engine: the commonest first."""

    REG32 = 0
    MEM = 1
    IMM = 2
    REG16 = 3
    REG8 = 4
    SEGMENT = 5
    CONTROL = 6
    DEBUG = 7
    FAR = 8
    REL = 9
    ST = 10


@dataclass(frozen=True, slots=True)
class Operand:
    """One operand. `w` is its width in bits; which other fields count depends on `kind`.

    REG32/16/8: `n` is the register (for REG8 the *containing* register) and `shift` 8 for AH..BH.
    SEGMENT, CONTROL, DEBUG, ST: `n`. IMM: `value`. REL: `value`, relative to the next instruction.
    FAR: `n` is the selector, `value` the offset.
    MEM: `n` is the segment, `base` and `index` are registers or -1, `scale` a shift count, `value` the
    displacement and `aw` the width of address arithmetic.
    """

    kind: Kind
    w: int
    n: int = 0
    value: int = 0
    shift: int = 0
    base: int = -1
    index: int = -1
    scale: int = 0
    aw: int = 32

    def __str__(self) -> str:
        return _TEXT[self.kind](self)


def _memory_text(o: Operand) -> str:
    names = c.REGISTER_NAMES if o.aw == 32 else c.REGISTER16_NAMES
    terms = [names[o.base]] if o.base >= 0 else []
    if o.index >= 0:
        terms.append(names[o.index] + (f"*{1 << o.scale}" if o.scale else ""))
    inside = " + ".join(terms)
    if not terms:
        inside = f"{o.value:#x}"
    elif o.value:
        negative = o.value >> (o.aw - 1)
        inside += f" - {(1 << o.aw) - o.value:#x}" if negative else f" + {o.value:#x}"
    size = {8: "byte ", 16: "word ", 32: "dword ", 48: "fword ", 64: "qword ", 80: "tword "}.get(o.w, "")
    usual = c.SS if o.base in (c.ESP, c.EBP) else c.DS
    segment = f"{c.SEGMENT_NAMES[o.n]}:" if o.n != usual else ""
    return f"{size}{segment}[{inside}]"


_TEXT = {
    Kind.REG32: lambda o: c.REGISTER_NAMES[o.n],
    Kind.REG16: lambda o: c.REGISTER16_NAMES[o.n],
    Kind.REG8: lambda o: c.REGISTER8_NAMES[o.n + (4 if o.shift else 0)],
    Kind.SEGMENT: lambda o: c.SEGMENT_NAMES[o.n],
    Kind.CONTROL: lambda o: f"cr{o.n}",
    Kind.DEBUG: lambda o: f"dr{o.n}",
    Kind.ST: lambda o: f"st{o.n}",
    Kind.IMM: lambda o: f"{o.value:#x}",
    Kind.REL: lambda o: f"{o.value:#x}",
    Kind.FAR: lambda o: f"{o.n:#x}:{o.value:#x}",
    Kind.MEM: _memory_text,
}

REP, REPNE = 1, 2


@dataclass(frozen=True, slots=True)
class Insn:
    """A decoded instruction.

    `row` indexes `table.ROWS`; `w` is the operand size and `aw` the address size in bits (stack and
    string instructions, far transfers); `cc` the condition of Jcc, SETcc, CMOVcc (SDM 2A, B.1); `segment`
    an overriding segment or -1; `weight` is how many guest instructions its completion counts for (0 for
    the helpers in a rewriter's code).
    """

    row: int
    name: str
    length: int
    w: int
    raw: bytes
    operands: tuple[Operand, ...] = ()
    aw: int = 32
    cc: int = 0
    rep: int = 0
    lock: bool = False
    segment: int = -1
    weight: int = 1

    @property
    def dst(self) -> Operand:
        """The first operand."""
        return self.operands[0]

    @property
    def src(self) -> Operand:
        """The second operand."""
        return self.operands[1]


def weightless(insn: Insn) -> Insn:
    """The same instruction, counting for nothing in virtual time."""
    return replace(insn, weight=0)
