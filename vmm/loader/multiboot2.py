"""Multiboot 2 kernels (Multiboot2 Specification 2.0).

The header is looked for in the first 32 KB, on a multiple of 8; tags behind it say what the kernel wants.
A kernel is an ELF file, or any file with an address tag. It is entered in flat protected mode, EAX =
36D76289h, EBX = a block of tags that tell it what there is: command line, modules, memory, the display.

Not here: graphics (the display tag describes the text screen), EFI, relocation: such a tag is passed over
if it is optional, and refused if it is not.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isa import consts as c
from vmm.image import Image, LoadError, Loading, Start, guest_name
from vmm.loader import elf
from vmm.loader.lowmem import HIGH, LOW_END, Records, comfortable, memory_map, modules_above

HEADER_MAGIC, BOOT_MAGIC, I386 = 0xE852_50D6, 0x36D7_6289, 0
SEARCH = 32_768
HEADER, TAG, ADDRESSES = struct.Struct("<4I"), struct.Struct("<HHI"), struct.Struct("<4I")
LOADER_NAME = b"vmsim\0"

END, REQUEST, ADDRESS, ENTRY, CONSOLE, FRAMEBUFFER, ALIGNMENT, EFI_BOOT = range(8)
EFI_ENTRY_32, EFI_ENTRY_64, RELOCATABLE = 8, 9, 10
OPTIONAL = 1
DONE_OR_DONE_WITHOUT = frozenset((CONSOLE, FRAMEBUFFER, ALIGNMENT, EFI_ENTRY_32, EFI_ENTRY_64, RELOCATABLE))

LINE, NAME, MODULE, MEMORY, MAP, DISPLAY = 1, 2, 3, 4, 6, 8
GIVEN = frozenset((LINE, NAME, MODULE, MEMORY, MAP, DISPLAY))
EGA_TEXT = 2
TEXT_SCREEN = struct.pack("<QIIIBBH", 0xB_8000, 160, 80, 25, 16, EGA_TEXT, 0)


@dataclass(slots=True)
class Header:
    """What a kernel says about itself; `offset` is where in the file."""

    offset: int
    tags: dict[int, tuple[bool, bytes]] = field(default_factory=dict)  # whether it is optional, what it says


def find_header(data: bytes) -> tuple[Header | None, bool]:
    """The header, and whether there was one with a wrong checksum."""
    wrong = False
    for at in range(0, min(len(data), SEARCH) - HEADER.size + 1, 8):
        magic, architecture, length, checksum = HEADER.unpack_from(data, at)
        if magic != HEADER_MAGIC or architecture != I386:
            continue
        if magic + architecture + length + checksum & c.M32:
            wrong = True
            continue
        return Header(at, dict(_tags(data[at + HEADER.size : at + length]))), wrong
    return None, wrong


def _tags(block: bytes) -> Iterator[tuple[int, tuple[bool, bytes]]]:
    at = 0
    while at + TAG.size <= len(block):
        kind, flags, size = TAG.unpack_from(block, at)
        if kind == END or size < TAG.size:
            return
        yield kind, (bool(flags & OPTIONAL), block[at + TAG.size : at + size])
        at += size + 7 & ~7


def load(path: Path, data: bytes, loading: Loading) -> Image:
    """A Multiboot 2 kernel with its modules and command line."""
    header, wrong = find_header(data)
    if header is None:
        what = "its Multiboot 2 header has a wrong checksum" if wrong else "there is no Multiboot 2 header"
        raise LoadError(f"{path}: {what} in the first {SEARCH} bytes")
    _check(path, header)
    if ADDRESS in header.tags:
        return _by_addresses(path, data, header, loading)
    if data[:4] != elf.MAGIC:
        raise LoadError(f"{path}: the Multiboot 2 header gives no addresses, and the file is not an ELF file")
    file = elf.read(path, data)
    return file.image(
        path,
        "multiboot2",
        entry=_entry(path, header, file.entry),
        arrange=handover(path, loading, file.end),
        memory=comfortable(file.end + loading.size),
        firmware=True,
    )


def _check(path: Path, header: Header) -> None:
    """`LoadError` if the kernel insists on something that is not here."""
    for kind, (optional, said) in header.tags.items():
        if optional or kind in DONE_OR_DONE_WITHOUT or kind in (ADDRESS, ENTRY):
            continue
        wanted = {one for (one,) in struct.iter_unpack("<I", said[: len(said) & ~3])} - GIVEN
        if kind != REQUEST or wanted:
            what = f"information {sorted(wanted)}" if kind == REQUEST else f"a tag {kind}"
            raise LoadError(f"{path}: the kernel insists on {what}, which is not here")


def _entry(path: Path, header: Header, otherwise: int | None) -> int:
    """Where the kernel is entered."""
    said = header.tags.get(ENTRY, (False, b""))[1]
    if len(said) >= 4:
        return int.from_bytes(said[:4], "little")
    if otherwise is None:
        raise LoadError(f"{path}: the Multiboot 2 header has addresses and no entry")
    return otherwise


def _by_addresses(path: Path, data: bytes, header: Header, loading: Loading) -> Image:
    """The address tag says where the file goes."""
    said = header.tags[ADDRESS][1]
    if len(said) < ADDRESSES.size:
        raise LoadError(f"{path}: a damaged Multiboot 2 header")
    address, first, last, bss = ADDRESSES.unpack_from(said)
    start = 0 if first == c.M32 else header.offset - (address - first)
    first = address - header.offset if first == c.M32 else first
    size = last - first if last else len(data) - start
    if not 0 <= start <= start + size <= len(data) or first < 0:
        raise LoadError(f"{path}: the addresses in the Multiboot 2 header do not fit the file")
    end = max(bss, first + size)
    fields: dict[str, Any] = {"kind": "multiboot2", "extent": end, "arrange": handover(path, loading, end)}
    fields |= {"memory": comfortable(end + loading.size), "firmware": True}
    entry = _entry(path, header, None)
    return Image(guest_name(path), path, first, entry, data[start : start + size], **fields)


def handover(path: Path, loading: Loading, end: int) -> Callable[[int], Start]:
    """What a kernel that ends at `end` finds in memory and in its registers."""

    def arrange(memory: int) -> Start:
        placed = modules_above(loading.modules, end, memory)
        tags = [(LINE, _text(loading.line)), (NAME, LOADER_NAME)]
        for module, piece in zip(loading.modules, placed, strict=True):
            words = _text(f"{module.name} {module.line}".strip())
            tags.append((MODULE, struct.pack("<2I", piece.address, piece.end) + words))
        tags.append((MEMORY, struct.pack("<2I", LOW_END >> 10, max(memory - HIGH, 0) >> 10)))
        entries = b"".join(struct.pack("<QQII", *span, 0) for span in memory_map(memory))
        tags += [(MAP, struct.pack("<2I", 24, 0) + entries), (DISPLAY, TEXT_SCREEN), (END, b"")]
        block = b"".join(_tag(kind, said) for kind, said in tags)
        records = Records()
        info = records.put(struct.pack("<2I", len(block) + 8, 0) + block)
        return Start((*placed, *records.pieces), {c.EAX: BOOT_MAGIC, c.EBX: info})

    return arrange


def _tag(kind: int, said: bytes) -> bytes:
    """A tag, filled up to a multiple of eight."""
    size = 8 + len(said)
    return struct.pack("<2I", kind, size) + said + bytes(-size % 8)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape") + b"\0"
