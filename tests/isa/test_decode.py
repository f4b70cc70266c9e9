"""The decoder against GNU objdump, against the SDM where capstone errs, and against random bytes."""

import os
from random import Random

import objdump_oracle as objdump
import pytest
from random_code import OPCODES, random_code

from isa import consts as c
from isa import ids
from isa.decode import decode
from isa.disasm import format_insn
from isa.faults import InvalidOpcode
from isa.insn import Insn, Kind
from isa.table import BY_ID, ROWS

SEED = int(os.environ.get("VMSIM_SEED", "0")) or Random().randrange(1, 1 << 32)
UNMODELLED = BY_ID[ids.UNMODELLED].index
STRINGS = ("movs", "cmps", "scas", "lods", "stos", "ins", "outs")


def of(text: str, bits: int = 32) -> Insn:
    return decode(bytes.fromhex(text), bits)


def row_name(i: Insn) -> str:
    return ROWS[i.row].name


# -- against objdump --------------------------------------------------------------------------------


def our_operand(i, o, at):
    """An operand in objdump's terms."""
    if o.kind is Kind.MEM:
        names = c.REGISTER_NAMES if o.aw == 32 else c.REGISTER16_NAMES
        registers = [(names[o.base], 1)] if o.base >= 0 else []
        registers += [(names[o.index], 1 << o.scale)] if o.index >= 0 else []
        return o.w, c.SEGMENT_NAMES[o.n], set(registers), o.value
    if o.kind is Kind.REL:
        return (at + i.length + o.value) & c.MASK[i.w]
    return o.value if o.kind is Kind.IMM else str(o)


def their_operand(i, o, text):
    if o.kind is Kind.MEM:
        w, segment, registers, displacement = objdump.memory(text)
        based_on_stack = bool(registers & {("esp", 1), ("ebp", 1), ("bp", 1)}) and o.n == c.SS
        segment = segment or ("ss" if based_on_stack else "ds")
        return w or o.w, segment, registers, displacement & c.MASK[o.aw]
    if o.kind in (Kind.IMM, Kind.REL):
        return int(text, 16) & c.MASK[i.w if o.kind is Kind.REL else o.w]
    if o.kind is Kind.REG16 and i.dst.kind is Kind.SEGMENT:
        return text.removeprefix("e")  # MOV to a segment register reads 16 bits, says the SDM
    return text.replace("db", "dr") if o.kind is Kind.DEBUG else text


def compare(i, at, theirs):
    """What is wrong with our reading of one instruction, or None."""
    length, name, operands = theirs
    if "(bad)" in "".join([name, *operands]):
        return None  # objdump refuses a few encodings that processors take
    if i.row == UNMODELLED and set(i.raw[:3]) & {0x66, 0xF2, 0xF3}:
        return None  # AMD's and Intel's readings of some SSE encodings differ
    if length != i.length:
        return f"length {length}"
    if i.row == UNMODELLED or row_name(i) in (*STRINGS, "xlat", "nop", "aam", "aad"):
        return None
    if i.name in ("mov", "sldt", "str", "smsw") and i.dst.kind is Kind.REG32 and operands[0] != str(i.dst):
        return "width"
    expected = [their_operand(i, o, t) for o, t in zip(i.operands, operands, strict=True)]
    ours = [our_operand(i, o, at) for o in i.operands]
    return None if ours == expected else f"{ours} is not {expected}"


@pytest.mark.skipif(not objdump.AVAILABLE, reason="objdump is not installed")
@pytest.mark.parametrize("bits", [32, 16])
def test_lengths_and_operands_agree_with_objdump(bits, tmp_path):
    print(f"VMSIM_SEED={SEED}")
    random = Random(SEED)
    found = []
    for opcode in OPCODES * 20:
        try:
            found.append(decode(random_code(random, opcode), bits))
        except InvalidOpcode:
            continue
    assert len(found) > 5000
    wrong = []
    for n, (i, theirs) in enumerate(
        zip(found, objdump.disassemble([i.raw for i in found], bits, tmp_path), strict=True)
    ):
        error = compare(i, n * objdump.SLOT, theirs)
        if error:
            wrong.append(f"{i.raw.hex()} {format_insn(i, n * objdump.SLOT, bits=bits)}: {error} ({theirs})")
    assert not wrong, f"{len(wrong)} differ\n" + "\n".join(wrong[:40])
