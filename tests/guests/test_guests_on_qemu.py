"""QEMU as the oracle: every guest, as it is, prints there what its header promises, with verdict 0."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import guests
from isa.asm import assemble

QEMU = shutil.which("qemu-system-i386")
BOOT_SECTORS = ["boot"]
GUESTS = {guest.name: guest for guest in guests.catalogue()}
TIMEOUT_SECONDS = 20

pytestmark = pytest.mark.skipif(QEMU is None, reason="needs the package qemu-system-x86")


def exit_status(verdict: int) -> int:
    """What QEMU's own exit status makes of a byte written to the isa-debug-exit device."""
    return verdict << 1 | 1


def image_of(source: Path, folder: Path) -> Path:
    image = folder / f"{source.stem}.bin"
    image.write_bytes(assemble(source, include_dirs=[guests.LIBRARY]).image)
    return image


def run(source: Path, folder: Path, *options: str) -> tuple[int, str]:
    """Assemble and run a guest; QEMU's exit status, and the console."""
    return run_image("-kernel", str(image_of(source, folder)), *options)


def run_image(*options: str) -> tuple[int, str]:
    assert QEMU is not None
    command = [
        *(QEMU, "-m", "32", "-no-reboot", "-display", "none", "-serial", "stdio"),
        *("-monitor", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x01", *options),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            console, _ = process.communicate(timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            console, _ = process.communicate()
            pytest.fail(f"no verdict in {TIMEOUT_SECONDS} s; the console so far: {console!r}")
    return process.returncode, console.decode("latin-1")


def assert_good(name: str, folder: Path, *options: str) -> None:
    status, console = run(GUESTS[name].path, folder, *options)
    assert console == GUESTS[name].expected
    assert status == exit_status(0)


@pytest.mark.parametrize("name", sorted(set(GUESTS) - set(BOOT_SECTORS)))
def test_a_guest_does_on_qemu_what_its_header_says(name: str, tmp_path: Path) -> None:
    assert_good(name, tmp_path)


@pytest.mark.parametrize("name", BOOT_SECTORS)
def test_a_boot_sector_does_on_qemu_what_its_header_says(name: str, tmp_path: Path) -> None:
    """The firmware copies the screen to the serial port, after much of its own; the last two characters may
    still be on their way when the verdict comes."""
    image = image_of(GUESTS[name].path, tmp_path)
    status, console = run_image("-machine", "pc,graphics=off", "-drive", f"file={image},format=raw,if=ide")
    console = console.partition("Booting from Hard Disk...")[2].replace("\r\n", "\n").lstrip()
    expected = GUESTS[name].expected
    assert expected.startswith(console)
    assert len(console) >= len(expected) - 2
    assert status == exit_status(0)


def test_paging_works_on_a_processor_without_large_pages(tmp_path: Path) -> None:
    assert_good("pagefault", tmp_path, "-cpu", "486")


@pytest.mark.parametrize("shift", [1, 4, 7, 10])
@pytest.mark.parametrize("name", ["timer", "kernel", "minos"])
def test_the_console_does_not_depend_on_when_the_timer_ticks(name: str, shift: int, tmp_path: Path) -> None:
    """From a tick every 500,000 instructions to one every thousand."""
    assert_good(name, tmp_path, "-icount", f"shift={shift},sleep=off")


def test_minos_reads_a_disk_if_there_is_one(tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(b"the first sector\n".ljust(64 * 512, b"\0"))
    status, console = run(GUESTS["minos"].path, tmp_path, "-drive", f"file={disk},format=raw,if=ide")
    expected = GUESTS["minos"].expected
    expected = expected.replace("minos: no disk\n", "minos: a disk of 64 sectors\n")
    assert console == expected.replace("disk: there is none\n", "the first sector\n")
    assert status == exit_status(0)


def test_a_failing_guest_is_told_from_a_good_one(tmp_path: Path) -> None:
    """The verdict is what `main` returns, so a wrong product must come out as a failure."""
    source = tmp_path / "wrong.asm"
    text = GUESTS["hello"].path.read_text(encoding="utf-8")
    source.write_text(text.replace("mov edx, 7", "mov edx, 8"), encoding="utf-8")
    status, console = run(source, tmp_path)
    assert console == GUESTS["hello"].expected.replace("42", "48")
    assert status == exit_status(48 - 42)
