"""Lazy flags in compiled code: the record as words, and the two ways out of it.

While code is compiled a record is usually known: its kind and width are constants, its operands are
values, and a condition is computed from them by the formulas of `isa.flags`. Between pieces of code it
lies in the four words FLAG_OP, FLAG_X, FLAG_Y, FLAG_R of the state; FLAG_OP tells kind and width. What
was recorded elsewhere, or differently on two ways, is known only when the code runs: the function
`@flags`, generated from the same formulas, then packs all six flags at once.

Whoever enters compiled code calls `open_record`, whoever reads EFLAGS afterwards `close_record`.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass
from typing import Any

from isa import flags
from isa.consts import ARITHMETIC, M32
from isa.engine.ssa import Code
from isa.engine.words import Value, Word, fit, text
from isa.flags import ADJUST, CARRY, KIND_NAMES, OVERFLOW, PACKED
from isa.state import EFLAGS, FLAG_OP, FLAG_R, FLAG_X, FLAG_Y

WORDS = (FLAG_OP, FLAG_X, FLAG_Y, FLAG_R)
TAKES_OPERANDS = (flags.ADD, flags.ADC, flags.SUB, flags.SBB)  # x and y are words; elsewhere bits or unused


def op_word(kind: int, w: int) -> int:
    """FLAG_OP of a record."""
    return w << 8 | kind


@dataclass(slots=True, frozen=True, eq=False)
class Record:
    """A flags record; `op` is its FLAG_OP, a constant unless it is known only at run time."""

    op: Word
    x: Word
    y: Word
    r: Word

    @property
    def kind(self) -> int | None:
        """The kind, if it is known."""
        return None if isinstance(self.op, Value) else self.op & 0xFF

    @property
    def w(self) -> int:
        """The width of a record whose kind is known."""
        assert not isinstance(self.op, Value)
        return self.op >> 8

    def words(self) -> tuple[Word, Word, Word, Word]:
        return self.op, self.x, self.y, self.r


def bit(x: Word) -> Word:
    """A word that is 0 or 1 as a truth word."""
    return x.fit(1) if isinstance(x, Value) else x


def one_flag(record: Record, name: str) -> Word:
    """A flag of a record whose kind is known."""
    kind, w = record.kind, record.w
    assert kind is not None
    x: Any = record.x
    y: Any = record.y
    r: Any = record.r
    tables = {"cf": CARRY, "of": OVERFLOW, "af": ADJUST}
    if name in tables:
        return bit(tables[name][kind](w, x, y, r))
    formula = {"zf": flags.zero, "sf": flags.sign, "pf": flags.parity}[name]
    return bit(formula(kind, w, r))


def packed(record: Record) -> Word:
    """All six flags of a record whose kind is known, as bits of EFLAGS."""
    if record.kind == PACKED:
        return record.r & ARITHMETIC
    each: Any = (one_flag(record, name) for name in ("cf", "pf", "af", "zf", "sf", "of"))
    return flags.pack(*each)


def runtime_ir() -> str:
    """The function `@flags`: a record as words to its flags, packed."""
    cases, bodies = [], []
    for kind in range(len(KIND_NAMES)):
        for w in (8, 16, 32):
            code = Code()
            inputs = [Value(code, name, 32) for name in ("%x", "%y", "%r")]
            narrow = [x.fit(w) for x in inputs]
            if kind not in TAKES_OPERANDS:
                narrow = [*(x.fit(1) for x in inputs[:2]), inputs[2] if kind == PACKED else narrow[2]]
            result = fit(packed(Record(op_word(kind, w), *narrow)), 32)
            code.here.end = f"ret i32 {text(result)}"
            label = f"k{kind}w{w}"
            cases.append(f"i32 {op_word(kind, w)}, label %{label}")
            prefix = f"%{label}."
            bodies.append(f"{label}:\n" + "\n".join(code.here.lines).replace("%v", prefix + "v"))
            bodies.append((code.here.end or "").replace("%v", prefix + "v"))
    return (
        "define i32 @flags(i32 %op, i32 %x, i32 %y, i32 %r) nounwind readnone {\n"
        f"switch i32 %op, label %k{PACKED}w32 [ {' '.join(cases)} ]\n" + "\n".join(bodies) + "\n}\n"
    )


def open_record(s: MutableSequence[int]) -> None:
    """Make the record of a state say what its EFLAGS say."""
    s[FLAG_OP], s[FLAG_X], s[FLAG_Y], s[FLAG_R] = op_word(PACKED, 32), 0, 0, s[EFLAGS] & ARITHMETIC


def close_record(s: MutableSequence[int]) -> None:
    """Make EFLAGS say what the record of a state says."""
    arithmetic: Any = packed(Record(s[FLAG_OP], s[FLAG_X], s[FLAG_Y], s[FLAG_R]))
    s[EFLAGS] = (s[EFLAGS] & (M32 ^ ARITHMETIC)) | int(arithmetic)
    open_record(s)
