"""Real firmware: a ROM that ends at the top of the address space, entered as after RESET.

The machine shows its last 128 KB below 1 MB as well (vmm/memory.py). The guest is the firmware itself, or
the disk that it boots. Option ROMs are handed to it as files (fw_cfg.py), as QEMU does; the display's own,
without which it prints nothing, is taken from beside the firmware if none is given.
SeaBIOS (Debian: seabios, /usr/share/seabios/bios.bin) is what it was made with.
"""

from __future__ import annotations

from pathlib import Path

from vmm.image import Image, LoadError, Loading, Start, guest_name, read_file

ROM_UNIT = 0x1_0000
MAX_ROM = 1 << 24
RESET_VECTOR = 16  # bytes before the end
FAR_JUMP = 0xEA
OPTION_ROM, VGA_MARK, VGA_MARK_AT = b"\x55\xaa", b"IBM", range(0x1E, 0x30)
VGA_ROMS = ("vgabios-isavga.bin", "vgabios-stdvga.bin", "vgabios.bin")


def is_rom(data: bytes) -> bool:
    """Whether a file is firmware: whole 64 KB, with a far jump where the processor begins."""
    return len(data) % ROM_UNIT == 0 and 0 < len(data) <= MAX_ROM and data[-RESET_VECTOR] == FAR_JUMP


def load(path: Path, data: bytes, loading: Loading) -> Image:
    """The firmware alone."""
    return _image(path, path, data, None, loading)


def load_with_disk(path: Path, data: bytes | Path, loading: Loading) -> Image:
    """The disk in `path` under the firmware that `loading` names."""
    assert loading.bios is not None
    if loading.hands_over:
        raise LoadError(f"{path}: what a BIOS boots takes no command line and no modules")
    return _image(path, loading.bios, read_file(loading.bios), data, loading)


def _image(path: Path, bios: Path, rom: bytes, disk: bytes | Path | None, loading: Loading) -> Image:
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
        kind="bios" if disk is None else "boot",
        pieces=(),
        arrange=_from_reset,
        rom=rom,
        option_roms=_option_roms(bios, loading.option_roms),
        disk=disk,
    )


def _from_reset(memory: int) -> Start:
    return Start(real_mode=True)


def _option_roms(bios: Path, given: tuple[Path, ...]) -> dict[str, bytes]:
    """The option ROMs under the names by which SeaBIOS finds them; one for the display comes first."""
    found = {}
    for path in given:
        data = read_file(path)
        if not data.startswith(OPTION_ROM):
            raise LoadError(f"{path}: no option ROM: it does not begin with 55 AA")
        found[f"{'vgaroms' if _is_for_display(data) else 'genroms'}/{path.name}"] = data
    if not any(name.startswith("vgaroms") for name in found):
        beside = next((bios.parent / name for name in VGA_ROMS if (bios.parent / name).is_file()), None)
        if beside is not None:
            found[f"vgaroms/{beside.name}"] = read_file(beside)
    return found


def _is_for_display(data: bytes) -> bool:
    """Whether an option ROM has the mark of the first display adapter, which drivers look for."""
    return VGA_MARK in data[VGA_MARK_AT.start : VGA_MARK_AT.stop]
