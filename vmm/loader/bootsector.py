"""Disks whose first sector is code, as a PC boots them: at 0000:7C00 in real mode, DL = the drive.

Under the boot sector lies a small BIOS of our own, bios.asm: a ROM of 64 KB whose handlers are code like
any other, executed by the guest's processor, and talk to the PC's devices by ports. What a BIOS would
have done before it boots is done here: interrupt vectors, its data area, its extended data area.

    0000 0000  interrupt vectors             0000 7C00  the boot sector
    0000 0400  the BIOS's data area          0009 FC00  the extended one: memory map, the disk's shape
                                             000F 0000  the ROM

An image with the size of a floppy disk is drive 00h with that floppy's shape, any other is drive 80h. In
both cases the medium is the machine's IDE disk.
"""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

from isa import consts as c
from isa.asm.kept import assemble
from isa.asm.program import Program
from isa.state import BASE, EFLAGS, SEL
from vmm.image import Image, LoadError, Loading, Piece, Start, guest_name
from vmm.loader.lowmem import HIGH, LOW_END, memory_map
from vmm.names import Names

ORIGIN = 0x7C00
SECTOR = 512
ROM_BASE, ROM_SIZE, ROM_SEGMENT = 0xF_0000, 0x1_0000, 0xF000
SOURCE = Path(__file__).with_name("bios.asm")
HARD_DISK = 0x80
VECTORS = 256
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

# What bios.asm finds in the extended data area, by offset.
EBDA = struct.Struct("<H 2x I I B B H B 13x H")
EBDA_SPANS = 32
BDA_SIZE = 0x100


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
    sectors = max(-(-len(data) // SECTOR), 1)
    floppy = FLOPPIES.get(len(data))
    drive = 0 if floppy else HARD_DISK
    room = sectors if floppy else max(sectors, LEAST_SECTORS)
    disk = data + bytes(room * SECTOR - len(data))
    cylinders = min(max(room // (DISK_HEADS * DISK_TRACK), 1), MAX_CYLINDERS)
    shape = floppy or (cylinders, DISK_HEADS, DISK_TRACK)

    def arrange(memory: int) -> Start:
        registers = {c.EDX: drive, c.ESP: ORIGIN, EFLAGS: c.FLAGS_ONE | c.IF}
        registers |= {SEL + c.CS: 0, BASE + c.CS: 0}
        return Start(_areas(memory, drive, room, shape), registers, real_mode=True)

    rom = small_bios()
    names = Names({name: ROM_BASE + at for name, at in rom.symbols.items()})
    return Image(
        guest_name(path),
        path,
        ORIGIN,
        ORIGIN,
        data[:SECTOR] if program is None else data,
        program,
        "boot",
        names,
        pieces=(Piece(ORIGIN, data[:SECTOR]),),
        arrange=arrange,
        rom=rom.image,
        firmware=True,
        disk=disk,
    )


@cache
def small_bios() -> Program:
    """bios.asm, assembled: offsets in segment F000h."""
    program = assemble(SOURCE, {})
    if len(program.image) != ROM_SIZE:
        raise AssertionError(f"the BIOS is {len(program.image)} bytes, not {ROM_SIZE}")
    return program


def _areas(memory: int, drive: int, sectors: int, shape: tuple[int, int, int]) -> tuple[Piece, ...]:
    """Vectors and data areas as a BIOS has them when it boots."""
    symbols = small_bios().symbols
    vectors = bytearray()
    for n in range(VECTORS):
        default = "irq_slave" if 0x70 <= n < 0x78 else "irq_master" if 8 <= n < 0x10 else "nothing"
        at = symbols.get(f"int_{n:02x}h", symbols[default])
        vectors += struct.pack("<HH", at, ROM_SEGMENT)
    cylinders, heads, track = shape
    spans = memory_map(memory)
    extended = EBDA.pack(
        1, max(memory - HIGH, 0) >> 10, sectors, heads, track, cylinders, drive, len(spans)
    ) + b"".join(struct.pack("<QQI", *span) for span in spans)
    return Piece(0, bytes(vectors)), Piece(0x400, _bda(drive)), Piece(LOW_END, extended)


def _bda(drive: int) -> bytes:
    """The data area at 0040:0000."""
    area = bytearray(BDA_SIZE)
    struct.pack_into("<H", area, 0x00, 0x3F8)  # COM1
    struct.pack_into("<H", area, 0x0E, LOW_END >> 4)  # the extended area
    struct.pack_into("<H", area, 0x10, 0x0222 | (0 if drive else 1))  # COM1, 80x25 colour, x87, a floppy
    struct.pack_into("<H", area, 0x13, LOW_END >> 10)
    struct.pack_into("<HH", area, 0x1A, 0x1E, 0x1E)  # keyboard buffer: empty
    struct.pack_into("<BHH", area, 0x49, 3, 80, 0x1000)  # video: mode, columns, bytes of a page
    struct.pack_into("<H", area, 0x63, 0x3D4)
    area[0x75] = 1 if drive else 0  # hard disks
    struct.pack_into("<HH", area, 0x80, 0x1E, 0x3E)  # where the keyboard buffer lies
    area[0x84], area[0x85] = 24, 16
    return bytes(area)
