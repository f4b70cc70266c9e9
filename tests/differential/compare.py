"""Comparing two answers to a case, and telling a person what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from accepted import Accepted, accepted
from cases import FS_BASE, GS_BASE, STRINGS, Form, State, undefined
from unicorn_child import NO_VECTOR

from isa import consts as c
from isa.disasm import format_insn
from isa.insn import Insn, Kind, Operand
from isa.state import EFLAGS, EIP
from isa.table import ROWS

COMPARED = c.ARITHMETIC | c.DF
VECTOR, ERROR = EFLAGS + 1, EFLAGS + 2
SHOWN = 3  # mismatches of a row that are shown
BIT_STRINGS = frozenset({"bt", "bts", "btr", "btc"})
STACK = frozenset("push pop call ret pusha popa pushf popf enter leave".split())
LARGEST = 124  # bytes that an instruction accesses in one piece, ENTER's
Found = dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Setting:
    """Code and stack segments of 32 or 16 bits."""

    bits: int
    stack: int

    def __str__(self) -> str:
        return f"{self.bits}-bit code, {self.stack}-bit stack"


@dataclass(frozen=True)
class Case:
    """A form, what it starts from, and where."""

    slot: int
    form: Form
    state: State


def same(k: Case, ours: Any, theirs: Any) -> bool:
    """Quickly: whether nothing differs that is compared."""
    mine, other = ours[0], theirs[0]
    if mine == other and ours[1] == theirs[1]:
        return True
    if mine[:EIP] != other[:EIP] or mine[VECTOR:] != other[VECTOR:] or ours[1] != theirs[1]:
        return False
    if mine[VECTOR] != NO_VECTOR:
        return True  # after a fault the SDM keeps the flags that count, and EIP is the oracle's business
    flags = (mine[EFLAGS] ^ other[EFLAGS]) & COMPARED & ~undefined(k.form, k.state.registers)
    return mine[EIP] == other[EIP] and not flags


def difference(k: Case, ours: Any, theirs: Any, *, exact: bool = False) -> Found:
    """What differs, by name: (ours, theirs). `exact`: also what the SDM leaves undefined."""
    mine, other = ours[0], theirs[0]
    found: Found = {}
    for name, x, y in zip(c.REGISTER_NAMES, mine, other, strict=False):
        if x != y:
            found[name] = (x, y)
    completed = mine[VECTOR] == NO_VECTOR
    if mine[VECTOR] != other[VECTOR]:
        found["vector"] = tuple(-1 if x == NO_VECTOR else x for x in (mine[VECTOR], other[VECTOR]))
    if other[ERROR]:
        found["error"] = (0, other[ERROR])
    if mine[EIP] != other[EIP] and (completed or exact):
        found["eip"] = (mine[EIP], other[EIP])
    compared = c.M32 if exact else COMPARED & ~undefined(k.form, k.state.registers) if completed else 0
    for name, bit in c.FLAG_BITS.items():
        if (mine[EFLAGS] ^ other[EFLAGS]) & bit & compared:
            found[name] = (bool(mine[EFLAGS] & bit), bool(other[EFLAGS] & bit))
    if ours[1] != theirs[1]:
        found["memory"] = (_brief(ours[1], theirs[1]), _brief(theirs[1], ours[1]))
    return found


def _brief(mine: list, other: list) -> str:
    return " ".join(f"{at:#x}:{data.hex()}" for at, data in mine if (at, data) not in other) or "unchanged"


def excuse(k: Case, ours: Any, found: Found) -> Accepted | None:
    """The accepted divergence that this is. Only the last instruction of a form can be at fault."""
    insn, words = k.form.insns[-1], ours[0]
    facts = {
        "name": ROWS[insn.row].name,
        "width": insn.w,
        "address_width": insn.aw,
        "segment": insn.segment,
        "vector": words[VECTOR],
        "lock": insn.lock,
        "both_repeats": {0xF2, 0xF3} <= set(insn.raw[:-1]),
        "wraps": wraps(insn, words),
    }
    return accepted("unicorn", facts, found)


def wraps(insn: Insn, registers: Sequence[int]) -> bool:
    """Whether an operand reaches beyond FFFFFFFF; the registers are those at the instruction, which has
    changed nothing if it faulted."""
    name = ROWS[insn.row].name
    reach = [_offset(o, registers) for o in insn.operands if o.kind is Kind.MEM]
    if name in BIT_STRINGS and reach and insn.src.kind is not Kind.IMM:
        index = registers[insn.src.n] & c.MASK[insn.w]
        signed = index - (index >> insn.w - 1 << insn.w)
        reach = [reach[0] + signed // insn.w * (insn.w >> 3) & c.M32]
    if name in STRINGS:
        reach += [registers[c.ESI], registers[c.EDI]]
    if name in STACK:
        for pointer in (registers[c.ESP], registers[c.EBP]):
            reach += [pointer, pointer - LARGEST & c.M32]
    return any(offset > c.M32 - LARGEST for offset in reach)


def _offset(o: Operand, registers: Sequence[int]) -> int:
    base = registers[o.base] if o.base >= 0 else 0
    index = registers[o.index] << o.scale if o.index >= 0 else 0
    return base + index + o.value & c.MASK[o.aw]


# -- reports ------------------------------------------------------------------------------------------------


def describe(k: Case, setting: Setting, found: Found, names: tuple[str, str], picture: bytes) -> str:
    """Bytes, disassembly, inputs, both outputs, the rule: what one needs to look into it."""
    lines = [f"   {setting}: {k.form.code.hex()}"]
    at = 0
    for insn in k.form.insns:
        lines.append(f"     {format_insn(insn, at, bits=setting.bits)}")
        at += insn.length
    registers = " ".join(f"{n}={x:x}" for n, x in zip(c.REGISTER_NAMES, k.state.registers, strict=True))
    lines.append(f"   from  {registers} eflags={k.state.eflags:x}{_memory(k, picture)}")
    for place, name in enumerate(names):
        text = ", ".join(f"{part} {_show(x[place])}" for part, x in found.items())
        lines.append(f"   {name:9} {text}")
    row = k.form.row
    rule = row.rule or row.doc
    lines.append(f"   rule  {rule + ' ' if rule else ''}(SDM {row.sdm})")
    return "\n".join(lines)


def _memory(k: Case, picture: bytes) -> str:
    """What memory operands held, as far as they depend on the state we began with."""
    text = ""
    for insn in k.form.insns[:1]:
        for o in insn.operands:
            if o.kind is Kind.MEM:
                at = _offset(o, k.state.registers) + {c.FS: FS_BASE, c.GS: GS_BASE}.get(o.n, 0)
                text += f" [{at:x}]={picture[at : at + 8].hex()}"
    return text


def _show(x: object) -> str:
    return f"{x:#x}" if type(x) is int else str(x)


def shrink(k: Case, differs: Callable[[Case], bool]) -> Case:
    """The same mismatch with as many registers and flags zero as it allows."""
    for n in range(9):
        registers, eflags = list(k.state.registers), k.state.eflags
        if n == 8:
            eflags = c.FLAGS_ONE
        else:
            registers[n] = 0
        simpler = Case(k.slot, k.form, State(tuple(registers), eflags))
        if simpler != k and differs(simpler):
            k = simpler
    return k


@dataclass
class Tally:
    """What came of the cases: by engine how many agreed, by row how many there were."""

    agreed: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    dropped: int = 0  # cases that touch memory that is not there
    crashes: int = 0
    unsteady: int = 0  # cases to which the oracle, asked again alone, gave our answer
    regions: int = 0  # cases that began in a region
    accepted: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, list[str]] = field(default_factory=dict)

    @property
    def judged(self) -> int:
        """Cases that showed something."""
        return sum(self.rows.values())

    @property
    def mismatches(self) -> int:
        return sum(map(len, self.wrong.values()))

    def report(self) -> str:
        """The mismatches, a few of each instruction."""
        lines = []
        for name, texts in sorted(self.wrong.items()):
            lines.append(f"-- {name}: {len(texts)}")
            lines += [text for text in texts if text][:SHOWN]
        return "\n".join(lines)
