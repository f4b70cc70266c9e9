"""Kernels with a PVH entry (Xen's "x86/HVM direct boot ABI", hvm/start_info.h).

An ELF note, XEN_ELFNOTE_PHYS32_ENTRY, names a 32-bit physical entry point. The kernel is entered there in
flat protected mode, paging off, EBX = hvm_start_info: memory map, modules, command line. Linux has the
note since 4.21: it starts without the decompressor of its bzImage and without a BIOS.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from isa import consts as c
from vmm.image import Image, LoadError, Loading, Piece, Start
from vmm.loader import elf
from vmm.loader.lowmem import Records, comfortable, memory_map, module_below_top

MAGIC, VERSION = 0x336E_C578, 1
PHYS32_ENTRY = 18
LOW_MEMORY_TOP = 0x3800_0000  # Linux reads its RAM disk through the direct map: 896 MB
LEAST_MEMORY = 64 << 20


def entry_of(file: elf.Executable) -> int | None:
    """The PVH entry, if the kernel has one."""
    for note in file.notes:
        if note.name == b"Xen" and note.kind == PHYS32_ENTRY and len(note.desc) >= 4:
            return int.from_bytes(note.desc[:4], "little")
    return None


def load(path: Path, data: bytes, loading: Loading) -> Image:
    """An ELF kernel with the note."""
    return image_of(path, elf.read(path, data), loading)


def image_of(path: Path, file: elf.Executable, loading: Loading) -> Image:
    """The image of a kernel that has been read."""
    entry = entry_of(file)
    if entry is None:
        raise LoadError(f"{path}: the kernel has no PVH entry (ELF note {PHYS32_ENTRY} of Xen)")
    memory = comfortable(file.end + loading.size, LEAST_MEMORY)
    return file.image(
        path, "pvh", entry=entry, arrange=handover(loading, file.end), memory=memory, firmware=True
    )


def handover(loading: Loading, end: int) -> Callable[[int], Start]:
    """What a kernel that ends at `end` finds in memory and in its registers."""

    def arrange(memory: int) -> Start:
        records, top = Records(), min(memory, LOW_MEMORY_TOP)
        placed: list[Piece] = []
        for module in loading.modules:
            placed.append(module_below_top(module.data, end, top))
            top = placed[-1].address
        rows = b"".join(
            struct.pack("<4Q", piece.address, len(piece.data), records.text(module.line), 0)
            for module, piece in zip(loading.modules, placed, strict=True)
        )
        spans = memory_map(memory)
        entries = b"".join(struct.pack("<QQII", *span, 0) for span in spans)
        info = struct.pack(
            "<4I4Q2I",
            *(MAGIC, VERSION, 0, len(placed)),
            *(records.put(rows), records.text(loading.line), 0, records.put(entries)),
            *(len(spans), 0),
        )
        registers = {c.EBX: records.put(info)}
        return Start((*placed, *records.pieces), registers)

    return arrange
