"""What comes back: the image, the names, the lines and the listing; and single instructions."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from isa.asm import AsmError, Program, assemble, encode, radix_canary

ROOT = Path(__file__).resolve().parents[3]

SOURCE = """\
; a small kernel
COM1 = 0x3f8
start:  cli
        call print
.hang:  hlt
        jmp .hang
print:  mov dx, COM1
        ret
        .align 16
text:   .asciz "hello"
room:   .space 100
"""


@pytest.fixture(scope="module")
def program() -> Program:
    """The program above."""
    return assemble(SOURCE, name="kernel.asm", origin=0x1000)


def test_names_have_their_values(program: Program) -> None:
    assert program.symbols == {
        "start": 0x1000,
        "start.hang": 0x1006,
        "print": 0x1009,
        "text": 0x1010,
        "room": 0x1016,
    }
    assert program.constants == {"COM1": 0x3F8}
    assert program.entry == 0x1000


def test_an_address_leads_back_to_its_line(program: Program) -> None:
    line = program.where(0x1003)
    assert line is not None
    assert (line.path, line.line, line.address, line.length) == ("kernel.asm", 4, 0x1001, 5)
    assert program.where(0x0FFF) is None
    assert program.where(0x1000 + len(program.image)) is None


def test_an_address_is_named_by_the_label_at_or_below_it(program: Program) -> None:
    assert program.symbolize(0x1000) == "start"
    assert program.symbolize(0x1007) == "start.hang+0x1"
    assert program.symbolize(0x100F) == "print+0x6"
    assert program.symbolize(0x0FFF) is None
    assert program.symbolize(0x1000 + len(program.image)) is None


def test_every_byte_belongs_to_exactly_one_line(program: Program) -> None:
    at = program.origin
    for line in program.lines:
        assert line.address == at
        at += line.length
    assert at == program.origin + len(program.image)


def test_the_listing_shows_address_bytes_number_and_source(program: Program) -> None:
    rows = program.listing().splitlines()
    assert rows[0] == "; kernel.asm"
    assert "00001001  e8 03 00 00 00               4          call print" in rows
    assert any(row.endswith("; a small kernel") for row in rows)
    assert any("more bytes" in row for row in rows)
    assert len(rows) < 30


def test_encode_makes_one_instruction_at_an_address() -> None:
    assert encode("mov eax, 16") == bytes.fromhex("b8 10 00 00 00")
    assert encode("jmp 0x1000", 0x0FFE) == bytes.fromhex("eb 00")
    assert encode("lock add dword [eax], 1") == bytes.fromhex("f0 83 00 01")


@pytest.mark.parametrize(
    "text", ["", "label: nop", ".byte 1", "nop\nnop", "db 5", "mov eax, x", "x = 5", "; nothing"]
)
def test_encode_takes_nothing_but_one_instruction(text: str) -> None:
    with pytest.raises(AsmError):
        encode(text)


def test_decimal_is_decimal_whatever_the_encoder_thinks() -> None:
    assert radix_canary() in (16, 22)
    assert encode("push 100") == b"\x6a\x64"
    assert encode("int 21") == b"\xcd\x15"


def test_decimal_stays_decimal_after_another_user_of_keystone_set_an_option() -> None:
    code = (
        "import keystone as k; e = k.Ks(k.KS_ARCH_X86, k.KS_MODE_32); e.syntax = k.KS_OPT_SYNTAX_NASM; del e\n"
        "from isa.asm import encode; print(encode('and esp, -16').hex(), encode('sub esp, 100').hex())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout.split() == ["83e4f0", "83ec64"]


def test_importing_the_assembler_loads_no_engine() -> None:
    code = "import sys, isa.asm; print([m for m in ('keystone', 'capstone') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout.strip() == "[]"


def test_a_thousand_lines_take_a_fraction_of_a_second() -> None:
    body = "f{0}: push ebp\nmov ebp, esp\nmov eax, [ebp+{0}]\nadd eax, {0}\ncmp eax, f{0}\nje f{0}\npop ebp\nret\n"
    source = "".join(body.format(i) for i in range(125))
    assemble(source)
    started = time.process_time()
    assemble(source)
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("lgdt [0x1000]", "0f 01 15 00 10 00 00"),
        ("iret", "cf"),
        ("pushf", "9c"),
        ("push ds", "1e"),
        ("int 3", "cc"),
        ("movsd", "a5"),
        ("push word 5", "66 6a 05"),
        ("jmp far [ebx]", "ff 2b"),
        ("jmp 0x08:0x123456", "ea 56 34 12 00 08 00"),
        ("mov byte [eax], 5", "c6 00 05"),
        ("call dword ptr [eax]", "ff 10"),
        ("movsd xmm0, qword [eax]", "f2 0f 10 00"),
        ("bound eax, [ebx]", "62 03"),
        ("enter 0xffff, 0", "c8 ff ff 00"),
        ("ret 0xffff", "c2 ff ff"),
        ("mov eax, dword ptr 0x1000", "a1 00 10 00 00"),
        ("mov eax, fs:0", "64 a1 00 00 00 00"),
        ("mov eax, [ds:ebx]", "8b 03"),
        ("mov eax, [ds:ebp]", "3e 8b 45 00"),
    ],
)
def test_forms_that_encoders_get_wrong_are_right(text: str, code: str) -> None:
    assert encode(text).hex(" ") == code
