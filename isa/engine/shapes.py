"""Shapes: what instructions have in common whose operands differ only in registers and constants.

A handler is compiled for a shape and reads the rest from the record. Registers are numbered by their first
appearance, so `add eax, [eax]` and `add eax, [ebx]` are two shapes and two numbers never mean the same
register. Not every definition can do without knowing more: POP [ESP+4] looks at the base, ENTER counts to
its operand. A handler that cannot be traced is tried again at the next of the `LEVELS`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from struct import Struct
from typing import Any

from isa.consts import ESP, PAGE_SIZE
from isa.engine.context import R_DISP, R_IMM, R_LENGTH, R_REGS, R_SCALE
from isa.insn import Insn, Kind, Operand
from isa.table import ROWS
from isa.x87_forms import opcode_of

_WORDS = Struct("<9I")
DYNAMIC = 1000  # word numbers from here on mean the registers named in the record
SYMBOLIC, REGISTERS, EVERYTHING = range(3)  # levels: what is known while compiling

_REGISTER_KINDS = (Kind.REG32, Kind.REG16, Kind.REG8)
# Their immediates decide much: a count of 0 changes no flag. Five bits of them count (SDM 2B SAL).
COUNT = 31
_KNOWN_IMMEDIATES = frozenset("shl shr sar rol ror rcl rcr shld shrd".split())
# Not worth a handler: they end in the reference engine anyway, or are rare and long.
_ELSEWHERE = frozenset("int1,hlt,cpuid,rdmsr,wrmsr,ins,outs,unmodelled,mov dr".split(","))

_LOOKS_AT_BASE = frozenset({"pop"})  # POP [ESP] means the ESP after the pop

OperandShape = tuple[int, int, int, int | None, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a handler is compiled for. An operand's value is None where it is read from the record."""

    row: int
    w: int
    aw: int
    cc: int
    rep: int
    segment: int
    weight: int
    near: bool  # a direct jump within a page all of which lies in the segment
    operands: tuple[OperandShape, ...]
    variant: str = ""  # the name of the instruction where it says more than the row: what FLDPI loads

    @property
    def name(self) -> str:
        """The handler's symbol."""
        fields = (
            ROWS[self.row].name,
            self.row,
            self.w,
            self.aw,
            self.cc,
            self.rep,
            self.segment,
            self.weight,
        )
        text = repr((*fields, self.near, self.operands, self.variant))
        return "h_" + hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

    def instruction(self, value: Any) -> Insn:
        """The instruction to be traced; `value(name)` gives the words that come from the record."""
        operands, immediates = [], 0
        for kind, w, n, known, shift, base, index, aw in self.operands:
            scale: Any = 0
            number: Any = n
            if known is not None:
                word: Any = known
            elif kind == Kind.MEM:
                word, scale = value("disp"), value("scale")
            else:
                word = value(f"imm{immediates}")
                immediates += 1
            if kind == Kind.FAR and known is None:
                number = value("imm1")
            operands.append(Operand(Kind(kind), w, number, word, shift, base, index, scale, aw))
        name = self.variant or ROWS[self.row].name
        return Insn(
            self.row, name, 0, self.w, b"", tuple(operands), self.aw, self.cc, self.rep, False, self.segment,
            self.weight,
        )  # fmt: skip


def has_handler(insn: Insn) -> bool:
    """Whether an instruction may have one at all."""
    return ROWS[insn.row].name not in _ELSEWHERE


def is_x87(insn: Insn) -> bool:
    """Whether it is one of those that the x87 remembers by their opcode."""
    return ROWS[insn.row].define.__module__.startswith("isa.ops.x87")


def shape_of(insn: Insn, near: bool, level: int) -> tuple[Shape, bytes]:
    """The shape of an instruction, and its record from R_LENGTH on. `near`: a direct jump need not ask whether
    its target lies in the segment, and has a record of it."""
    registers: dict[int, int] = {}
    immediates: list[int] = []
    disp = scale = 0
    known = level == EVERYTHING or ROWS[insn.row].name in _KNOWN_IMMEDIATES

    def number(n: int) -> int:
        return n if level >= REGISTERS else DYNAMIC + registers.setdefault(n, len(registers))

    operands: list[OperandShape] = []
    for o in insn.operands:
        n, value, base, index = o.n, None, o.base, o.index
        if o.kind in _REGISTER_KINDS:
            n, value = number(o.n), 0
        elif o.kind == Kind.MEM:
            if base >= 0 and not (base == ESP and ROWS[insn.row].name in _LOOKS_AT_BASE):
                base = number(base)
            index = number(index) if index >= 0 else -1
            disp, scale = o.value, o.scale
        elif o.kind in (Kind.IMM, Kind.REL):
            if known and o.kind == Kind.IMM:
                value = o.value & COUNT if level < EVERYTHING else o.value
            else:
                immediates.append(o.value)
        elif o.kind == Kind.FAR and not known:
            immediates += [o.value, o.n]
            n = 0
        else:
            value = o.value
        operands.append((int(o.kind), o.w, n, value, o.shift, base, index, o.aw))
    variant = ""
    if is_x87(insn):
        variant, immediates = insn.name, [0, opcode_of(insn.raw)]
    shape = Shape(
        insn.row, insn.w, insn.aw, insn.cc, insn.rep, insn.segment, insn.weight, near, tuple(operands), variant
    )  # fmt: skip
    return shape, _fields(insn, immediates, disp, scale, list(registers))


def target_offset(insn: Insn, offset: int) -> int | None:
    """Where in the same page a direct jump goes that `goal_of` follows."""
    goal = goal_of(offset, insn)
    return goal if goal is not None and 0 <= goal < PAGE_SIZE else None


def goal_of(place: int, insn: Insn) -> int | None:
    """Where a direct jump goes, from the first byte of its page as its own `place` is. None if it is none, or
    cuts EIP to 16 bits."""
    if not insn.operands or insn.dst.kind != Kind.REL or insn.w != 32:
        return None
    return place + insn.length + ((insn.dst.value ^ 0x8000_0000) - 0x8000_0000)


def _fields(insn: Insn, immediates: list[int], disp: int, scale: int, regs: list[int]) -> bytes:
    words = [0] * 9
    words[0] = insn.length
    for n, value in enumerate(immediates):
        words[(R_IMM - R_LENGTH) // 4 + n] = value & 0xFFFF_FFFF
    words[(R_DISP - R_LENGTH) // 4], words[(R_SCALE - R_LENGTH) // 4] = disp & 0xFFFF_FFFF, scale
    for n, register in enumerate(regs):
        words[(R_REGS - R_LENGTH) // 4 + n] = 4 * register
    return _WORDS.pack(*words)
