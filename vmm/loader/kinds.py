"""What a file is. `load` reads one, recognises it by its first bytes, and has it loaded.

    asm       an assembly source, by its suffix
    linux     "HdrS" at 0202h: bzImage, memtest86+; linux16 enters it in real mode
    boot      55 AA at the end of the first sector: a disk, booted by the small BIOS
    multiboot a Multiboot header in the first 8 KB, ELF or not (boot loaders have one as well, on their disk)
    multiboot2  a Multiboot 2 header in the first 32 KB, and no other
    pvh       an ELF file with an entry for PVH
    elf       any other ELF executable for the 386
    bios      a ROM: whole 64 KB, a far jump at the reset vector
    flat      anything else, at 1 MB

A gzip file is unpacked first, as boot loaders do. What is certainly something else (a 64-bit or foreign
executable, an a.out file, an archive) is refused, because to run it as a flat binary helps nobody.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from isa.asm.kept import assemble
from vmm.image import DEFAULT_ORIGIN, Image, LoadError, Loading, guest_name, read_file
from vmm.loader import bootsector, elf, firmware, linux, linux16, multiboot, multiboot2, pvh

FORMATS = ("asm", "flat", "elf", "multiboot", "multiboot2", "linux", "linux16", "pvh", "boot", "bios")
SOURCE_SUFFIXES = frozenset({".asm", ".s", ".nasm", ".inc"})
MAX_BINARY = 16 << 20
LARGE, HEAD = 64 << 20, 1 << 16
MAX_UNPACKED = 1 << 30
GZIP = b"\x1f\x8b\x08"
FOREIGN = (
    (b"MZ", "a DOS, Windows or EFI program"),
    (b"#!", "a script"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"!<arch>\n", "a library or a Debian package"),
    (b"\xfd7zXZ\x00", "an XZ archive; unpack it first"),
    (b"BZh", "a bzip2 archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive; unpack it first"),
    (b"QFI\xfb", "a qcow2 disk; convert it to a raw one"),
    (b"\xcf\xfa\xed\xfe", "a Mach-O program"),
    (b"\xce\xfa\xed\xfe", "a Mach-O program"),
)
# (offset, magic, what it is)
ELSEWHERE = (
    (0x38, b"ARM\x64", "a kernel for 64-bit ARM"),
    (0x38, b"RSC\x05", "a kernel for RISC-V"),
    (0x24, b"\x18\x28\x6f\x01", "a kernel for ARM"),
    (0x101, b"ustar", "a tar archive"),
    (0, b"\x27\x05\x19\x56", "an image for U-Boot"),
    (0, b"KDMV", "a VMDK disk; convert it to a raw one"),
    (0x40, b"\x7f\x10\xda\xbe", "a VDI disk; convert it to a raw one"),
    (0, b"conectix", "a VHD disk; convert it to a raw one"),
    (0, b"vhdxfile", "a VHDX disk; convert it to a raw one"),
)
AOUT_HEADER = 32
AOUT_MACHINES = (0, 100)  # not said; the 386
AOUT_LARGEST = 1 << 28  # bytes: what says that it is larger is something else
AOUT_MAGICS = {0o407: "OMAGIC", 0o410: "NMAGIC", 0o413: "ZMAGIC", 0o314: "QMAGIC"}


def load(path: Path, loading: Loading) -> Image:
    """The guest in a file. `LoadError`, `AsmError`."""
    if _is_large_disk(path, loading):
        return firmware.load_with_disk(path, path, loading) if loading.bios else bootsector.load_large(path)
    data = read_file(path)
    is_source = path.suffix.lower() in SOURCE_SUFFIXES if loading.format is None else loading.format == "asm"
    if is_source:
        return _source(path, loading)
    if data.startswith(GZIP):
        data = _gunzip(path, data)
    if loading.bios is not None:
        return firmware.load_with_disk(path, data, loading)
    kind = loading.format or recognise(path, data)
    return LOADERS[kind](path, data, loading)


def _is_large_disk(path: Path, loading: Loading) -> bool:
    """Whether a file is a disk that is better read where it lies than into memory."""
    if not path.is_file() or path.stat().st_size <= LARGE or loading.format not in (None, "boot"):
        return False
    if loading.bios is not None:
        return True
    with path.open("rb") as file:
        head = file.read(HEAD)
    return not loading.hands_over and recognise(path, head) == "boot"


def recognise(path: Path, data: bytes) -> str:
    """The format of a file by its contents. `LoadError` if it is none that can run here."""
    if linux.is_linux(data):
        return "linux"
    if bootsector.is_disk(data) and data[:4] != elf.MAGIC:
        return "boot"
    if multiboot.find_header(data)[0] is not None:
        return "multiboot"
    if multiboot2.find_header(data)[0] is not None:
        return "multiboot2"
    plain = "elf" if data[:4] == elf.MAGIC else "flat"
    if plain == "elf" and pvh.entry_of(elf.read(path, data)) is not None:
        return "pvh"
    if multiboot.find_header(data)[1] or multiboot2.find_header(data)[1]:
        raise LoadError(
            f"{path}: its Multiboot header has a wrong checksum; `--format {plain}` runs it without"
        )
    if plain == "elf":
        return plain
    if path.suffix.lower() == ".elf":
        raise LoadError(f"{path}: not an ELF file; `--format flat` runs it as it is")
    if firmware.is_rom(data):
        return "bios"
    _refuse_foreign(path, data)
    return "flat"


def _refuse_foreign(path: Path, data: bytes) -> None:
    for magic, what in FOREIGN:
        if data.startswith(magic):
            raise LoadError(f"{path}: {what}, not a guest; `--format flat` runs it as it is")
    for at, magic, what in ELSEWHERE:
        if data[at : at + len(magic)] == magic:
            raise LoadError(f"{path}: {what}, not a guest; `--format flat` runs it as it is")
    if _is_cut_aout(data):
        raise LoadError(f"{path}: a truncated a.out file; `--format flat` runs it as it is")
    old = _aout(data)
    if old is not None:
        raise LoadError(
            f"{path}: an a.out file ({old}), which is loaded only with a Multiboot header that has addresses"
        )


def _aout(data: bytes) -> str | None:
    """The name of the a.out magic, if the sizes in the header agree with the file: 32 bits or PDP-11."""
    for form in (struct.Struct("<8I"), struct.Struct("<8H")):
        if len(data) < form.size:
            continue
        magic, text, initialized, _bss, symbols, *_ = form.unpack_from(data)
        kind = AOUT_MAGICS.get(magic & 0xFFFF)
        if kind is not None and text and text + initialized + symbols <= len(data) + 1024:
            return kind
    return None


def _is_cut_aout(data: bytes) -> bool:
    """Whether a file begins as an a.out file does and ends before what its header says."""
    word = int.from_bytes(data[:4], "little")
    if word & 0xFFFF not in AOUT_MAGICS or len(data) < 4:
        return False
    if len(data) < AOUT_HEADER:
        return True
    sizes = struct.unpack_from("<2I", data, 4)
    return word >> 16 in AOUT_MACHINES and len(data) < sum(sizes) <= AOUT_LARGEST


def _gunzip(path: Path, data: bytes) -> bytes:
    """The contents of a gzip file. `LoadError`."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(data, MAX_UNPACKED)
    except zlib.error as error:
        raise LoadError(f"{path}: a damaged gzip file: {error}") from None
    if not unpacker.eof:
        raise LoadError(f"{path}: a truncated gzip file")
    return unpacked


def _source(path: Path, loading: Loading) -> Image:
    """Assembly: a boot sector if it is one, else flat; with a Multiboot header it may be handed things."""
    program = assemble(path, loading.defines, loading.include_dirs)
    if program.origin == bootsector.ORIGIN and bootsector.is_disk(program.image):
        return bootsector.load_disk(path, program.image, program)
    image = Image(path.stem, path, program.origin, program.entry, program.image, program, kind="asm")
    if not loading.hands_over:
        return image
    if multiboot.find_header(program.image)[0] is None:
        raise LoadError(f"{path}: without a Multiboot header it can take no command line and no modules")
    arrange = multiboot.handover(path, loading, image.end)
    return Image(
        path.stem, path, program.origin, program.entry, program.image, program, "multiboot", arrange=arrange
    )


def load_flat(path: Path, data: bytes, loading: Loading) -> Image:
    """Bytes at 1 MB, entered at the first."""
    if loading.hands_over:
        raise LoadError(f"{path}: a flat binary takes no command line and no modules")
    if len(data) > MAX_BINARY:
        raise LoadError(f"{path}: {len(data):,} bytes do not fit into the guest's memory")
    return Image(guest_name(path), path, DEFAULT_ORIGIN, DEFAULT_ORIGIN, data)


def load_pvh(path: Path, data: bytes, loading: Loading) -> Image:
    """A PVH kernel, packed in a bzImage or not."""
    return (linux.load_payload if linux.is_linux(data) else pvh.load)(path, data, loading)


LOADERS = {
    "flat": load_flat,
    "elf": elf.load,
    "multiboot": multiboot.load,
    "multiboot2": multiboot2.load,
    "linux": linux.load,
    "linux16": linux16.load,
    "pvh": load_pvh,
    "boot": bootsector.load,
    "bios": firmware.load,
}
