"""AT&T mnemonics: the suffix taken off, the operands turned round, the size put where it belongs.

A mnemonic is first looked up as it stands, because `shl`, `call` and `sub` end in letters that are
suffixes elsewhere; then without its last letter. Names that mean something of their own (`movzbl`,
`fildll`, `fsubp` with its old confusion) are in tables here.
Read next: `att.py`.
"""

from __future__ import annotations

from isa.asm.diagnostics import Problem, did_you_mean
from isa.asm.expression import Num, Register
from isa.asm.lexer import Token
from isa.asm.names import REGISTERS, words
from isa.asm.operands import Parsed
from isa.asm.widths import SIZED_NAMES

_SUFFIX = {"b": 8, "w": 16, "l": 32}
_LETTER = {8: "b", 16: "w", 32: "d"}

_REALS = words("fld fst fstp fadd fsub fsubr fmul fdiv fdivr fcom fcomp")
_INTEGERS = words("fild fist fistp fisttp fiadd fisub fisubr fimul fidiv fidivr ficom ficomp")
_X87 = {
    **{f"{stem}{letter}": (stem, bits) for stem in _REALS for letter, bits in (("s", 32), ("l", 64))},
    **{f"{stem}t": (stem, 80) for stem in ("fld", "fstp")},
    **{f"{stem}{letter}": (stem, bits) for stem in _INTEGERS for letter, bits in (("s", 16), ("l", 32))},
    **{f"{stem}{letter}": (stem, 64) for stem in ("fild", "fistp", "fisttp") for letter in ("ll", "q")},
}
_WIDENING = {
    f"{name}{letter}{into}": (intel, bits)
    for name, intel in (("movz", "movzx"), ("movs", "movsx"))
    for letter, bits, widths in (("b", 8, "wl"), ("w", 16, "l"))
    for into in widths
}
_SHORT_WIDENING = {
    "movsb": ("movsx", 8),
    "movsw": ("movsx", 16),
    "movzb": ("movzx", 8),
    "movzw": ("movzx", 16),
}
_SWAPPED = {"fsub": "fsubr", "fsubr": "fsub", "fdiv": "fdivr", "fdivr": "fdiv"}
_SWAPPED_AND_POPPED = {f"{one}p": f"{other}p" for one, other in _SWAPPED.items()}

_SHIFTS = words("rol ror rcl rcr shl shr sal sar")
_DOUBLE_SHIFTS = words("shld shrd")
_IN_ORDER = words("enter bound invlpga ljmp lcall ljmpw ljmpl lcallw lcalll")
_SIZELESS = words("lea lgdt lidt sgdt sidt lds les lfs lgs lss invlpg bound fldenv fnstenv fnsave frstor")
_NO_BYTES = words("call jmp lea bt bts btr btc bsf bsr bswap shld shrd lar lsl str sldt smsw lmsw ltr lldt")
# Conversions whose suffix is about the register, not the memory.
_SOURCES = {"cvttsd2si": 64, "cvtsd2si": 64, "cvttss2si": 32, "cvtss2si": 32}
_OWN_SIZES = _SHIFTS | _DOUBLE_SHIFTS | words("movzx movsx in out lar lsl")


def plain(name: Token, known: frozenset[str]) -> tuple[str, int]:
    """The mnemonic as Intel has it, and the size that its suffix says or 0."""
    word = name.text.lower()
    for table in (_WIDENING, _X87):
        if word in table:
            return table[word]
    if word in known or word in _SHORT_WIDENING:
        return word, 0
    stem, size = word[:-1], _SUFFIX.get(word[-1:], 0)
    if size and stem in known:
        return stem, size
    names = known | {
        f"{stem}l" for stem in ("mov", "push", "pop", "add", "sub", "cmp", "test", "lea", "call")
    }
    raise Problem(f"unknown instruction `{name.text}`", name, hint=did_you_mean(word, names))


def reordered(mnemonic: str, size: int, operands: list[Parsed], name: Token) -> tuple[str, list[Parsed]]:
    """Destination first; with operands written out that may be left out."""
    if mnemonic not in _IN_ORDER:
        operands = operands[::-1]
    if mnemonic in _SHIFTS and len(operands) == 1:
        operands = [operands[0], Parsed("imm", name, Num(name, 1))]
    elif mnemonic in _DOUBLE_SHIFTS and len(operands) == 2:
        operands = [*operands, Parsed("reg", name, Register(name, "cl"))]
    elif mnemonic in ("in", "out") and len(operands) == 1 and size:
        accumulator = Parsed("reg", name, Register(name, {8: "al", 16: "ax", 32: "eax"}[size]))
        operands = [accumulator, *operands] if mnemonic == "in" else [*operands, accumulator]
    if mnemonic in _SWAPPED_AND_POPPED:
        return _SWAPPED_AND_POPPED[mnemonic], operands
    if mnemonic in _SWAPPED and len(operands) == 2 and _register(operands[0]) not in ("", "st0"):
        return _SWAPPED[mnemonic], operands
    return mnemonic, operands


def sized(mnemonic: str, size: int, operands: list[Parsed], name: Token) -> tuple[str, list[Parsed]]:
    """The operands with the size of the suffix, which must not contradict a register."""
    if mnemonic in _SHORT_WIDENING:
        if not operands or not _is_general(operands[0]):
            return mnemonic, operands
        mnemonic, size = _SHORT_WIDENING[mnemonic]
    if mnemonic in ("movzx", "movsx") and len(operands) == 2:
        if operands[1].kind == "mem":
            operands[1].size = size
        elif size and _is_general(operands[1]):
            _agree(operands[1], size, name)
        return mnemonic, operands
    if not size:
        return mnemonic, operands
    if size == 8 and (mnemonic in _NO_BYTES or f"{mnemonic}w" in SIZED_NAMES):
        raise Problem(f"`{mnemonic}` has no form of 8 bits, as `{name.text}` would be", name)
    if mnemonic not in _OWN_SIZES:
        selectors = any(o.kind == "reg" and REGISTERS[_register(o)].kind == "segment" for o in operands)
        for operand in operands:
            if not selectors and _is_general(operand):
                _agree(operand, size, name)
    elif operands and _is_general(operands[0]) and mnemonic != "out":
        _agree(operands[0], size, name)
    with_size = f"{mnemonic}{_LETTER.get(size, '')}"
    if with_size in SIZED_NAMES:
        return with_size, operands
    selector = mnemonic == "mov" and any(
        o.kind == "reg" and REGISTERS[_register(o)].kind == "segment" for o in operands
    )
    for operand in operands:
        if operand.kind == "mem" and mnemonic not in _SIZELESS:
            operand.size = 16 if selector else _SOURCES.get(mnemonic, size)
    if mnemonic in ("call", "jmp") and operands and operands[0].kind == "imm":
        operands[0].size = size
    return mnemonic, operands


def _register(operand: Parsed) -> str:
    return operand.expr.name if operand.kind == "reg" and isinstance(operand.expr, Register) else ""


def _is_general(operand: Parsed) -> bool:
    return operand.kind == "reg" and REGISTERS[_register(operand)].kind == "general"


def _agree(operand: Parsed, size: int, name: Token) -> None:
    bits = REGISTERS[_register(operand)].bits
    if bits != size:
        raise Problem(
            f"`%{_register(operand)}` has {bits} bits, but `{name.text}` works on {size}", operand.token
        )
