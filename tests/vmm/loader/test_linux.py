"""Linux: the 32-bit boot protocol, PVH, and the kernel that is packed in a bzImage."""

from __future__ import annotations

import gzip
import lzma
import struct
from pathlib import Path

import pytest
import zstandard
from loader_kernels import PUT, program, run

from isa import consts as c
from isa.state import GDT_BASE, SEL
from vmm import Machine, Outcome, load_image
from vmm.image import LoadError, Module
from vmm.modes import MODES

BY_PROTOCOL = """
start:
    mov ax, cs
    cmp ax, 0x10
    jne broken
    mov ax, ds
    cmp ax, 0x18
    jne broken
    mov esp, 0x80000
    push 0x18                   ; the GDT is there to be used
    pop es
    mov ebx, esi
    mov esi, [ebx + 0x228]
    call put
    mov esi, [ebx + 0x218]
    call put
    jmp finish
broken:
    mov al, 1
    out 0xf4, al
"""
BY_PVH = """
start:
    cmp dword [ebx], 0x336ec578
    jne broken
    mov esp, 0x80000
    mov esi, [ebx + 24]
    call put
    mov ecx, [ebx + 16]
    mov esi, [ecx]
    call put
    jmp finish
broken:
    mov al, 1
    out 0xf4, al
"""
FAITHFUL = [name for name, mode in MODES.items() if mode.promises_equivalence and not mode.paravirtual]
PACKERS = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "none": bytes,
}
DISK = Module("initrd", b"+disk\0")


def bzimage(code: bytes, payload: bytes = b"") -> bytes:
    """A kernel of protocol 2.12: two sectors of real-mode code, protected-mode code, perhaps a payload."""
    head = bytearray(2 * 512)
    head[0x1F1] = 1
    head[0x1FE:0x202] = b"\x55\xaa\xeb\x66"
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, 0x20C)
    head[0x211] = 1
    struct.pack_into("<II", head, 0x22C, 0x37FF_FFFF, 0x20_0000)
    struct.pack_into("<I", head, 0x238, 64)
    struct.pack_into("<II", head, 0x248, len(code), len(payload))
    struct.pack_into("<I", head, 0x260, 0x10_0000)
    return bytes(head) + code + payload


def pvh_kernel() -> bytes:
    """An ELF file with the note, its program headers moved behind the code to make room for one more."""
    made = program(BY_PVH + PUT)
    code = made.image
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", made.symbols["start"])
    segments = struct.pack("<8I", 1, 116, made.origin, made.origin, len(code), len(code), 7, 4)
    segments += struct.pack("<8I", 4, 116 + len(code), 0, 0, len(note), len(note), 4, 4)
    header = struct.pack(
        "<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01", 2, 3, 1, made.origin, 52, 0, 0, 52, 32, 2, 0, 0, 0
    )
    return header + segments + code + note


def write(folder: Path, data: bytes) -> Path:
    path = folder / "bzImage"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("mode", FAITHFUL)
def test_a_kernel_is_entered_by_the_32_bit_protocol_in_every_mode(tmp_path: Path, mode: str) -> None:
    path = write(tmp_path, bzimage(program(BY_PROTOCOL + PUT).image))
    result = run(path, mode, line="root=none", modules=(DISK,))
    assert (result.outcome, result.console) == (Outcome.SUCCESS, "root=none+disk"), result.text


def test_the_registers_are_those_of_the_protocol(tmp_path: Path) -> None:
    machine = Machine(load_image(write(tmp_path, bzimage(program(BY_PROTOCOL + PUT).image))))
    s = machine.mode.guest.s
    assert (s[SEL + c.CS], s[SEL + c.DS], s[c.EBX], s[c.EBP], s[c.EDI]) == (0x10, 0x18, 0, 0, 0)
    gdt = machine.mode.guest.memory.read_bytes(s[GDT_BASE], 32)
    assert gdt[16:24] == bytes.fromhex("ffff0000009bcf00") and gdt[24:] == bytes.fromhex("ffff00000093cf00")
    page = machine.mode.guest.memory.read_bytes(s[c.ESI], 4096)
    spans = list(struct.iter_unpack("<QQI", page[0x2D0 : 0x2D0 + 20 * page[0x1E8]]))
    assert (0x10_0000, machine.memory - 0x10_0000, 1) in spans


@pytest.mark.parametrize("mode", [name for name, mode in MODES.items() if not mode.paravirtual])
def test_a_kernel_is_entered_through_pvh_in_every_mode(tmp_path: Path, mode: str) -> None:
    path = write(tmp_path, pvh_kernel())
    result = run(path, mode, line="root=none", modules=(DISK,))
    assert (result.outcome, result.console) == (Outcome.SUCCESS, "root=none+disk"), result.text


@pytest.mark.parametrize("packer", PACKERS)
def test_the_kernel_in_a_bzimage_is_unpacked_and_entered_through_pvh(tmp_path: Path, packer: str) -> None:
    path = write(tmp_path, bzimage(b"\xf4" * 64, PACKERS[packer](pvh_kernel()) + b"\0\0\0\0"))
    image = load_image(path)
    assert image.kind == "pvh"
    assert run(path, line="x", modules=(DISK,)).console == "x+disk"
    assert load_image(path, format="linux").kind == "linux"


@pytest.mark.parametrize(
    ("data", "given", "words"),
    [
        (bzimage(b"\xf4"), {"line": "x" * 65}, "longer than the 64 bytes"),
        (bzimage(b"\xf4"), {"format": "pvh"}, "no payload"),
        (bzimage(b"\xf4", gzip.compress(b"words")), {"format": "pvh"}, "not an ELF file"),
        (bzimage(b"\xf4", b"\x1f\x8bdamage here"), {}, "damaged"),
        (bzimage(b"\xf4", b"unknown packing"), {"format": "pvh"}, "not known"),
        (bzimage(b"\xf4")[:1024], {}, "truncated"),
        (bzimage(b"\xf4", bytes(100))[:1100], {}, "truncated"),
        (bzimage(b"\xf4")[:0x211] + b"\0" + bzimage(b"\xf4")[0x212:], {}, "zImage"),
        (bytes(512), {"format": "linux"}, "no setup header"),
    ],
)
def test_what_is_no_kernel_is_refused_in_words(tmp_path: Path, data: bytes, given, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(LoadError, match=words):
        load_image(write(tmp_path, data), **given)


def test_a_ram_disk_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    for data in (bzimage(b"\xf4"), pvh_kernel()):
        image = load_image(write(tmp_path, data), modules=(Module("big", bytes(4 << 20)),))
        with pytest.raises(LoadError, match="does not fit"):
            image.arrange(4 << 20)
