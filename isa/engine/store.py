"""Native code on disk: object files of handlers in the user's cache directory, so that they compile once.

The directory's name is a hash of everything that the code depends on: the text of the definitions and of
the engine, the version of llvmlite, the host's processor. What is compiled is one file at first, and where
there are many, whoever reads them all makes one of them. A file that is damaged or cannot be written costs
time, never an answer (`isa.cache`).
"""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from isa.cache import digest, directory, oldest, read, write

LEVELS = "levels"
KEPT = 3  # versions beside the current one
MANY = 16  # files that are better one
TOGETHER = 32  # objects that are written at a time, if the process lasts so long
KERNEL = "kernel"
KERNEL_NAMES = tuple(
    "enter interrupt elsewhere unresolved outside dispatch redo spent guard attention fill deliver_hardware "
    "deliver_plain deliver_error h_flags h_cf h_of h_beside".split()
)
KERNEL_SIZE = 100  # handlers that take as long to compile, about
_PACKAGE = Path(__file__).resolve().parent.parent

Part = tuple[bytes, list[str]]  # an object file, and its functions


@cache
def version() -> str:
    """A hash of all that definitions and engine say, and of what compiles them for which processor."""
    import llvmlite
    import llvmlite.binding as llvm

    paths = (path for path in sorted(_PACKAGE.rglob("*.py")) if path.parent.name != "asm")
    sources = (part for path in paths for part in (path.name.encode(), path.read_bytes()))
    return digest(llvmlite.__version__.encode(), llvm.get_host_cpu_name().encode(), *sources)


class Store:
    """The object files for this host and these definitions; `place` is where versions are kept, if at all."""

    def __init__(self, place: Path | None) -> None:
        self.place = place

    def open(self, tell: Callable[[int], None]) -> Jit:
        """A compiler that starts with what is stored; `tell` as in `library`."""
        return Jit(self.place / f"engine-{version()}" if self.place else None, tell)


def default() -> Store:
    """The one of this user."""
    return Store(directory())


class Jit:
    """LLVM behind one class: texts in, addresses out, objects kept."""

    def __init__(self, folder: Path | None, tell: Callable[[int], None]) -> None:
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self._llvm = llvm
        self.folder = folder
        self.addresses: dict[str, int] = {}
        self.fresh = Fresh(folder)
        weakref.finalize(self, self.fresh.save)
        target = llvm.Target.from_default_triple()
        self._machine = target.create_target_machine(opt=1, cpu=llvm.get_host_cpu_name())
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), self._machine)
        self._load()
        if "enter" not in self.addresses:
            tell(KERNEL_SIZE)
            self._build_kernel()
            tell(0)

    # -- compiling --------------------------------------------------------------------------------
    def add(self, texts: dict[str, str]) -> dict[str, int]:
        """Compile functions as one module; their addresses."""
        from isa.engine.kernel import DECLARATIONS
        from isa.engine.ssa import METADATA

        declared = "".join(
            line + "\n" for line in DECLARATIONS.splitlines() if line.split("@")[1].split("(")[0] not in texts
        )
        return self._object(declared + "".join(texts.values()) + METADATA, list(texts))

    def _build_kernel(self) -> None:
        from isa.engine.kernel import kernel_ir

        self._object(kernel_ir(), list(KERNEL_NAMES), KERNEL)
        if self.folder is not None:
            others = oldest(self.folder.parent, f"{self.folder.name.partition('-')[0]}-*", KEPT + 1)
            for path in others:
                if path != self.folder:
                    shutil.rmtree(path, ignore_errors=True)

    def _object(self, ir: str, names: list[str], file: str = "") -> dict[str, int]:
        module = self._llvm.parse_assembly(ir)
        module.verify()
        if file == KERNEL:
            self._optimise(module)
        data = self._machine.emit_object(module)
        self._engine.add_object_file(self._llvm.ObjectFileRef.from_data(data))
        found = self._find(names)
        if self.folder is not None:
            if file:
                write(self.folder / f"{file}.o", pack([(data, names)]))
            else:
                self.fresh.add(data, names)
        return found

    def _optimise(self, module: Any) -> None:
        """What LLVM can do, for half a second: once for the kernel, through which every exception goes."""
        options = self._llvm.create_pipeline_tuning_options(speed_level=2)
        passes = self._llvm.create_pass_builder(self._machine, options)
        passes.getModulePassManager().run(module, passes)

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
        if self.folder is None:
            return
        kernel = self._parts(self.folder / f"{KERNEL}.o")
        if not any("enter" in names for _, names in kernel):
            return
        files = [path for path in sorted(self.folder.glob("*.o")) if path.stem != KERNEL]
        known: set[str] = set()
        sound: list[Part] = []
        for data, names in (*kernel, *(part for path in files for part in self._parts(path))):
            if known.isdisjoint(names):  # two processes may have compiled the same
                known.update(names)
                sound.append((data, names))
                self._engine.add_object_file(self._llvm.ObjectFileRef.from_data(data))
        self._find(known)
        if len(files) > MANY:
            self._make_one(files, sound[len(kernel) :])
        levels = read(self.folder / LEVELS) or b""
        with suppress(ValueError):
            self.levels = {
                name: int(n) for name, n in (line.split() for line in levels.decode().splitlines())
            }
        self._stored_levels = len(self.levels)

    def _parts(self, path: Path) -> list[Part]:
        """What a file holds; nothing if it is damaged."""
        with suppress(ValueError):
            return list(unpack(read(path) or b""))
        return []

    def _make_one(self, files: list[Path], parts: list[Part]) -> None:
        assert self.folder is not None
        packed = pack(parts)
        one = self.folder / f"{digest(packed)}.o"
        write(one, packed)
        if read(one) == packed:
            for path in files:
                if path != one:
                    with suppress(OSError):
                        path.unlink()


class Fresh:
    """What this process has learned that is not on disk yet: objects, and how much each shape has to know."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.levels: dict[str, int] = {}
        self._stored_levels = 0
        self._parts: list[Part] = []

    def add(self, data: bytes, names: list[str]) -> None:
        """Keep an object file, now or with others."""
        self._parts.append((data, names))
        if len(self._parts) >= TOGETHER:
            self.save()

    def load_levels(self) -> None:
        """Take over what is stored."""
        if self.folder is not None:
            lines = (read(self.folder / LEVELS) or b"").decode("ascii", "replace").splitlines()
            with suppress(ValueError):
                self.levels = {name: int(n) for name, n in (line.split() for line in lines)}
            self._stored_levels = len(self.levels)

    def save(self) -> None:
        """Write what is not written."""
        if self.folder is None:
            return
        if self._parts:
            packed, self._parts = pack(self._parts), []
            write(self.folder / f"{digest(packed)}.o", packed)
        if len(self.levels) != self._stored_levels:
            write(self.folder / LEVELS, "".join(f"{k} {v}\n" for k, v in self.levels.items()).encode())
            self._stored_levels = len(self.levels)


def pack(parts: Iterable[Part]) -> bytes:
    """Object files as one file: for each the lengths of its functions' names and of itself, then both."""
    packed = bytearray()
    for data, names in parts:
        head = " ".join(names).encode()
        packed += len(head).to_bytes(4, "little") + len(data).to_bytes(4, "little") + head + data
    return bytes(packed)


def unpack(packed: bytes) -> Iterator[Part]:
    """The object files in a file. Raises ValueError if it is no such file."""
    at = 0
    while at < len(packed):
        head, size = (int.from_bytes(packed[at + n : at + n + 4], "little") for n in (0, 4))
        names, data = packed[at + 8 : at + 8 + head], packed[at + 8 + head : at + 8 + head + size]
        if not names or len(data) != size:
            raise ValueError("not a pack")
        yield data, names.decode().split()
        at += 8 + head + size
