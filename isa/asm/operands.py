"""Operands: from tokens to registers, immediates, memory and far pointers; then to plain numbers.

Here, in two steps. `parse_operands` reads what stands on the line: `dword ptr fs:[ebx + 4*ecx - 8]`,
`offset table`, `0x08:start`, `short done`, `table[ebx*4]`. `resolve` later turns an operand into a
record of names and numbers that can be hashed, written as text and encoded. A value that depends on
a label is replaced by a stand-in number and noted as a `Hole`; the encoder finds the stand-in in the
bytes and the layout fills it in. So an instruction has its final length before any label has its
address, and only jumps change size.

`label` is an address and `[label]` what is stored there; with `ptr` a bare address is memory too
(`dword ptr label`), as other assemblers have it.
Read next: `encoder.py`.
"""

from __future__ import annotations

from typing import NamedTuple

from isa.asm.diagnostics import Problem
from isa.asm.expression import (
    Binary,
    Context,
    ExpressionParser,
    Node,
    NotYet,
    Num,
    Register,
    Scope,
    Unary,
    binary,
)
from isa.asm.lexer import Cursor, Token
from isa.asm.names import REGISTERS, SIZE_NAMES, SIZES

# Stand-ins for values that are not known yet. They are wide on purpose: no short form can hold them.
STAND_IN_DISPLACEMENT = 0x5AD1E0B7
STAND_IN_IMMEDIATE = 0x6BADC3D5
STAND_IN_SELECTOR = 0x6D39


class Parsed:
    """An operand as written."""

    __slots__ = ("address", "expr", "kind", "reach", "segment", "selector", "size", "token")

    def __init__(self, kind: str, token: Token, expr: Node, size: int = 0, segment: str = "") -> None:
        self.kind = kind
        """`reg`, `imm`, `mem` or `far` (a pointer selector:offset)."""
        self.token = token
        self.expr = expr
        self.size = size
        self.segment = segment
        self.reach = ""
        """`short`, `near` or `far` if written."""
        self.address = 0
        """The width of the address, if written: `[word 5]`."""
        self.selector: Node | None = None


class Reg(NamedTuple):
    """A register."""

    name: str
    bits: int
    kind: str

    def text(self) -> str:
        """As the encoder is told."""
        return self.name


class Imm(NamedTuple):
    """A number. `size` is that of the word written before it, or 0; `open` says it is a stand-in."""

    value: int
    size: int = 0
    open: bool = False


class Mem(NamedTuple):
    """A place in memory. `size` is 0 if not written; `segment` is empty if not overridden.

    `address` is the width of the address, 0 until it is settled (`widths.py`).
    """

    size: int
    segment: str
    base: str
    scaled: str
    scale: int
    disp: int
    address: int = 0

    def text(self) -> str:
        """As the encoder is told: every literal in hexadecimal, the segment left to the caller."""
        parts = [self.base] if self.base else []
        if self.scaled:
            parts.append(f"{self.scaled}*{self.scale}" if self.scale != 1 else self.scaled)
        inner = " + ".join(parts)
        if not inner:
            inner = f"0x{self.disp & 0xFFFFFFFF:x}"
        elif self.disp:
            inner += f" + 0x{self.disp:x}" if self.disp > 0 else f" - 0x{-self.disp:x}"
        size = f"{SIZE_NAMES[self.size]} ptr " if self.size else ""
        return f"{size}[{inner}]"


class Far(NamedTuple):
    """A far pointer, both halves known or stood in for. `size` is that of the offset, or 0."""

    selector: int
    offset: int
    size: int = 0


Resolved = Reg | Imm | Mem | Far


class Hole(NamedTuple):
    """A value that the layout has to fill in."""

    stand_in: int
    expr: Node


# ------------------------------------------------------------------------------------- parsing


def parse_operands(cursor: Cursor, scope: Scope) -> list[Parsed]:
    """All operands up to the end of the line."""
    operands: list[Parsed] = []
    while operands or cursor.here.kind != "end":
        operands.append(parse_operand(cursor, scope))
        if not cursor.take(","):
            break
    if cursor.here.kind != "end":
        hint = None
        if cursor.here.kind in ("name", "num"):
            hint = "operands are separated by commas; a comment starts with ; or #"
        raise Problem(f"unexpected `{cursor.here.text}` after an operand", cursor.here, hint=hint)
    return operands


def parse_operand(cursor: Cursor, scope: Scope) -> Parsed:
    """One operand with the words before it."""
    first = cursor.here
    size, pointer, reach = _words(cursor)
    operand = _core(cursor, scope)
    if pointer and operand.kind == "imm" and not operand.reach:
        operand.kind = "mem"
    operand.size = size or operand.size
    operand.reach = reach or operand.reach
    operand.token = span(first, cursor)
    return operand


def span(first: Token, cursor: Cursor) -> Token:
    """A token that covers everything from `first` to before the cursor, to underline an operand."""
    last = cursor.tokens[cursor.pos - 1] if cursor.pos else first
    text = first.line.text[first.column - 1 : last.column - 1 + len(last.text)]
    return Token("operand", text or first.text, first.column, first.line)


def _words(cursor: Cursor) -> tuple[int, bool, str]:
    """Size words, `ptr`, `short near far` before an operand."""
    size, pointer, reach = 0, False, ""
    while cursor.here.kind == "name":
        word = cursor.here.text.lower()
        if word in SIZES:
            if size:
                raise Problem("an operand has one size", cursor.here)
            size = SIZES[word]
        elif word == "ptr":
            pointer = True
        elif word in ("short", "near", "far"):
            reach = word
        else:
            break
        cursor.next()
    return size, pointer, reach


def _core(cursor: Cursor, scope: Scope) -> Parsed:
    token = cursor.here
    if token.kind == "op" and token.text == "*":
        raise Problem(
            "`*` before an operand is AT&T syntax", token, hint="an indirect jump is written jmp [eax]"
        )
    if token.kind == "name":
        lower = token.text.lower()
        register = REGISTERS.get(lower)
        if register is not None and register.kind == "segment" and cursor.peek().text == ":":
            cursor.next()
            cursor.next()
            if not cursor.at("["):
                operand = _value(cursor, scope)
                if operand.kind == "imm":
                    operand.kind = "mem"
            else:
                operand = _memory(cursor, scope)
            if operand.kind != "mem" or operand.segment:
                raise Problem("a segment override belongs before an address: fs:[ebx]", token)
            operand.segment = lower
            return operand
        if register is not None and cursor.peek().text != "[":
            return _register(cursor, lower, token)
    if cursor.at("["):
        return _memory(cursor, scope)
    return _value(cursor, scope)


def _register(cursor: Cursor, lower: str, token: Token) -> Parsed:
    cursor.next()
    if lower == "st" and cursor.take("("):
        number = cursor.next()
        if number.kind != "num" or number.value > 7:
            raise Problem("the registers of the FPU are st(0) to st(7)", token)
        cursor.expect(")")
        lower = f"st{number.value}"
    elif lower == "st":
        lower = "st0"
    if cursor.here.kind == "op" and cursor.here.text in ("+", "-", "*"):
        raise Problem(
            "arithmetic on a register is only possible in an address", token, hint="put it in brackets"
        )
    return Parsed("reg", token, Register(token, lower))


def _memory(cursor: Cursor, scope: Scope) -> Parsed:
    """`[...]`, and further `[...]` right behind it, which add up."""
    token = cursor.here
    total: Node | None = None
    segment, address = "", 0
    while cursor.at("["):
        opening = cursor.next()
        if cursor.at("]"):
            raise Problem("an address is missing between the brackets", opening)
        size, _, _ = _words(cursor)
        if size not in (0, 16, 32):
            raise misplaced_size(cursor.tokens[cursor.pos - 1])
        address = address or size
        name = cursor.here.text.lower()
        if name in REGISTERS and REGISTERS[name].kind == "segment" and cursor.peek().text == ":":
            segment = name
            cursor.next()
            cursor.next()
        part = ExpressionParser(cursor, scope, registers=True).parse()
        cursor.expect("]", "an address is written [base + index*scale + number]")
        total = part if total is None else binary(opening, "+", total, part)
    assert total is not None
    operand = Parsed("mem", token, total, segment=segment)
    operand.address = address
    return operand


def misplaced_size(token: Token) -> Problem:
    """`[dword ebx]` where `dword [ebx]` is meant."""
    return Problem("the size stands before the bracket", token, hint="write dword [ebx]")


def _value(cursor: Cursor, scope: Scope) -> Parsed:
    """An immediate, or what turns out to be `table[ebx*4]` or `0x08:start`."""
    token = cursor.here
    expr = ExpressionParser(cursor, scope, registers=True).parse()
    if cursor.at("["):
        operand = _memory(cursor, scope)
        operand.expr = binary(token, "+", expr, operand.expr)
        operand.token = token
        return operand
    if cursor.take(":"):
        operand = Parsed("far", token, ExpressionParser(cursor, scope).parse())
        operand.selector = expr
        return operand
    return Parsed("imm", token, expr)


# ------------------------------------------------------------------------------------ resolving


def constant(expr: Node, ctx: Context) -> int | None:
    """The value of `expr` if it can be known before the layout."""
    if isinstance(expr, Num):
        return expr.number
    try:
        return expr.value(ctx)
    except NotYet:
        return None


def resolve(operand: Parsed, ctx: Context, holes: list[Hole]) -> Resolved:
    """The operand with its numbers, or with stand-ins and `holes` where they are not known yet."""
    if operand.kind == "reg":
        assert isinstance(operand.expr, Register)
        name = operand.expr.name
        entry = REGISTERS[name]
        if operand.size and operand.size != entry.bits:
            raise Problem(f"`{name}` has {entry.bits} bits, not {operand.size}", operand.token)
        return Reg(f"st({entry.number})" if entry.kind == "x87" else name, entry.bits, entry.kind)
    if operand.kind == "mem":
        return _resolve_memory(operand, ctx, holes)
    if operand.kind == "far":
        assert operand.selector is not None
        selector = _or_hole(operand.selector, STAND_IN_SELECTOR, ctx, holes)
        offset = _or_hole(operand.expr, STAND_IN_IMMEDIATE, ctx, holes)
        if not 0 <= selector <= 0xFFFF:
            raise Problem(f"a selector has 16 bits; {selector:#x} does not fit", operand.token)
        return Far(selector, offset, operand.size)
    value = _or_hole(operand.expr, STAND_IN_IMMEDIATE, ctx, holes)
    return Imm(value, operand.size, bool(holes) and holes[-1].expr is operand.expr)


def _or_hole(expr: Node, stand_in: int, ctx: Context, holes: list[Hole]) -> int:
    value = constant(expr, ctx)
    if value is None:
        holes.append(Hole(stand_in, expr))
        return stand_in
    return value


class _Terms:
    """An address taken apart: registers with factors, and what is left as a number."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.registers: list[tuple[Register, int]] = []
        self.rest: Node | None = None

    def add(self, node: Node, factor: int) -> None:
        """Add `factor * node`."""
        if isinstance(node, Register):
            self.registers.append((node, factor))
        elif not _has_register(node):
            self._add_number(node, factor)
        elif isinstance(node, Binary) and node.op in "+-":
            self.add(node.x, factor)
            self.add(node.y, factor if node.op == "+" else -factor)
        elif isinstance(node, Unary) and node.op == "-":
            self.add(node.x, -factor)
        elif isinstance(node, Binary) and node.op == "*":
            inner, by = (node.y, node.x) if _has_register(node.y) else (node.x, node.y)
            scale = None if _has_register(by) else constant(by, self.ctx)
            if scale is None:
                raise Problem("a register can only be multiplied by a constant", node.token)
            self.add(inner, factor * scale)
        else:
            raise Problem("an address is a sum of registers and numbers", node.token)

    def _add_number(self, node: Node, factor: int) -> None:
        if abs(factor) != 1:
            node = binary(node.token, "*", node, Num(node.token, abs(factor)))
        if self.rest is None:
            self.rest = node if factor > 0 else Unary(node.token, "-", node)
        else:
            self.rest = binary(node.token, "+" if factor > 0 else "-", self.rest, node)


def _has_register(node: Node) -> bool:
    if isinstance(node, Register):
        return True
    return any(_has_register(child) for child in node.children())


def _resolve_memory(operand: Parsed, ctx: Context, holes: list[Hole]) -> Mem:
    terms = _Terms(ctx)
    terms.add(operand.expr, 1)
    base, index, scale = _base_and_index(terms.registers, operand)
    disp = 0
    if terms.rest is not None:
        known = constant(terms.rest, ctx)
        if known is None:
            holes.append(Hole(STAND_IN_DISPLACEMENT, terms.rest))
            disp = STAND_IN_DISPLACEMENT
        else:
            if not -(1 << 31) <= known < 1 << 32:
                raise Problem(f"the address {known:#x} does not fit in 32 bits", operand.token)
            disp = (known + (1 << 31)) % (1 << 32) - (1 << 31)
    return Mem(operand.size, operand.segment, base, index, scale, disp, operand.address)


def _base_and_index(registers: list[tuple[Register, int]], operand: Parsed) -> tuple[str, str, int]:
    """Which register is the base and which the scaled index."""
    for node, factor in registers:
        entry = REGISTERS[node.name]
        if entry.kind != "general" or entry.bits == 8:
            raise Problem(f"`{node.name}` cannot be part of an address", node.token)
        if factor not in (1, 2, 4, 8):
            raise Problem(
                f"a register in an address is multiplied by 1, 2, 4 or 8, not by {factor}", node.token
            )
    if len(registers) > 2:
        raise Problem("an address has at most two registers", registers[2][0].token)
    if len({REGISTERS[node.name].bits for node, _ in registers}) > 1:
        raise Problem("an address cannot mix 16-bit and 32-bit registers", operand.token)
    if not registers:
        return "", "", 1
    if len(registers) == 1:
        node, factor = registers[0]
        if factor == 1:
            return node.name, "", 1
        _no_esp_index(node)
        return "", node.name, factor
    (one, f1), (two, f2) = registers
    if f1 != 1 or (two.name == "esp" and f2 == 1):
        (one, f1), (two, f2) = (two, f2), (one, f1)
    if f1 != 1:
        raise Problem("only one register in an address can be multiplied", operand.token)
    _no_esp_index(two)
    return one.name, two.name, f2


def _no_esp_index(node: Register) -> None:
    if node.name in ("esp", "sp"):
        raise Problem("`esp` cannot be multiplied or be an index", node.token)
