"""Disks whose first sector is code, as a PC boots them: at 0000:7C00 in real mode, DL = the drive.

Under the boot sector lies a small BIOS (smallbios.py). An image with the size of a floppy disk is drive
00h with that floppy's shape, any other is drive 80h. In both cases the medium is the machine's IDE disk.
"""

from __future__ import annotations

from pathlib import Path

from isa import consts as c
from isa.asm import Program
from isa.state import BASE, EFLAGS, SEL
from vmm.image import Image, LoadError, Loading, Piece, Start, guest_name
from vmm.loader.smallbios import FIRST_DISK, FIRST_FLOPPY, Drive, areas, names, small_bios

ORIGIN = 0x7C00
SECTOR = 512
LEAST_SECTORS = 2048  # a disk is at least 1 MB: a boot sector alone may read beyond itself
# (bytes: cylinders, heads, sectors of a track)
FLOPPIES = {
    163_840: (40, 1, 8),
    184_320: (40, 1, 9),
    327_680: (40, 2, 8),
    368_640: (40, 2, 9),
    737_280: (80, 2, 9),
    1_228_800: (80, 2, 15),
    1_474_560: (80, 2, 18),
    2_949_120: (80, 2, 36),
}
DISK_HEADS, DISK_TRACK, MAX_CYLINDERS = 16, 63, 1024


def is_disk(data: bytes) -> bool:
    """Whether the first sector says that it can be booted."""
    return len(data) >= SECTOR and data[SECTOR - 2 : SECTOR] == b"\x55\xaa"


def load(path: Path, data: bytes, loading: Loading) -> Image:
    """A disk image."""
    if loading.hands_over:
        raise LoadError(f"{path}: a boot sector takes no command line and no modules")
    if not is_disk(data):
        raise LoadError(f"{path}: no boot sector: its first {SECTOR} bytes do not end with 55 AA")
    return load_disk(path, data, None)


def load_disk(path: Path, data: bytes, program: Program | None) -> Image:
    """A disk whose boot sector is known to be one; `program` is its source."""
    drive = drive_of(len(data))
    disk = data + bytes(drive.sectors * SECTOR - len(data))
    return _image(path, data[:SECTOR] if program is None else data, program, drive, disk)


def load_large(path: Path) -> Image:
    """A disk image that stays in its file."""
    with path.open("rb") as file:
        return _image(path, file.read(SECTOR), None, drive_of(path.stat().st_size), path)


def _image(path: Path, data: bytes, program: Program | None, drive: Drive, disk: bytes | Path) -> Image:
    """What is started: the first sector of `data`, with the BIOS below it."""

    def arrange(memory: int) -> Start:
        registers = {c.EDX: drive.number, c.ESP: ORIGIN, EFLAGS: c.FLAGS_ONE | c.IF}
        registers |= {SEL + c.CS: 0, BASE + c.CS: 0}
        return Start(areas(memory, drive), registers, real_mode=True)

    return Image(
        guest_name(path),
        path,
        ORIGIN,
        ORIGIN,
        data,
        program,
        "boot",
        names(),
        pieces=(Piece(ORIGIN, data[:SECTOR]),),
        arrange=arrange,
        rom=small_bios().image,
        firmware=True,
        disk=disk,
    )


def drive_of(size: int) -> Drive:
    """The drive that a medium of so many bytes is in."""
    sectors = max(-(-size // SECTOR), 1)
    floppy = FLOPPIES.get(size)
    if floppy is not None:
        return Drive(FIRST_FLOPPY, sectors, *floppy)
    sectors = max(sectors, LEAST_SECTORS)
    cylinders = min(max(sectors // (DISK_HEADS * DISK_TRACK), 1), MAX_CYLINDERS)
    return Drive(FIRST_DISK, sectors, cylinders, DISK_HEADS, DISK_TRACK)
