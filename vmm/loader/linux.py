"""Linux kernels as they are shipped: bzImage (Documentation/arch/x86/boot.rst).

    0000  boot sector of old; its end and what follows is the setup header, "HdrS" at 0202h
    …     real-mode code: (setup_sects + 1) sectors, which nobody needs here
    …     protected-mode code, for 10 0000h: a decompressor, and in it the compressed kernel (the payload)

Three ways in. If the payload can be unpacked here and has a PVH entry, the kernel is entered there: its own
decompressor would take billions of instructions. Otherwise, or if `linux` is asked for, by the 32-bit boot
protocol: CS = 10h, the other segments 18h, ESI = boot_params; memtest86+ speaks it as well. What is older
than that, or only looks like a kernel, is entered in real mode (linux16.py).
"""

from __future__ import annotations

import gzip
import lzma
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from isa import consts as c
from isa.state import GDT_BASE, GDT_LIMIT, SEL
from vmm.image import Image, LoadError, Loading, Piece, Start, guest_name
from vmm.loader import elf, pvh
from vmm.loader.lowmem import HIGH, Records, comfortable, memory_map, module_below_top, up

SIGNATURE_AT, SIGNATURE = 0x202, b"HdrS"
SECTOR = 512
LOADED_HIGH, CAN_USE_HEAP = 0x01, 0x80
OTHER_LOADER = 0xFF
BOOT_CS, BOOT_DS = 0x10, 0x18
BOOT_PARAMS_SIZE, HEADER_AT, E820_AT, E820_COUNT = 4096, 0x1F1, 0x2D0, 0x1E8
DEFAULT_INITRD_TOP = 0x37FF_FFFF
LEAST_MEMORY = 64 << 20
HAS_XLOADFLAGS, ONLY_64 = 0x20C, 0x01  # XLF_KERNEL_64: it has an entry in 64-bit mode
HAS_PAYLOAD = 0x208  # the protocol that named the packed kernel; what is older may know real mode only
# null, unused, code and data: flat, the selectors of the protocol
GDT = struct.pack("<4Q", 0, 0, 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF)


class Header:
    """The setup header of a kernel, read from the file by offset."""

    def __init__(self, path: Path, data: bytes) -> None:
        if not is_linux(data):
            raise LoadError(f"{path}: no Linux kernel: there is no setup header")
        self.path = path
        self.data = data
        self.version = self.word(0x206, 2)
        if self.version < 0x200:
            raise LoadError(f"{path}: boot protocol {self.version >> 8}.{self.version & 0xFF:02} is too old")
        if self.version >= HAS_XLOADFLAGS and self.word(0x236, 2) & ONLY_64:
            raise LoadError(f"{path}: a 64-bit kernel; this machine is a 32-bit x86")
        self.end = SIGNATURE_AT + self.word(0x201, 1)
        self.setup_size = ((self.word(0x1F1, 1) or 4) + 1) * SECTOR
        if self.setup_size >= len(data):
            raise LoadError(f"{path}: a truncated kernel: the protected-mode code is missing")

    def word(self, at: int, size: int = 4) -> int:
        """A field of the header."""
        return int.from_bytes(self.data[at : at + size], "little")

    def check_line(self, line: str) -> None:
        """`LoadError` if the kernel takes no command line of that length."""
        if len(line.encode("utf-8", "surrogateescape")) > self.line_size:
            raise LoadError(
                f"{self.path}: the command line is longer than the {self.line_size} bytes it takes"
            )

    @property
    def line_size(self) -> int:
        return self.word(0x238) if self.version >= 0x206 else 255

    @property
    def initrd_top(self) -> int:
        return (self.word(0x22C) if self.version >= 0x203 else DEFAULT_INITRD_TOP) + 1

    @property
    def room(self) -> int:
        """How far the kernel reaches before it has found its own memory map."""
        size = len(self.data) - self.setup_size
        return max(size, self.word(0x260)) if self.version >= 0x20A else size

    def payload(self) -> bytes | None:
        """The compressed kernel, if the header says where it is."""
        offset, size = self.word(0x248), self.word(0x24C)
        if self.version < HAS_PAYLOAD or not size:
            return None
        at = self.setup_size + offset
        if at + size > len(self.data):
            raise LoadError(f"{self.path}: a truncated kernel: its payload ends after the file")
        return self.data[at : at + size]


def is_linux(data: bytes) -> bool:
    """Whether a file has a setup header."""
    return data[SIGNATURE_AT : SIGNATURE_AT + 4] == SIGNATURE and data[0x1FE:0x200] == b"\x55\xaa"


def load(path: Path, data: bytes, loading: Loading) -> Image:
    """A kernel: through PVH where it can be, then by the 32-bit protocol, old ones in real mode."""
    header = Header(path, data)
    if loading.format is None:
        if header.version < HAS_PAYLOAD:
            from vmm.loader import linux16

            return linux16.load(path, data, loading)
        try:
            return load_payload(path, data, loading)
        except Unsuitable:
            pass
    return _by_protocol(path, header, loading)


class Unsuitable(LoadError):
    """The kernel inside cannot be started directly."""


def load_payload(path: Path, data: bytes, loading: Loading) -> Image:
    """The kernel inside a bzImage, entered through PVH. `Unsuitable`."""
    payload = Header(path, data).payload()
    if payload is None:
        raise Unsuitable(f"{path}: the kernel has no payload to unpack")
    inner = unpack(path, payload)
    if inner[:4] != elf.MAGIC:
        raise Unsuitable(f"{path}: what is packed in the kernel is not an ELF file")
    file = elf.read(path, inner)
    if pvh.entry_of(file) is None:
        raise Unsuitable(f"{path}: the kernel has no PVH entry (CONFIG_PVH)")
    return pvh.image_of(path, file, loading)


def unpack(path: Path, payload: bytes) -> bytes:
    """A payload in one of the compressions that Linux uses, found by its first bytes. `Unsuitable`."""
    unpackers: Mapping[bytes, Callable[[bytes], bytes]] = {
        b"\x1f\x8b": lambda data: zlib.decompressobj(wbits=31).decompress(data),
        b"\xfd7zXZ\x00": lambda data: lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(data),
        b"\x5d\x00\x00": lambda data: lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(data),
        b"BZh": _bunzip2,
        b"\x28\xb5\x2f\xfd": _unzstd,
        elf.MAGIC: bytes,
    }
    for magic, unpacker in unpackers.items():
        if payload.startswith(magic):
            try:
                return unpacker(payload)
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
                raise LoadError(f"{path}: the packed kernel is damaged: {error}") from None
    raise Unsuitable(f"{path}: the kernel is packed by a method that is not known ({payload[:4].hex(' ')})")


def _bunzip2(data: bytes) -> bytes:
    import bz2

    return bz2.BZ2Decompressor().decompress(data)


def _unzstd(data: bytes) -> bytes:
    import zstandard

    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None


# -- the 32-bit boot protocol -------------------------------------------------------------------------------


def _by_protocol(path: Path, header: Header, loading: Loading) -> Image:
    if not header.word(0x211, 1) & LOADED_HIGH:
        raise LoadError(f"{path}: a zImage knows the 16-bit protocol only (`--format linux16`)")
    header.check_line(loading.line)
    code = header.data[header.setup_size :]
    extent = up(HIGH + header.room)
    return Image(
        guest_name(path),
        path,
        HIGH,
        HIGH,
        code,
        kind="linux",
        extent=max(extent, HIGH + len(code)),
        arrange=_handover(header, loading, extent),
        memory=comfortable(extent + loading.size, LEAST_MEMORY),
        firmware=True,
    )


def _handover(header: Header, loading: Loading, end: int) -> Callable[[int], Start]:
    """boot_params, the command line, the RAM disk, and the GDT that the protocol asks for."""
    disk = loading.joined

    def arrange(memory: int) -> Start:
        records = Records()
        params = records.put(bytes(BOOT_PARAMS_SIZE), 4096)
        line = records.text(loading.line)
        gdt = records.put(GDT)
        placed = [module_below_top(disk, end, min(memory, header.initrd_top))] if disk else []
        records.pieces[0] = Piece(params, _boot_params(header, memory, line, placed))
        registers = {c.ESI: params, GDT_BASE: gdt, GDT_LIMIT: len(GDT) - 1}
        for segment in (c.ES, c.CS, c.SS, c.DS, c.FS, c.GS):
            registers[SEL + segment] = BOOT_CS if segment == c.CS else BOOT_DS
        return Start((*placed, *records.pieces), registers)

    return arrange


def _boot_params(header: Header, memory: int, line: int, placed: list[Piece]) -> bytes:
    """struct boot_params, "the zero page"."""
    page = bytearray(BOOT_PARAMS_SIZE)
    page[HEADER_AT : header.end] = header.data[HEADER_AT : header.end]
    page[0x210] = OTHER_LOADER
    page[0x211] |= CAN_USE_HEAP
    struct.pack_into("<I", page, 0x214, HIGH)
    struct.pack_into("<I", page, 0x228, line)
    if placed:
        struct.pack_into("<2I", page, 0x218, placed[0].address, len(placed[0].data))
    extended = max(memory - HIGH, 0) >> 10
    struct.pack_into("<H", page, 0x02, min(extended, 0xFFFF))
    struct.pack_into("<I", page, 0x1E0, extended)
    _screen_info(page)
    spans = memory_map(memory)
    page[E820_COUNT] = len(spans)
    for n, span in enumerate(spans):
        struct.pack_into("<QQI", page, E820_AT + 20 * n, *span)
    return bytes(page)


def _screen_info(page: bytearray) -> None:
    """Colour text, 80 by 25, as a PC starts."""
    page[0x06], page[0x07] = 3, 80  # mode, columns
    page[0x0E], page[0x0F] = 25, 1  # rows, VGA
    struct.pack_into("<H", page, 0x10, 16)  # points of a character
