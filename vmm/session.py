"""A machine as a person asks for it: the guest, what it is handed, the processor, its disks and firmware.

`machine_for` turns the options of the command line into a `Machine`. Not here: its console (terminal.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from isa.model import DEFAULT as DEFAULT_MODEL
from isa.model import MODELS
from vmm.compare.builds import build, fit
from vmm.image import LoadError, Module, read_file
from vmm.machine import Machine
from vmm.modes import BARE
from vmm.report.words import MAX_MEMORY


def machine_for(path: Path, mode: str | None, **options: Any) -> Machine:
    """A machine with the guest in it, built for the mode; `options` are those of `vmm.report.options`.

    Raises `LoadError` and `AsmError`. Other options are somebody else's.
    """
    image = build(path, mode or BARE, **_loading(options))
    if options.get("disk"):
        disk = _disk(Path(options["disk"]))
        if image.disk is not None:
            raise LoadError(f"{path} is itself the first disk; there is no second one for {disk}")
        image = replace(image, disk=disk)
    memory = options.get("memory") or image.memory
    if memory > MAX_MEMORY:
        raise LoadError(
            f"{image.name} with what it is given needs {memory:,} bytes of memory; 2G is the most"
        )
    fit(image, memory)
    model = MODELS[options["cpu"]] if options.get("cpu") else DEFAULT_MODEL
    return Machine(image, mode or BARE, memory=memory, model=model)


def _disk(path: Path) -> Path:
    """The path of a file that can be a disk. `LoadError`."""
    try:
        if path.exists() and not path.is_file():
            raise LoadError(f"{path} is not a file, and no disk")
        with path.open("rb") as file:
            if not file.read(1):
                raise LoadError(f"{path} is empty, and no disk")
    except OSError as error:
        raise LoadError(f"{path}: {error.strerror or error}") from None
    return path


def _loading(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the loader is told."""
    wanted = [text.partition(" ") for text in options.get("module", ())]
    modules = [Module(name, read_file(Path(name)), line) for name, _, line in wanted]
    if options.get("initrd"):
        from vmm.loader.initramfs import read_initrd

        modules.insert(0, Module(options["initrd"], read_initrd(Path(options["initrd"]))))
    return {
        "format": options.get("format"),
        "line": options.get("append") or "",
        "modules": tuple(modules),
        "bios": Path(options["bios"]) if options.get("bios") else None,
        "option_roms": tuple(Path(name) for name in options.get("rom", ())),
    }
