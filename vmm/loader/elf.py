"""ELF executables for the 386 (System V ABI, Intel386 supplement).

Here: `Executable`, a file taken apart: what goes where in physical memory, where it is entered, its
symbols and its notes. An ELF kernel without another protocol starts in flat 32-bit protected mode.

A kernel that is linked high (C010 0000) and loaded low (0010 0000) says so by p_paddr; its entry is then
made physical as well, because paging is off. Not here: relocatable files, dynamic linking.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmm.image import Image, LoadError, Loading, Piece, guest_name
from vmm.loader.lowmem import comfortable
from vmm.names import Names, Shift

MAGIC = b"\x7fELF"
BIG_ENDIAN = 2  # EI_DATA
MAX_SPAN = 1 << 30
_SYMBOL = struct.Struct("<IIIBBH")
_NAMED_TYPES = frozenset({0, 1, 2})  # STT_NOTYPE, STT_OBJECT, STT_FUNC
_NOTE = struct.Struct("<III")


@dataclass(frozen=True, slots=True)
class Segment:
    """A loadable segment: `data` at `physical`, zeros after it up to `size` bytes."""

    physical: int
    linear: int
    data: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Note:
    """One note: whose it is, its number, and what it says."""

    name: bytes
    kind: int
    desc: bytes


@dataclass(frozen=True)
class Executable:
    """What an ELF file says."""

    entry: int  # physical
    segments: tuple[Segment, ...]
    symbols: dict[str, int]
    notes: tuple[Note, ...]

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return tuple(Piece(one.physical, one.data) for one in self.segments if one.data)

    @property
    def end(self) -> int:
        return max(one.physical + one.size for one in self.segments)

    @property
    def origin(self) -> int:
        return min(one.physical for one in self.segments)

    def flat(self) -> bytes:
        """The segments as one block from `origin` on."""
        block = bytearray(max(piece.end for piece in self.pieces) - self.origin if self.pieces else 0)
        for piece in self.pieces:
            at = piece.address - self.origin
            block[at : at + len(piece.data)] = piece.data
        return bytes(block)

    def names(self) -> Names:
        """The symbols, at linear and at physical addresses."""
        shifts = [
            Shift(range(one.physical, one.physical + one.size), one.linear - one.physical)
            for one in self.segments
        ]
        return Names(self.symbols, shifts)

    def image(self, path: Path, kind: str, **fields: Any) -> Image:
        """An image of this executable, to be started as `fields` say."""
        entry = fields.pop("entry", self.entry)
        return Image(
            guest_name(path),
            path,
            self.origin,
            entry,
            self.flat(),
            kind=kind,
            names=self.names(),
            pieces=self.pieces,
            extent=self.end,
            memory=fields.pop("memory", comfortable(self.end)),
            **fields,
        )


def load(path: Path, data: bytes, loading: Loading) -> Image:
    """An executable without a boot protocol: entered in flat protected mode."""
    if loading.hands_over:
        raise LoadError(f"{path}: this kernel has no boot protocol to take a command line or modules by")
    return read(path, data).image(path, "elf")


def read(path: Path, data: bytes) -> Executable:
    """Take a file apart. `LoadError` for whatever is damaged or for another machine."""
    _refuse(path, data)
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        file = ELFFile(io.BytesIO(data))
        segments = tuple(_segments(path, file, data))
        entry = file["e_entry"]
        notes = tuple(_notes(file))
    except (ELFError, ValueError, KeyError, TypeError, AttributeError, IndexError, struct.error) as error:
        raise LoadError(f"{path}: a damaged ELF file: {str(error) or type(error).__name__}") from None
    if not segments:
        raise LoadError(f"{path}: an ELF file with nothing to load")
    origin = min(one.physical for one in segments)
    if max(one.physical + one.size for one in segments) - origin > MAX_SPAN:
        raise LoadError(f"{path}: its segments lie more than {MAX_SPAN >> 30}G apart")
    return Executable(_physical(entry, segments), segments, _symbols(file, data), notes)


def _refuse(path: Path, data: bytes) -> None:
    """What the first bytes rule out already."""
    if data[:4] != MAGIC:
        raise LoadError(f"{path}: not an ELF file")
    if len(data) < 52:
        raise LoadError(f"{path}: a truncated ELF file of {len(data)} bytes")
    bits, order = data[4], data[5]
    machine = int.from_bytes(data[18:20], "big" if order == BIG_ENDIAN else "little")
    if bits == 2:
        raise LoadError(f"{path}: a 64-bit ELF file; this machine is a 32-bit x86")
    if bits != 1 or order != 1 or machine not in (3, 6):
        raise LoadError(f"{path}: an ELF file for another processor (machine {machine})")
    kind = int.from_bytes(data[16:18], "little")
    if kind == 1:
        raise LoadError(f"{path}: an object file; link it first")
    if kind not in (2, 3):
        raise LoadError(f"{path}: an ELF file of type {kind}, not an executable")


def _segments(path: Path, file: Any, data: bytes) -> Iterator[Segment]:
    loadable = [one for one in file.iter_segments() if one["p_type"] == "PT_LOAD" and one["p_memsz"]]
    has_physical = any(one["p_paddr"] for one in loadable)
    for one in loadable:
        offset, size, room = one["p_offset"], one["p_filesz"], one["p_memsz"]
        if offset + size > len(data):
            missing = offset + size - len(data)
            raise LoadError(f"{path}: a truncated ELF file; {missing:,} bytes of a segment are missing")
        if size > room:
            raise LoadError(f"{path}: a damaged ELF file: a segment is larger in the file than in memory")
        physical = one["p_paddr"] if has_physical else one["p_vaddr"]
        if physical + room > 1 << 32:
            raise LoadError(f"{path}: a damaged ELF file: a segment ends beyond 4G")
        yield Segment(physical, one["p_vaddr"], data[offset : offset + size], room)


def _physical(entry: int, segments: tuple[Segment, ...]) -> int:
    """The entry as it is found with paging off."""
    if any(one.physical <= entry < one.physical + one.size for one in segments):
        return entry
    for one in segments:
        if one.linear <= entry < one.linear + one.size:
            return entry - one.linear + one.physical
    return entry


def _symbols(file: Any, data: bytes) -> dict[str, int]:
    """Labels of the symbol table; a damaged table has none, for nothing but names depends on it."""
    try:
        table = file.get_section_by_name(".symtab")
        if table is None:
            return {}
        names = file.get_section(table["sh_link"])
        strings = data[names["sh_offset"] : names["sh_offset"] + names["sh_size"]]
        rows = data[table["sh_offset"] : table["sh_offset"] + table["sh_size"]]
    except Exception:
        return {}
    found: dict[str, int] = {}
    for name, value, _size, info, _other, section in _SYMBOL.iter_unpack(rows[: len(rows) // 16 * 16]):
        if name and section and section < 0xFFF1 and info & 0xF in _NAMED_TYPES:
            end = strings.find(b"\0", name)
            found.setdefault(strings[name:end].decode("utf-8", "replace"), value)
    found.pop("", None)
    return found


def _notes(file: Any) -> Iterator[Note]:
    for segment in file.iter_segments():
        if segment["p_type"] == "PT_NOTE":
            yield from _notes_in(segment.data())


def _notes_in(block: bytes) -> Iterator[Note]:
    at = 0
    while at + _NOTE.size <= len(block):
        name_size, size, kind = _NOTE.unpack_from(block, at)
        name_at = at + _NOTE.size
        desc_at = name_at + (name_size + 3 & ~3)
        at = desc_at + (size + 3 & ~3)
        if at > len(block) + 3:
            return
        name = block[name_at : name_at + name_size].rstrip(b"\0")
        yield Note(name, kind, block[desc_at : desc_at + size])
