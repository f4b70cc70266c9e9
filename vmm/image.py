"""Guest images: what a file becomes before a machine starts it.

`load_image` reads a path and recognises what it is (`vmm.loader`): an assembly source is assembled (with
`PARA` defined for modes that want the paravirtual build), kernels and disks are taken apart, anything else
is a flat binary placed at 1 MB. An `Image` keeps symbols and the line table where there are any, so that
every address can be told as a source line.

Every mode starts a guest in the same two steps: `place` puts it into the memory that the guest sees,
`set_up` gives its first registers. Errors are `LoadError` or the assembler's own `AsmError`; both have a
message for people. Next: `machine`, `loader`.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from isa.asm.diagnostics import AsmError
from isa.asm.program import Program, SourceLine
from isa.memory import PhysicalMemory
from isa.state import EIP, reset_state
from vmm.names import Names

DEFAULT_ORIGIN = 0x10_0000
DEFAULT_MEMORY = 16 << 20
MAX_FILE = 1 << 30
NAME_SUFFIXES = frozenset(".asm .s .nasm .inc .bin .elf .img .iso .raw .gz .rom .com .out".split())

__all__ = [
    "AsmError",
    "Image",
    "LoadError",
    "Loading",
    "Module",
    "Piece",
    "SourceLine",
    "Start",
    "guest_name",
    "load_image",
]


class LoadError(Exception):
    """The file cannot be a guest; the message says why."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes at a physical address."""

    address: int
    data: bytes

    @property
    def end(self) -> int:
        return self.address + len(self.data)


@dataclass(frozen=True, slots=True)
class Start:
    """What stands besides the image before the first instruction: bytes in memory, and registers.

    `registers` are words of the state block (isa.state) that differ from flat 32-bit protected mode, or
    from RESET if the guest starts in `real_mode`.
    """

    pieces: tuple[Piece, ...] = ()
    registers: Mapping[int, int] = field(default_factory=dict)
    real_mode: bool = False


def bare_start(memory: int) -> Start:
    """Nothing but the image."""
    return Start()


@dataclass(frozen=True)
class Image:
    """A guest ready to be put into memory: `data` at `origin`, started at `entry`.

    A file with holes, or with more than its bytes in memory, says what to place in `pieces` and how far it
    reaches in `extent`. `arrange` makes the start for a machine with that many bytes of RAM.
    """

    name: str
    path: Path
    origin: int
    entry: int
    data: bytes
    program: Program | None = None
    kind: str = "flat"
    names: Names | None = None
    pieces: tuple[Piece, ...] | None = None
    extent: int = 0
    arrange: Callable[[int], Start] = bare_start
    memory: int = DEFAULT_MEMORY  # bytes of RAM, if nobody says how many
    rom: bytes = b""  # the machine's firmware
    option_roms: Mapping[str, bytes] = field(default_factory=dict)  # files for that firmware: its drivers
    firmware: bool = False  # the devices are to be as a BIOS leaves them
    disk: bytes | Path | None = None  # the first disk; what is written to it goes elsewhere

    # -- starting -----------------------------------------------------------------------------------

    @property
    def end(self) -> int:
        """The first physical address after the image in RAM."""
        placed = (Piece(self.origin, self.data),) if self.pieces is None else self.pieces
        return max((piece.end for piece in placed), default=0) if not self.extent else self.extent

    def place(self, memory: PhysicalMemory) -> None:
        """Put everything into the guest's physical memory. ValueError where no RAM is."""
        placed = (Piece(self.origin, self.data),) if self.pieces is None else self.pieces
        for piece in (*placed, *self.arrange(memory.size).pieces):
            memory.write_bytes(piece.address, piece.data)

    def set_up(self, s: array[int], memory: int) -> None:
        """The registers of a processor that is about to begin, on a machine with `memory` bytes of RAM."""
        start = self.arrange(memory)
        if start.real_mode:
            s[:] = reset_state()
        s[EIP] = self.entry
        for word, value in start.registers.items():
            s[word] = value

    @property
    def is_firmware(self) -> bool:
        """Whether the guest is a firmware itself, not what it boots."""
        return self.kind == "bios"

    # -- names --------------------------------------------------------------------------------------

    def where(self, address: int) -> SourceLine | None:
        """The source line whose bytes hold `address`."""
        return self.program.where(address) if self.program else None

    def location(self, address: int) -> str:
        """`boot.asm:41`, or the symbol, or the bare address: the best name for a place in the guest."""
        line = self.where(address)
        if line is not None:
            return f"{Path(line.path).name}:{line.line}"
        return self.symbolize(address) or f"{address:#010x}"

    def symbolize(self, address: int) -> str | None:
        """`label+0x4`: the nearest name at or below an address of the guest."""
        found = self.program.symbolize(address) if self.program else None
        return found or (self.names.symbolize(address) if self.names else None)

    @property
    def symbols(self) -> Mapping[str, int]:
        """Names and their linear addresses."""
        if self.program is not None:
            return self.program.symbols
        return self.names.symbols if self.names is not None else {}

    def symbol(self, name: str) -> int | None:
        """The address of a label."""
        return self.symbols.get(name)


@dataclass(frozen=True, slots=True)
class Module:
    """A file that is given to a kernel: an initial RAM disk, a boot module."""

    name: str
    data: bytes
    line: str = ""  # its own command line


@dataclass(frozen=True, slots=True)
class Loading:
    """What a loader is told besides the file: how to read it, and what to hand to the kernel."""

    format: str | None = None  # one of `vmm.loader.FORMATS`; None: recognise it
    line: str = ""  # the kernel's command line
    modules: tuple[Module, ...] = ()
    bios: Path | None = None  # firmware that boots the guest, a disk image
    option_roms: tuple[Path, ...] = ()  # and what it finds on adapters
    defines: Mapping[str, int] = field(default_factory=dict)
    include_dirs: tuple[Path, ...] = ()

    @property
    def hands_over(self) -> bool:
        """Whether the kernel is to be given something."""
        return bool(self.line or self.modules)

    @property
    def joined(self) -> bytes:
        """All modules in one, as Linux takes RAM disks: each from a multiple of four."""
        return b"".join(module.data + bytes(-len(module.data) % 4) for module in self.modules)

    @property
    def size(self) -> int:
        """Bytes of all modules."""
        return sum(len(module.data) for module in self.modules)


def load_image(
    path: Path,
    *,
    defines: Mapping[str, int] | None = None,
    include_dirs: tuple[Path, ...] = (),
    format: str | None = None,
    line: str = "",
    modules: tuple[Module, ...] = (),
    bios: Path | None = None,
    option_roms: tuple[Path, ...] = (),
) -> Image:
    """Read a guest and, if it is source, assemble it; the keywords are the fields of `Loading`."""
    from vmm.loader import load

    return load(path, Loading(format, line, modules, bios, option_roms, defines or {}, include_dirs))


def read_file(path: Path, most: int = MAX_FILE) -> bytes:
    """The bytes of a file, or of a pipe. `LoadError`."""
    try:
        if path.is_dir():
            raise LoadError(f"{path} is a directory, not a guest")
        if path.is_char_device() and not path.samefile(os.devnull):
            raise LoadError(f"{path} is a device, not a guest")
        with path.open("rb") as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise LoadError(f"{path}: more than {most:,} bytes, too much for any memory here")
    except FileNotFoundError:
        raise LoadError(f"{path}: no such file") from None
    except OSError as error:
        raise LoadError(f"{path}: {error.strerror or error}") from None
    if not data:
        raise LoadError(f"{path} is empty")
    return data


def guest_name(path: Path) -> str:
    """What a guest is called: its file without a suffix that says what kind of file it is."""
    return path.stem if path.suffix.lower() in NAME_SUFFIXES else path.name
