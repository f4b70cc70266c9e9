"""Loaders: from a file that somebody else made to an `Image` that every mode can start.

    kinds.py      what a file is, by its first bytes; what it certainly is not
    elf.py        ELF executables for the 386: segments, entry, symbols, notes
    multiboot.py  Multiboot 1 kernels, in ELF or with addresses in the header
    multiboot2.py Multiboot 2 kernels
    linux.py      bzImage: the 32-bit boot protocol; the kernel inside it
    initramfs.py  a RAM disk out of a directory or a source
    linux16.py    the boot protocol of old, in real mode
    pvh.py        kernels with an entry for PVH: no decompressor, no BIOS
    bootsector.py disks whose first sector is code
    smallbios.py  a small BIOS of our own (bios.asm) under what starts in real mode
    firmware.py   a real BIOS at the reset vector
    lowmem.py     the memory map, and where the records handed to a kernel lie

Each loader is a function `load(path, data, loading) -> Image`. A file that is damaged or not for this
machine is a `LoadError`, never another exception. Not here: starting the image (vmm/image.py, modes).
"""

from vmm.loader.kinds import FORMATS, load

__all__ = ["FORMATS", "load"]
