"""A machine as a person asks for it: the guest, what it is handed, the processor, disk and console.

`machine_for` turns the options of the command line into a `Machine`. `Terminal` connects its console: what
it prints goes to a stream and is searched for the text that ends the run; what is typed goes to COM1.
Wall-clock time and a keyboard are outside of the simulation: a run with typed input is not reproducible,
one with input from a file is.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from isa.model import DEFAULT as DEFAULT_MODEL
from isa.model import MODELS
from vmm.compare.builds import build, fit
from vmm.image import LoadError, Module, read_file
from vmm.machine import Machine, Result
from vmm.modes import BARE

SLICE = 200_000  # guest instructions between two looks at the keyboard
READ = 4096


def machine_for(path: Path, mode: str | None, **options: Any) -> Machine:
    """A machine with the guest in it, built for the mode; `options` are those of `vmm.report.options`.

    Raises `LoadError` and `AsmError`. Other options are somebody else's.
    """
    image = build(path, mode or BARE, **_loading(options))
    if options.get("disk"):
        image = replace(image, disk=_readable(Path(options["disk"])))
    memory = options.get("memory") or image.memory
    fit(image, memory)
    model = MODELS[options["cpu"]] if options.get("cpu") else DEFAULT_MODEL
    return Machine(image, mode or BARE, memory=memory, model=model)


def _readable(path: Path) -> Path:
    """The path of a file that can be opened. `LoadError`."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise LoadError(f"{path}: {error.strerror or error}") from None
    return path


def _loading(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the loader is told."""
    wanted = [text.partition(" ") for text in options.get("module", ())]
    if options.get("initrd"):
        wanted.insert(0, (options["initrd"], "", ""))
    modules = [Module(name, read_file(Path(name)), line) for name, _, line in wanted]
    return {
        "format": options.get("format"),
        "line": options.get("append") or "",
        "modules": tuple(modules),
        "bios": Path(options["bios"]) if options.get("bios") else None,
    }


class Terminal:
    """Both directions of a machine's console, and the text that ends its run."""

    def __init__(self, machine: Machine, out: BinaryIO | None = None, until: str | None = None) -> None:
        from vmm.report.live import console_writer

        self.machine = machine
        self.write: Callable[[int], None] | None = console_writer(out) if out is not None else None
        self.until = until.encode("utf-8", "surrogateescape") if until else b""
        self.keyboard: TextIO | None = None
        self.prompt = b""
        self.lines: list[bytes] = []  # still to be typed, the last one first
        machine.devices.on_console = self._console

    def feed(self, source: str | None, prompt: str | None, stdin: TextIO) -> None:
        """What the guest is to read from COM1: `-` is stdin, a file its contents, anything else itself.

        With a `prompt` each line waits until the console has printed it: a kernel forgets what it was sent
        before its driver was ready.
        """
        if source is None:
            return
        if source == "-" and stdin.isatty():
            self.keyboard = stdin
            return
        if source == "-":
            data = stdin.buffer.read()
        elif os.path.isfile(source):
            data = read_file(Path(source))
        else:
            data = source.encode("utf-8", "surrogateescape").decode("unicode_escape").encode("latin-1")
        if prompt:
            self.prompt = prompt.encode("utf-8", "surrogateescape")
            self.lines = data.splitlines(keepends=True)[::-1]
        else:
            self.machine.devices.uart.feed(data)

    def run(self, budget: int) -> Result:
        """Run to the end, or for `budget` instructions, listening to the keyboard if there is one."""
        if self.keyboard is None:
            return self.machine.run(budget)
        mode = self.machine.mode
        while mode.count < budget:
            stop = self.machine.advance(min(mode.count + SLICE, budget))
            if stop is not None:
                return self.machine.result(stop)
            if select.select([self.keyboard], [], [], 0)[0]:
                self.machine.devices.uart.feed(os.read(self.keyboard.fileno(), READ))
        return self.machine.run(budget)

    def _console(self, byte: int) -> None:
        if self.write is not None:
            self.write(byte)
        if self.lines and self._printed(byte, self.prompt):
            self.machine.devices.uart.feed(self.lines.pop())
        if self._printed(byte, self.until):
            text = self.until.decode("utf-8", "replace")
            self.machine.finish(f"the console has printed `{text}`")

    def _printed(self, byte: int, text: bytes) -> bool:
        """Whether the console ends with a text, now that it has got a byte more."""
        return bool(text) and byte == text[-1] and self.machine.devices.console.endswith(text)


def screen(machine: Machine) -> list[str]:
    """The text on the display, without what is blank below and to the right."""
    lines = [line.rstrip() for line in machine.devices.vga.screen()]
    while lines and not lines[-1]:
        lines.pop()
    return lines
