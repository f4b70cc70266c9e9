"""QEMU as the oracle: every guest, as it is, prints there what its header promises, with verdict 0."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import guests
from isa.asm import assemble

QEMU = shutil.which("qemu-system-i386")
GUESTS = {guest.name: guest for guest in guests.catalogue()}
TIMEOUT_SECONDS = 20

pytestmark = pytest.mark.skipif(QEMU is None, reason="needs the package qemu-system-x86")


def exit_status(verdict: int) -> int:
    """What QEMU's own exit status makes of a byte written to the isa-debug-exit device."""
    return verdict << 1 | 1


def run(image: Path) -> tuple[int, str]:
    assert QEMU is not None
    command = [
        *(QEMU, "-kernel", str(image), "-m", "32", "-no-reboot", "-display", "none", "-serial", "stdio"),
        *("-monitor", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x01"),
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


@pytest.mark.parametrize("name", sorted(GUESTS))
def test_a_guest_does_on_qemu_what_its_header_says(name: str, tmp_path: Path) -> None:
    image = tmp_path / f"{name}.bin"
    image.write_bytes(assemble(GUESTS[name].path).image)
    status, console = run(image)
    assert console == GUESTS[name].expected
    assert status == exit_status(0)


def test_a_failing_guest_is_told_from_a_good_one(tmp_path: Path) -> None:
    """The verdict is what `main` returns, so a wrong product must come out as a failure."""
    source = GUESTS["hello"].path.read_text(encoding="utf-8").replace("mov edx, 7", "mov edx, 8")
    path = tmp_path / "wrong.asm"
    path.write_text(source, encoding="utf-8")
    image = tmp_path / "wrong.bin"
    image.write_bytes(assemble(path, include_dirs=[guests.LIBRARY]).image)
    status, console = run(image)
    assert "6 * 7 = 48\n" in console
    assert status == exit_status(48 - 42)
