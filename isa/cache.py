"""What is made once and kept for the next process: native code, assembled programs, in a folder of the user's.

A file carries a checksum, and is written beside its place and renamed, so whoever reads meanwhile finds the
old one, the new one or none. What is damaged counts as not there; what cannot be written is not kept: either
costs time, never an answer. `VMSIM_CACHE` names another folder, or none if it is empty.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

CHECKSUM = 16  # bytes


def directory() -> Path | None:
    """Where things are kept, or None if the user wants nothing kept or has no place for it."""
    named = os.environ.get("VMSIM_CACHE")
    if named is not None:
        return Path(named) if named else None
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "vmsim"
    except RuntimeError:  # no home
        return None


def digest(*parts: bytes) -> str:
    """A name for what depends on these bytes."""
    made = hashlib.blake2b(digest_size=12)
    for part in parts:
        made.update(len(part).to_bytes(8, "little") + part)
    return made.hexdigest()


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=CHECKSUM).digest()


def read(path: Path) -> bytes | None:
    """What was written, or None if nothing sound is there."""
    try:
        packed = path.read_bytes()
    except OSError:
        return None
    data = packed[CHECKSUM:]
    return data if _checksum(data) == packed[:CHECKSUM] else None


def write(path: Path, data: bytes) -> None:
    """Keep `data`, if that is possible."""
    import tempfile  # which loads much that reading does without

    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_checksum(data) + data)
            os.replace(name, path)
        except OSError:
            os.unlink(name)


def oldest(folder: Path, pattern: str, keep: int) -> list[Path]:
    """What may go where only the `keep` newest are to stay."""
    with suppress(OSError):
        found = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime)
        return found[: max(0, len(found) - keep)]
    return []
