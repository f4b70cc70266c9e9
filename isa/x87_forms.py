"""The opcodes of the x87, D8 to DF: names and operands of all 8 × (8 + 64) forms (SDM 2D, tables A-7 to A-22).

Each has a second byte. Where it names memory, its middle three bits choose one of eight instructions per
opcode; from C0 on it chooses a register form. capstone's ids for these are not used: it lacks the aliases
that processors execute, and names some operands otherwise. What the instructions do is in `ops/x87*`.

`S` is ST(0) and `I` is ST(i), i the low three bits; a number is the width of a memory operand in bits,
`E` and `X` are the environment (14 or 28 bytes by operand size) and the whole state (94 or 108).
"""

from __future__ import annotations

from functools import lru_cache

from isa import ids
from isa.insn import Kind, Operand

_ARITHMETIC = ("fadd", "fmul", "fcom", "fcomp", "fsub", "fsubr", "fdiv", "fdivr")
_INTEGER = ("fiadd", "fimul", "ficom", "ficomp", "fisub", "fisubr", "fidiv", "fidivr")

# Opcode → what its eight memory forms are, "-" for none; FISTTP came with SSE3.
_MEMORY = {
    0xD8: " ".join(f"{name}:32" for name in _ARITHMETIC),
    0xD9: "fld:32 - fst:32 fstp:32 fldenv:E fldcw:16 fnstenv:E fnstcw:16",
    0xDA: " ".join(f"{name}:32" for name in _INTEGER),
    0xDB: "fild:32 - fist:32 fistp:32 - fld:80 - fstp:80",
    0xDC: " ".join(f"{name}:64" for name in _ARITHMETIC),
    0xDD: "fld:64 - fst:64 fstp:64 frstor:X - fnsave:X fnstsw:16",
    0xDE: " ".join(f"{name}:16" for name in _INTEGER),
    0xDF: "fild:16 - fist:16 fistp:16 fbld:80 fild:64 fbstp:80 fistp:64",
}
# First byte of a row of eight, ST(0) to ST(7) → name and operands. The last lines are aliases.
_ROWS = {
    0xD8C0: "fadd:SI", 0xD8C8: "fmul:SI", 0xD8D0: "fcom:I", 0xD8D8: "fcomp:I",
    0xD8E0: "fsub:SI", 0xD8E8: "fsubr:SI", 0xD8F0: "fdiv:SI", 0xD8F8: "fdivr:SI",
    0xD9C0: "fld:I", 0xD9C8: "fxch:I",
    0xDAC0: "fcmovb:SI", 0xDAC8: "fcmove:SI", 0xDAD0: "fcmovbe:SI", 0xDAD8: "fcmovu:SI",
    0xDBC0: "fcmovnb:SI", 0xDBC8: "fcmovne:SI", 0xDBD0: "fcmovnbe:SI", 0xDBD8: "fcmovnu:SI",
    0xDBE8: "fucomi:SI", 0xDBF0: "fcomi:SI",
    0xDCC0: "fadd:IS", 0xDCC8: "fmul:IS", 0xDCE0: "fsubr:IS", 0xDCE8: "fsub:IS",
    0xDCF0: "fdivr:IS", 0xDCF8: "fdiv:IS",
    0xDDC0: "ffree:I", 0xDDD0: "fst:I", 0xDDD8: "fstp:I", 0xDDE0: "fucom:I", 0xDDE8: "fucomp:I",
    0xDEC0: "faddp:IS", 0xDEC8: "fmulp:IS", 0xDEE0: "fsubrp:IS", 0xDEE8: "fsubp:IS", 0xDEF0: "fdivrp:IS",
    0xDEF8: "fdivp:IS",
    0xDFE8: "fucomip:SI", 0xDFF0: "fcomip:SI", 0xDFC0: "ffreep:I",
    0xD9D8: "fstpnce:I", 0xDCD0: "fcom:I", 0xDCD8: "fcomp:I", 0xDDC8: "fxch:I", 0xDED0: "fcomp:I", 0xDFC8: "fxch:I",
    0xDFD0: "fstp:I", 0xDFD8: "fstp:I",
}  # fmt: skip
_SINGLES = {
    0xD9D0: "fnop", 0xD9E0: "fchs", 0xD9E1: "fabs", 0xD9E4: "ftst", 0xD9E5: "fxam", 0xD9E8: "fld1",
    0xD9E9: "fldl2t", 0xD9EA: "fldl2e", 0xD9EB: "fldpi", 0xD9EC: "fldlg2", 0xD9ED: "fldln2", 0xD9EE: "fldz",
    0xD9F0: "f2xm1", 0xD9F1: "fyl2x", 0xD9F2: "fptan", 0xD9F3: "fpatan", 0xD9F4: "fxtract", 0xD9F5: "fprem1",
    0xD9F6: "fdecstp", 0xD9F7: "fincstp", 0xD9F8: "fprem", 0xD9F9: "fyl2xp1", 0xD9FA: "fsqrt",
    0xD9FB: "fsincos", 0xD9FC: "frndint", 0xD9FD: "fscale", 0xD9FE: "fsin", 0xD9FF: "fcos", 0xDAE9: "fucompp",
    0xDBE0: "fneni", 0xDBE1: "fndisi", 0xDBE2: "fnclex", 0xDBE3: "fninit", 0xDBE4: "fnsetpm", 0xDED9: "fcompp",
    0xDFE0: "fnstsw",
}  # fmt: skip
CONDITIONS = {"b": 2, "e": 4, "be": 6, "u": 10, "nb": 3, "ne": 5, "nbe": 7, "nu": 11}  # of FCMOVcc

ST = tuple(Operand(Kind.ST, 80, n) for n in range(8))
_AX = Operand(Kind.REG16, 16, 0)
_ENVIRONMENT = {("E", 16): 14 * 8, ("E", 32): 28 * 8, ("X", 16): 94 * 8, ("X", 32): 108 * 8}


def _register_forms() -> dict[int, tuple[str, tuple[Operand, ...]]]:
    forms: dict[int, tuple[str, tuple[Operand, ...]]] = {n: (name, ()) for n, name in _SINGLES.items()}
    forms[0xDFE0] = "fnstsw", (_AX,)
    for first, text in _ROWS.items():
        name, letters = text.split(":")
        for n in range(8):
            forms[first | n] = name, tuple(ST[0] if letter == "S" else ST[n] for letter in letters)
    return forms


REGISTER_FORMS = _register_forms() | {0xDED9: ("fcompp", ())}
MEMORY_FORMS = {
    (opcode, n): text.split(":") for opcode, line in _MEMORY.items() for n, text in enumerate(line.split())
}
NAMES = sorted(
    {name for name, _ in REGISTER_FORMS.values()} | {name for name, *_ in MEMORY_FORMS.values()} - {"-"}
)
_NUMBERS = {name: ids.X87 + n for n, name in enumerate(NAMES)}


def x87(name: str) -> int:
    """The id of the instruction of this name."""
    return _NUMBERS[name]


def memory_form(opcode: int, modrm: int, w: int) -> tuple[int, int] | None:
    """Id and width of the memory operand, at operand size `w`."""
    name, *width = MEMORY_FORMS[opcode, modrm >> 3 & 7]
    if name == "-":
        return None
    return x87(name), _ENVIRONMENT[width[0], w] if width[0] in "EX" else int(width[0])


def register_form(opcode: int, modrm: int) -> tuple[int, tuple[Operand, ...]] | None:
    """Id and operands of a form without memory."""
    found = REGISTER_FORMS.get(opcode << 8 | modrm)
    return None if found is None else (x87(found[0]), found[1])


def opcode_of(raw: bytes) -> int:
    """The eleven bits that tell an instruction: the low three of its first byte, and the second (SDM 1, 8.1.9).
    0 for WAIT and FXSAVE, which nobody remembers."""
    return _opcode(raw)


@lru_cache(maxsize=1 << 12)
def _opcode(raw: bytes) -> int:
    at = next((n for n, byte in enumerate(raw) if byte & 0xF8 == 0xD8), None)
    return 0 if at is None else (raw[at] & 7) << 8 | raw[at + 1]
