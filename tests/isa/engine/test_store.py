"""The cache of native code: what is lost, damaged, written by two or not writable costs time and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from isa.asm import assemble
from isa.cpu import Cpu
from isa.engine import store
from isa.engine.library import Library
from isa.engine.threaded import Threaded
from isa.memory import PhysicalMemory, Ram
from isa.state import EIP

pytest.importorskip("llvmlite")

CODE = 0x1000
PROGRAMS = (
    "mov ecx, 50\n1: add eax, ecx\nrol eax, 3\ndec ecx\njnz 1b\n2: jmp 2b",
    "mov ecx, 50\n1: xor eax, ecx\nsub ebx, eax\ndec ecx\njnz 1b\n2: jmp 2b",
)


def run(library: Library, program: int = 0) -> list[int]:
    """The registers after a program, run natively with the handlers of a library."""
    ram = Ram(1 << 16)
    ram.write(CODE, assemble(PROGRAMS[program], origin=CODE).image)
    cpu = Cpu(PhysicalMemory(ram), engine="native")
    cpu._prepared = Threaded(cpu, library)
    cpu.s[EIP] = CODE
    cpu.sync()
    cpu.run(200)
    return list(cpu.s[:8])


def expected(program: int = 0) -> list[int]:
    ram = Ram(1 << 16)
    ram.write(CODE, assemble(PROGRAMS[program], origin=CODE).image)
    cpu = Cpu(PhysicalMemory(ram), engine="reference")
    cpu.s[EIP] = CODE
    cpu.run(200)
    return list(cpu.s[:8])


def opened(place: Path | None, program: int = 0) -> Library:
    """A library over a place, after it has run a program as it should."""
    library = Library(store.Store(place))
    assert run(library, program) == expected(program)
    library.save()
    return library


def files(place: Path) -> list[Path]:
    return sorted(place.glob("engine-*/*"))


def test_what_was_compiled_is_found_again(tmp_path: Path) -> None:
    assert opened(tmp_path).compiled > 0
    assert opened(tmp_path).compiled == 0
    assert opened(tmp_path, 1).compiled > 0
    assert opened(tmp_path, 1).compiled == opened(tmp_path, 0).compiled == 0


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "short": lambda data: data[: len(data) // 2],
    "one bit": lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
    "longer": lambda data: data + b"\0",
    "something else": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_made_again(tmp_path: Path, damage: str) -> None:
    opened(tmp_path)
    for path in files(tmp_path):
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    opened(tmp_path)
    assert opened(tmp_path).compiled == 0


def test_any_one_file_may_be_missing(tmp_path: Path) -> None:
    opened(tmp_path)
    for path in files(tmp_path):
        path.unlink()
        opened(tmp_path)
        assert opened(tmp_path).compiled == 0


def test_many_files_become_one(tmp_path: Path) -> None:
    opened(tmp_path)
    (folder,) = tmp_path.glob("engine-*")
    objects = [path for path in files(tmp_path) if path.suffix == ".o" and path.stem != store.KERNEL]
    parts = list(store.unpack(store.read(objects[0]) or b""))
    for n in range(store.MANY + 1):
        store.write(folder / f"again{n}.o", store.pack(parts))
    assert opened(tmp_path).compiled == 0
    assert len(list(folder.glob("*.o"))) == 2
    assert opened(tmp_path).compiled == 0


def test_packs_hold_what_was_put_in() -> None:
    parts = [(b"one", ["a", "b"]), (b"", ["c"]), (bytes(1000), ["d"])]
    packed = store.pack(parts)
    assert list(store.unpack(packed)) == parts
    for length in range(len(packed)):
        try:
            assert list(store.unpack(packed[:length])) in (parts[:0], parts[:1], parts[:2])
        except ValueError:
            continue


def test_no_place_and_no_right_to_write(tmp_path: Path) -> None:
    assert opened(None).compiled > 0
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert opened(blocked).compiled > 0


def test_processes_at_the_same_time(tmp_path: Path) -> None:
    """Four start with nothing, run, and agree; whoever comes later compiles at most what was lost once."""
    script = f"""
import sys; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
from pathlib import Path
import test_store
library = test_store.Library(test_store.store.Store(Path({str(tmp_path)!r})))
print(test_store.run(library, int(sys.argv[1])))  # what it has learned is written when it ends
"""
    environment = {**os.environ, "VMSIM_CACHE": str(tmp_path / "other")}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(n % 2)], stdout=subprocess.PIPE, text=True, env=environment
        )
        for n in range(4)
    ]
    for n, process in enumerate(running):
        out, _ = process.communicate(timeout=120)
        assert out.strip() == str(expected(n % 2))
    for n in range(2):
        opened(tmp_path, n)
    assert opened(tmp_path, 0).compiled == opened(tmp_path, 1).compiled == 0
