"""A small BIOS of our own, bios.asm, for what is booted in real mode without a real one.

It is a ROM of 64 KB whose handlers are code like any other, executed by the guest's processor, and talk to
the PC's devices by ports. What a BIOS would have done before it boots is done here: interrupt vectors, its
data area, its extended data area.

    0000 0000  interrupt vectors
    0000 0400  the BIOS's data area
    0009 FC00  the extended one: memory map, the disk's shape
    000F 0000  the ROM
"""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path
from typing import NamedTuple

from isa.asm import Program, assemble
from vmm.image import Piece
from vmm.loader.lowmem import HIGH, LOW_END, memory_map
from vmm.names import Names

ROM_BASE, ROM_SIZE, ROM_SEGMENT = 0xF_0000, 0x1_0000, 0xF000
SOURCE = Path(__file__).with_name("bios.asm")
VECTORS = 256
FIRST_FLOPPY, FIRST_DISK, NO_DRIVE = 0x00, 0x80, 0xFF

# What bios.asm finds in the extended data area, by offset.
EBDA = struct.Struct("<H 2x I I B B H B 13x H")
EBDA_SPANS = 32
BDA_SIZE = 0x100


class Drive(NamedTuple):
    """The drive that the machine was booted from: its number, its sectors and how they are arranged."""

    number: int = NO_DRIVE
    sectors: int = 0
    cylinders: int = 0
    heads: int = 0
    track: int = 0


NONE = Drive()


@cache
def small_bios() -> Program:
    """bios.asm, assembled: offsets in segment F000h."""
    program = assemble(SOURCE)
    if len(program.image) != ROM_SIZE:
        raise AssertionError(f"the BIOS is {len(program.image)} bytes, not {ROM_SIZE}")
    return program


def names() -> Names:
    """The BIOS's own labels."""
    return Names({name: ROM_BASE + at for name, at in small_bios().symbols.items()})


def areas(memory: int, drive: Drive = NONE) -> tuple[Piece, ...]:
    """Vectors and data areas as a BIOS has them when it boots."""
    symbols = small_bios().symbols
    vectors = bytearray()
    for n in range(VECTORS):
        default = "irq_slave" if 0x70 <= n < 0x78 else "irq_master" if 8 <= n < 0x10 else "nothing"
        at = symbols.get(f"int_{n:02x}h", symbols[default])
        vectors += struct.pack("<HH", at, ROM_SEGMENT)
    spans = memory_map(memory)
    extended = EBDA.pack(
        *(1, max(memory - HIGH, 0) >> 10),
        *(drive.sectors, drive.heads, drive.track, drive.cylinders, drive.number, len(spans)),
    ) + b"".join(struct.pack("<QQI", *span) for span in spans)
    return Piece(0, bytes(vectors)), Piece(0x400, _bda(drive.number)), Piece(LOW_END, extended)


def _bda(drive: int) -> bytes:
    """The data area at 0040:0000."""
    area = bytearray(BDA_SIZE)
    floppies, disks = int(drive == FIRST_FLOPPY), int(drive == FIRST_DISK)
    struct.pack_into("<H", area, 0x00, 0x3F8)  # COM1
    struct.pack_into("<H", area, 0x0E, LOW_END >> 4)  # the extended area
    struct.pack_into("<H", area, 0x10, 0x0222 | floppies)  # COM1, 80x25 colour, x87, a floppy
    struct.pack_into("<H", area, 0x13, LOW_END >> 10)
    struct.pack_into("<HH", area, 0x1A, 0x1E, 0x1E)  # keyboard buffer: empty
    struct.pack_into("<BHH", area, 0x49, 3, 80, 0x1000)  # video: mode, columns, bytes of a page
    struct.pack_into("<H", area, 0x63, 0x3D4)
    area[0x75] = disks
    struct.pack_into("<HH", area, 0x80, 0x1E, 0x3E)  # where the keyboard buffer lies
    area[0x84], area[0x85] = 24, 16
    return bytes(area)
