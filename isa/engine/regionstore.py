"""Compiled regions: LLVM behind them, and their object files on disk.

A region's name is a hash of all that its code depends on beside this program itself: the bytes, places and
weights of its instructions, where it is entered, which state words it takes for granted. What the program
itself says is in the name of the directory, as it is for handlers (`store`). So a kernel that was run
before finds its hot loops compiled. There are at most `KEPT` files; those not used for longest go first.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from isa.cache import directory, read, write
from isa.engine.regionform import Plan
from isa.engine.store import version

KEPT = 512  # files; a region takes 2 to 20 KB
KERNEL = (
    "dispatch redo spent guard attention fill deliver_plain deliver_error h_flags h_cf h_of h_beside".split()
)


def name_of(plan: Plan, known: Mapping[int, int], bits: int) -> str:
    """The symbol of a region."""
    digest = hashlib.blake2b(digest_size=16)
    for piece in plan.pieces.values():
        digest.update(repr((piece.place, piece.goals, piece.bound)).encode())
        for place, insn in piece.insns:
            digest.update(b"%d %d %d " % (place, insn.row, insn.weight) + insn.raw)
    digest.update(repr((plan.heads, sorted(known.items()), bits)).encode())
    return f"r_{digest.hexdigest()}"


@cache
def _configure() -> None:
    """Leave loops as they are: with variables of its own instead of the guest's, LLVM makes a short loop of
    additions a fifth slower. An option of the process; handlers have no loops."""
    import llvmlite.binding as llvm

    llvm.set_option("vmsim", "-disable-lsr")


class RegionStore:
    """Regions of this process by their names, on disk if there is a place for them."""

    def __init__(self, addresses: Mapping[str, int]) -> None:
        import llvmlite.binding as llvm

        _configure()
        self._llvm = llvm
        self._lock = Lock()
        self._addresses: dict[str, int] = {}
        for name in KERNEL:
            llvm.add_symbol(name, addresses[name])
        target = llvm.Target.from_default_triple()
        self._machine = target.create_target_machine(opt=1, cpu=llvm.get_host_cpu_name())
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), self._machine)
        place = directory()
        self._folder: Path | None = place / f"regions-{version()}" if place is not None else None
        self.compiled = 0  # regions compiled by this process, not read from disk

    def find(self, name: str) -> int:
        """The address of a region that was compiled before; 0 if it is new."""
        with self._lock:
            found = self._addresses.get(name, 0)
            if found or self._folder is None:
                return found
            path = self._folder / f"{name}.o"
            data = read(path)
            if data is not None:
                with suppress(OSError, ValueError):
                    found = self._link(name, data)
                    os.utime(path)
            return found

    def compile(self, name: str, ir: str) -> int:
        """Compile a region; its address."""
        module = self._llvm.parse_assembly(ir)
        module.verify()
        self._optimise(module)
        data = self._machine.emit_object(module)
        self.compiled += 1
        with self._lock:
            if self._folder is not None:
                write(self._folder / f"{name}.o", data)
                if self.compiled % 64 == 1:
                    _prune(self._folder)
            return self._link(name, data)

    def _optimise(self, module: Any) -> None:
        """`sroa` alone: it makes variables values; what other passes find costs more than it brings."""
        llvm = self._llvm
        passes = llvm.create_new_function_pass_manager()
        passes.add_sroa_pass()
        builder = llvm.create_pass_builder(self._machine, llvm.create_pipeline_tuning_options(speed_level=0))
        for function in module.functions:
            if not function.is_declaration:
                passes.run(function, builder)

    def _link(self, name: str, data: bytes) -> int:
        self._engine.add_object_file(self._llvm.ObjectFileRef.from_data(data))
        self._engine.finalize_object()
        address: int = self._engine.get_function_address(name)
        if not address:
            raise ValueError("a region has no address")
        self._addresses[name] = address
        return address


def _prune(folder: Path) -> None:
    """Remove what was not used for longest, and what earlier versions of this program left."""
    with suppress(OSError):
        files = sorted(folder.glob("r_*.o"), key=lambda path: path.stat().st_mtime)
        for path in files[:-KEPT]:
            path.unlink()
        for other in folder.parent.glob("regions-*"):
            if other != folder and len(list(folder.parent.glob("regions-*"))) > 3:
                for path in other.iterdir():
                    path.unlink()
                other.rmdir()
