"""Multiboot 2: what a kernel is handed, in ELF files and by addresses, and what it may insist on."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from loader_kernels import PUT, program, run

from vmm import Outcome, load_image
from vmm.image import LoadError, Module
from vmm.modes import MODES

TAGS = "dw 1, 0\ndd 16, 1, 6\n"  # it wants the command line and the map
HEADER = """
align 8
header: dd 0xe85250d6, 0, header_end - header, 0x100000000 - 0xe85250d6 - (header_end - header)
{tags}
align 8
dw 0, 0
dd 8
header_end:
"""
# Walks the tags: prints the command line, each module and what it holds, how often RAM is in the map.
SHOW = """
start:
    mov esp, 0x80000
    cmp eax, 0x36d76289
    jne broken
    lea edi, [ebx + 8]
.tag:
    mov eax, [edi]
    cmp eax, 0
    je finish
    cmp eax, 1
    je .line
    cmp eax, 2
    je .line
    cmp eax, 3
    je .module
    cmp eax, 6
    je .map
.next:
    mov eax, [edi + 4]
    add eax, 7
    and eax, -8
    add edi, eax
    jmp .tag
.line:
    lea esi, [edi + 8]
    call put
    mov al, "|"
    out 0xe9, al
    jmp .next
.module:
    lea esi, [edi + 16]
    call put
    mov al, "="
    out 0xe9, al
    mov esi, [edi + 8]
    call put
    mov al, "|"
    out 0xe9, al
    jmp .next
.map:
    mov edx, edi
    add edx, [edi + 4]
    lea esi, [edi + 16]
.entry:
    cmp esi, edx
    jae .next
    mov al, [esi + 16]
    add al, "0"
    out 0xe9, al
    add esi, [edi + 8]
    jmp .entry
broken:
    mov al, 1
    out 0xf4, al
"""
MODULES = (Module("one", b"first\0"), Module("two", b"second\0", "with words"))


def elf_kernel(folder: Path, tags: str = TAGS) -> Path:
    source = HEADER.format(tags=tags) + SHOW + PUT
    path = folder / "kernel.elf"
    path.write_bytes(program(source.replace("start:", "global _start\n_start:", 1)).elf32())
    return path


@pytest.mark.parametrize("mode", [name for name, mode in MODES.items() if not mode.paravirtual])
def test_a_kernel_finds_what_it_is_handed_in_every_mode(tmp_path: Path, mode: str) -> None:
    path = elf_kernel(tmp_path)
    assert load_image(path).kind == "multiboot2"
    result = run(path, mode, line="quiet", modules=MODULES)
    assert result.outcome is Outcome.SUCCESS, result.text
    assert result.console == "quiet|vmsim|one=first|two with words=second|1221"


def test_addresses_in_the_header_say_where_a_flat_file_goes(tmp_path: Path) -> None:
    tags = "dw 2, 0\ndd 24, header, begin, 0, end + 4096\ndw 3, 0\ndd 12, start\nalign 8\n"
    made = program("begin:\n" + HEADER.format(tags=tags) + SHOW + PUT + "end:\n", origin=0x20_0000)
    path = tmp_path / "kernel.bin"
    path.write_bytes(made.image)
    image = load_image(path)
    assert (image.origin, image.entry, image.end) == (
        0x20_0000,
        made.symbols["start"],
        made.symbols["end"] + 4096,
    )
    assert run(path, line="x").console == "x|vmsim|1221"


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ("dw 1, 0\ndd 12, 15\nalign 8\n", "information .15."),
        ("dw 7, 0\ndd 8\n", "a tag 7"),
        ("dw 99, 0\ndd 8\n", "a tag 99"),
        ("dw 2, 0\ndd 24, 0, 0x900000, 0, 0\n", "do not fit"),
        ("dw 2, 0\ndd 24, header, 0x100000, 0, 0\n", "no entry"),
    ],
)
def test_what_is_not_here_is_refused_unless_it_is_optional(tmp_path: Path, tags: str, words: str) -> None:
    with pytest.raises(LoadError, match=words):
        load_image(elf_kernel(tmp_path, tags))
    if "dw 2" not in tags:
        assert load_image(elf_kernel(tmp_path, tags.replace(", 0\n", ", 1\n", 1))).kind == "multiboot2"


def test_a_wrong_checksum_is_told(tmp_path: Path) -> None:
    path = tmp_path / "kernel.bin"
    path.write_bytes(struct.pack("<4I", 0xE852_50D6, 0, 16, 1) + bytes(100))
    with pytest.raises(LoadError, match="wrong checksum"):
        load_image(path)
