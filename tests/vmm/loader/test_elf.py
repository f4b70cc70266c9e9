"""ELF executables: segments, symbols, entries; and files that are damaged or not for this machine."""

from __future__ import annotations

import contextlib
import random
import struct
from pathlib import Path

import pytest
from loader_kernels import PUT, program, run

from vmm import Outcome, load_image
from vmm.image import LoadError

HELLO = "global _start\n_start: mov esp, 0x80000\nmov esi, text\ncall put\njmp finish\ntext: db 'hello', 0\n"
FILE = program(HELLO + PUT).elf32()


def write(folder: Path, data: bytes, name: str = "kernel.elf") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def high_kernel(linear: int, physical: int) -> bytes:
    """A kernel linked at one address and loaded at another: it has not turned on paging."""
    code = bytes.fromhex("b000 e6f4")
    header = struct.pack(
        "<16sHHIIIIIHHHHHH",
        *(b"\x7fELF\x01\x01\x01", 2, 3, 1, linear, 52, 0, 0, 52, 32, 1, 0, 0, 0),
    )
    return header + struct.pack("<8I", 1, 84, linear, physical, len(code), 8192, 7, 4096) + code


def test_an_executable_runs_and_its_symbols_are_known(tmp_path: Path) -> None:
    path = write(tmp_path, FILE)
    result = run(path)
    assert (result.outcome, result.console) == (Outcome.SUCCESS, "hello")
    image = load_image(path)
    assert image.kind == "elf"
    assert image.symbolize(image.entry) == "_start"


def test_an_entry_that_is_linked_high_is_entered_where_it_was_loaded(tmp_path: Path) -> None:
    path = write(tmp_path, high_kernel(0xC010_0000, 0x10_0000))
    image = load_image(path)
    assert (image.entry, image.origin, image.end) == (0x10_0000, 0x10_0000, 0x10_2000)
    assert run(path).outcome is Outcome.SUCCESS


def test_a_suffix_does_not_matter_and_gzip_is_unpacked(tmp_path: Path) -> None:
    import gzip

    assert run(write(tmp_path, FILE, "kernel")).console == "hello"
    assert run(write(tmp_path, gzip.compress(FILE), "kernel.gz")).console == "hello"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x7fELF\x01\x01", "truncated"),
        (FILE[:60], "damaged"),
        (FILE[:4100], "missing|damaged"),
        (FILE[:4] + b"\x02" + FILE[5:], "64-bit"),
        (FILE[:5] + b"\x02" + FILE[6:18] + b"\x00\x08" + FILE[20:], "another processor .machine 8."),
        (FILE[:18] + b"\x28" + FILE[19:], "another processor"),
        (FILE[:16] + b"\x01" + FILE[17:], "object file"),
        (FILE[:44] + b"\x00" + FILE[45:], "nothing to load"),
        (random.Random(1).randbytes(4096), "not an ELF file"),
        (high_kernel(0, 0xFFFF_F000), "beyond 4G"),
    ],
)
def test_what_is_no_executable_is_refused_in_words(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(LoadError, match=words):
        load_image(write(tmp_path, data))


@pytest.mark.parametrize("seed", range(150))
def test_a_file_with_some_bytes_wrong_loads_or_is_refused(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(FILE)
    for _ in range(chance.randint(1, 8)):
        data[chance.choice((chance.randrange(84), chance.randrange(len(data))))] = chance.randrange(256)
    with contextlib.suppress(LoadError):
        load_image(write(tmp_path, bytes(data)))


@pytest.mark.parametrize("seed", range(40))
def test_noise_behind_a_magic_number_loads_or_is_refused(tmp_path: Path, seed: int) -> None:
    noise = random.Random(seed).randbytes(2000)
    for head in (FILE[:20], FILE[:52]):
        with contextlib.suppress(LoadError):
            load_image(write(tmp_path, head + noise))
