"""Boot sectors over the small BIOS: entered as a PC enters them, served by code of the guest's processor."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from loader_kernels import run

from isa.asm import assemble
from isa.state import EFLAGS, SEL
from vmm import Machine, Outcome, load_image
from vmm.loader.bootsector import FLOPPIES
from vmm.loader.smallbios import small_bios
from vmm.machine import RESET
from vmm.modes import MODES

SECTOR = """
bits 16
org 0x7c00
start:
{code}
good:
    mov al, 0
    out 0xf4, al
bad:
    mov al, 1
    out 0xf4, al
text: db "Hello", 13, 10, 0
packet: times 32 db 0
times 510 - ($ - $$) db 0
dw 0xaa55
"""
HELLO = """
    mov si, text
.next:
    lodsb
    or al, al
    jz good
    mov ah, 0x0e
    int 0x10
    jmp .next
"""
SERVICES = {
    "int 12h tells the memory below 640 KB": "int 0x12\ncmp ax, 639\njne bad\n",
    "int 15h 88h tells the memory above 1 MB": "mov ah, 0x88\nint 0x15\njc bad\ncmp ax, 15360\njne bad\n",
    "int 15h E801h tells it in two parts": (
        "mov ax, 0xe801\nint 0x15\njc bad\ncmp ax, 15360\njne bad\ncmp dx, 0\njne bad\n"
    ),
    "int 15h knows not everything": "mov ax, 0x1234\nint 0x15\njnc bad\ncmp ah, 0x86\njne bad\n",
    "int 15h 87h copies above 1 MB and back": (
        "mov eax, 0x12345678\nmov [0x9000], eax\nmov cx, 2\nmov si, up\npush cs\npop es\nmov ah, 0x87\nint 0x15\n"
        "jc bad\nmov dword [0x9000], 0\nmov ah, 0x87\nmov cx, 2\nmov si, down\nint 0x15\njc bad\n"
        "cmp dword [0x9000], 0x12345678\njne bad\njmp good\n"
        "up: dq 0, 0, 0x00009300_9000ffff, 0x00009320_0000ffff, 0, 0\n"
        "down: dq 0, 0, 0x00009320_0000ffff, 0x00009300_9000ffff, 0, 0\n"
    ),
    "int 15h C0h describes the machine": (
        "mov ah, 0xc0\nint 0x15\njc bad\ncmp byte [es:bx + 2], 0xfc\njne bad\n"
    ),
    "int 16h sees that no key is there": "mov ah, 1\nint 0x16\njnz bad\n",
    "int 1Ah counts the timer's ticks": (
        "sti\nmov ah, 0\nint 0x1a\nmov bx, dx\n.w: hlt\nmov ah, 0\nint 0x1a\ncmp bx, dx\nje .w\n"
    ),
    "int 1Ah tells the time": "mov ah, 2\nint 0x1a\njc bad\ncmp ch, 0x23\nja bad\n",
    "int 11h has COM1 and a screen": "int 0x11\ntest ax, 0x200\njz bad\n",
    "int 10h moves the cursor": (
        "mov ah, 2\nmov dx, 0x0507\nmov bh, 0\nint 0x10\nmov ah, 3\nint 0x10\ncmp dx, 0x0507\njne bad\n"
    ),
    "int 10h keeps what it shows": (
        "mov ax, 3\nint 0x10\nmov ax, 0x0e41\nint 0x10\nmov ah, 2\nmov dx, 0\nint 0x10\n"
        "mov ah, 8\nint 0x10\ncmp al, 'A'\njne bad\n"
    ),
    "registers of 32 bits survive a service": (
        "mov eax, 0x12345678\nmov ebx, eax\nmov ecx, eax\nmov ah, 2\nint 0x16\nshr eax, 16\ncmp ax, 0x1234\n"
        "jne bad\ncmp ebx, 0x12345678\njne bad\ncmp ecx, ebx\njne bad\n"
    ),
    "int 15h 24h turns wire A20": (
        "mov ax, 0x2400\nint 0x15\njc bad\nmov ax, 0x2402\nint 0x15\ncmp al, 0\njne bad\n"
        "mov ax, 0x2401\nint 0x15\nmov ax, 0x2402\nint 0x15\ncmp al, 1\njne bad\n"
    ),
    "int 13h knows no other drive": "mov ah, 8\nmov dl, 0x81\nint 0x13\njnc bad\n",
    "int 13h tells the shape of the disk": (
        "mov ah, 8\nint 0x13\njc bad\ncmp dh, 15\njne bad\nand cl, 0x3f\ncmp cl, 63\njne bad\n"
    ),
    "int 13h has extensions": "mov ah, 0x41\nmov bx, 0x55aa\nint 0x13\njc bad\ncmp bx, 0xaa55\njne bad\n",
}
MAP = """
    xor ebx, ebx
    mov di, 0x8000
.next:
    mov eax, 0xe820
    mov edx, 0x534d4150
    mov ecx, 20
    int 0x15
    jc bad
    cmp eax, 0x534d4150
    jne bad
    add di, 20
    or ebx, ebx
    jnz .next
"""


def image(folder: Path, code: str, name: str = "boot.img", size: int = 512) -> Path:
    path = folder / name
    made = assemble(SECTOR.format(code=code)).image
    path.write_bytes(made + bytes(size - len(made)))
    return path


@pytest.mark.parametrize("mode", [name for name, mode in MODES.items() if not mode.paravirtual])
def test_a_boot_sector_speaks_in_every_mode(tmp_path: Path, mode: str) -> None:
    result = run(image(tmp_path, HELLO), mode)
    assert (result.outcome, result.console) == (Outcome.SUCCESS, "Hello\r\n"), result.text


def test_a_source_for_7c00_is_a_boot_sector_with_lines(tmp_path: Path) -> None:
    path = tmp_path / "boot.asm"
    path.write_text(SECTOR.format(code=HELLO))
    loaded = load_image(path)
    assert loaded.kind == "boot" and loaded.location(loaded.entry) == "boot.asm:6"
    assert run(path).console == "Hello\r\n"


@pytest.mark.parametrize("what", list(SERVICES))
def test_a_service(tmp_path: Path, what: str) -> None:
    result = run(image(tmp_path, SERVICES[what]))
    assert result.outcome is Outcome.SUCCESS, (what, result.text)


def test_the_memory_map_is_that_of_the_machine(tmp_path: Path) -> None:
    machine = Machine(load_image(image(tmp_path, MAP)), memory=24 << 20)
    assert machine.run(10_000).outcome is Outcome.SUCCESS
    spans = struct.iter_unpack("<QQI", machine.mode.guest.memory.read_bytes(0x8000, 80))
    assert (0x10_0000, 23 << 20, 1) in list(spans)


@pytest.mark.parametrize(("size", "drive"), [(512, 0x80), (1 << 20, 0x80), *((size, 0) for size in FLOPPIES)])
def test_the_processor_stands_where_a_bios_leaves_it(tmp_path: Path, size: int, drive: int) -> None:
    machine = Machine(load_image(image(tmp_path, HELLO, size=size)))
    s = machine.mode.guest.s
    assert machine.mode.guest_eip == 0x7C00
    assert s[2] & 0xFF == drive
    assert s[SEL + 1] == 0 and s[EFLAGS] & 0x200


def test_addresses_in_the_rom_have_names(tmp_path: Path) -> None:
    at = small_bios().symbols["int_10h"]
    assert load_image(image(tmp_path, HELLO)).location(0xF_0000 + at) == "int_10h"


def test_nothing_to_boot_is_said(tmp_path: Path) -> None:
    result = run(image(tmp_path, "int 0x18\n"))
    assert result.console == "No bootable disk.\r\n"


READS = """
    mov ax, 0x0201              ; sector 2 by place
    mov cx, 2
    mov dh, 0
    mov bx, 0x8000
    int 0x13
    jc bad
    cmp word [0x8000], 0x1234
    jne bad
    mov di, packet              ; sectors 1 and 2 by number
    mov word [di], 16
    mov word [di + 2], 2
    mov word [di + 4], 0x9000
    mov word [di + 6], 0
    mov word [di + 8], 1
    mov si, packet
    mov ah, 0x42
    int 0x13
    jc bad
    cmp word [0x9000], 0x1234
    jne bad
    cmp word [0x9200], 0x5678
    jne bad
    mov ax, 0x0301              ; written, and read again
    mov cx, 3
    mov bx, 0x8000
    int 0x13
    jc bad
    mov ax, 0x0201
    mov bx, 0xa000
    int 0x13
    jc bad
    cmp word [0xa000], 0x1234
    jne bad
    mov dword [di + 8], 0x10000000  ; beyond the end
    mov ah, 0x42
    int 0x13
    jnc bad
    cmp ah, 4
    jne bad
"""


@pytest.mark.parametrize("mode", [name for name, mode in MODES.items() if not mode.paravirtual])
def test_the_disk_is_read_and_written_in_every_mode(tmp_path: Path, mode: str) -> None:
    path = image(tmp_path, READS, size=4096)
    data = bytearray(path.read_bytes())
    data[512:514], data[1024:1026] = b"\x34\x12", b"\x78\x56"
    path.write_bytes(data)
    result = run(path, mode)
    assert result.outcome is Outcome.SUCCESS, result.text
    assert path.read_bytes() == data


def test_a_boot_loader_with_a_multiboot_header_is_still_a_disk(tmp_path: Path) -> None:
    path = image(tmp_path, HELLO, size=4096)
    data = bytearray(path.read_bytes())
    struct.pack_into("<3I", data, 1024, 0x1BADB002, 0, -0x1BADB002 & 0xFFFF_FFFF)
    path.write_bytes(data)
    assert load_image(path).kind == "boot"


@pytest.mark.parametrize(("code", "name"), [("ud2", "#UD"), ("xor ax, ax\ndiv al", "#DE")])
def test_an_exception_that_nobody_takes_ends_the_run_and_is_told(
    tmp_path: Path, code: str, name: str
) -> None:
    result = run(image(tmp_path, f"{code}\n"))
    assert result.outcome is Outcome.FAILURE
    assert f"BIOS: nobody handles the exception {name} at 0000:7c0" in result.console


def test_int_19h_and_the_reset_vector_reset_the_machine(tmp_path: Path) -> None:
    for code in ("int 0x19\n", "jmp 0xffff:0\n"):
        assert run(image(tmp_path, code)).text == RESET


def test_the_console_repeats_the_screen_until_the_guest_has_its_own_driver(tmp_path: Path) -> None:
    say = "mov ax, 0x0e00 + '{}'\nint 0x10\n"
    code = say.format("a") + "mov dx, 0x3fc\nmov al, 3\nout dx, al\n" + say.format("b") + "jmp good\n"
    assert run(image(tmp_path, code)).console == "a"


def test_a_large_disk_stays_in_its_file(tmp_path: Path) -> None:
    path = image(
        tmp_path,
        "mov ah, 0x48\nmov si, packet\nint 0x13\njc bad\ncmp dword [packet + 16], 6 << 21\njne bad\n",
    )
    with path.open("r+b") as file:
        file.truncate(6 << 30)
    loaded = load_image(path)
    assert (loaded.kind, loaded.disk) == ("boot", path)
    assert run(path).outcome is Outcome.SUCCESS
