"""Small kernels, one behaviour each (`kernels/*.asm`): the same bytes on the debug console here and on QEMU.

The kernels cover what user-mode oracles cannot: task switches, virtual-8086 and real mode, gates.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from isa.model import MODELS
from vmm import Machine, Outcome, load_image

QEMU = "qemu-system-i386"
KERNELS = sorted(Path(__file__).parent.joinpath("kernels").glob("*.asm"))


@pytest.mark.skipif(shutil.which(QEMU) is None, reason="needs qemu-system-x86")
@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.stem)
def test_a_kernel_prints_the_same_here_and_on_qemu(path: Path, tmp_path: Path) -> None:
    image = load_image(path)
    machine = Machine(image, model=MODELS["p2"])
    result = machine.run(200_000)
    assert result.outcome is Outcome.SUCCESS, (result.text, result.details)
    kernel, console = tmp_path / "kernel.bin", tmp_path / "console"
    kernel.write_bytes(image.data)
    command = [
        QEMU, "-cpu", "pentium2", "-kernel", str(kernel), "-m", "16", "-display", "none", "-no-reboot",
        "-monitor", "none", "-serial", "none", "-debugcon", f"file:{console}",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
    ]  # fmt: skip
    ran = subprocess.run(command, timeout=30, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    assert ran.returncode == 1
    assert machine.devices.console.hex(" ") == console.read_bytes().hex(" ")
