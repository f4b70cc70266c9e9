"""What the assembler returns: the image, its names, and the way back from bytes to source lines.

Here: `Program`, `SourceLine`, `LineTable` (address to line by bisection) and the listing.

Not here: how an executable is laid out (`elf.py`), starting the image. Addresses are linear, 32 bits,
and count from `Program.origin`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from isa.asm.diagnostics import Diagnostic


@dataclass(frozen=True)
class SourceLine:
    """A line of source and the bytes it became."""

    path: str
    line: int
    text: str
    address: int
    length: int


class LineTable(Sequence[SourceLine]):
    """The lines that made bytes, in the order of their addresses; `listed` has those that did not too."""

    def __init__(self, listed: Sequence[SourceLine]) -> None:
        self.listed = tuple(listed)
        self._lines = tuple(line for line in listed if line.length)
        self._starts = [line.address for line in self._lines]

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self._lines[index]

    def __iter__(self) -> Iterator[SourceLine]:
        return iter(self._lines)

    def find(self, address: int) -> SourceLine | None:
        """The line whose bytes hold this address."""
        at = bisect_right(self._starts, address) - 1
        if at < 0:
            return None
        line = self._lines[at]
        return line if address < line.address + line.length else None


@dataclass(frozen=True)
class Program:
    """An assembled program."""

    origin: int
    image: bytes
    entry: int
    symbols: Mapping[str, int]
    constants: Mapping[str, int]
    lines: LineTable
    warnings: tuple[Diagnostic, ...]

    def flat(self) -> bytes:
        """The image alone, to be put at `origin`: a boot sector, a firmware image."""
        return self.image

    def elf32(self) -> bytes:
        """The image as an ELF executable with the labels as symbols."""
        from isa.asm.elf import elf32  # only who writes files needs it

        return elf32(self.image, self.origin, self.entry, self.symbols)

    def listing(self) -> str:
        """Address, bytes, line number and source, one line each; long data is folded."""
        rows: list[str] = []
        path = None
        for line in self.lines.listed:
            if line.path != path:
                path = line.path
                rows.append(f"; {path}")
            offset = line.address - self.origin
            data = self.image[offset : offset + line.length]
            rows.extend(_rows(line, data))
        return "\n".join(rows) + "\n"

    def where(self, address: int) -> SourceLine | None:
        """The line whose bytes hold this address."""
        return self.lines.find(address)

    def symbolize(self, address: int) -> str | None:
        """`label+0x4` for an address inside the image: the nearest label at or below it."""
        if not self.origin <= address < self.origin + len(self.image):
            return None
        starts, names = self._by_address
        at = bisect_right(starts, address) - 1
        if at < 0:
            return None
        offset = address - starts[at]
        return names[at] + (f"+{offset:#x}" if offset else "")

    @cached_property
    def _by_address(self) -> tuple[list[int], list[str]]:
        """Labels by address; of several at one place the first defined."""
        at: dict[int, str] = {}
        for name, address in self.symbols.items():
            at.setdefault(address, name)
        starts = sorted(at)
        return starts, [at[a] for a in starts]


_BYTES_PER_ROW = 8
_FOLD_AFTER = 4


def _rows(line: SourceLine, data: bytes) -> Iterator[str]:
    chunks = [data[i : i + _BYTES_PER_ROW] for i in range(0, min(len(data), 64), _BYTES_PER_ROW)] or [b""]
    address = f"{line.address:08x}" if data else " " * 8
    width = _BYTES_PER_ROW * 3 - 1
    yield f"{address}  {chunks[0].hex(' '):{width}}  {line.line:5}  {line.text}".rstrip()
    for k, chunk in enumerate(chunks[1:], 1):
        if k == _FOLD_AFTER and len(data) > (_FOLD_AFTER + 1) * _BYTES_PER_ROW:
            yield f"{'':8}  ... {len(data) - k * _BYTES_PER_ROW} more bytes"
            return
        yield f"{line.address + k * _BYTES_PER_ROW:08x}  {chunk.hex(' ')}"
