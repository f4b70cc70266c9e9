"""AT&T statements: `movl $5, 8(%ebp,%eax,4)` to the same operands that Intel syntax gives.

Here: the operands (`$imm`, `%reg`, `disp(base,index,scale)`, `*target`), the order turned round, and
the size that a suffix says given to the operands that need one. Statements of a line are separated by
`;`, as every assembler has it that reads this syntax; a comment starts with `#`.

What comes out is a mnemonic and operands as `operands.py` makes them, so nothing behind this module
knows which syntax was read. Mnemonics are in `attnames.py`.
"""

from __future__ import annotations

from isa.asm import attnames
from isa.asm.branches import BRANCHES
from isa.asm.diagnostics import Problem, did_you_mean
from isa.asm.expression import ExpressionParser, Node, Num, Register, Scope, binary
from isa.asm.lexer import Cursor, Token
from isa.asm.names import ALIASES, PREFIXES, REGISTERS
from isa.asm.operands import Parsed, span
from isa.asm.widths import SIZED_NAMES

_INDIRECT = frozenset({"jmp", "call", "ljmp", "lcall"})
_OTHER_NAMES = {f"db{i}": f"dr{i}" for i in range(8)}


def statements(tokens: list[Token]) -> list[list[Token]]:
    """The tokens of a line cut at `;`; a prefix alone belongs to what follows it, as in `rep; stosl`."""
    parts: list[list[Token]] = []
    current: list[Token] = []
    for token in tokens:
        if token.kind == "end" or (token.kind == "op" and token.text == ";"):
            alone = len(current) == 1 and current[0].text.lower() in PREFIXES and token.kind != "end"
            if current and not alone:
                end = current[-1].column + len(current[-1].text)
                parts.append([*current, Token("end", "", end, token.line)])
                current = []
        else:
            current.append(token)
    return parts


def parse(name: Token, cursor: Cursor, scope: Scope, known: frozenset[str]) -> tuple[str, list[Parsed]]:
    """Mnemonic and operands, in Intel's order, of the instruction whose name was just read."""
    mnemonic, size = attnames.plain(name, known)
    stem = SIZED_NAMES.get(mnemonic, (mnemonic, 0))[0]
    canonical = ALIASES.get(stem, stem)
    operands: list[Parsed] = []
    stars = 0
    while operands or not cursor.ended:
        star = cursor.at("*")
        stars += star
        operands.append(_operand(cursor, scope, canonical in BRANCHES))
        if star and canonical not in _INDIRECT:
            raise Problem(f"`*` belongs to jumps and calls, not to `{name.text}`", operands[-1].token)
        if not cursor.take(","):
            break
    if not cursor.ended:
        hint = "operands are separated by commas; a comment starts with #"
        raise Problem(f"unexpected `{cursor.here.text}` after an operand", cursor.here, hint=hint)
    if canonical in _INDIRECT and operands and operands[0].kind in ("reg", "mem") and not stars:
        at = operands[0].token
        raise Problem("a jump through a register or memory has a star", at, hint=f"write *{at.text}")
    mnemonic, operands = attnames.reordered(mnemonic, size, operands, name)
    return attnames.sized(mnemonic, size, operands, name)


# ------------------------------------------------------------------------------------- operands


def _operand(cursor: Cursor, scope: Scope, is_branch: bool) -> Parsed:
    first = cursor.here
    star = cursor.take("*")
    if cursor.at("$"):
        if star:
            raise Problem("a jump to a number goes through memory: *5 or a register: *%eax", cursor.here)
        cursor.next()
        operand = Parsed("imm", first, ExpressionParser(cursor, scope).parse())
    elif cursor.at("%"):
        operand = _register_or_segment(cursor, scope)
    else:
        operand = _address(cursor, scope)
        if is_branch and not star and isinstance(operand.expr, Node) and not _has_parentheses(first, cursor):
            operand.kind = "imm"
    operand.token = span(first, cursor)
    return operand


def _has_parentheses(first: Token, cursor: Cursor) -> bool:
    """Whether the operand read last ended in `(...)` with registers."""
    return cursor.tokens[cursor.pos - 1].text == ")" and any(
        t.text == "%" for t in cursor.tokens[cursor.tokens.index(first) : cursor.pos]
    )


def _register(cursor: Cursor) -> Register:
    percent = cursor.expect("%", "in AT&T syntax registers are written %eax")
    token = cursor.next()
    lower = _OTHER_NAMES.get(token.text.lower(), token.text.lower())
    if token.kind != "name" or lower not in REGISTERS:
        at = token if token.kind == "name" else percent
        hint = did_you_mean(lower, REGISTERS)
        raise Problem(f"`%{token.text}` is not a register of this machine", at, hint=hint)
    if lower == "st":
        lower = "st0"
        if cursor.take("("):
            number = cursor.next()
            if number.kind != "num" or number.value > 7:
                raise Problem("the registers of the FPU are %st(0) to %st(7)", token)
            cursor.expect(")")
            lower = f"st{number.value}"
    return Register(token, lower)


def _register_or_segment(cursor: Cursor, scope: Scope) -> Parsed:
    node = _register(cursor)
    if REGISTERS[node.name].kind == "segment" and cursor.take(":"):
        operand = _address(cursor, scope)
        operand.segment = node.name
        return operand
    return Parsed("reg", node.token, node)


def _address(cursor: Cursor, scope: Scope) -> Parsed:
    """`disp(base, index, scale)`, any part of which may be missing."""
    token = cursor.here
    total: Node | None = None
    if not _opens_address(cursor):
        total = ExpressionParser(cursor, scope).parse()
    if _opens_address(cursor):
        opening = cursor.next()
        registers = _parts(cursor, scope)
        cursor.expect(")", "an address is written disp(base, index, scale)")
        if total is None and len(registers) == 1 and _names_dx(registers[0]):
            # The port of in and out, which is written as if it were an address.
            return Parsed("reg", token, registers[0])
        for part in registers:
            total = part if total is None else binary(opening, "+", part, total)
    if total is None:
        raise Problem(f"expected an operand {cursor.found()}", cursor.here)
    return Parsed("mem", token, total)


def _names_dx(node: Node) -> bool:
    return isinstance(node, Register) and node.name == "dx"


def _opens_address(cursor: Cursor) -> bool:
    """Whether a parenthesis with registers begins here, rather than one of an expression."""
    return cursor.at("(") and cursor.peek().kind == "op" and cursor.peek().text in ("%", ",")


def _parts(cursor: Cursor, scope: Scope) -> list[Node]:
    """Base and scaled index, the base last: sums are built from the right."""
    base = _register(cursor) if cursor.at("%") else None
    found: list[Node] = []
    if cursor.take(",") and cursor.at("%"):
        index = _register(cursor)
        found.append(index)
        if cursor.take(","):
            scale = ExpressionParser(cursor, scope).parse()
            if not isinstance(scale, Num) or scale.number not in (1, 2, 4, 8):
                raise Problem("the scale of an index is 1, 2, 4 or 8", scale.token)
            if scale.number != 1:
                found[0] = binary(scale.token, "*", index, scale)
    if base is not None:
        found.append(base)
    if not found:
        raise Problem(f"an address needs a register {cursor.found()}", cursor.here)
    return found
