"""Whole kernels for `vmsim bench`: minos, and kernels of Debian packages where they are, against QEMU.

How long each takes to say what shows that it has arrived, in CPU seconds of the whole process: starting and
compiling are part of it, waiting for the wall clock is not.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import guests
from vmm.report.contestants import COMMAND, Failed, measure
from vmm.report.packages import find

LINUX = (
    "console=ttyS0 nokaslr noapic nolapic acpi=off pci=off nosmp tsc=reliable no_timer_check lpj=1000 nopti "
    "mitigations=off random.trust_cpu=on cryptomgr.notests audit=0 ima=off evm=off lsm= 8250.nr_uarts=1 panic=-1"
)
INIT = guests.LIBRARY / "linux" / "init.asm"
BUDGET = "20G"


SERIAL = ("-serial", "file:{console}")


@dataclass(frozen=True)
class Kernel:
    """A kernel and how it is started. In options, `{file}` is its own file, and other names in braces are
    those of `files`, patterns of what else has to be there; `{console}` is the file that QEMU prints to. It
    has arrived when it has printed its `goal`."""

    name: str
    pattern: str
    goal: str
    ours: tuple[str, ...] = ("{file}",)
    qemu: tuple[str, ...] = ("-kernel", "{file}", *SERIAL)
    line: str = ""
    memory: int = 64  # MB
    files: dict[str, str] = field(default_factory=dict)

    def found(self) -> dict[str, Path] | None:
        """All files by name, or None if one is missing."""
        patterns = {"file": self.pattern, **self.files}
        paths = {name: find(pattern) for name, pattern in patterns.items()}
        return None if None in paths.values() else paths  # type: ignore[return-value]


KERNELS = (
    Kernel("memtest86+", "memtest86+ia32.bin", "Testing", line="console=ttyS0,115200"),
    Kernel("GNU Mach", "gnumach-*-486.gz", "No bootstrap code", line="console=com0"),
    Kernel(
        *("Linux", "vmlinuz-*-686*", "init> "),
        ours=("{file}", "--initrd", str(INIT)),
        qemu=("-kernel", "{file}", "-initrd", "{init}", *SERIAL),
        line=LINUX,
        memory=256,
    ),
    Kernel(
        *("Linux busybox", "vmlinuz-*-686*", "/ # "),
        ours=("{file}", "--initrd", "{userland}"),
        qemu=("-kernel", "{file}", "-initrd", "{archive}", *SERIAL),
        line=f"{LINUX} rdinit=/bin/sh",
        memory=256,
        files={"userland": "userland"},
    ),
    Kernel(
        *("SeaBIOS", "bios.bin", "No bootable device"),
        qemu=(
            *("-bios", "{file}", "-nic", "none", "-chardev", "file,id=log,path={console}"),
            *("-device", "isa-debugcon,iobase=0x402,chardev=log"),
        ),
    ),
    Kernel(
        *("GRUB", "grub.img", "grub> "),
        ours=("{file}", "--bios", "{bios}"),
        qemu=("-bios", "{bios}", "-nic", "none", "-drive", "file={file},format=raw,snapshot=on", *SERIAL),
        files={"bios": "bios.bin"},
    ),
    Kernel(
        *("iPXE", "ipxe.lkrn", "iPXE> "),
        ours=("{file}", "--cpu", "p2"),
        qemu=("-kernel", "{file}", "-machine", "pc,graphics=off", "-nic", "none", *SERIAL),
        line="shell",
    ),
)


def present() -> Iterator[tuple[Kernel, dict[str, Path]]]:
    """Those that are here, and their files."""
    for kernel in KERNELS:
        files = kernel.found()
        if files is not None:
            yield kernel, files


def ours(kernel: Kernel, files: dict[str, Path], engine: str) -> float:
    """CPU seconds of `vmsim run`. `Failed`."""
    line = ["--append", kernel.line] if kernel.line else []
    options = [option.format(**files) for option in kernel.ours]
    return _vmsim(
        [*options, "--memory", f"{kernel.memory}M", *line, "--until", kernel.goal, "--budget", BUDGET],
        engine,
        kernel.goal,
    )


def on_qemu(kernel: Kernel, files: dict[str, Path]) -> float:
    """CPU seconds of QEMU until the goal is on its console. `Failed`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        known = {**files, **_for_qemu(kernel, files, folder), "console": folder / "console"}
        options = [option.format(**known) for option in kernel.qemu]
        line = ["-append", kernel.line] if kernel.line else []
        command = _qemu(kernel.memory, *options, *line)
        run, output = measure(command, {}, until=(known["console"], kernel.goal.encode()))
        printed = known["console"].read_bytes() if known["console"].exists() else b""
        if kernel.goal.encode() not in printed:
            raise Failed(output[-200:].decode("latin-1").strip() or f"it never printed `{kernel.goal}`")
        return run.seconds


def _for_qemu(kernel: Kernel, files: dict[str, Path], folder: Path) -> dict[str, Path]:
    """What QEMU wants otherwise: kernels that it does not unpack, RAM disks as archives."""
    from vmm.loader.initramfs import read_initrd

    made: dict[str, Path] = {}
    if files["file"].suffix == ".gz":
        made["file"] = folder / files["file"].stem
        made["file"].write_bytes(gzip.decompress(files["file"].read_bytes()))
    for name, source in (("init", INIT), ("archive", files.get("userland"))):
        if source is not None and f"{{{name}}}" in kernel.qemu:
            made[name] = folder / name
            made[name].write_bytes(read_initrd(source))
    return made


def _qemu(memory: int, *options: str) -> list[str]:
    command = ["qemu-system-i386", "-accel", "tcg", "-m", str(memory), "-no-reboot"]
    return [*command, "-display", "none", "-monitor", "none", *options]


def _vmsim(arguments: list[str], engine: str, goal: str) -> float:
    """CPU seconds of `vmsim run` to what it prints when it is there. `Failed`."""
    run, output = measure([sys.executable, "-c", COMMAND, "run", *arguments], {"VMSIM_ENGINE": engine})
    if goal.encode() not in output:
        raise Failed(output[-200:].decode("latin-1").strip())
    return run.seconds


def minos(engine: str) -> float:
    """CPU seconds of minos from its start to its verdict. `Failed`."""
    return _vmsim([str(guests.LIBRARY / "minos.asm")], engine, "success")


def minos_on_qemu() -> float:
    """The same on QEMU, to the end of the process. `Failed`."""
    from isa.asm import assemble

    with tempfile.TemporaryDirectory() as folder:
        kernel = Path(folder) / "minos.bin"
        kernel.write_bytes(assemble(guests.LIBRARY / "minos.asm", include_dirs=[guests.LIBRARY]).image)
        devices = ("-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-serial", f"file:{folder}/console")
        return measure(_qemu(32, "-kernel", str(kernel), *devices), {})[0].seconds
