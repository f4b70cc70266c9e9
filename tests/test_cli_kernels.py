"""`vmsim run` of kernels and disks: what they are handed, what is typed to them, what ends the run."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cli
from isa.asm import assemble

ECHO = """
org 0x7c00
bits 16
start:
    mov ah, 0x0e
    mov al, "?"
    int 0x10
    mov ah, 0
    int 0x16
    cmp al, 13
    je .end
    mov ah, 0x0e
    int 0x10
    jmp start
.end:
    mov al, 0
    out 0xf4, al
times 510 - ($ - $$) db 0
dw 0xaa55
"""
ASKS_CPUID = "org 0x100000\nstart: cpuid\nmov al, 0\nout 0xf4, al\n"
LINE = """
org 0x100000
align 4
dd 0x1badb002, 3, -(0x1badb002 + 3)
global _start
_start:
    mov esi, [ebx + 16]
.next:
    lodsb
    or al, al
    jz .end
    out 0xe9, al
    jmp .next
.end:
    out 0xf4, al
"""


def vmsim(*arguments: str | Path, stdin: str = "") -> Result:
    result = CliRunner().invoke(cli.cli, [str(word) for word in arguments], input=stdin, prog_name="vmsim")
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def echo(tmp_path: Path) -> Path:
    path = tmp_path / "echo.img"
    path.write_bytes(assemble(ECHO).image)
    return path


def test_a_boot_sector_reads_what_is_typed(echo: Path, tmp_path: Path) -> None:
    (tmp_path / "typed.txt").write_text("hi\n")
    for source, stdin in (("hi\\n", ""), (str(tmp_path / "typed.txt"), ""), ("-", "hi\n")):
        result = vmsim("run", echo, "--input", source, stdin=stdin)
        assert (result.exit_code, result.stdout) == (0, "?h?i?\n"), result.stderr


def test_with_a_prompt_each_line_waits_for_it(echo: Path) -> None:
    assert vmsim("run", echo, "--input", "a\\nb\\n", "--prompt", "?").stdout == "?a?\n"
    assert vmsim("run", echo, "--input", "a\\n", "--prompt", "!", "--budget", "100k").stdout == "?\n"


def test_a_text_on_the_console_ends_the_run_well(echo: Path) -> None:
    result = vmsim("run", echo, "--input", "abc", "--until", "b?")
    assert (result.exit_code, result.stdout) == (0, "?a?b?\n")
    assert "has printed `b?`" in result.stderr


def test_the_screen_is_printed_at_the_end(echo: Path) -> None:
    result = vmsim("run", echo, "--input", "x\\n", "--screen")
    assert result.stdout.splitlines() == ["?x?", "?x?"]


def test_the_processor_is_the_one_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "cpuid.asm"
    path.write_text(ASKS_CPUID)
    assert vmsim("run", path).exit_code == 0
    assert vmsim("run", path, "--cpu", "386").exit_code == 5
    result = vmsim("run", path, "--cpu", "pentum")
    assert result.exit_code == 2 and "did you mean `pentium`?" in result.stderr


def test_a_kernel_gets_its_command_line(tmp_path: Path) -> None:
    path = tmp_path / "kernel.elf"
    path.write_bytes(assemble(LINE).elf32())
    assert vmsim("run", path, "--append", "a b=c").stdout == f"{path} a b=c\n"
    assert vmsim("dis", path, "--start", "_start", "--count", "1").exit_code == 0
    assert vmsim("debug", path, "-e", "registers").exit_code == 0
    assert vmsim("trace", path, "--format", "jsonl", "--limit", "1").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--initrd", "no-such-file"], 3, "no such file"),
        (["--module", "no-such-file with words"], 3, "no such file"),
        (["--disk", "no-such-file"], 3, "No such file"),
        (["--disk", "cli.py"], 3, "no second one"),
        (["--bios", "no-such-file"], 3, "no such file"),
        (["--append", "x"], 3, "command line"),
        (["--format", "elf"], 3, "not an ELF file"),
        (["--format", "elv"], 2, "did you mean `elf`?"),
    ],
)
def test_what_cannot_be_given_is_said(echo: Path, arguments: list[str], status: int, words: str) -> None:
    result = vmsim("run", echo, *arguments)
    assert result.exit_code == status
    assert words in result.stderr
