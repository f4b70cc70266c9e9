"""A real BIOS on these devices: SeaBIOS probes them all, finds the disk and boots from it."""

from dataclasses import replace
from pathlib import Path

import pytest

from isa.asm import assemble
from vmm.devices.disk import SECTOR
from vmm.image import load_image
from vmm.machine import Machine, Outcome

BIOS = Path("/usr/share/seabios/bios.bin")
VGA_BIOS = Path("/usr/share/seabios/vgabios-isavga.bin")
BOOT_SECTOR = """
    bits 16
    mov ax, 0x0e42          ; INT 10h: print B
    mov bx, 7
    int 0x10
    mov ax, 0x0201          ; INT 13h: read a sector, CHS 0/0/2
    mov bx, 0x7e00
    mov cx, 2
    mov dx, 0x80
    int 0x13
    jc failed
    mov si, 0x7e00
next:
    lodsb
    test al, al
    jz done
    out 0xe9, al
    jmp next
done:
    mov al, 0
    out 0xf4, al
failed:
    mov al, 1
    out 0xf4, al
"""

pytestmark = pytest.mark.skipif(not BIOS.exists(), reason="needs the package seabios")


def test_seabios_probes_the_devices_and_boots_the_disk():
    code = assemble(BOOT_SECTOR, origin=0x7C00).image.ljust(510, b"\0") + b"\x55\xaa"
    disk = code + b"from the second sector\0".ljust(SECTOR, b"\0") + bytes(2 << 20)
    machine = Machine(replace(load_image(BIOS), disk=disk), memory=32 << 20)
    if VGA_BIOS.exists():
        machine.devices.fw_cfg.add("vgaroms/vgabios.bin", VGA_BIOS.read_bytes())
    result = machine.run(30_000_000)
    log = machine.devices.firmware_log.decode("latin-1")
    assert result.outcome is Outcome.SUCCESS, (result.text, log)
    assert result.console == "from the second sector"
    for line in (
        "Running on QEMU (i440fx)",
        "PCI: init bdf=00:01.1 id=8086:7010",
        "ATA controller 1 at 1f0",
        "VMSIM HARDDISK",
        "Found 1 serial ports",
        "PS2 keyboard initialized",
        "Booting from Hard Disk...",
        "0000000000100000 - 0000000001ffe000 = 1 RAM",
    ):
        assert line in log, log
    if VGA_BIOS.exists():
        assert any(row.startswith("B ") for row in machine.devices.screen())
