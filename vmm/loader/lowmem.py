"""What loaders of kernels share: the PC's memory map, and a place below 640 KB for records.

    000A 0000 ┐ 1 KB that a BIOS keeps for itself
    0009 FC00 ┘
    0009 0000   records: boot parameters, memory map, command line, a GDT
    0000 0000   free

`Records` fills that area: each record gets the next address and becomes a piece of the start.
"""

from __future__ import annotations

from typing import NamedTuple

from vmm.image import DEFAULT_MEMORY, LoadError, Module, Piece

RECORDS, RECORDS_END = 0x9_0000, 0x9_FC00
LOW_END = 0x9_FC00
HOLE_END, BIOS_AREA, HIGH = 0xA_0000, 0xF_0000, 0x10_0000
RAM, RESERVED = 1, 2  # types of memory, as INT 15h AX=E820h has them
PAGE = 0x1000


class Span(NamedTuple):
    """A stretch of physical addresses and what it is."""

    base: int
    size: int
    kind: int


def memory_map(memory: int) -> list[Span]:
    """The spans of a PC with that many bytes of RAM."""
    if memory <= HIGH:
        return [Span(0, min(memory, LOW_END), RAM), Span(BIOS_AREA, HIGH - BIOS_AREA, RESERVED)]
    return [
        Span(0, LOW_END, RAM),
        Span(LOW_END, HOLE_END - LOW_END, RESERVED),
        Span(BIOS_AREA, HIGH - BIOS_AREA, RESERVED),
        Span(HIGH, memory - HIGH, RAM),
    ]


def up(address: int, unit: int = PAGE) -> int:
    """The next multiple of a unit."""
    return -(-address // unit) * unit


def comfortable(end: int, least: int = DEFAULT_MEMORY) -> int:
    """How much RAM to give, if nobody says, to a kernel that reaches up to `end` with what it is given."""
    return max(least, up(end + end // 2, 16 << 20))


class Records:
    """Records for a kernel, one after the other, from a given address on."""

    def __init__(self, at: int = RECORDS, end: int = RECORDS_END) -> None:
        self.at = at
        self.end = end
        self.pieces: list[Piece] = []

    def put(self, data: bytes, align: int = 16) -> int:
        """Add a record: its address. `LoadError` if there is no room."""
        at = up(self.at, align)
        if at + len(data) > self.end:
            raise LoadError("the command line and the records for the kernel do not fit below 640 KB")
        self.pieces.append(Piece(at, data))
        self.at = at + len(data)
        return at

    def text(self, text: str) -> int:
        """Add a string with a zero after it."""
        return self.put(text.encode("utf-8", "surrogateescape") + b"\0")


def modules_above(modules: tuple[Module, ...], end: int, memory: int) -> list[Piece]:
    """The modules on pages of their own right above a kernel that ends at `end`. `LoadError`."""
    pieces = []
    at = max(end, HIGH)
    for module in modules:
        at = up(at)
        pieces.append(Piece(at, module.data))
        at += len(module.data)
    if at > memory:
        raise LoadError(f"the kernel and its modules need {at:,} bytes of memory; there are {memory:,}")
    return pieces


def module_below_top(data: bytes, kernel_end: int, top: int) -> Piece:
    """A RAM disk as high as it goes below `top`. `LoadError`."""
    at = (top - len(data)) // PAGE * PAGE
    if at < up(kernel_end):
        raise LoadError(
            f"a RAM disk of {len(data):,} bytes does not fit between the kernel, which ends at "
            f"{kernel_end:#x}, and the end of memory at {top:#x}"
        )
    return Piece(at, data)
