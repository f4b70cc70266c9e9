"""Linux's boot protocol of old, in real mode (Documentation/arch/x86/boot.rst, "The real-mode kernel").

The kernel's own setup code runs, over the small BIOS (smallbios.py), as under LILO, `linux16` of GRUB, or
QEMU's -kernel. Programs that only dress as a kernel know no other way: iPXE, memdisk, old memory testers.

    0001 0000  real-mode code, its heap and stack         0009 0000  the same of old kernels
    0002 0000  command line                               0009 9000
    0010 0000  protected-mode code                        0001 0000  the same of a zImage
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from isa import consts as c
from isa.state import BASE, SEL
from vmm.image import Image, LoadError, Loading, Piece, Start, guest_name
from vmm.loader.linux import CAN_USE_HEAP, LOADED_HIGH, OTHER_LOADER, Header
from vmm.loader.lowmem import HIGH, comfortable, module_below_top, up
from vmm.loader.smallbios import areas, names, small_bios

ENTRY = 0x20  # paragraphs: the setup code begins behind the boot sector
STACK = 0xE000  # of the segment; the heap ends below it
STACK_SIZE = 0x200
LEAST_MEMORY = 64 << 20
LINE_MAGIC = 0xA33F


class Places(NamedTuple):
    """Where the parts of a kernel go."""

    setup: int
    line: int
    code: int
    end: int  # of the code


RECENT = Places(0x1_0000, 0x2_0000, HIGH, 1 << 32)
OLD = Places(0x9_0000, 0x9_9000, HIGH, 1 << 32)
LOW = Places(0x9_0000, 0x9_9000, 0x1_0000, 0x9_0000)


def load(path: Path, data: bytes, loading: Loading) -> Image:
    """A kernel whose setup code is to run. `LoadError`."""
    header = Header(path, data)
    low = not header.word(0x211, 1) & LOADED_HIGH
    places = LOW if low else OLD if header.version < 0x202 else RECENT
    code = data[header.setup_size :]
    if places.code + len(code) > places.end:
        raise LoadError(f"{path}: a zImage of {len(code):,} bytes does not fit below 640 KB")
    header.check_line(loading.line)
    extent = max(up(places.code + max(len(code), header.room)), HIGH)
    return Image(
        guest_name(path),
        path,
        places.code,
        0,
        code,
        kind="linux16",
        names=names(),
        extent=extent,
        arrange=_handover(header, loading, places, extent),
        memory=comfortable(extent + loading.size, LEAST_MEMORY),
        rom=small_bios().image,
        firmware=True,
    )


def _handover(header: Header, loading: Loading, places: Places, end: int) -> Callable[[int], Start]:
    """The setup code with its header filled in, the BIOS's areas, the registers of the protocol."""
    disk = loading.joined

    def arrange(memory: int) -> Start:
        placed = [module_below_top(disk, end, min(memory, header.initrd_top))] if disk else []
        setup = bytearray(header.data[: header.setup_size])
        setup[0x210] = OTHER_LOADER
        if header.version >= 0x201:
            setup[0x211] |= CAN_USE_HEAP
            struct.pack_into("<H", setup, 0x224, STACK - STACK_SIZE)
        if header.version >= 0x202:
            struct.pack_into("<I", setup, 0x228, places.line)
        else:
            struct.pack_into("<2H", setup, 0x20, LINE_MAGIC, places.line - places.setup)
        if placed:
            struct.pack_into("<2I", setup, 0x218, placed[0].address, len(placed[0].data))
        line = Piece(places.line, loading.line.encode("utf-8", "surrogateescape") + b"\0")
        registers = {c.ESP: STACK}
        for segment in (c.ES, c.CS, c.SS, c.DS, c.FS, c.GS):
            at = places.setup + (ENTRY << 4 if segment == c.CS else 0)
            registers |= {SEL + segment: at >> 4, BASE + segment: at}
        pieces = (Piece(places.setup, bytes(setup)), line, *placed, *areas(memory))
        return Start(pieces, registers, real_mode=True)

    return arrange
