"""Whatever is fed in, a program or an `AsmError` comes out, soon; and bombs do not go off."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isa.asm import AsmError, Program, assemble, encode

SOUP = Path(__file__).with_name("asm_soup.py")

BOMBS = {
    "a repetition": ".rept 100000000\nnop\n.endr",
    "nested repetitions": ".rept 1000\n.rept 1000\n.rept 1000\nnop\n.endr\n.endr\n.endr",
    "a macro that calls itself": ".macro m\nm\n.endm\nm",
    "a macro that calls itself twice": ".macro m\nm\nm\n.endm\nm",
    "macros that double": "".join(f".macro m{i}\nm{i + 1}\nm{i + 1}\n.endm\n" for i in range(40))
    + ".macro m40\nnop\n.endm\nm0",
    "an argument that doubles": ".macro m x\nm \\x\\x\n.endm\nm aaaaaaaa",
    "room": ".space 0x40000000",
    "room without end": ".space 1 << 60",
    "a filling": ".fill 0x10000000, 4, 0",
    "times": "times 1000000000 db 0",
    "times an instruction": "times 100000000 mov eax, [ebx]",
    "much room many times": ".rept 2000\n.space 0x100000\n.endr",
    "an address far away": "nop\n.org 0x7fffffff",
    "an address that moves": "nop\n.org end + 1\nend:",
    "a constant that doubles": "x = 1\n.rept 200\nx = x * x * 3 + 1\n.endr\n.byte x & 1",
    "a label that doubles": "l: x = l\n.rept 300\nx = x + x\n.endr\n.long x & 1",
    "constants in a ring": "a = b\nb = c\nc = a\n.long a",
    "a shift": ".long 1 << 1000000000000",
    "a power": ".long " + " * ".join(["0xffffffff"] * 150),
    "a deep list": ".irp x, " + ",".join(["1"] * 5000) + "\n.rept 1000\n.byte \\x\n.endr\n.endr",
    "many conditions": ".if 1\n" * 5000,
    "a long line": ".byte " + ",".join(["x"] * 50000),
    "a long name": "a" * 200000 + ":\njmp " + "a" * 199999,
    "many unknown names": "\n".join(f"jmp label_number_{i}" for i in range(3000))
    + "\n"
    + "\n".join(f"lab{i}:" for i in range(3000)),
    "parentheses": ".long " + "(" * 100000,
    "brackets": "mov eax, " + "[" * 100000,
    "quotes": '"' * 100001,
    "comments": "/*" * 50000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_an_error_and_ends_quickly(name: str) -> None:
    started = time.process_time()
    with pytest.raises(AsmError):
        assemble(BOMBS[name])
    assert time.process_time() - started < 5


def test_a_file_that_includes_itself_ends_quickly(tmp_path: Path) -> None:
    main = tmp_path / "main.asm"
    main.write_text('nop\n.include "main.asm"\n.include "main.asm"\n')
    with pytest.raises(AsmError, match="within each other"):
        assemble(main)


def outcome(text: str) -> None:
    """A program or an `AsmError`, within a second."""
    started = time.process_time()
    try:
        assert isinstance(assemble(text), Program)
    except AsmError as error:
        assert error.diagnostics
        for diagnostic in error.diagnostics:
            assert diagnostic.line >= 1
            assert diagnostic.column >= 1
            assert diagnostic.render()
    assert time.process_time() - started < 1


fuzz = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])

WORDS = r"""
mov add push jmp call lock rep eax ebx al cr0 ds fs: [ebx+4] [esp*2] dword byte ptr far short near 0x10 10 10h
1b 1f 101b 'A' "text" label label: .local .local: 1: , , , : ( ) [ ] + - * / % = ! ~ << >> . $ $$ .byte .long
.space .org .align .if .else .elseif .endif .macro .endm .rept .endr .irp .equ .set .include .incbin .error
.end times db dw dd equ resb \x \@ ; # // /* */ \ @ ? { } `
bits 16 .code16 .att_syntax .intel_syntax %eax $5 4(%ebx)
"""
PIECES = st.sampled_from([*WORDS.split(), "\n", "\n", "\n", " ", "\t"])


@fuzz
@given(st.text(max_size=200))
def test_any_text_gives_a_program_or_an_error(text: str) -> None:
    outcome(text)


@fuzz
@given(st.lists(PIECES, max_size=40).map(" ".join))
def test_any_words_of_the_language_give_a_program_or_an_error(text: str) -> None:
    outcome(text)


@fuzz
@given(
    st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789 ,[]()+-*/:.$%\\@#;'\"\n\t=<>!&|^~", max_size=120)
)
def test_any_characters_of_the_language_give_a_program_or_an_error(text: str) -> None:
    outcome(text)


@fuzz
@given(st.text(max_size=60))
def test_any_text_as_an_instruction_gives_bytes_or_an_error(text: str) -> None:
    with contextlib.suppress(AsmError):
        assert encode(text)


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_file_gives_a_program_or_an_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.asm"
    path.write_bytes(data)
    try:
        assemble(path)
    except AsmError as error:
        assert error.diagnostics


@pytest.mark.parametrize("seed", range(4))
def test_a_soup_of_mnemonics_and_registers_kills_no_process(seed: int) -> None:
    run = subprocess.run(
        [sys.executable, str(SOUP), str(seed), "8000"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.split() == ["ok", "8000"]
    assert not run.stderr, "an engine wrote to the terminal"
