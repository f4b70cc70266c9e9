"""What becomes of each instruction, and that a translation weighs exactly what it stands for."""

from __future__ import annotations

import pytest

from isa.asm import encode
from isa.decode import decode
from isa.insn import Insn
from isa.memory import Ram
from isa.table import ROWS, Sensitive
from vmm.rewrite import kinds, sequences
from vmm.rewrite.code import Hold, Leave, Piece
from vmm.rewrite.kinds import Treatment, treatment
from vmm.rewrite.translator import MAX_INSTRUCTIONS, Unit, translate

AT = 0x100000
PAGE = 4096

KERNEL = {
    Treatment.IDENTICAL: "add eax, [ebx] | push ds | mov ax, es | rep movsb | fs: lodsd | pop [esp+4] | ud2 | lahf",
    Treatment.REWRITTEN: "push cs | push ss | push gs | mov eax, cs | mov ecx, ss | mov edx, cr0 | mov ebx, cr3",
    Treatment.CHAINED: "jmp 0x100040 | call 0x200000 | jne 0x100010 | loop 0x100002 | jecxz 0x100005",
    Treatment.IN_CACHE: "cli | sti | pushfd | popfd | ret | ret 8 | jmp eax | call [ebx+4] | jmp [eax*4+0x1000]",
    Treatment.CALL_OUT: "hlt | lgdt [eax] | mov cr3, eax | mov ds, ax | pop es | iretd | int 0x80 | int3"
    " | in al, dx | sgdt [eax] | smsw ax | lar eax, ecx | cpuid | rdtsc | clts | invlpg [eax] | pushfw | popfw"
    " | jmp far 8:0 | mov eax, gs:[ebx] | mov eax, cs:[ebx] | jmp gs:[eax]"
    " | mov word ptr [eax], cs | push word ptr gs:[4]",
}  # fmt: skip
CASES = [(text.strip(), wanted) for wanted, texts in KERNEL.items() for text in texts.split("|")]


def instruction(text: str, at: int = AT) -> Insn:
    return decode(b"\x64\xad" if text == "fs: lodsd" else encode(text, at))


@pytest.mark.parametrize(("text", "wanted"), CASES)
def test_an_instruction_of_the_kernel_is_treated_as_listed(text: str, wanted: Treatment) -> None:
    assert treatment(instruction(text), user=False) is wanted


@pytest.mark.parametrize("text", ["cli", "sti", "pushfd", "popfd", "mov eax, cr0"])
def test_what_only_a_kernel_may_do_is_a_call_out_for_a_program(text: str) -> None:
    assert treatment(instruction(text), user=True) is Treatment.CALL_OUT


def test_no_sensitive_instruction_is_copied_but_those_that_name_an_unchanged_segment() -> None:
    copied = {
        ROWS[i.row].name
        for text, _ in CASES
        if treatment(i := instruction(text), user=False) is Treatment.IDENTICAL
        and ROWS[i.row].sensitive is not Sensitive.INNOCUOUS
    }
    assert copied == {"push sreg", "mov sreg"}


def unit_of(*texts: str, at: int = AT) -> Unit:
    """The unit of a page with these instructions at `at`; what goes beyond the page is not there."""
    code = b""
    for text in texts:
        code += instruction(text, at + len(code)).raw
    ram = Ram(PAGE)
    ram.write(at % PAGE, code[: PAGE - at % PAGE])
    return translate(ram, 0, at, False, set())


@pytest.mark.parametrize(("text", "kind"), [case for case in CASES if case[1] is not Treatment.CALL_OUT])
def test_a_translation_counts_as_one_instruction(text: str, kind: Treatment) -> None:
    make = {
        Treatment.IDENTICAL: sequences.identical,
        Treatment.REWRITTEN: sequences.rewritten,
        Treatment.CHAINED: sequences.chained,
        Treatment.IN_CACHE: sequences.in_cache,
    }[kind]
    i = instruction(text)
    pieces: list[Piece] = make(i, AT)
    indirect = i.row in (kinds.RET, kinds.JMP, kinds.CALL) and kind is Treatment.IN_CACHE
    if indirect:
        pieces = [*pieces, *sequences.landing(0x123456)]
    counting = [n for n, piece in enumerate(pieces) if piece.counts]
    assert len(counting) == 1
    behind = pieces[counting[0] + 1 :]
    assert all(piece.hold is Hold.GUEST and piece.target == piece.eip for piece in behind), (
        "what follows is on its way to the next instruction"
    )


@pytest.mark.parametrize(("text", "kind"), CASES)
def test_each_piece_is_one_instruction_of_an_x86(text: str, kind: Treatment) -> None:
    for piece in unit_of(text).pieces + sequences.landing(AT):
        assert decode(piece.code).length == len(piece.code)


def test_a_unit_ends_after_twelve_instructions_and_leads_on() -> None:
    unit = unit_of(*["inc eax"] * 20)
    assert len(unit.instructions) == MAX_INSTRUCTIONS
    assert unit.pieces[-1].target == AT + MAX_INSTRUCTIONS
    assert not unit.pieces[-1].counts


def test_a_unit_ends_with_its_page_and_never_reads_the_next() -> None:
    unit = unit_of("inc eax", "nop", at=AT + PAGE - 2)
    assert len(unit.instructions) == 2
    assert unit.pieces[-1].target == AT + PAGE
    across = unit_of("nop", "mov eax, 0x11223344", at=AT + PAGE - 3)
    assert [one.treatment for one in across.instructions] == [Treatment.IDENTICAL]
    alone = unit_of("mov eax, 0x11223344", at=AT + PAGE - 3)
    assert [piece.leave for piece in alone.pieces] == [Leave.CALL_OUT]


def test_a_conditional_jump_is_the_last_of_its_unit() -> None:
    unit = unit_of("cmp eax, 1", "je 0x100040", "inc eax")
    assert [ROWS[one.insn.row].name for one in unit.instructions if one.insn] == ["cmp", "jcc"]


def test_what_faults_comes_before_the_first_change() -> None:
    """Pieces that touch the guest's memory, where the state can no longer be told, touch it for the second time."""
    for text in ("ret", "ret 4", "call [ebx]", "jmp [ebx]", "popfd", "pushfd", "call 0x100100"):
        pieces = unit_of(text).pieces
        for piece in pieces:
            touches = decode(piece.code).name in ("push", "pop", "popf", "pushf")
            again = text in ("popfd", "pushfd") and piece is not pieces[0]
            assert not (touches and piece.hold is Hold.MIDDLE) or again
