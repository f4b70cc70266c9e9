"""A program as a file that other tools take: a static ELF executable for the 386.

Here: `elf32`, one loadable segment with the image, and the labels as a symbol table. QEMU and boot
loaders load it (with a multiboot header in the source, near its start), gdb and objdump name its
addresses. The image is code and data in one piece, so its section may be read, written and executed.

    file   0 | ELF header | program header | … | image | .symtab | .strtab | .shstrtab | section headers

Not here: lines of source (DWARF), relocations. System V ABI, Intel386 supplement, chapters 4 and 5.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_HEADER = struct.Struct("<16sHHIIIIIHHHHHH")
_SEGMENT = struct.Struct("<8I")
_SECTION = struct.Struct("<10I")
_SYMBOL = struct.Struct("<IIIBBH")

_IDENT = b"\x7fELF" + bytes([1, 1, 1]) + bytes(9)  # 32 bits, little endian, version 1
ET_EXEC, EM_386, PT_LOAD = 2, 3, 1
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB = 1, 2, 3
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR = 1, 2, 4
PF_X, PF_W, PF_R = 1, 2, 4
STB_LOCAL, STB_GLOBAL, STT_SECTION = 0, 1, 3
_PAGE = 0x1000
_TEXT = 1
"""The index of the section with the image."""


class _Section(NamedTuple):
    """One section before its place in the file is known."""

    name: str
    kind: int
    data: bytes
    flags: int = 0
    address: int = 0
    link: int = 0
    info: int = 0
    align: int = 1
    entry: int = 0


class _Strings:
    """A string table: every name once, the empty one at 0."""

    def __init__(self) -> None:
        self.data = bytearray(1)
        self._at: dict[str, int] = {"": 0}

    def index(self, name: str) -> int:
        """Where `name` stands."""
        at = self._at.get(name)
        if at is None:
            at = self._at[name] = len(self.data)
            self.data += name.encode() + b"\0"
        return at


def elf32(image: bytes, origin: int, entry: int, symbols: Mapping[str, int]) -> bytes:
    """The bytes of an executable with `image` at `origin` and a symbol for every label."""
    strings = _Strings()
    table, first_global = _symbol_table(symbols, strings)
    everything = SHF_WRITE | SHF_ALLOC | SHF_EXECINSTR
    sections = [
        _Section("", 0, b"", align=0),
        _Section(".text", SHT_PROGBITS, image, everything, origin, align=16 if origin % 16 == 0 else 1),
        _Section(".symtab", SHT_SYMTAB, table, link=3, info=first_global, align=4, entry=_SYMBOL.size),
        _Section(".strtab", SHT_STRTAB, bytes(strings.data)),
    ]
    names = _Strings()
    for name in (*(s.name for s in sections), ".shstrtab"):
        names.index(name)
    sections.append(_Section(".shstrtab", SHT_STRTAB, bytes(names.data)))
    return _file(sections, names, image, origin, entry)


def _file(sections: Sequence[_Section], names: _Strings, image: bytes, origin: int, entry: int) -> bytes:
    """Headers, sections one behind the other, and the table that says where they are."""
    # A loader that maps pages wants the place in the file and in memory to agree within a page.
    start = _HEADER.size + _SEGMENT.size
    start += (origin - start) % _PAGE
    body = bytearray(start)
    rows = [bytes(_SECTION.size)]
    for section in sections[1:]:
        if section.flags & SHF_ALLOC == 0:
            body += bytes(-len(body) % section.align)
        rows.append(
            _SECTION.pack(
                names.index(section.name),
                section.kind,
                section.flags,
                section.address,
                len(body),
                len(section.data),
                section.link,
                section.info,
                section.align,
                section.entry,
            )
        )
        body += section.data
    body += bytes(-len(body) % 4)
    header = _HEADER.pack(
        _IDENT,
        ET_EXEC,
        EM_386,
        1,
        entry,
        _HEADER.size,
        len(body),
        0,
        _HEADER.size,
        _SEGMENT.size,
        1,
        _SECTION.size,
        len(sections),
        len(sections) - 1,
    )
    size = len(image)
    segment = _SEGMENT.pack(PT_LOAD, start, origin, origin, size, size, PF_R | PF_W | PF_X, _PAGE)
    body[: _HEADER.size + _SEGMENT.size] = header + segment
    return bytes(body) + b"".join(rows)


def _symbol_table(symbols: Mapping[str, int], strings: _Strings) -> tuple[bytes, int]:
    """The table, and the index of the first symbol that is not local; local ones come first."""
    local = {name: at for name, at in symbols.items() if "." in name}
    rows = [bytes(_SYMBOL.size), _SYMBOL.pack(0, 0, 0, STB_LOCAL << 4 | STT_SECTION, 0, _TEXT)]
    for name, address in local.items():
        rows.append(_SYMBOL.pack(strings.index(name), address, 0, STB_LOCAL << 4, 0, _TEXT))
    for name, address in symbols.items():
        if name not in local:
            rows.append(_SYMBOL.pack(strings.index(name), address, 0, STB_GLOBAL << 4, 0, _TEXT))
    return b"".join(rows), 2 + len(local)
