"""Who runs a loop of `vmsim bench`: our engines, and the peers where they are installed.

Each is a program of its own that runs a kernel's file to its end, so that all are measured alike: CPU time and
memory of the whole process. Peers: QEMU, with and without exact counting of instructions, loads the file by
itself; Bochs finds it in memory (`bochs_peer`); Unicorn runs in `unicorn_peer`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from vmm.image import Image
from vmm.report.bochs_peer import bochs_command

COMMAND = "import cli; cli.main()"
BUDGET = "1000000G"  # no end
PATIENCE = 120.0  # seconds; a run that takes longer is stopped
WORDS = 160  # characters of what a contestant says when it fails
POLL = 0.02  # seconds between two looks at what a kernel has printed
CHECKSUM = re.compile(rb"0x[0-9a-f]{8}\n")


class Failed(Exception):
    """A contestant did not come to the loop's end; the message says how it ended."""


@dataclass(frozen=True)
class Run:
    """What a run took: CPU seconds of user and system, the most memory in MB, and the checksum printed."""

    seconds: float
    megabytes: float
    checksum: bytes


@dataclass(frozen=True)
class Contestant(ABC):
    """A program that runs kernels, and about how many million instructions a second it is good for. One that
    `compiles` what is hot is measured over a run in which that pays."""

    name: str
    nominal: float
    compiles: bool = False

    def available(self) -> bool:
        """Whether it is installed."""
        return True

    @abstractmethod
    def command(self, image: Image, folder: Path) -> list[str]:
        """What to execute; files may be put into the folder. What the kernel prints goes to `console`."""

    def environment(self, image: Image, folder: Path) -> Mapping[str, str]:
        """Variables besides those there are."""
        return {}

    def warm(self, image: Image) -> None:
        """Once, with a short run, before any is measured: what is kept for later runs is made. `Failed`."""
        self.run(image)

    def run(self, image: Image) -> Run:
        """Run a kernel to its end. `Failed`."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "kernel.bin").write_bytes(image.data)
            run, output = measure(self.command(image, folder), self.environment(image, folder))
            printed = folder / "console"
            found = CHECKSUM.search(printed.read_bytes() if printed.exists() else output)
            if found is None:
                said = " ".join(output.decode("latin-1").split())
                raise Failed(said[:WORDS] or "it printed no checksum")
            return Run(run.seconds, run.megabytes, found[0])


def measure(
    command: list[str], environment: Mapping[str, str], until: tuple[Path, bytes] | None = None
) -> tuple[Run, bytes]:
    """Run a program to its end, or until a file has certain bytes: what it took, and what it printed.

    `Failed` if it takes too long.
    """
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )
        late = threading.Timer(PATIENCE, process.kill)
        late.start()
        try:
            if until is not None:
                _watch(process.pid, *until)
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            late.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        output = out.read()
    if process.returncode < 0 and until is None:
        raise Failed(f"{command[0]}: stopped by signal {-process.returncode}, perhaps after {PATIENCE:g} s")
    return Run(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, b""), output


def _watch(pid: int, path: Path, wanted: bytes) -> None:
    """Wait until the file has the bytes, and then end the process; or until it ends by itself."""
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if path.exists() and wanted in path.read_bytes():
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(POLL)


@dataclass(frozen=True)
class Vmsim(Contestant):
    """One of our engines, under a mode; bare if none is given."""

    engine: str = ""
    mode: str = ""

    def command(self, image: Image, folder: Path) -> list[str]:
        mode = ["--mode", self.mode] if self.mode else []
        kernel = str(folder / "kernel.bin")
        return [sys.executable, "-c", COMMAND, "run", kernel, "--budget", BUDGET, *mode]

    def environment(self, image: Image, folder: Path) -> Mapping[str, str]:
        """Each run finds what `warm` left, handlers, and has to compile again what is hot."""
        kept, copy = self.kept(image), folder / "cache"
        if kept.exists():
            shutil.copytree(kept, copy)
        return {"VMSIM_ENGINE": self.engine, "VMSIM_CACHE": str(copy)}

    def warm(self, image: Image) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "kernel.bin").write_bytes(image.data)
            there = {"VMSIM_CACHE": str(self.kept(image))}
            measure(self.command(image, folder), {**self.environment(image, folder), **there})

    def kept(self, image: Image) -> Path:
        return Path(_kept().name) / f"{self.engine} {self.mode} {image.name}"


@cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    """A folder for as long as this process lasts."""
    return tempfile.TemporaryDirectory()


@dataclass(frozen=True)
class Qemu(Contestant):
    """QEMU's translator."""

    options: tuple[str, ...] = ()

    def available(self) -> bool:
        return shutil.which("qemu-system-i386") is not None

    def command(self, image: Image, folder: Path) -> list[str]:
        return [
            *(
                "qemu-system-i386",
                "-accel",
                "tcg",
                *self.options,
                "-m",
                "16",
                "-no-reboot",
                "-display",
                "none",
            ),
            *("-monitor", "none", "-serial", f"file:{folder / 'console'}"),
            *("-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-kernel", str(folder / "kernel.bin")),
        ]


@dataclass(frozen=True)
class Unicorn(Contestant):
    """Unicorn, driven from Python as its users do."""

    def available(self) -> bool:
        return find_spec("unicorn") is not None

    def command(self, image: Image, folder: Path) -> list[str]:
        script = str(Path(__file__).with_name("unicorn_peer.py"))
        return [sys.executable, script, str(folder / "kernel.bin"), hex(image.origin), hex(image.entry)]


@dataclass(frozen=True)
class Bochs(Contestant):
    """Bochs, without a display; Debian's has its debugger built in, which is told to go on (`c`)."""

    def available(self) -> bool:
        return shutil.which("bochs") is not None

    def command(self, image: Image, folder: Path) -> list[str]:
        script = folder / "commands"
        script.write_text("c\nq\n")
        return [*bochs_command(image, folder), "-rc", str(script)]
