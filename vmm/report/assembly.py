"""What the assembler made of a source: a line for a person, an object for a program."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import guests
from isa.asm import Diagnostic, Program, assemble
from vmm.image import LoadError
from vmm.report.run import SCHEMA


def assemble_file(path: Path, defines: Mapping[str, int]) -> Program:
    """The program in a file. `AsmError`, `LoadError`."""
    if path.is_dir():
        raise LoadError(f"{path} is a directory, not a source")
    return assemble(path, defines=defines, include_dirs=(guests.LIBRARY,))


def summary(path: Path, program: Program, output: str | None) -> str:
    """One line: how large, where, and what it is called there."""
    entry = program.symbolize(program.entry) or "?"
    written = f", written to {output}" if output else ""
    return (
        f"{path.name}: {len(program.image):,} bytes at {program.origin:#x}, entry {program.entry:#x} ({entry}), "
        f"{len(program.symbols)} labels{written}"
    )


def document(path: Path, program: Program) -> dict[str, Any]:
    """The program: where it lies, its names, and which line made which bytes."""
    return {
        "schema": SCHEMA,
        "file": str(path),
        "origin": program.origin,
        "entry": program.entry,
        "size": len(program.image),
        "symbols": dict(program.symbols),
        "constants": dict(program.constants),
        "lines": [
            {"path": line.path, "line": line.line, "address": line.address, "length": line.length}
            for line in program.lines
        ],
        "errors": [],
        "warnings": _diagnostics(program.warnings),
    }


def failure(path: Path, diagnostics: Iterable[Diagnostic]) -> dict[str, Any]:
    """What is wrong with a source, for editors."""
    return {"schema": SCHEMA, "file": str(path), "errors": _diagnostics(diagnostics), "warnings": []}


def _diagnostics(found: Iterable[Diagnostic]) -> list[dict[str, Any]]:
    return [asdict(diagnostic) for diagnostic in found]
