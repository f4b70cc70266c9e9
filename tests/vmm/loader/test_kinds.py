"""What a file is taken for, and what is refused because it can only be something else."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from vmm.image import LoadError, Module, load_image
from vmm.loader import FORMATS

BOOT = bytes(510) + b"\x55\xaa"


def write(folder: Path, data: bytes, name: str = "guest.bin") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\xf4", "flat"),
        (BOOT, "boot"),
        (bytes(0x1_0000 - 16) + b"\xea" + bytes(15), "bios"),
    ],
)
def test_a_file_is_recognised_by_its_contents(tmp_path: Path, data: bytes, kind: str) -> None:
    assert load_image(write(tmp_path, data)).kind == kind


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (struct.pack("<8I", 0o413, 4096, 0, 0, 0, 0, 0, 0) + bytes(4096), "a.out file .ZMAGIC"),
        (struct.pack("<8H", 0o407, 100, 20, 0, 8, 0, 0, 1) + bytes(128), "a.out file .OMAGIC"),
        (struct.pack("<8I", 0o413, 4096, 0, 0, 0, 0, 0, 0) + bytes(20), "truncated a.out"),
        (struct.pack("<8I", 100 << 16 | 0o407, 96, 8, 0, 0, 0, 0, 0) + bytes(20), "truncated a.out"),
        (struct.pack("<2I", 0o413, 4096), "truncated a.out"),
        (b"MZ" + bytes(100), "DOS, Windows or EFI"),
        (b"#!/bin/sh\n", "script"),
        (b"PK\x03\x04" + bytes(100), "ZIP"),
        (b"\x1f\x8b\x08" + bytes(30), "damaged gzip"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", "truncated gzip"),
    ],
)
def test_what_is_certainly_something_else_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(LoadError, match=words):
        load_image(write(tmp_path, data))


def test_the_format_that_is_asked_for_overrides(tmp_path: Path) -> None:
    path = write(tmp_path, BOOT)
    assert load_image(path, format="flat").kind == "flat"
    for name in FORMATS:
        if name not in ("flat", "boot", "asm"):
            with pytest.raises(LoadError):
                load_image(path, format=name)


def test_nothing_is_handed_to_what_cannot_take_it(tmp_path: Path) -> None:
    source = write(tmp_path, b"hlt\n", "guest.asm")
    for path in (write(tmp_path, b"\xf4"), write(tmp_path, BOOT, "boot.img"), source):
        for given in ({"line": "words"}, {"modules": (Module("m", b"1"),)}):
            with pytest.raises(LoadError, match="command line"):
                load_image(path, **given)  # type: ignore[arg-type]
