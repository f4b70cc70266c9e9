"""Jumps and calls to a place: which opcodes, how wide a displacement, and what stands in front.

Here: from a parsed `jmp label` to a `Branch` with its short and its long form; the layout chooses
between them. Loops and `jcxz` have only a short form, and count in cx or ecx by their address size.

Not here: jumps through registers, memory and far pointers (`encoder.py`), distances (`relax.py`).
"""

from __future__ import annotations

from isa.asm.diagnostics import Problem
from isa.asm.expression import Register
from isa.asm.items import Branch, Instruction
from isa.asm.names import ALIASES, CONDITIONS
from isa.asm.operands import Imm, Parsed
from isa.asm.verify import check
from isa.asm.widths import SIZE_PREFIXES

BRANCHES: dict[str, tuple[bytes, bytes]] = {
    "jmp": (b"\xeb", b"\xe9"),
    "call": (b"", b"\xe8"),
    "loopne": (b"\xe0", b""),
    "loope": (b"\xe1", b""),
    "loop": (b"\xe2", b""),
    "jecxz": (b"\xe3", b""),
    "jcxz": (b"\xe3", b""),
    **{ALIASES[f"j{cc}"]: (bytes([0x70 + n]), bytes([0x0F, 0x80 + n])) for cc, n in CONDITIONS.items()},
}
LOOPS: dict[str, tuple[str, int]] = {
    f"{stem}{letter}": (ALIASES.get(stem, stem), bits)
    for stem in ("loop", "loope", "loopne", "loopz", "loopnz")
    for letter, bits in (("w", 16), ("d", 32), ("l", 32))
}
"""A loop with the size of its counter in the name."""

_COUNTER = {"jcxz": 16, "jecxz": 32}
_COUNTING = ("loop", "loope", "loopne")
_checked: set[tuple[int, bytes]] = set()


def is_branch(mnemonic: str, operands: list[Parsed]) -> bool:
    """Whether this is a jump or call to a place that can be computed."""
    if mnemonic not in BRANCHES or not operands or operands[0].kind != "imm" or operands[0].reach == "far":
        return False
    return len(operands) == 1 or (len(operands) == 2 and mnemonic in _COUNTING)


def branch(insn: Instruction, mnemonic: str, width: int, counter: int) -> Branch:
    """The item for a jump. `width` is the operand size, `counter` that of cx if one was asked for."""
    operand = insn.operands[0]
    bits = insn.mode.bits
    for token in insn.prefixes:
        if token.text.lower() not in SIZE_PREFIXES:
            raise Problem(f"`{token.text}` cannot stand before `{mnemonic}`", token)
    width = operand.size or width
    if width not in (16, 32) or (width == 16 and bits == 32):
        raise Problem("a jump within a segment has a 32-bit target", operand.token)
    short, long = BRANCHES[mnemonic]
    if operand.reach == "short":
        if not short:
            raise Problem(f"`{mnemonic}` has no short form", operand.token)
        long = b""
    other_size = width != bits
    if operand.reach == "near" or (other_size and long):
        if not long:
            raise Problem(f"`{mnemonic}` has only a short form", operand.token)
        short = b""
    prefix = b"\x66" if other_size else b""
    if mnemonic in _COUNTER or mnemonic in _COUNTING:
        counter = _COUNTER.get(mnemonic, 0) or _counter(insn, counter)
        prefix += b"\x67" if counter != bits else b""
    size = width // 8 if other_size else bits // 8
    for opcode, room in ((short, 1), (long, size)):
        code = prefix + opcode
        if opcode and (bits, code) not in _checked:
            check(code + bytes(room), mnemonic, (Imm(len(code) + room, width),), 1, bits)
            _checked.add((bits, code))
    return Branch(insn.line, operand.token, mnemonic, short, long, operand.expr, prefix, size)


def _counter(insn: Instruction, requested: int) -> int:
    """The width of what a loop counts in: `loop label, cx` says it."""
    if len(insn.operands) == 1:
        return requested or insn.mode.bits
    operand = insn.operands[1]
    name = operand.expr.name if isinstance(operand.expr, Register) and operand.kind == "reg" else ""
    if name not in ("cx", "ecx"):
        raise Problem("a loop counts in cx or ecx", operand.token)
    return 16 if name == "cx" else 32
