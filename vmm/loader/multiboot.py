"""Multiboot 1 kernels (Multiboot Specification 0.6.96).

The header is looked for in the first 8 KB, on a multiple of 4. A kernel is an ELF file, or any file whose
header says where it goes (flag 16). It is entered in flat protected mode, EAX = 2BADB002h, EBX = the
information structure: memory sizes and map, command line, modules, name of the loader.

    kernel | modules, each on pages of its own            above 1 MB
    information | map | modules' records | strings        at 9 0000h

Not here: video modes (flag 2): the display is in text mode, which a kernel must be able to take.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isa import consts as c
from vmm.image import Image, LoadError, Loading, Module, Piece, Start, guest_name
from vmm.loader import elf
from vmm.loader.lowmem import HIGH, LOW_END, Records, comfortable, memory_map, modules_above

HEADER_MAGIC, BOOT_MAGIC = 0x1BAD_B002, 0x2BAD_B002
SEARCH = 8192
HEADER = struct.Struct("<8I")
PAGE_ALIGN, WANTS_MEMORY, WANTS_VIDEO, HAS_ADDRESSES = 1 << 0, 1 << 1, 1 << 2, 1 << 16
KNOWN_MANDATORY = PAGE_ALIGN | WANTS_MEMORY | WANTS_VIDEO  # of bits 0..15: what we do, or do without
MANDATORY = 0xFFFF
LOADER_NAME = "vmsim"

# struct multiboot_info, up to the loader's name
INFO_SIZE = 120
HAS_MEMORY, HAS_BOOT_DEVICE, HAS_LINE, HAS_MODULES = 1 << 0, 1 << 1, 1 << 2, 1 << 3
HAS_MAP, HAS_NAME = 1 << 6, 1 << 9


@dataclass(frozen=True, slots=True)
class Header:
    """The header that a kernel has in its first 8 KB; `offset` is where in the file."""

    offset: int
    flags: int
    address: int = 0
    load: int = 0
    load_end: int = 0
    bss_end: int = 0
    entry: int = 0


def find_header(data: bytes) -> tuple[Header | None, bool]:
    """The header, and whether there was one with a wrong checksum."""
    wrong = False
    for at in range(0, min(len(data), SEARCH) - 11, 4):
        magic, flags, checksum = struct.unpack_from("<3I", data, at)
        if magic == HEADER_MAGIC:
            if magic + flags + checksum & c.M32:
                wrong = True
                continue
            if flags & HAS_ADDRESSES and at + HEADER.size <= min(len(data), SEARCH):
                return Header(at, flags, *HEADER.unpack_from(data, at)[3:]), wrong
            return Header(at, flags & ~HAS_ADDRESSES), wrong
    return None, wrong


def load(path: Path, data: bytes, loading: Loading) -> Image:
    """A Multiboot kernel with its modules and command line."""
    header, wrong = find_header(data)
    if header is None:
        what = "its Multiboot header has a wrong checksum" if wrong else "there is no Multiboot header"
        raise LoadError(f"{path}: {what} in the first {SEARCH} bytes")
    unknown = header.flags & MANDATORY & ~KNOWN_MANDATORY
    if unknown:
        raise LoadError(f"{path}: the kernel asks for Multiboot features {unknown:#x}, which do not exist")
    if header.flags & HAS_ADDRESSES:
        return _by_addresses(path, data, header, loading)
    if data[:4] != elf.MAGIC:
        raise LoadError(f"{path}: the Multiboot header gives no addresses, and the file is not an ELF file")
    file = elf.read(path, data)
    memory = comfortable(file.end + loading.size)
    arrange = handover(path, loading, file.end)
    return file.image(path, "multiboot", arrange=arrange, memory=memory, firmware=True)


def _by_addresses(path: Path, data: bytes, header: Header, loading: Loading) -> Image:
    """The header says where the file goes (the "a.out kludge")."""
    start = header.offset - (header.address - header.load)
    size = header.load_end - header.load if header.load_end else len(data) - start
    if header.load > header.address or start < 0 or size < 0 or start + size > len(data):
        raise LoadError(f"{path}: the addresses in the Multiboot header do not fit the file")
    block = data[start : start + size]
    end = max(header.bss_end, header.load + size)
    fields: dict[str, Any] = {"kind": "multiboot", "extent": end, "arrange": handover(path, loading, end)}
    fields |= {"memory": comfortable(end + loading.size), "firmware": True}
    if data[:4] == elf.MAGIC:
        fields["names"] = elf.read(path, data).names()
    return Image(guest_name(path), path, header.load, header.entry, block, **fields)


def handover(path: Path, loading: Loading, end: int) -> Any:
    """What a kernel that ends at `end` finds in memory and in its registers."""

    def arrange(memory: int) -> Start:
        pieces = modules_above(loading.modules, end, memory)
        line = f"{path} {loading.line}".strip()
        records = Records()
        info = records.put(bytes(INFO_SIZE))
        records.pieces[0] = Piece(info, _information(records, memory, line, loading.modules, pieces))
        registers = {c.EAX: BOOT_MAGIC, c.EBX: info}
        return Start((*pieces, *records.pieces), registers)

    return arrange


def _information(
    records: Records, memory: int, line: str, modules: tuple[Module, ...], placed: list[Piece]
) -> bytes:
    """The information structure (3.3), its parts put into `records`."""
    entries = b"".join(struct.pack("<IQQI", 20, *span) for span in memory_map(memory))
    rows = b"".join(
        struct.pack("<4I", piece.address, piece.end, records.text(f"{module.name} {module.line}".strip()), 0)
        for module, piece in zip(modules, placed, strict=True)
    )
    flags = HAS_MEMORY | HAS_LINE | HAS_MODULES | HAS_MAP | HAS_NAME
    info = bytearray(INFO_SIZE)
    struct.pack_into("<3I", info, 0, flags, LOW_END >> 10, max(memory - HIGH, 0) >> 10)
    struct.pack_into("<3I", info, 16, records.text(line), len(modules), records.put(rows))
    struct.pack_into("<2I", info, 44, len(entries), records.put(entries))
    struct.pack_into("<I", info, 64, records.text(LOADER_NAME))
    return bytes(info)
