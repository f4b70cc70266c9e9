"""Sizes that are not spelled out: code of 16 and 32 bits, and what the prefixes 66 and 67 do about it.

Every instruction is first encoded as 32-bit code would have it. Here that encoding is turned into the
one for the code at hand: 66 says "the other operand size" and 67 "the other address size", so in 16-bit
code each is there exactly where it is absent in 32-bit code, for those opcodes that have a size at all
(SDM 2A, 2.1.1). Addresses of 16 bits are encoded here too, because they have a shape of their own
(SDM 2A, table 2-1): the encoder is shown `[ebx]` in their place and its byte is replaced.

What has no operand to show its size (`ret`, `push 5`, `iret`, `lgdt`) has that of the code around it,
unless a prefix (`o32`, `data32`) or a suffix (`retd`, `lgdtd`) says otherwise.

Not here: which prefixes a person may write (`encoder.py`). Read next: `verify.py`.
"""

from __future__ import annotations

from typing import NamedTuple

from isa.asm.diagnostics import Problem
from isa.asm.names import ALIASES, REGISTERS, words
from isa.asm.operands import STAND_IN_DISPLACEMENT, Far, Imm, Mem, Reg, Resolved
from isa.asm.rawforms import Misfit


class Mode(NamedTuple):
    """The kind of code at a place of the source. `stack` is what calls, returns and pushes default to."""

    bits: int = 32
    stack: int = 32


CODE32 = Mode()
CODE16 = Mode(16, 16)
CODE16GCC = Mode(16, 32)
"""16-bit code from a compiler that thinks in 32 bits: it calls, returns and pushes with 32."""

SIZE_PREFIXES: dict[str, tuple[str, int]] = {
    **dict.fromkeys(("data16", "o16"), ("operand", 16)),
    **dict.fromkeys(("data32", "o32"), ("operand", 32)),
    **dict.fromkeys(("addr16", "a16"), ("address", 16)),
    **dict.fromkeys(("addr32", "a32"), ("address", 32)),
}

ALIASES_16 = {
    "iret": "iretw",
    "pushf": "pushfw",
    "popf": "popfw",
    "pusha": "pushaw",
    "popa": "popaw",
}
"""Spellings that mean the 16-bit instruction where the operand size is 16."""

SIZED_NAMES: dict[str, tuple[str, int]] = {
    **{
        f"{stem}{letter}": (stem, bits)
        for stem in ("ret", "retf", "enter", "leave", "lgdt", "lidt", "sgdt", "sidt", "ljmp", "lcall")
        for letter, bits in (("w", 16), ("d", 32), ("l", 32))
    },
    **{
        f"{stem}{letter}": (stem, bits) for stem in ("push", "pop") for letter, bits in (("w", 16), ("d", 32))
    },
    **{f"retn{letter}": ("ret", bits) for letter, bits in (("w", 16), ("d", 32))},
    **{f"lret{letter}": ("retf", bits) for letter, bits in (("w", 16), ("l", 32))},
}
"""A mnemonic with its operand size in the name."""

STACKING = words("call ret retn enter leave push pop pusha popa pushf popf")
_IMPLIED = words("ret retf enter leave lgdt lidt sgdt sidt")
_BY_OPERAND = words("push pop call jmp ljmp lcall")


def spelled(written: str, mode: Mode, requested: int) -> tuple[str, int, int]:
    """Canonical mnemonic, operand size to take where none shows, and that size if it was asked for."""
    base, size = SIZED_NAMES.get(written, (written, 0))
    asked = size or requested
    width = asked or (mode.stack if base in STACKING else mode.bits)
    if width == 16 and base in ALIASES_16:
        return ALIASES_16[base], width, asked
    return ALIASES.get(base, base), width, asked


def with_sizes(mnemonic: str, operands: tuple[Resolved, ...], width: int, asked: int) -> tuple[Resolved, ...]:
    """The operands of a stack instruction or transfer, with the operand size where none is written."""
    if mnemonic not in _BY_OPERAND or len(operands) != 1:
        return operands
    operand = operands[0]
    if asked and isinstance(operand, Reg) and operand.kind == "general" and operand.bits != asked:
        raise Misfit(f"`{operand.name}` has {operand.bits} bits, the instruction works on {asked}", 0)
    if isinstance(operand, Mem) and not operand.size:
        return (operand._replace(size=width),)
    if isinstance(operand, Far) and not operand.size:
        return (operand._replace(size=width),)
    if isinstance(operand, Imm) and mnemonic == "push" and width == 16:
        if operand.size == 8 and not -128 <= operand.value <= 127:
            raise Misfit(f"{operand.value} does not fit `push byte`: it holds -128..127", 0)
        return (operand._replace(size=16),) if operand.size in (0, 8) else operands
    return operands


def implied_prefix(mnemonic: str, operands: tuple[Resolved, ...], width: int) -> bytes:
    """66 where an instruction that shows no size shall work on 16 bits."""
    if width == 32:
        return b""
    segment = mnemonic in ("push", "pop") and any(
        isinstance(o, Reg) and o.kind == "segment" for o in operands
    )
    return b"\x66" if segment or mnemonic in _IMPLIED else b""


# ------------------------------------------------------------------------- what has a size at all

_PREFIXES = b"\x66\x67\xf2\xf3\xf0\x26\x2e\x36\x3e\x64\x65\x9b"


def _opcodes(text: str) -> frozenset[int]:
    return frozenset(bytes.fromhex(text))


_SIZED = _opcodes(
    """
    01 03 05 06 07 09 0b 0d 0e 11 13 15 16 17 19 1b 1d 1e 1f 21 23 25 29 2b 2d 31 33 35 39 3b 3d
    40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f 50 51 52 53 54 55 56 57 58 59 5a 5b 5c 5d 5e 5f
    60 61 62 68 69 6a 6b 6d 6f 81 83 85 87 89 8b 8d 8f 91 92 93 94 95 96 97 98 99 9a 9c 9d
    a1 a3 a5 a7 a9 ab ad af b8 b9 ba bb bc bd be bf c1 c2 c3 c4 c5 c7 c8 c9 ca cb cf d1 d3
    e5 e7 e8 e9 ea ed ef f7 ff
    """
)
_SIZED_0F = _opcodes(
    """
    02 03 1f 40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f a0 a1 a3 a4 a5 a8 a9 ab ac ad af
    b1 b2 b3 b4 b5 b6 b7 b8 b9 ba bb bc bd be bf c1 c8 c9 ca cb cc cd ce cf
    """
)


def opcode_end(code: bytes) -> tuple[int, int]:
    """Where the opcode of an instruction begins and ends."""
    at = 0
    while at + 1 < len(code) and code[at] in _PREFIXES:
        at += 1
    if code[at] != 0x0F:
        return at, at + 1
    return at, at + (3 if code[at + 1] in (0x38, 0x3A) else 2)


def _has_size(code: bytes) -> bool:
    """Whether a prefix 66 changes the operand size of this instruction rather than something else."""
    start, end = opcode_end(code)
    opcode = code[start:end]
    modrm = code[end] if end < len(code) else 0
    register, slot = modrm >= 0xC0, modrm >> 3 & 7
    if len(opcode) == 1:
        # Segment registers are stored as words, but into a whole register.
        exchange = opcode[0] == 0x90 and 0x66 in code[:start]
        return opcode[0] in _SIZED or exchange or (opcode[0] == 0x8C and register)
    if len(opcode) == 3:
        # MOVBE and CRC32; everything else there takes 66 for a part of the opcode.
        return opcode[1:] == b"\x38\xf1" or (opcode[1:] == b"\x38\xf0" and 0xF2 not in code[:start])
    if opcode[1] == 0x00:
        return register and slot < 2
    if opcode[1] == 0x01:
        return slot == 4 if register else slot < 4
    return opcode[1] in _SIZED_0F


def adapt(code: bytes, mode: Mode, operand: int, address: int) -> bytes:
    """An encoding of 32-bit code for the code at hand.

    `operand` is the size a written prefix asks for, or 0; `address` the width of its address.
    """
    start, _ = opcode_end(code)
    front = bytes(b for b in code[:start] if b != 0x67)
    wide = 0x66 in front
    if mode.bits == 16 and _has_size(code):
        wide = not wide
        front = b"\x66" + front if wide else front.replace(b"\x66", b"", 1)
    if operand not in (0, mode.bits) and not wide:
        front = b"\x66" + front
    if address not in (0, mode.bits):
        front = b"\x67" + front
    return front + code[start:]


_MISREAD = (b"\x98", b"\x99", b"\x8e", b"\x0f\x02", b"\x0f\x03")


def misread(code: bytes, mnemonic: str, operands: tuple[Resolved, ...]) -> bool:
    """Whether capstone reads this wrongly in 16-bit mode: then its 32-bit spelling is read back instead.

    CBW and CWD pass for CWDE and CDQ there, selectors have another width, and a 66 that belongs to the
    opcode (SSE2, VMCLEAR) is not seen.
    """
    start, end = opcode_end(code)
    mandatory = mnemonic == "vmclear" or any(isinstance(o, Reg) and o.kind == "xmm" for o in operands)
    return code[start:end] in _MISREAD or (mandatory and 0x66 in code[:start])


# --------------------------------------------------------------------------- addresses of 16 bits

_PAIRS = {
    ("bx", "si"): 0,
    ("bx", "di"): 1,
    ("bp", "si"): 2,
    ("bp", "di"): 3,
    ("si", ""): 4,
    ("di", ""): 5,
    ("bp", ""): 6,
    ("bx", ""): 7,
}
_MOFFS = {0x8A: 0xA0, 0x8B: 0xA1, 0x88: 0xA2, 0x89: 0xA3}


def placed(operand: Mem, at: int, mode: Mode, requested: int) -> Mem:
    """The operand with the width of its address settled and its parts in the order they are encoded."""
    register = operand.base or operand.scaled
    inherent = REGISTERS[register].bits if register else 0
    wanted = operand.address or requested
    if inherent and wanted and inherent != wanted:
        raise Misfit(f"`{register}` cannot be part of an address of {wanted} bits", at)
    width = inherent or wanted or mode.bits
    if width == 32:
        return operand._replace(address=32)
    base, index, disp = operand.base, operand.scaled, operand.disp
    if base in ("si", "di") and index in ("bx", "bp"):
        base, index = index, base
    if register and ((base, index) not in _PAIRS or operand.scale != 1):
        raise Misfit(
            "an address of 16 bits is made of bx or bp and si or di",
            at,
            hint="any register can be part of an address of 32 bits: [ebx + 4*ecx]",
        )
    if disp != STAND_IN_DISPLACEMENT and not -0x8000 <= disp <= 0xFFFF:
        raise Misfit(
            f"the address {disp & 0xFFFFFFFF:#x} does not fit in 16 bits",
            at,
            hint="an address of 32 bits is written [dword label] in 16-bit code",
        )
    disp = (disp + 0x8000) % 0x10000 - 0x8000
    return operand._replace(base=base, scaled=index, disp=disp, address=16)


def narrow(code: bytes, operand: Mem, accumulator: bool) -> bytes:
    """Put an address of 16 bits where the encoder was shown `[ebx]`."""
    _, end = opcode_end(code)
    if end >= len(code) or code[end] & 0xC7 != 0x03:
        raise Problem("this instruction takes no address of 16 bits")
    disp = operand.disp.to_bytes(2, "little", signed=True)
    if not operand.base:
        if accumulator and code[end - 1] in _MOFFS:
            return code[: end - 1] + bytes([_MOFFS[code[end - 1]]]) + disp
        mode, rm = 0, 6
    else:
        rm = _PAIRS[operand.base, operand.scaled]
        if operand.disp == 0 and rm != 6:
            mode, disp = 0, b""
        elif -128 <= operand.disp <= 127:
            mode, disp = 1, disp[:1]
        else:
            mode = 2
    return code[:end] + bytes([mode << 6 | code[end] & 0x38 | rm]) + disp + code[end + 1 :]


def displacement_at(code: bytes) -> int:
    """Where the displacement of an address of 16 bits lies that cannot be short."""
    start, end = opcode_end(code)
    return end if end - start == 1 and code[start] in _MOFFS.values() else end + 1
