"""The decoder against GNU objdump, against the SDM where capstone errs, and against random bytes."""

import os
from random import Random

import objdump_oracle as objdump
import pytest
from random_code import OPCODES, PREFIXES, X87, random_code

from isa import consts as c
from isa import ids
from isa.decode import TruncatedCode, decode
from isa.disasm import format_insn
from isa.faults import GeneralProtection, InvalidOpcode
from isa.insn import REP, REPNE, Insn, Kind
from isa.table import BY_ID, BY_NAME, ROWS

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
    if o.kind is Kind.ST:
        return text.replace("(", "").replace(")", "") if "(" in text else "st0"
    return text.replace("db", "dr") if o.kind is Kind.DEBUG else text


def compare(i, at, theirs):
    """What is wrong with our reading of one instruction, or None."""
    length, name, operands = theirs
    if "(bad)" in "".join([name, *operands]):
        return None  # objdump refuses a few encodings that processors take
    if i.row == UNMODELLED and set(i.raw[:3]) & {0x66, 0xF2, 0xF3}:
        return None  # AMD's and Intel's readings of some SSE encodings differ
    if row_name(i) in ("jmp", "call") and 0x3E in i.raw[: i.raw.find(0xFF) + 1]:
        return None  # objdump reads 3E as NOTRACK and forgets the other segment prefixes
    if length != i.length:
        return f"length {length}"
    if i.row == UNMODELLED or row_name(i) in (*STRINGS, "xlat", "nop", "hint", "aam", "aad", "fneni"):
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


# -- against the SDM --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "8ec8", "8e08", "8ef0", "8cf8",  # MOV CS, and segment registers that do not exist
        "0f20c8", "0f20e8", "0f22f0", "0f22f8",  # CR1, CR5, CR6, CR7
        "0fb9c0", "0fffc0",  # UD1, UD0
        "0f0e", "0faa", "0f37", "0f05", "0f07",  # FEMMS, RSM outside SMM, GETSEC, SYSCALL, SYSRET
        "f001c8", "f089 08", "f08508", "f03908", "f00fa308", "f0d320", "f0f3a4", "f090", "f0e800000000",
        "f0c5 00", "f08d00", "f00f1000", "f00f1f00", "f00f0d00", "f0f730", "f02b08",
        "8dc0", "fef0", "fff8", "c6c8", "8fc8", "0fc7c8", "0f00f8", "0fbac000",
    ],
)  # fmt: skip
def test_what_processors_refuse_is_invalid_opcode(code):
    with pytest.raises(InvalidOpcode):
        of(code + "00" * 6)


@pytest.mark.parametrize(
    "code", ["f00108", "f08308ff", "f0ff00", "f0f618", "f0f710", "f08708", "f00fab08", "f00fc108", "f00fc708"]
)
def test_lock_is_allowed_on_a_memory_destination(code):
    i = of(code)
    assert i.lock and ROWS[i.row].lockable


@pytest.mark.parametrize(
    ("code", "number", "w", "operands"),
    [
        ("8ed8", ids.MOV_SEG, 16, "ds ax"),
        ("8e18", ids.MOV_SEG, 16, "ds word [eax]"),
        ("8cd8", ids.MOV_SEG, 32, "eax ds"),
        ("668cd8", ids.MOV_SEG, 16, "ax ds"),
        ("8c18", ids.MOV_SEG, 16, "word [eax] ds"),
        ("0f20c0", ids.MOV_CR, 32, "eax cr0"),
        ("0f2000", ids.MOV_CR, 32, "eax cr0"),  # the mod field is not looked at
        ("660f22d8", ids.MOV_CR, 32, "cr3 eax"),
        ("0f21f8", ids.MOV_DR, 32, "eax dr7"),
        ("0f23c1", ids.MOV_DR, 32, "dr0 ecx"),
        ("1e", ids.PUSH_SEG, 32, "ds"),
        ("661e", ids.PUSH_SEG, 16, "ds"),
        ("0fa8", ids.PUSH_SEG, 32, "gs"),
        ("07", ids.POP_SEG, 32, "es"),
        ("660fa1", ids.POP_SEG, 16, "fs"),
        ("ea0403020108 00", ids.JMP_FAR, 32, "0x8:0x1020304"),
        ("66ea04030800", ids.JMP_FAR, 16, "0x8:0x304"),
        ("9a0403020108 00", ids.CALL_FAR, 32, "0x8:0x1020304"),
        ("ff28", ids.JMP_FAR, 32, "fword [eax]"),
        ("66ff28", ids.JMP_FAR, 16, "dword [eax]"),
        ("ff18", ids.CALL_FAR, 32, "fword [eax]"),
        ("66ff18", ids.CALL_FAR, 16, "dword [eax]"),
        ("cb", ids.RET_FAR, 32, ""),
        ("66ca0400", ids.RET_FAR, 16, "0x4"),
        ("cf", ids.IRET, 32, ""),
        ("66cf", ids.IRET, 16, ""),
        ("0f58c1", ids.UNMODELLED, 32, ""),
        ("f20f1000", ids.UNMODELLED, 32, ""),  # the SSE instruction that is also called MOVSD
    ],
)
def test_one_capstone_id_is_split_where_processors_tell_apart(code, number, w, operands):
    i = of(code)
    expected = BY_ID[number].index
    assert (i.row, i.w, " ".join(map(str, i.operands))) == (expected, w, operands)


@pytest.mark.parametrize(
    ("code", "w", "first"),
    [("c500", 32, 48), ("66c400", 16, 32), ("0fb200", 32, 48), ("0f0110", 32, 48), ("660f0118", 16, 48)],
)
def test_far_pointers_and_table_registers_have_their_true_width(code, w, first):
    i = of(code)
    memory = next(o for o in i.operands if o.kind is Kind.MEM)
    assert (i.w, memory.w) == (w, first)


def test_the_last_repeat_prefix_counts():
    assert of("f3f2a4").rep == REPNE
    assert of("f2f3a4").rep == REP
    assert of("f2a4").name == "movs"


def test_the_last_segment_prefix_counts():
    i = of("26642e8b00")
    assert (i.segment, i.src.n) == (c.CS, c.CS)


def test_the_segment_follows_from_the_base():
    assert [of(code).src.n for code in ("8b00", "8b4500", "8b0424", "678b02", "678b07", "658b00")] == [
        c.DS, c.SS, c.SS, c.SS, c.DS, c.GS,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "value", "w"),
    [
        ("83c0ff", 0xFFFFFFFF, 32), ("6683c0ff", 0xFFFF, 16), ("04ff", 0xFF, 8), ("6aff", 0xFFFFFFFF, 32),
        ("666aff", 0xFFFF, 16), ("cdff", 0xFF, 8), ("c2ffff", 0xFFFF, 16), ("d1e0", 1, 8), ("c1e0ff", 0xFF, 8),
    ],
)  # fmt: skip
def test_immediates_are_masked(code, value, w):
    last = of(code).operands[-1]
    assert (last.kind, last.value, last.w) == (Kind.IMM, value, w)


def test_enter_has_a_word_and_a_byte():
    assert [(o.value, o.w) for o in of("c8ffffff").operands] == [(0xFFFF, 16), (0xFF, 8)]


def test_displacements_are_masked_to_the_address_size():
    assert of("8b80ffffffff").src.value == 0xFFFFFFFF
    assert of("a1f0ffffff").src.value == 0xFFFFFFF0
    assert of("678b47ff").src.value == 0xFFFF


@pytest.mark.parametrize(
    ("code", "value", "w"),
    [
        ("ebfe", -2, 32),
        ("66ebfe", -2, 16),
        ("66e8feff", -2, 16),
        ("e8feffffff", -2, 32),
        ("660f84fe7f", 0x7FFE, 16),
    ],
)
def test_branches_are_relative_whatever_their_address(code, value, w):
    i = of(code)
    assert (i.dst.kind, i.dst.value, i.w) == (Kind.REL, value & c.M32, w)


def test_conditions_are_numbered_as_in_the_opcode():
    for n in range(16):
        codes = (
            f"{0x70 + n:02x}00",
            f"0f{0x80 + n:02x}00000000",
            f"0f{0x90 + n:02x}c0",
            f"0f{0x40 + n:02x}c0",
        )
        assert [of(code).cc for code in codes] == [n] * 4


def test_16_bit_code_swaps_the_sizes():
    assert (of("8b07", 16).w, of("8b07", 16).aw) == (16, 16)
    assert (of("66678b07", 16).w, of("66678b07", 16).aw) == (32, 32)


def test_hints_are_nops():
    for code in ("0f1f00", "0f0dc0", "0f1800", "0f19c0", "f30f1efb", "f30f1ec8", "660f1c00", "0f1b00"):
        assert row_name(of(code + "00" * 8)) == "hint"
    assert row_name(of("f390")) == "pause"


@pytest.mark.parametrize("scan", ["0fbc", "0fbd"])
@pytest.mark.parametrize(
    "prefixes", ["f2", "f2f2", "f3f2", "f2f3", "66f2", "65f2", "f265", "65f266", "36f267"]
)
def test_repeat_prefixes_before_a_scan_change_nothing_not_even_the_segment(scan, prefixes):
    meaning = prefixes.replace("f2", "").replace("f3", "")
    for operand in ("0424", "4500", "00", "c1"):
        repeated, plain = of(prefixes + scan + operand), of(meaning + scan + operand)
        assert (repeated.row, repeated.w, repeated.operands) == (plain.row, plain.w, plain.operands)
        assert repeated.length == plain.length + (len(prefixes) - len(meaning)) // 2
        assert repeated.raw == bytes.fromhex(prefixes + scan + operand)[: repeated.length]


def test_equal_bytes_share_one_record():
    assert of("8b4508") is of("8b450890")


# -- text -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("8b4424fc", "mov eax, dword [esp - 0x4]"),
        ("f00108", "lock add dword [eax], ecx"),
        ("f3a5", "rep movsd"),
        ("f2a6", "repne cmpsb"),
        ("672ea5", "a16 cs movsd"),
        ("ebfe", "jmp 0x1000 <here>"),
        ("66ebfe", "o16 jmp 0x1001"),
        ("7400", "je 0x1002"),
        ("66cf", "iretw"),
        ("cf", "iret"),
        ("ea0403020108 00", "jmp far 0x8:0x1020304"),
        ("66ff28", "o16 jmp far [eax]"),
        ("666a05", "push word 0x5"),
        ("661e", "o16 push ds"),
        ("8d448bf0", "lea eax, [ebx + ecx*4 - 0x10]"),
        ("0fb64301", "movzx eax, byte [ebx + 0x1]"),
        ("0f22d8", "mov cr3, eax"),
        ("d3e0", "shl eax, cl"),
        ("d9c0", "fld st0"),
        ("dce9", "fsub st1, st0"),
        ("db2d78563412", "fld tword [0x12345678]"),
        ("66d930", "o16 fnstenv [eax]"),
        ("0f58c1", "addps xmm0, xmm1"),
    ],
)
def test_text_is_intel_syntax_with_absolute_targets(code, text):
    assert format_insn(of(code), 0x1000, lambda at: "here" if at == 0x1000 else None) == text


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("98", "cbw"),
        ("6698", "cwde"),
        ("99", "cwd"),
        ("6699", "cdq"),
        ("6a05", "push 0x5"),
        ("666a05", "push dword 0x5"),
        ("669c", "pushfd"),
        ("66ff30", "push dword [bx + si]"),
        ("66ea000000000800", "o32 jmp far 0x8:0x0"),
    ],
)
def test_text_of_16_bit_code_says_where_it_is_of_32(code, text):
    assert format_insn(of(code, 16), 0x100, None, 16) == text


# -- lengths and robustness -------------------------------------------------------------------------


def test_sixteen_bytes_are_general_protection():
    assert of("66" * 14 + "90").length == 15
    for code in ("66" * 15, "2e" * 14 + "8b00", "2e" * 10 + "c70000000000"):
        with pytest.raises(GeneralProtection):
            of(code + "00" * 4)


def test_every_proper_prefix_of_an_instruction_is_truncated():
    random = Random(SEED)
    print(f"VMSIM_SEED={SEED}")
    for opcode in OPCODES:
        try:
            i = decode(random_code(random, opcode))
        except InvalidOpcode:
            continue
        for n in range(i.length):
            try:
                shorter = decode(i.raw[:n])
            except TruncatedCode:
                continue
            except InvalidOpcode:
                # VEX and the three-byte maps are refused before they are complete
                assert i.row == UNMODELLED or row_name(i) == "hint", i.raw.hex()
            else:
                assert shorter.length <= n and i.row == UNMODELLED, i.raw.hex()


@pytest.mark.parametrize("bits", [32, 16])
def test_random_bytes_raise_only_what_they_may(bits):
    random = Random(SEED)
    print(f"VMSIM_SEED={SEED}")
    for _ in range(20_000):
        code = random.randbytes(random.randrange(0, 16))
        if random.random() < 0.3:
            code = bytes(random.choice(PREFIXES) for _ in range(random.randrange(16))) + code
        try:
            i = decode(memoryview(code), bits)
        except (InvalidOpcode, GeneralProtection, TruncatedCode):
            continue
        assert 0 < i.length <= min(len(code), 15) and i.raw == code[: i.length]
        assert format_insn(i, 0x1000, bits=bits)
        for o in i.operands:
            assert 0 <= o.value <= c.M32 and (o.kind is not Kind.IMM or o.value <= c.MASK[o.w])


def test_every_row_is_reached():
    random = Random(1)
    reached = set()
    for opcode in OPCODES * 40 + X87 * 5:
        try:
            reached.add(decode(random_code(random, opcode)).row)
        except InvalidOpcode:
            continue
    missing = {row.name for row in ROWS if row.index not in reached and row.ids}
    assert not missing, missing


def test_the_table_names_are_consistent():
    assert BY_NAME["jcc"].ids and len(BY_NAME["jcc"].ids) == 16
    assert all(row.sdm for row in ROWS)
