"""Instructions that this package encodes itself.

Here: a table from mnemonic to a function that returns the bytes of a form, or `None` where the
general encoder does it well. In the table are the forms that keystone encodes wrongly (`lgdt`,
`iret`, `push es`, `push 5`, far jumps), refuses (`ud1`, `int 3` as one byte) or dies of (string
instructions), and those whose operands need a better answer than "invalid" when they do not fit
(`in`, `out`, `int`).

The bytes are those of 32-bit code; a prefix 66 asks for the 16-bit form. Prefixes for segments and
repetition are put in front by `encoder.py`, and `widths.py` makes 16-bit code of them.
"""

from __future__ import annotations

from collections.abc import Callable

from isa.asm.diagnostics import Problem
from isa.asm.names import REGISTERS
from isa.asm.operands import STAND_IN_IMMEDIATE, Far, Imm, Mem, Reg, Resolved

Operands = tuple[Resolved, ...]
Form = Callable[[str, Operands], bytes | None]


class Misfit(Problem):
    """Something is wrong with one operand; the caller knows where that operand stands."""

    def __init__(self, message: str, operand: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.operand = operand


def fit(number: int | Imm, bits: int, operand: int, signed: bool = True, what: str = "this operand") -> bytes:
    """A number in `bits`, or a `Misfit` that names the range. A stand-in fits anything."""
    low = -(1 << (bits - 1)) if signed else 0
    high = (1 << bits) - 1
    value = number.value if isinstance(number, Imm) else number
    if isinstance(number, Imm) and number.open:
        value &= high
    if not low <= value <= high:
        shown = str(value) if abs(value) < 1 << 16 else hex(value)
        raise Misfit(f"{shown} does not fit {what}: {bits} bits hold {low}..{high}", operand)
    return (value & high).to_bytes(bits // 8, "little")


def modrm(reg: int, rm: Reg | Mem) -> bytes:
    """The byte after the opcode and all that follows it."""
    if isinstance(rm, Reg):
        return bytes([0xC0 | reg << 3 | REGISTERS[rm.name].number])
    disp = (rm.disp & 0xFFFFFFFF).to_bytes(4, "little")
    if not rm.base and not rm.scaled:
        return bytes([reg << 3 | 5]) + disp
    base = REGISTERS[rm.base].number if rm.base else 5
    if not rm.base:
        mode, tail = 0, disp
    elif rm.disp == 0 and base != 5:
        mode, tail = 0, b""
    elif -128 <= rm.disp <= 127:
        mode, tail = 1, disp[:1]
    else:
        mode, tail = 2, disp
    if not rm.scaled and base != 4:
        return bytes([mode << 6 | reg << 3 | base]) + tail
    index = REGISTERS[rm.scaled].number if rm.scaled else 4
    scale = rm.scale.bit_length() - 1
    return bytes([mode << 6 | reg << 3 | 4, scale << 6 | index << 3 | base]) + tail


# ---------------------------------------------------------------------------------- string forms

STRING_OPCODES = {
    "movs": 0xA4,
    "cmps": 0xA6,
    "stos": 0xAA,
    "lods": 0xAC,
    "scas": 0xAE,
    "ins": 0x6C,
    "outs": 0x6E,
}
STRINGS: dict[str, tuple[str, int]] = {
    **{f"{stem}{s}": (stem, bits) for stem in STRING_OPCODES for s, bits in (("b", 8), ("w", 16), ("d", 32))},
    **{f"{stem}l": (stem, 32) for stem in STRING_OPCODES},
    **{stem: (stem, 0) for stem in STRING_OPCODES},
}
# What may be written as operands: registers by role. `D` is es:[edi], `S` is [esi], `A` the accumulator.
_STRING_ROLES = {
    "movs": "DS",
    "cmps": "SD",
    "stos": "DA",
    "lods": "AS",
    "scas": "AD",
    "ins": "DP",
    "outs": "PS",
}


def string_form(mnemonic: str, operands: Operands) -> tuple[bytes, str]:
    """Bytes and overriding segment of a string instruction; operands may be left out."""
    stem, bits = STRINGS[mnemonic]
    roles = _STRING_ROLES[stem]
    segment = ""
    if operands:
        if len(operands) == 1 and stem in ("stos", "lods", "scas"):
            roles = roles.replace("A", "")
        if len(operands) != len(roles):
            raise Problem(f"`{mnemonic}` takes {len(roles)} operands or none")
        for i, (role, operand) in enumerate(zip(roles, operands, strict=True)):
            found, override = _string_operand(mnemonic, role, operand, i)
            if role == "S":
                segment = override
            if found and bits and found != bits:
                raise Misfit(f"`{mnemonic}` works on {bits} bits, this operand has {found}", i)
            bits = bits or found
    if not bits:
        raise Problem(f"the size of `{mnemonic}` is not known", hint=f"write {stem}b, {stem}w or {stem}d")
    opcode = STRING_OPCODES[stem] + (bits > 8)
    return (b"\x66" if bits == 16 else b"") + bytes([opcode]), segment


def _string_operand(mnemonic: str, role: str, operand: Resolved, i: int) -> tuple[int, str]:
    if role == "A" and isinstance(operand, Reg) and operand.name in ("al", "ax", "eax"):
        return operand.bits, ""
    if role == "P" and isinstance(operand, Reg) and operand.name == "dx":
        return 0, ""
    bases = {"D": ("edi", "di"), "S": ("esi", "si")}.get(role, ())
    if isinstance(operand, Mem) and operand.base in bases and (operand.scaled, operand.disp) == ("", 0):
        if role == "D" and operand.segment not in ("", "es"):
            raise Misfit("the destination of a string instruction is always in es", i)
        if operand.size not in (0, 8, 16, 32):
            raise Misfit(f"`{mnemonic}` has no form of {operand.size} bits", i)
        return operand.size, operand.segment
    expected = {"D": "es:[edi]", "S": "[esi]", "A": "al, ax or eax", "P": "dx"}[role]
    raise Misfit(f"this operand of `{mnemonic}` can only be {expected}", i, "the operands may be left out")


# -------------------------------------------------------------------------------------- the forms


def _push(mnemonic: str, ops: Operands) -> bytes | None:
    op = ops[0] if len(ops) == 1 else None
    if isinstance(op, Reg) and op.kind == "segment":
        return _SEGMENT_STACK[mnemonic][op.name] if op.name in _SEGMENT_STACK[mnemonic] else _no_pop_cs()
    if mnemonic == "pop" or not isinstance(op, Imm):
        return None
    if op.size == 16:
        word = int.from_bytes(fit(op, 16, 0), "little", signed=True)
        short = -128 <= word <= 127
        return b"\x66\x6a" + fit(word, 8, 0) if short else b"\x66\x68" + fit(word, 16, 0)
    if op.size not in (0, 8, 32):
        raise Misfit(f"`push` has no form of {op.size} bits", 0)
    value = int.from_bytes(fit(op, 32, 0), "little")
    value -= (value >> 31) << 32
    if -128 <= value <= 127:
        return b"\x6a" + fit(value, 8, 0)
    if op.size == 8:
        raise Misfit(f"{op.value} does not fit `push byte`: it holds -128..127", 0)
    return b"\x68" + fit(value, 32, 0)


def _no_pop_cs() -> bytes:
    raise Misfit("`cs` cannot be popped", 0, "cs is loaded by a far jump, call, return or iret")


_SEGMENT_STACK = {
    "push": {
        "es": b"\x06",
        "cs": b"\x0e",
        "ss": b"\x16",
        "ds": b"\x1e",
        "fs": b"\x0f\xa0",
        "gs": b"\x0f\xa8",
    },
    "pop": {"es": b"\x07", "ss": b"\x17", "ds": b"\x1f", "fs": b"\x0f\xa1", "gs": b"\x0f\xa9"},
}


def _mov(mnemonic: str, ops: Operands) -> bytes | None:
    if len(ops) != 2:
        return None
    dst, src = ops
    for i, op in enumerate(ops):
        if isinstance(op, Reg) and op.kind == "control" and op.name not in ("cr0", "cr2", "cr3", "cr4"):
            raise Misfit(
                f"there is no register {op.name}", i, "the control registers are cr0, cr2, cr3 and cr4"
            )
    if isinstance(dst, Reg) and dst.kind == "segment":
        if dst.name == "cs":
            raise Misfit("`cs` cannot be written by mov", 0, "cs is loaded by a far jump: jmp 0x08:label")
        if isinstance(src, Imm):
            raise Misfit(
                f"a number cannot be moved into `{dst.name}`", 1, f"mov eax, …; then mov {dst.name}, eax"
            )
        if isinstance(src, Reg) and (src.kind != "general" or src.bits == 8):
            raise Misfit(
                f"`{src.name}` cannot be moved into `{dst.name}`", 1, "use a general register of 16 bits"
            )
        if isinstance(src, Mem) and src.size not in (0, 16):
            raise Misfit("a segment register is loaded from a word", 1)
        return b"\x8e" + modrm(REGISTERS[dst.name].number, src) if isinstance(src, Reg | Mem) else None
    if isinstance(src, Reg) and src.kind == "segment" and isinstance(dst, Reg | Mem):
        if (isinstance(dst, Mem) and dst.size not in (0, 16)) or (isinstance(dst, Reg) and dst.bits == 8):
            raise Misfit("a segment register is stored as a word", 0)
        if isinstance(dst, Reg) and dst.kind != "general":
            raise Misfit(f"`{src.name}` cannot be moved into `{dst.name}`", 0)
        wide = b"\x66" if isinstance(dst, Reg) and dst.bits == 16 else b""
        return wide + b"\x8c" + modrm(REGISTERS[src.name].number, dst)
    return None


def _interrupt(mnemonic: str, ops: Operands) -> bytes | None:
    if len(ops) != 1 or not isinstance(ops[0], Imm):
        return None
    if ops[0].value == 3:
        return b"\xcc"
    return b"\xcd" + fit(ops[0], 8, 0, signed=False, what="the vector of `int`")


def _port(mnemonic: str, ops: Operands) -> bytes | None:
    if len(ops) != 2:
        return None
    at = 1 if mnemonic == "in" else 0
    data, port = ops[1 - at], ops[at]
    if not isinstance(data, Reg) or data.name not in ("al", "ax", "eax"):
        raise Misfit(
            f"`{mnemonic}` works with al, ax or eax only", 1 - at, f"as in: {_PORT_EXAMPLE[mnemonic]}"
        )
    opcode = 0xE4 + (data.bits > 8) + 2 * (mnemonic == "out")
    wide = b"\x66" if data.bits == 16 else b""
    if isinstance(port, Reg) and port.name == "dx":
        return wide + bytes([opcode + 8])
    if not isinstance(port, Imm):
        raise Misfit(
            "a port is a number up to 255 or the register dx", at, f"as in: {_PORT_EXAMPLE[mnemonic]}"
        )
    if not port.open and not 0 <= port.value <= 255:
        hint = f"mov dx, {port.value:#x}; then {_PORT_EXAMPLE[mnemonic]}"
        raise Misfit(f"port {port.value:#x} does not fit in the instruction, which holds 0..255", at, hint)
    return wide + bytes([opcode]) + fit(port, 8, at, signed=False)


_PORT_EXAMPLE = {"in": "in al, dx", "out": "out dx, al"}


def _return(mnemonic: str, ops: Operands) -> bytes | None:
    opcode = {"ret": 0xC2, "retf": 0xCA}[mnemonic]
    if not ops:
        return bytes([opcode + 1])
    if len(ops) == 1 and isinstance(ops[0], Imm):
        return bytes([opcode]) + fit(ops[0], 16, 0, signed=False)
    return None


def _enter(mnemonic: str, ops: Operands) -> bytes | None:
    if len(ops) != 2 or not isinstance(ops[0], Imm) or not isinstance(ops[1], Imm):
        return None
    return b"\xc8" + fit(ops[0], 16, 0, signed=False) + fit(ops[1], 8, 1, signed=False)


def _ascii_adjust(mnemonic: str, ops: Operands) -> bytes | None:
    opcode = {"aam": b"\xd4", "aad": b"\xd5"}[mnemonic]
    if not ops:
        return opcode + b"\x0a"
    return opcode + fit(ops[0], 8, 0, signed=False) if isinstance(ops[0], Imm) and len(ops) == 1 else None


def _far(mnemonic: str, ops: Operands) -> bytes | None:
    """`ljmp` and `lcall`, which `jmp far` and `call far` are turned into."""
    direct, slot = {"ljmp": (b"\xea", 5), "lcall": (b"\x9a", 3)}[mnemonic]
    if len(ops) == 1 and isinstance(ops[0], Far):
        op = ops[0]
        wide, bits = (b"\x66", 16) if op.size == 16 else (b"", 32)
        offset = Imm(op.offset, open=op.offset == STAND_IN_IMMEDIATE)
        return wide + direct + fit(offset, bits, 0) + op.selector.to_bytes(2, "little")
    if len(ops) == 1 and isinstance(ops[0], Mem):
        if ops[0].size not in _FAR_SIZES:
            raise Misfit("a far pointer in memory is an fword: 32 bits of offset, then 16 of selector", 0)
        return _FAR_SIZES[ops[0].size] + b"\xff" + modrm(slot, ops[0])
    raise Problem(
        f"`{mnemonic}` needs a far pointer", hint="selector:offset, as in jmp 0x08:label, or jmp far [ebx]"
    )


# `far word` and `far dword` tell the size of the offset alone.
_FAR_SIZES = {0: b"", 48: b"", 32: b"", 16: b"\x66"}


def _table_register(mnemonic: str, ops: Operands) -> bytes | None:
    if len(ops) != 1 or not isinstance(ops[0], Mem):
        raise Problem(
            f"`{mnemonic}` takes the address of six bytes in memory", hint=f"as in: {mnemonic} [label]"
        )
    return b"\x0f\x01" + modrm({"sgdt": 0, "sidt": 1, "lgdt": 2, "lidt": 3}[mnemonic], ops[0])


def _register_and_rm(opcode: bytes, memory_only: bool, narrow_source: bool = False) -> Form:
    """Forms `op r, r/m` whose second operand has a size of its own."""

    def form(mnemonic: str, ops: Operands) -> bytes | None:
        if len(ops) != 2 or not isinstance(ops[0], Reg) or not isinstance(ops[1], Reg | Mem):
            return None
        dst, src = ops[0], ops[1]
        if dst.kind != "general" or dst.bits == 8 or (memory_only and isinstance(src, Reg)):
            return None
        if isinstance(src, Reg) and (src.kind != "general" or src.bits == 8):
            return None
        if narrow_source and isinstance(src, Mem) and src.size not in (0, 16):
            raise Misfit(f"`{mnemonic}` reads a selector, which is a word", 1)
        wide = b"\x66" if dst.bits == 16 else b""
        return wide + opcode + modrm(REGISTERS[dst.name].number, src)

    return form


def _long_nop(mnemonic: str, ops: Operands) -> bytes | None:
    if len(ops) != 1 or not isinstance(ops[0], Reg | Mem):
        return None
    op = ops[0]
    bits = op.bits if isinstance(op, Reg) else op.size or 32
    if bits not in (16, 32) or (isinstance(op, Reg) and op.kind != "general"):
        return None
    return (b"\x66" if bits == 16 else b"") + b"\x0f\x1f" + modrm(0, op)


def _translate(mnemonic: str, ops: Operands) -> bytes | None:
    """`xlatb`; its operand may be written but can only be [ebx]. Keystone would take any and warn."""
    place = ops[0][2:6] if len(ops) == 1 and isinstance(ops[0], Mem) else ()
    if ops and place not in (("ebx", "", 1, 0), ("bx", "", 1, 0)):
        raise Misfit("the operand of `xlatb` can only be [ebx]", 0, "it may be left out")
    return b"\xd7"


_BIT_SLOTS = {"bt": 4, "bts": 5, "btr": 6, "btc": 7}


def _bit_test(mnemonic: str, ops: Operands) -> bytes | None:
    """Bit numbers above 127, which keystone takes for negative ones."""
    if (
        len(ops) != 2
        or not isinstance(ops[1], Imm)
        or not isinstance(ops[0], Reg | Mem)
        or ops[1].value < 128
    ):
        return None
    place = ops[0]
    bits = place.bits if isinstance(place, Reg) else place.size
    if bits not in (16, 32) or (isinstance(place, Reg) and place.kind != "general"):
        return None
    number = fit(ops[1], 8, 1, signed=False)
    return (b"\x66" if bits == 16 else b"") + b"\x0f\xba" + modrm(_BIT_SLOTS[mnemonic], place) + number


def _fixed(code: str) -> Form:
    """A form without operands."""
    data = bytes.fromhex(code)
    return lambda mnemonic, ops: None if ops else data


FORMS: dict[str, Form] = {
    "push": _push,
    "pop": _push,
    "mov": _mov,
    "int": _interrupt,
    "in": _port,
    "out": _port,
    "ret": _return,
    "retf": _return,
    "enter": _enter,
    "aam": _ascii_adjust,
    "aad": _ascii_adjust,
    "ljmp": _far,
    "lcall": _far,
    **dict.fromkeys(("lgdt", "lidt", "sgdt", "sidt"), _table_register),
    "les": _register_and_rm(b"\xc4", True),
    "lds": _register_and_rm(b"\xc5", True),
    "lss": _register_and_rm(b"\x0f\xb2", True),
    "lfs": _register_and_rm(b"\x0f\xb4", True),
    "lgs": _register_and_rm(b"\x0f\xb5", True),
    "bound": _register_and_rm(b"\x62", True),
    "lar": _register_and_rm(b"\x0f\x02", False, True),
    "lsl": _register_and_rm(b"\x0f\x03", False, True),
    "ud1": _register_and_rm(b"\x0f\xb9", False),
    "nop": _long_nop,
    "xlatb": _translate,
    **dict.fromkeys(_BIT_SLOTS, _bit_test),
    **{
        name: _fixed(code)
        for name, code in {
            "int3": "cc",
            "int1": "f1",
            "iretd": "cf",
            "iretw": "66cf",
            "pushfd": "9c",
            "pushfw": "669c",
            "popfd": "9d",
            "popfw": "669d",
            "pushad": "60",
            "pushaw": "6660",
            "popad": "61",
            "popaw": "6661",
            "vmrun": "0f01d8",
            "vmmcall": "0f01d9",
            "vmload": "0f01da",
            "vmsave": "0f01db",
            "invlpga": "0f01df",
            "fwait": "9b",
            "salc": "d6",
        }.items()
    },
}
