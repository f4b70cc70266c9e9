"""The peers that kernels are compared with: the same image on QEMU and on Bochs, and what it prints there.

A kernel prints to the debug console (port E9h) and ends with a verdict at port F4h and then `xchg bx, bx`,
which means nothing to a processor and stops Bochs' debugger. QEMU loads Multiboot by itself, Bochs gets the
image in its memory (`vmm.report.bochs_peer`); nothing outside a temporary folder is read or written.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from vmm.image import Image
from vmm.report.bochs_peer import bochs_command

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


PRINTED = re.compile(rb"<bochs:1> c\n(.*)\(0\) Magic breakpoint\n", re.DOTALL)


def on_bochs(image: Image, folder: Path, cpu: str = "p2_klamath") -> bytes:
    """What the kernel writes to Bochs' debug console. AssertionError if it does not come to its end."""
    ran = subprocess.run(
        bochs_command(image, folder, cpu),
        input=b"c\nq\n", timeout=TIMEOUT, check=False, capture_output=True,
    )  # fmt: skip
    printed = PRINTED.search(ran.stdout)
    assert printed, ran.stdout[-2000:].decode("latin-1")
    return printed.group(1)
