"""The built-in guests, for `vmsim guests`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import guests
from guests import Guest
from vmm.image import LoadError
from vmm.report.run import SCHEMA


def document(path: Path | None) -> dict[str, Any]:
    """One guest, or all of them, and what their headers promise."""
    if path is not None:
        return {"schema": SCHEMA, **entry(_read(path))}
    return {"schema": SCHEMA, "guests": [entry(guest) for guest in guests.catalogue()]}


def _read(path: Path) -> Guest:
    try:
        return guests.read(path)
    except (guests.HeaderError, OSError, UnicodeDecodeError) as error:
        raise LoadError(str(error)) from None


def entry(guest: Guest) -> dict[str, Any]:
    """One guest."""
    return {
        "name": guest.name,
        "path": str(guest.path),
        "title": guest.title,
        "summary": guest.summary,
        "modes": list(guest.modes),
        "expected": guest.expected,
        "silent_failures": [
            {"instruction": found.instruction, "label": found.label} for found in guest.naive
        ],
    }


def lines(path: Path | None, width: int) -> Iterator[str]:
    """A guest's source, or the names and titles of all."""
    if path is not None:
        _read(path)
        yield from path.read_text(encoding="utf-8").splitlines()
        return
    found = guests.catalogue()
    indent = max(len(guest.name) for guest in found) + 2
    for guest in found:
        yield from textwrap.wrap(
            guest.title, width, initial_indent=guest.name.ljust(indent), subsequent_indent=" " * indent
        )
