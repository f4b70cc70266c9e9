"""Rewritten definitions on disk: to rewrite one takes milliseconds, to read it back next to nothing.

What `trace` makes of a function of this package is Python code, kept by `marshal` in one file beside the
compiled handlers. Its name says for which state of the program and for which Python it is. Functions from
elsewhere, as of tests, are not kept.
"""

from __future__ import annotations

import atexit
import marshal
import sys
from pathlib import Path
from threading import Lock
from types import CodeType

from isa.cache import digest, directory, oldest, read, write

_PACKAGE = str(Path(__file__).resolve().parent.parent)
FILES = 2  # of other states of the program that stay

Key = tuple[str, str, int, tuple[int | None, ...]]


class Rewritten:
    """Code by what it was made of; `find` gives (code,) or None."""

    def __init__(self) -> None:
        from isa.engine.store import version

        folder = directory()
        name = f"definitions-{digest(version().encode(), sys.version.encode())}"
        self.path = folder / name if folder is not None else None
        self.known: dict[Key, bytes] = self._read()
        self.fresh: dict[Key, bytes] = {}
        self.lock = Lock()

    def find(self, code: CodeType) -> tuple[CodeType | None] | None:
        """What was made of a code object by an earlier process, which may be None too."""
        found = self.known.get(_key(code))
        return None if found is None else (marshal.loads(found),)

    def keep(self, code: CodeType, made: CodeType | None) -> None:
        """Remember it, to be written at the end of the process."""
        if self.path is None or not code.co_filename.startswith(_PACKAGE):
            return
        with self.lock:
            if not self.fresh:
                atexit.register(self.save)
            self.fresh[_key(code)] = marshal.dumps(made)

    def save(self) -> None:
        """Write what is new."""
        assert self.path is not None
        with self.lock:
            write(self.path, marshal.dumps({**self._read(), **self.fresh}))
            self.fresh = {}
        for path in oldest(self.path.parent, "definitions-*", FILES + 1):
            if path != self.path:
                path.unlink(missing_ok=True)

    def _read(self) -> dict[Key, bytes]:
        data = read(self.path) if self.path is not None else None
        known: dict[Key, bytes] = marshal.loads(data) if data is not None else {}
        return known


def _key(code: CodeType) -> Key:
    """A function's place; of a lambda, to the column."""
    place = list(code.co_positions())[-1] if code.co_name == "<lambda>" else ()
    return code.co_filename, code.co_name, code.co_firstlineno, place
