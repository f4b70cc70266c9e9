"""Whole kernels for `vmsim bench`: minos, and kernels of Debian packages where they are, against QEMU.

How long each takes to say what shows that it has arrived, in CPU seconds of the whole process. The packages'
files are looked for in the folders of `VMSIM_KERNELS` and where the packages put them.
"""

from __future__ import annotations

import gzip
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import guests
from vmm.report.contestants import COMMAND, Failed, measure

PLACES = ("/boot", "/usr/share/seabios", "/usr/lib/memtest86+", "/usr/lib/ipxe", "/usr/lib/ipxe/qemu")
LINUX = (
    "console=ttyS0 nokaslr noapic nolapic acpi=off pci=off nosmp tsc=reliable no_timer_check lpj=1000 nopti "
    "mitigations=off random.trust_cpu=on cryptomgr.notests audit=0 ima=off evm=off lsm= 8250.nr_uarts=1 panic=-1"
)


@dataclass(frozen=True)
class Kernel:
    """A kernel, where it comes from, its command line, and what it prints when it has arrived."""

    name: str
    pattern: str
    goal: str
    line: str = ""
    memory: int = 64  # MB


KERNELS = (
    Kernel("memtest86+", "memtest86+ia32.bin", "Testing", "console=ttyS0,115200"),
    Kernel("GNU Mach", "gnumach-*-486.gz", "No bootstrap code", "console=com0"),
    Kernel("Linux", "vmlinuz-*-686*", "Unable to mount root fs", LINUX, 256),
)


def find(kernel: Kernel) -> Path | None:
    """The kernel's file, if it is here."""
    named = os.environ.get("VMSIM_KERNELS", "").split(":")
    for folder in (*filter(None, named), *PLACES):
        found = sorted(Path(folder).glob(kernel.pattern))
        if found:
            return found[0]
    return None


def present() -> Iterator[tuple[Kernel, Path]]:
    """Those that are here."""
    for kernel in KERNELS:
        path = find(kernel)
        if path is not None:
            yield kernel, path


def ours(kernel: Kernel, path: Path, engine: str) -> float:
    """CPU seconds of `vmsim run`. `Failed`."""
    line = ["--append", kernel.line] if kernel.line else []
    command = [
        *(sys.executable, "-c", COMMAND, "run", str(path), "--memory", f"{kernel.memory}M", *line),
        *("--until", kernel.goal, "--budget", "20G"),
    ]
    run, output = measure(command, {"VMSIM_ENGINE": engine})
    if kernel.goal.encode() not in output:
        raise Failed(output[-200:].decode("latin-1").strip())
    return run.seconds


def on_qemu(kernel: Kernel, path: Path) -> float:
    """CPU seconds of QEMU until the goal is on its serial line. `Failed`."""
    with tempfile.TemporaryDirectory() as folder:
        console = Path(folder) / "console"
        if path.suffix == ".gz":  # which QEMU does not unpack
            plain = Path(folder) / path.stem
            plain.write_bytes(gzip.decompress(path.read_bytes()))
            path = plain
        line = ["-append", kernel.line] if kernel.line else []
        command = [
            *(
                "qemu-system-i386",
                "-accel",
                "tcg",
                "-m",
                str(kernel.memory),
                "-no-reboot",
                "-display",
                "none",
            ),
            *("-monitor", "none", "-serial", f"file:{console}", "-kernel", str(path), *line),
        ]
        run, output = measure(command, {}, until=(console, kernel.goal.encode()))
        if kernel.goal.encode() not in console.read_bytes():
            raise Failed(output[-200:].decode("latin-1").strip() or f"it never printed `{kernel.goal}`")
        return run.seconds


def minos(engine: str) -> float:
    """CPU seconds of minos from its start to its verdict. `Failed`."""
    command = [sys.executable, "-c", COMMAND, "run", str(guests.LIBRARY / "minos.asm")]
    run, output = measure(command, {"VMSIM_ENGINE": engine})
    if b"success" not in output:
        raise Failed(output[-200:].decode("latin-1").strip())
    return run.seconds


def minos_on_qemu() -> float:
    """The same on QEMU, to the end of the process. `Failed`."""
    from isa.asm import assemble

    with tempfile.TemporaryDirectory() as folder:
        kernel = Path(folder) / "minos.bin"
        kernel.write_bytes(assemble(guests.LIBRARY / "minos.asm", include_dirs=[guests.LIBRARY]).image)
        command = [
            *("qemu-system-i386", "-accel", "tcg", "-m", "32", "-no-reboot", "-display", "none"),
            *("-monitor", "none", "-serial", f"file:{folder}/console", "-kernel", str(kernel)),
            *("-device", "isa-debug-exit,iobase=0xf4,iosize=1"),
        ]
        return measure(command, {})[0].seconds
