"""The ELF file is one to every tool that reads such files; the flat file is the image and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from isa.asm import Program, assemble

needs_readelf = pytest.mark.skipif(not shutil.which("readelf"), reason="readelf is absent")
needs_gdb = pytest.mark.skipif(not shutil.which("gdb"), reason="gdb is absent")
needs_qemu = pytest.mark.skipif(not shutil.which("qemu-system-i386"), reason="QEMU is absent")

KERNEL = """
MAGIC = 0x1badb002
        .align 4
header: dd MAGIC, 0, -MAGIC
start:  mov esp, stack
        mov esi, text
.next:  lodsb
        test al, al
        jz .done
        mov dx, 0xe9
        out dx, al
        jmp .next
.done:  mov dx, 0xf4
        mov al, 0x10
        out dx, al
        hlt
text:   .asciz "loaded\\n"
        .align 16
        .space 256
stack:
"""


@pytest.fixture(scope="module")
def program() -> Program:
    """A kernel that a multiboot loader starts."""
    return assemble(KERNEL, name="kernel.asm")


@pytest.fixture(scope="module")
def path(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That kernel as an ELF file."""
    path = tmp_path_factory.mktemp("elf") / "kernel.elf"
    path.write_bytes(program.elf32())
    return path


def test_the_flat_file_is_the_image(program: Program) -> None:
    assert program.flat() == program.image


@needs_readelf
def test_readelf_has_nothing_to_say_against_it(path: Path) -> None:
    run = subprocess.run(["readelf", "-aW", path], capture_output=True, text=True, check=True)
    assert not run.stderr
    assert "Warning" not in run.stdout
    assert "Error" not in run.stdout
    assert "EXEC (Executable file)" in run.stdout
    assert re.search(r"Entry point address:\s+0x10000c\n", run.stdout)
    assert re.search(r"LOAD\s+0x001000 0x00100000 0x00100000 \S+ \S+ RWE 0x1000\n", run.stdout)


@needs_readelf
def test_every_label_is_a_symbol_and_those_with_a_dot_are_local(program: Program, path: Path) -> None:
    run = subprocess.run(["readelf", "-sW", path], capture_output=True, text=True, check=True)
    rows = [row.split() for row in run.stdout.splitlines() if re.match(r"\s*\d+:", row)]
    named = {row[7]: (int(row[1], 16), row[4]) for row in rows if len(row) == 8 and row[3] == "NOTYPE"}
    named.pop("", None)
    assert named == {
        name: (address, "LOCAL" if "." in name else "GLOBAL") for name, address in program.symbols.items()
    }


@needs_readelf
@pytest.mark.parametrize("origin", [0, 0x7C00, 0x100000, 0x100001, 0xC0000000, 0xFFFF0000])
def test_any_origin_gives_a_file_without_complaints(origin: int, tmp_path: Path) -> None:
    program = assemble("bits 16\nfirst: nop\nlast: jmp first", origin=origin)
    (tmp_path / "t").write_bytes(program.elf32())
    run = subprocess.run(["readelf", "-aW", tmp_path / "t"], capture_output=True, text=True, check=True)
    assert not run.stderr
    assert "Warning" not in run.stdout


@pytest.mark.skipif(not shutil.which("objcopy"), reason="objcopy is absent")
def test_the_image_comes_out_again(program: Program, path: Path) -> None:
    subprocess.run(["objcopy", "-O", "binary", path, path.with_suffix(".bin")], check=True)
    assert path.with_suffix(".bin").read_bytes() == program.image


@needs_gdb
def test_gdb_knows_the_labels(program: Program, path: Path) -> None:
    at = program.symbols["start"]
    commands = ["info address start", f"info symbol {at + 5:#x}", "x/2i &start"]
    arguments = [part for command in commands for part in ("-ex", command)]
    run = subprocess.run(
        ["gdb", "-nx", "-batch", *arguments, path], capture_output=True, text=True, check=True, timeout=60
    )
    assert f'Symbol "start" is at {at:#x}' in run.stdout
    assert "start + 5 in section .text" in run.stdout
    assert re.search(r"<start\+5>:\s+mov +\$0x[0-9a-f]+,%esi", run.stdout)


@needs_qemu
def test_qemu_starts_it_as_a_multiboot_kernel(path: Path) -> None:
    options = "-display none -no-reboot -debugcon stdio -device isa-debug-exit,iobase=0xf4,iosize=4 -kernel"
    command = ["qemu-system-i386", *options.split(), path]
    run = subprocess.run(command, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    assert run.returncode == 0x21, run.stderr
    assert run.stdout == b"loaded\n"


@pytest.mark.skipif(not shutil.which("objdump"), reason="objdump is absent")
def test_objdump_shows_the_code_under_its_labels(program: Program, path: Path) -> None:
    run = subprocess.run(["objdump", "-d", path], capture_output=True, text=True, check=True)
    for name in ("start", "start.next", "start.done"):
        assert f"{program.symbols[name]:08x} <{name}>:" in run.stdout
