"""Multiboot 1: what a kernel is handed, in ELF files and by addresses in the header."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from loader_kernels import MULTIBOOT_HEADER, PUT, SHOW_MULTIBOOT, program, run

from vmm import Outcome, load_image
from vmm.image import LoadError, Module
from vmm.modes import MODES

KERNEL = MULTIBOOT_HEADER.format(flags=3) + SHOW_MULTIBOOT + PUT
MODULES = (Module("one", b"first\0"), Module("two", b"second\0", "with words"))


def elf_kernel(folder: Path) -> Path:
    made = program(KERNEL.replace("start:", "global _start\n_start:"))
    path = folder / "kernel.elf"
    path.write_bytes(made.elf32())
    return path


@pytest.mark.parametrize("mode", [name for name, mode in MODES.items() if not mode.paravirtual])
def test_a_kernel_finds_its_command_line_its_modules_and_the_loader_in_every_mode(
    tmp_path: Path, mode: str
) -> None:
    path = elf_kernel(tmp_path)
    result = run(path, mode, line="quiet root=none", modules=MODULES)
    assert result.outcome is Outcome.SUCCESS, result.text
    assert result.console == f"{path} quiet root=none|one=first|two with words=second|vmsim"


def test_symbols_of_the_file_name_addresses(tmp_path: Path) -> None:
    image = load_image(elf_kernel(tmp_path))
    at = image.symbol("put")
    assert at is not None and image.location(at + 1) == "put+0x1"


def test_a_header_with_addresses_says_where_a_flat_file_goes(tmp_path: Path) -> None:
    text = (
        "align 4\nheader: dd 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)\n"
        "dd header, begin, 0, end + 4096, start\n"
    )
    made = program("begin: db 'before'\n" + text + SHOW_MULTIBOOT + PUT + "end:\n", origin=0x20_0000)
    path = tmp_path / "kernel.bin"
    path.write_bytes(made.image)
    image = load_image(path)
    assert (image.kind, image.origin, image.entry) == ("multiboot", 0x20_0000, made.symbols["start"])
    assert image.end == made.symbols["end"] + 4096
    assert run(path, modules=MODULES[:1]).console == f"{path}|one=first|vmsim"


def test_the_memory_map_is_that_of_the_machine(tmp_path: Path) -> None:
    image = load_image(elf_kernel(tmp_path))
    start = image.arrange(32 << 20)
    memory = {piece.address + n: byte for piece in start.pieces for n, byte in enumerate(piece.data)}
    info = next(piece for piece in start.pieces if len(piece.data) == 120)
    size, address = struct.unpack_from("<2I", info.data, 44)
    entries = bytes(memory[address + n] for n in range(size))
    rows = [struct.unpack_from("<IQQI", entries, at) for at in range(0, size, 24)]
    assert all(row[0] == 20 for row in rows)
    assert (0x10_0000, 31 << 20, 1) in [row[1:] for row in rows]
    assert struct.unpack_from("<2I", info.data, 4) == (639, 31 << 10)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("dd 0x1badb002, 3, 5\n", "wrong checksum"),
        (MULTIBOOT_HEADER.format(flags=0x20), "features 0x20"),
        ("dd 0x1badb002, 0x10000, -(0x1badb002 + 0x10000), 0, 4096, 0, 0, 0\n", "do not fit the file"),
        (MULTIBOOT_HEADER.format(flags=0), "not an ELF file"),
    ],
)
def test_a_header_that_cannot_be_obeyed_is_refused(tmp_path: Path, header: str, words: str) -> None:
    path = tmp_path / "kernel.bin"
    path.write_bytes(program(header + "hlt\n").image)
    with pytest.raises(LoadError, match=words):
        load_image(path)


def test_an_elf_file_with_a_wrong_checksum_is_refused_unless_it_is_to_be_plain(tmp_path: Path) -> None:
    path = elf_kernel(tmp_path)
    data = bytearray(path.read_bytes())
    data[data.index((0x1BADB002).to_bytes(4, "little")) + 8] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(LoadError, match="wrong checksum"):
        load_image(path)
    assert load_image(path, format="elf").kind == "elf"


def test_modules_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="bytes of memory"):
        load_image(elf_kernel(tmp_path), modules=(Module("big", bytes(1 << 20)),)).arrange(2 << 20)
