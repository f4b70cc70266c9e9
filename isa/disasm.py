"""An `Insn` as text: Intel syntax as NASM writes it, numbers in hexadecimal, branch targets absolute.

The text is made from our own record, not from capstone's, so it shows what will be executed; only what
vmsim does not model is shown in capstone's words. Names are `Insn.name`: one per instruction (`movs`,
`iret`); the width goes into a suffix where nothing else shows it (`movsd`, `iretw`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from isa import consts as c
from isa import ids
from isa.decode import foreign_text
from isa.insn import REP, Insn, Kind, Operand
from isa.table import BY_ID, BY_NAME, ROWS

Symbols = Callable[[int], str | None]
"""The name of an address, if it has one."""

_STRINGS = frozenset({"movs", "cmps", "scas", "lods", "stos", "ins", "outs"})
_COMPARING = frozenset({"cmps", "scas"})
_SUFFIX = {8: "b", 16: "w", 32: "d"}
_SIZES = {16: "word", 32: "dword"}
_WIDE_NAMES = frozenset({"pushf", "popf", "pusha", "popa", "iret"})  # a suffix where not of CS's width
_BY_WIDTH = {"cbw": {16: "cbw", 32: "cwde"}, "cwd": {16: "cwd", 32: "cdq"}}  # by row
_FAR = frozenset({"jmp far", "call far", "lds", "les", "lfs", "lgs", "lss"})
_SIZELESS = _FAR | {"lea", "lgdt", "lidt", "sgdt", "sidt", "invlpg", "bound"}  # the name says it
_ENVIRONMENTS = frozenset({"fldenv", "fnstenv", "frstor", "fnsave"})  # of the x87
_UNMODELLED = BY_ID[ids.UNMODELLED].index
_XLAT = BY_NAME["xlat"].index


def format_insn(i: Insn, eip: int, symbol: Symbols | None = None, bits: int = 32) -> str:
    """The instruction as it reads at `eip` in a code segment of `bits`."""
    if i.row == _UNMODELLED:
        return foreign_text(i.raw, bits)
    operands = ", ".join(_operand(i, o, eip, symbol, bits) for o in i.operands)
    return f"{_prefixes(i, bits)}{_name(i, bits)}{' ' if operands else ''}{operands}"


def _name(i: Insn, bits: int) -> str:
    if i.name in _STRINGS:
        return i.name + _SUFFIX[i.w]
    if i.name in _WIDE_NAMES and i.w != bits:
        return i.name + _SUFFIX[i.w]
    return _BY_WIDTH.get(ROWS[i.row].name, {}).get(i.w, i.name)


def _prefixes(i: Insn, bits: int) -> str:
    text = "lock " if i.lock else ""
    string = i.name in _STRINGS
    if i.rep and string:
        text += "rep " if i.name not in _COMPARING else "repe " if i.rep == REP else "repne "
    if string or i.row == _XLAT:
        if i.aw != bits:
            text += f"a{i.aw} "
        if i.segment >= 0:
            text += c.SEGMENT_NAMES[i.segment] + " "
    elif i.w != bits and _width_hidden(i):
        text += f"o{i.w} "
    return text


def _width_hidden(i: Insn) -> bool:
    """Whether the operand size shows in no operand of a control transfer or stack instruction."""
    if i.name in ("ret", "retf", "leave", "enter", "jmp far", "call far") or i.name in _ENVIRONMENTS:
        return True
    kinds = (Kind.REL, Kind.FAR, Kind.SEGMENT) if i.name in ("push", "pop") else (Kind.REL, Kind.FAR)
    return len(i.operands) == 1 and i.dst.kind in kinds


def _operand(i: Insn, o: Operand, eip: int, symbol: Symbols | None, bits: int) -> str:
    if o.kind is Kind.REL:
        target = (eip + i.length + o.value) & c.MASK[i.w]
        name = symbol(target) if symbol else None
        return f"{target:#x} <{name}>" if name else f"{target:#x}"
    if o.kind is Kind.MEM and i.name in _SIZELESS:
        return str(replace(o, w=0))
    if o.kind is Kind.IMM and i.name == "push" and i.w != bits:
        return f"{_SIZES[i.w]} {o}"
    return str(o)
