"""Which operand may have which size, and which number fits where.

Here: `sized`, which fills in the size of an address where the other operand or the instruction
decides it, and refuses what nothing decides, what disagrees and what does not fit. "Invalid operand"
would be true of all of them and help nobody.

Not here: forms that are encoded by `rawforms.py`, which check their own numbers.
"""

from __future__ import annotations

from isa.asm.names import words
from isa.asm.operands import Far, Imm, Mem, Reg, Resolved
from isa.asm.rawforms import Misfit, fit

_SAME_SIZE = words("mov add or adc sbb and sub xor cmp test xchg cmpxchg xadd")
_SHIFTS = words("rol ror rcl rcr shl shr sar")
_FLOATS = words(
    """
    fld fst fstp fadd fsub fsubr fmul fdiv fdivr fcom fcomp fild fist fistp fisttp fiadd fisub fisubr
    fimul fidiv fidivr ficom ficomp
    """
)
NEEDS_SIZE = (
    _SAME_SIZE | _SHIFTS | _FLOATS | words("inc dec not neg mul div idiv imul movzx movsx bt bts btr btc")
)
_SIZE_OF_REGISTER = _SAME_SIZE | words(
    "imul bsf bsr bt bts btr btc shld shrd popcnt lzcnt tzcnt movbe movnti"
)
_DEFAULT_SIZE = {"push": 32, "pop": 32, "call": 32, "jmp": 32, "cmpxchg8b": 64}
_IGNORES_SIZE = words(
    """
    lea invlpg fxsave fxrstor fnsave frstor fnstenv fldenv clflush prefetchnta prefetcht0 prefetcht1
    prefetcht2
    """
)
_BYTE_IMMEDIATE = _SHIFTS | words("shld shrd bt bts btr btc")


def sized(mnemonic: str, operands: tuple[Resolved, ...]) -> tuple[Resolved, ...]:
    """The operands with every size filled in that can be, and every number checked against its own."""
    out = list(operands)
    registers = [o for o in out if isinstance(o, Reg) and o.kind == "general"]
    same = mnemonic in _SAME_SIZE or mnemonic == "imul"
    memories = [i for i, o in enumerate(out) if isinstance(o, Mem)]
    if same and len(memories) > 1:
        raise Misfit(f"`{mnemonic}` cannot have two operands in memory", memories[1], "go through a register")
    by_register = mnemonic in _SIZE_OF_REGISTER or mnemonic.startswith("cmov")
    for i, operand in enumerate(out):
        if not isinstance(operand, Mem):
            continue
        size = operand.size
        if mnemonic in _IGNORES_SIZE:
            size = 0
        elif not size:
            if by_register and registers:
                size = registers[0].bits
            elif mnemonic.startswith("set"):
                size = 8
            elif mnemonic in NEEDS_SIZE:
                hint = "write byte, word or dword before the bracket, as in dword [ebx]"
                if mnemonic in _FLOATS:
                    hint = "write dword, qword or tbyte before the bracket"
                raise Misfit("the size of this memory operand is not known", i, hint)
            else:
                size = _DEFAULT_SIZE.get(mnemonic, 0)
        out[i] = operand._replace(size=size)
    if same:
        _agree(mnemonic, out)
    first = out[0] if out else None
    for i, operand in enumerate(out):
        if isinstance(operand, Imm):
            out[i] = _immediate(mnemonic, operand, i, first)
    return tuple(out)


def _agree(mnemonic: str, operands: list[Resolved]) -> None:
    """Both operands have the same width."""
    widths = [(width_of(o), i) for i, o in enumerate(operands) if _haswidth_of(o)]
    if len(widths) >= 2 and widths[0][0] != widths[1][0]:
        (one, _), (two, i) = widths[0], widths[1]
        hint = "movzx or movsx widens a value" if mnemonic == "mov" and one > two else None
        raise Misfit(f"the operands of `{mnemonic}` differ in size: {one} and {two} bits", i, hint)


def _haswidth_of(operand: Resolved) -> bool:
    return isinstance(operand, Mem) or (isinstance(operand, Reg) and operand.kind == "general")


def _immediate(mnemonic: str, operand: Imm, i: int, first: Resolved | None) -> Imm:
    if i == 0 and mnemonic in _SAME_SIZE:
        raise Misfit(
            f"the destination of `{mnemonic}` cannot be a number", 0, "the destination is the first operand"
        )
    if mnemonic in _BYTE_IMMEDIATE or (isinstance(first, Reg) and first.kind in ("xmm", "mmx")):
        width, signed = 8, False
    elif isinstance(first, Reg):
        width, signed = first.bits, True
    elif isinstance(first, Mem) and first.size in (8, 16, 32):
        width, signed = first.size, True
    else:
        width, signed = 32, True
    if width > 32:
        width = 32
    what = f"`{first.name}`" if isinstance(first, Reg) and width == first.bits else "this operand"
    data = fit(operand, width, i, signed, what)
    if operand.size not in (0, 8, width):
        raise Misfit(f"the operands of `{mnemonic}` differ in size: {width} and {operand.size} bits", i)
    if operand.size == 8 and width > 8 and not -128 <= operand.value <= 127:
        raise Misfit(f"{operand.value} does not fit a byte that is sign-extended: it holds -128..127", i)
    return Imm(int.from_bytes(data, "little"), width)


def width_of(operand: Resolved) -> int:
    """The width that an operand brings along, or 0."""
    if isinstance(operand, Reg):
        return operand.bits
    return 0 if isinstance(operand, Far) else operand.size
