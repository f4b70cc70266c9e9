"""Bochs as a peer: the command that runs a kernel on it, without firmware, disk or display.

Bochs gets the image as initial RAM and a ROM of our own, which enters it in the state that Multiboot describes.
What the kernel prints to COM1 is in the file `console` of the folder, what it prints to port E9h on stdout;
`xchg bx, bx`, which means nothing to a processor, stops the debugger that Debian's Bochs has built in. Tests use
it, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from vmm.image import Image

ROM = """
bits 16
org 0
start:  db 0x66                         ; all 32 bits of the base
        cs lgdt [pointer]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword 0x08:0xFFFF0000 + flat
pointer dw gdt_end - gdt - 1
        dd 0xFFFF0000 + gdt
gdt     dd 0, 0, 0x0000FFFF, 0x00CF9A00, 0x0000FFFF, 0x00CF9200
gdt_end:
bits 32
flat:   mov eax, 0x10
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov fs, ax
        mov gs, ax
        mov dx, 0x3FB                   ; COM1 with eight bits, as firmware leaves it
        mov al, 3
        out dx, al
        mov eax, ENTRY
        jmp eax
times 0xFFF0 - ($ - $$) db 0
bits 16
        jmp 0xF000:0
times 0x10000 - ($ - $$) db 0
"""
BOCHSRC = """
megs: 16
romimage: file={folder}/rom.bin
vgaromimage: file={folder}/vga.bin
{images}
cpu: model={cpu}, count=1, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=0
display_library: rfb, options="timeout=0"
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
speaker: enabled=0
port_e9_hack: enabled=1
magic_break: enabled=1
com1: enabled=1, mode=file, dev={folder}/console
clock: sync=none
log: {folder}/bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
"""
BLOCK = 0x20000  # bytes of a block of its memory, which an image may not cross
NO_VGA_BIOS = b"\x55\xaa\x01" + bytes(509)


@cache
def rom(entry: int) -> bytes:
    """A ROM of 64 KB that enters a kernel in flat protected mode."""
    from isa.asm import assemble

    return assemble(ROM.replace("ENTRY", hex(entry))).image


def _ram_images(image: Image, folder: Path) -> Iterator[str]:
    """Lines of the configuration that load the image, a block of Bochs' memory each: there may be four."""
    at, end = image.origin, image.origin + len(image.data)
    for n in range(1, 5):
        if at < end:
            size = BLOCK - at % BLOCK
            ram = folder / f"ram{n}.bin"
            ram.write_bytes(image.data[at - image.origin :][:size])
            yield f"optramimage{n}: file={ram}, address={at:#x}"
            at += size
    assert at >= end, "the image does not fit into four blocks of Bochs' memory"


def bochs_command(image: Image, folder: Path, cpu: str = "p2_klamath") -> list[str]:
    """Bochs with the kernel in its memory; its files are put into `folder`."""
    (folder / "rom.bin").write_bytes(rom(image.entry))
    (folder / "vga.bin").write_bytes(NO_VGA_BIOS)
    configuration = folder / "bochsrc"
    images = "\n".join(_ram_images(image, folder))
    configuration.write_text(BOCHSRC.format(folder=folder, images=images, cpu=cpu))
    return ["bochs", "-q", "-f", str(configuration)]
