"""Real firmware: a ROM that ends at the top of the address space, entered as after RESET.

The machine shows its last 128 KB below 1 MB as well (vmm/memory.py). The guest is the firmware itself, or
the disk that it boots. SeaBIOS (Debian: seabios, /usr/share/seabios/bios.bin) is what it was made with.
"""

from __future__ import annotations

from pathlib import Path

from vmm.image import Image, LoadError, Loading, Start, guest_name, read_file

ROM_UNIT = 0x1_0000
MAX_ROM = 1 << 24
RESET_VECTOR = 16  # bytes before the end
FAR_JUMP = 0xEA


def is_rom(data: bytes) -> bool:
    """Whether a file is firmware: whole 64 KB, with a far jump where the processor begins."""
    return len(data) % ROM_UNIT == 0 and 0 < len(data) <= MAX_ROM and data[-RESET_VECTOR] == FAR_JUMP


def load(path: Path, data: bytes, loading: Loading) -> Image:
    """The firmware alone."""
    return _image(path, path, data, None)


def load_with_disk(path: Path, data: bytes, loading: Loading) -> Image:
    """The disk in `path` under the firmware that `loading` names."""
    assert loading.bios is not None
    if loading.hands_over:
        raise LoadError(f"{path}: what a BIOS boots takes no command line and no modules")
    return _image(path, loading.bios, read_file(loading.bios), data)


def _image(path: Path, bios: Path, rom: bytes, disk: bytes | None) -> Image:
    if len(rom) % ROM_UNIT or len(rom) > MAX_ROM:
        raise LoadError(
            f"{bios}: firmware has whole 64 KB, {MAX_ROM >> 20} MB at most; not {len(rom):,} bytes"
        )
    return Image(
        guest_name(path),
        path,
        (1 << 32) - len(rom),
        0xFFF0,
        rom,
        kind="bios",
        pieces=(),
        arrange=_from_reset,
        rom=rom,
        disk=disk,
    )


def _from_reset(memory: int) -> Start:
    return Start(real_mode=True)
