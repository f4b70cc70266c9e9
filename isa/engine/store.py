"""Native code on disk: object files of handlers in the user's cache directory, so that they compile once.

The directory's name is a hash of everything that the code depends on: the text of the definitions and of
the engine, the version of llvmlite, the host's processor. Files are written beside their place and renamed,
and carry a checksum; a file that is damaged or cannot be written costs time, never an answer.

`VMSIM_CACHE` names another place, or none if it is empty.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from isa.engine.context import PARAMETERS  # noqa: F401  (part of what is hashed)

LEVELS = "levels.json"
KEPT = 3  # versions beside the current one
KERNEL = "kernel"
KERNEL_NAMES = ("enter", "elsewhere", "unresolved", "outside", "dispatch", "redo", "h_flags", "h_cf", "h_of")
_PACKAGE = Path(__file__).resolve().parent.parent


def directory() -> Path | None:
    """Where caches are kept, or None if the user wants none."""
    named = os.environ.get("VMSIM_CACHE")
    if named is not None:
        return Path(named) if named else None
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "vmsim"


def sources_digest() -> str:
    """A hash of all that definitions and engine say."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(_PACKAGE.rglob("*.py")):
        if "asm" not in path.relative_to(_PACKAGE).parts:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


class Store:
    """The object files for this host and these definitions."""

    def __init__(self, place: Path | str | None = "") -> None:
        self.place = directory() if place == "" else Path(place) if place else None

    def open(self) -> Jit:
        """A compiler that starts with what is stored."""
        import llvmlite
        import llvmlite.binding as llvm

        host = f"{llvmlite.__version__} {llvm.get_host_cpu_name()} {sources_digest()}"
        name = hashlib.blake2b(host.encode(), digest_size=12).hexdigest()
        return Jit(self.place / f"engine-{name}" if self.place else None)


class Jit:
    """LLVM behind one class: texts in, addresses out, objects kept."""

    def __init__(self, folder: Path | None) -> None:
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self._llvm = llvm
        self.folder = folder
        self.addresses: dict[str, int] = {}
        self.levels: dict[str, int] = {}
        self._stored_levels = 0
        target = llvm.Target.from_default_triple()
        self._machine = target.create_target_machine(opt=1, cpu=llvm.get_host_cpu_name())
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), self._machine)
        self._load()
        if "enter" not in self.addresses:
            self._build_kernel()

    # -- compiling --------------------------------------------------------------------------------
    def add(self, texts: dict[str, str]) -> dict[str, int]:
        """Compile functions as one module; their addresses."""
        from isa.engine.kernel import DECLARATIONS
        from isa.engine.ssa import METADATA

        declared = "".join(
            line + "\n" for line in DECLARATIONS.splitlines() if line.split("@")[1].split("(")[0] not in texts
        )
        return self._object(declared + "".join(texts.values()) + METADATA, texts)

    def _build_kernel(self) -> None:
        from isa.engine.kernel import kernel_ir

        self._object(kernel_ir(), KERNEL_NAMES, KERNEL)
        if self.folder is not None:
            _prune(self.folder)

    def _object(self, ir: str, names: Iterable[str], file: str = "") -> dict[str, int]:
        module = self._llvm.parse_assembly(ir)
        module.verify()
        data = self._machine.emit_object(module)
        found = self._link(data, names)
        self._write(file or "batch-" + hashlib.blake2b(data, digest_size=8).hexdigest(), data, names)
        return found

    def _link(self, data: bytes, names: Iterable[str]) -> dict[str, int]:
        self._engine.add_object_file(self._llvm.ObjectFileRef.from_data(data))
        return self._find(names)

    def _find(self, names: Iterable[str]) -> dict[str, int]:
        """Link what was added; the addresses of its functions."""
        self._engine.finalize_object()
        found = {name: self._engine.get_function_address(name) for name in names}
        if not all(found.values()):
            raise RuntimeError("a compiled function has no address")
        self.addresses |= found
        return found

    # -- the disk ---------------------------------------------------------------------------------
    def _load(self) -> None:
        """Link everything that is stored and sound, the kernel first."""
        if self.folder is None or not self.folder.is_dir():
            return
        files = sorted(self.folder.glob("*.o"), key=lambda path: (path.stem != KERNEL, path.name))
        if not files or files[0].stem != KERNEL:
            return
        parts: list[tuple[bytes, list[str]]] = []
        for path in files:
            with suppress(OSError, ValueError, KeyError):
                parts.append(_unpack(path.read_bytes()))
        if not parts or "enter" not in parts[0][1]:
            return
        known: set[str] = set()
        for data, names in parts:
            if known.isdisjoint(names):  # two processes may have compiled the same
                known.update(names)
                self._engine.add_object_file(self._llvm.ObjectFileRef.from_data(data))
        self._find(known)
        with suppress(OSError, ValueError):
            self.levels = {str(k): int(v) for k, v in json.loads((self.folder / LEVELS).read_text()).items()}
        self._stored_levels = len(self.levels)

    def _write(self, name: str, data: bytes, names: Iterable[str]) -> None:
        if self.folder is not None:
            _replace(self.folder / f"{name}.o", _pack(data, list(names)))
            self.save()

    def save(self) -> None:
        """Store how much each shape has to know."""
        if self.folder is not None and len(self.levels) != self._stored_levels:
            _replace(self.folder / LEVELS, json.dumps(self.levels).encode())
            self._stored_levels = len(self.levels)


def _pack(data: bytes, names: list[str]) -> bytes:
    head = json.dumps(names).encode()
    body = len(head).to_bytes(4, "little") + head + data
    return hashlib.blake2b(body, digest_size=16).digest() + body


def _unpack(packed: bytes) -> tuple[bytes, list[str]]:
    """The object file and its functions. Raises ValueError if the file is damaged."""
    body = packed[16:]
    if len(body) < 4 or hashlib.blake2b(body, digest_size=16).digest() != packed[:16]:
        raise ValueError("damaged")
    size = int.from_bytes(body[:4], "little")
    names: Any = json.loads(body[4 : 4 + size])
    return body[4 + size :], [str(name) for name in names]


def _prune(folder: Path) -> None:
    """Remove what earlier versions of the definitions left, but for the last few."""
    with suppress(OSError):
        others = [path for path in folder.parent.glob("engine-*") if path != folder]
        others.sort(key=lambda path: path.stat().st_mtime)
        for path in others[:-KEPT]:
            shutil.rmtree(path, ignore_errors=True)


def _replace(path: Path, data: bytes) -> None:
    """Write a file all at once; whoever reads meanwhile finds the old one or the new one."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(name, path)
        except OSError:
            os.unlink(name)
