"""The peers that kernels are compared with: the same image on QEMU and on Bochs, and what it prints there.

A kernel prints to the debug console (port E9h) and ends with a verdict at port F4h and then `xchg bx, bx`,
which means nothing to a processor and stops Bochs' debugger. QEMU loads Multiboot by itself. Bochs gets
the image as initial RAM and a ROM of our own, which enters it in the state that Multiboot describes; so
neither firmware nor a disk is needed, and nothing outside a temporary folder is read or written.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from isa.asm import assemble
from vmm.image import Image

QEMU, BOCHS = "qemu-system-i386", "bochs"
TIMEOUT = 20  # seconds, for what has hung

needs_qemu = pytest.mark.skipif(shutil.which(QEMU) is None, reason="needs qemu-system-x86")
needs_bochs = pytest.mark.skipif(shutil.which(BOCHS) is None, reason="needs bochs")


def on_qemu(image: Image, folder: Path, cpu: str = "pentium2") -> bytes:
    """What the kernel writes to QEMU's debug console. It must be a Multiboot kernel."""
    kernel, console = folder / "kernel.bin", folder / "qemu.console"
    kernel.write_bytes(image.data)
    command = [
        QEMU, "-cpu", cpu, "-kernel", str(kernel), "-m", "16", "-display", "none", "-no-reboot",
        "-monitor", "none", "-serial", "none", "-debugcon", f"file:{console}",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
    ]  # fmt: skip
    subprocess.run(command, timeout=TIMEOUT, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    return console.read_bytes()


ROM_SIZE = 0x10000
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
clock: sync=none
log: {folder}/bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
"""
BLOCK = 0x20000
NO_VGA_BIOS = b"\x55\xaa\x01" + bytes(509)
PRINTED = re.compile(rb"<bochs:1> c\n(.*)\(0\) Magic breakpoint\n", re.DOTALL)


@cache
def rom(entry: int) -> bytes:
    """A ROM of 64 KB that enters a kernel in flat protected mode."""
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


def on_bochs(image: Image, folder: Path, cpu: str = "p2_klamath") -> bytes:
    """What the kernel writes to Bochs' debug console. AssertionError if it does not come to its end."""
    for name, data in (("rom", rom(image.entry)), ("vga", NO_VGA_BIOS)):
        folder.joinpath(f"{name}.bin").write_bytes(data)
    images = "\n".join(_ram_images(image, folder))
    configuration = folder / "bochsrc"
    configuration.write_text(BOCHSRC.format(folder=folder, images=images, cpu=cpu))
    ran = subprocess.run(
        [BOCHS, "-q", "-f", str(configuration)],
        input=b"c\nq\n", timeout=TIMEOUT, check=False, capture_output=True,
    )  # fmt: skip
    printed = PRINTED.search(ran.stdout)
    assert printed, ran.stdout[-2000:].decode("latin-1")
    return printed.group(1)
