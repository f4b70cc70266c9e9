"""Guest images: what a file becomes before a machine starts it.

`load_image` reads a path: an assembly source is assembled (with `PARA` defined for modes that want the
paravirtual build), anything else is a flat binary placed at 1 MB. An `Image` keeps symbols and the line
table where there is one, so that every address can be told as a source line. Errors are `LoadError` or the
assembler's own `AsmError`; both have a message for people. Next: `machine`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from isa.asm import AsmError, Program, SourceLine, assemble

DEFAULT_ORIGIN = 0x10_0000
SOURCE_SUFFIXES = frozenset({".asm", ".s", ".nasm", ".inc"})
MAX_BINARY = 16 << 20

__all__ = ["AsmError", "Image", "LoadError", "SourceLine", "load_image"]


class LoadError(Exception):
    """The file cannot be a guest; the message says why."""


@dataclass(frozen=True)
class Image:
    """A guest ready to be put into memory: `data` at `origin`, started at `entry`."""

    name: str
    path: Path
    origin: int
    entry: int
    data: bytes
    program: Program | None = None

    def where(self, address: int) -> SourceLine | None:
        """The source line whose bytes hold `address`."""
        return self.program.where(address) if self.program else None

    def location(self, address: int) -> str:
        """`boot.asm:41`, or the symbol, or the bare address: the best name for a place in the guest."""
        line = self.where(address)
        if line is not None:
            return f"{Path(line.path).name}:{line.line}"
        symbol = self.program.symbolize(address) if self.program else None
        return symbol or f"{address:#010x}"

    def symbol(self, name: str) -> int | None:
        """The address of a label."""
        return self.program.symbols.get(name) if self.program else None


def load_image(
    path: Path,
    *,
    defines: Mapping[str, int] | None = None,
    include_dirs: tuple[Path, ...] = (),
    flat: bool | None = None,
) -> Image:
    """Read and, if it is source, assemble a guest. `flat` forces a flat binary (or source) over the suffix."""
    try:
        if path.is_dir():
            raise LoadError(f"{path} is a directory, not a guest")
        data = path.read_bytes()
    except FileNotFoundError:
        raise LoadError(f"{path}: no such file") from None
    except OSError as error:
        raise LoadError(f"{path}: {error.strerror or error}") from None
    if not data:
        raise LoadError(f"{path} is empty")
    is_source = path.suffix.lower() in SOURCE_SUFFIXES if flat is None else not flat
    if is_source:
        program = assemble(path, defines=defines, include_dirs=include_dirs)
        return Image(path.stem, path, program.origin, program.entry, program.image, program)
    if len(data) > MAX_BINARY:
        raise LoadError(f"{path}: {len(data):,} bytes do not fit into the guest's memory")
    return Image(path.stem, path, DEFAULT_ORIGIN, DEFAULT_ORIGIN, data)
