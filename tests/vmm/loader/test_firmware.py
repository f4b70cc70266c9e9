"""Real firmware: mapped at the top, entered at the reset vector."""

from __future__ import annotations

from pathlib import Path

import pytest
from loader_kernels import run
from real_kernels import real

from isa.asm import assemble
from vmm import Machine, Outcome, load_image
from vmm.image import LoadError

ROM = """
bits 16
org 0
start:
    mov ax, 0xf000
    mov ds, ax
    mov al, [text]
    out 0xe9, al
    mov al, 0
    out 0xf4, al
text: db "!"
times 0xfff0 - ($ - $$) db 0xff
    jmp 0xf000:start
times 0x10000 - ($ - $$) db 0xff
"""


@pytest.fixture
def rom(tmp_path: Path) -> Path:
    path = tmp_path / "bios.bin"
    path.write_bytes(assemble(ROM).image)
    return path


def test_a_rom_is_entered_at_the_reset_vector_and_seen_below_1_mb(rom: Path) -> None:
    machine = Machine(load_image(rom))
    assert machine.mode.guest_eip == 0xFFFF_FFF0
    result = machine.run(1000)
    assert (result.outcome, result.console) == (Outcome.SUCCESS, "!")


def test_a_disk_under_firmware_is_the_machines_disk(rom: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(510) + b"\x55\xaa")
    image = load_image(disk, bios=rom)
    assert (image.kind, image.disk) == ("boot", disk.read_bytes())
    assert run(disk, bios=rom).console == "!"


def test_what_is_no_rom_is_refused(rom: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.bin"
    odd.write_bytes(bytes(1000))
    with pytest.raises(LoadError, match="whole 64 KB"):
        load_image(rom, bios=odd)
    with pytest.raises(LoadError, match="whole 64 KB"):
        load_image(odd, format="bios")
    with pytest.raises(LoadError, match="command line"):
        load_image(rom, bios=rom, line="x")


def test_seabios_boots_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sector = "bits 16\norg 0x7c00\nmov al, '!'\nout 0xe9, al\nmov al, 0\nout 0xf4, al\n"
    code = assemble(sector + "times 510 - ($ - $$) db 0\ndw 0xaa55\n").image
    disk = tmp_path / "disk.img"
    disk.write_bytes(code + bytes(1 << 20))
    monkeypatch.setenv("VMSIM_ENGINE", "native")
    result = run(disk, bios=real("bios.bin", "seabios"), budget=10_000_000)
    assert (result.outcome, result.console) == (Outcome.SUCCESS, "!")
