"""Programs that have been assembled before: the same sources make the same program, so it is kept.

A program is looked up by where its main source lies and what that says, by the constants defined, and by
the assembler: its own text, and which keystone and capstone are installed. It is taken if every other file
that it was made from, or that was looked for in vain on the way, is still what it was. A source with a
mistake or a warning is never kept: what there is to say is said each time.

Next: `assembler.assemble`, which does the work.
"""

from __future__ import annotations

import marshal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from isa import cache
from isa.asm.program import LineTable, Program, SourceLine

FOLDER = "programs"
KEPT = 200  # programs


def assemble(source: Path, defines: Mapping[str, int], include_dirs: Sequence[Path] = ()) -> Program:
    """`assembler.assemble`, or what it made last time. `AsmError`, `OSError`."""
    place = cache.directory()
    text = source.read_bytes()
    file = place / FOLDER / _key(source, text, defines, include_dirs) if place is not None else None
    known = _load(file) if file is not None else None
    if known is not None:
        return known
    from isa.asm.assembler import assemble
    from isa.asm.source import Library

    library = Library(source.parent, include_dirs)
    program = assemble(source, defines=defines, library=library)
    if file is not None and library.main == text and not program.warnings:
        _save(file, program, library.asked)
    return program


def _key(source: Path, text: bytes, defines: Mapping[str, int], include_dirs: Sequence[Path]) -> str:
    """A name for all that is known before the source is read."""
    parts = [str(source), str(source.resolve()), sys.version, repr(sorted(defines.items()))]
    parts += [str(folder.resolve()) for folder in include_dirs]
    for package in ("keystone", "capstone"):
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            parts += [spec.origin, str(Path(spec.origin).stat().st_mtime_ns)]
    own = (path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return cache.digest(text, *(part.encode("utf-8", "surrogateescape") for part in parts), *own)


def _contents(path: str) -> str | None:
    """What stands for a file's contents; None if there is none."""
    try:
        return cache.digest(Path(path).read_bytes()) if Path(path).is_file() else None
    except OSError:
        return None


def _load(file: Path) -> Program | None:
    data = cache.read(file)
    if data is None:
        return None
    with suppress(EOFError, ValueError, TypeError):
        asked, lines, *rest = marshal.loads(data)
        if all(_contents(path) == was for path, was in asked.items()):
            origin, image, entry, symbols, constants = rest
            listed = LineTable([SourceLine(*line) for line in lines])
            return Program(origin, image, entry, symbols, constants, listed, ())
    return None


def _save(file: Path, program: Program, asked: Mapping[str, str | None]) -> None:
    p = program
    lines = [(x.path, x.line, x.text, x.address, x.length) for x in p.lines.listed]
    kept = (dict(asked), lines, p.origin, p.image, p.entry, dict(p.symbols), dict(p.constants))
    cache.write(file, marshal.dumps(kept))
    for old in cache.oldest(file.parent, "*", KEPT):
        with suppress(OSError):
            old.unlink()
