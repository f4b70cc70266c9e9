"""A disk's content: a file or bytes that stay as they are, and the sectors written over them.

Here: `Disk`. What a guest writes goes into an overlay in memory; the host's file is opened for reading
only, and changes only if somebody asks for it by `commit`. The last sector is filled up with zeros.
Not here: how a guest reaches it (ide.py).
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

SECTOR = 512
MAX_HEADS, MAX_TRACK, MAX_CYLINDERS = 16, 63, 16_383
BLANK = bytes(SECTOR)


class Disk:
    """`source` is the path of an image or its bytes; `sectors` makes the disk larger than that."""

    def __init__(self, source: Path | bytes, *, sectors: int = 0) -> None:
        self.path = source if isinstance(source, Path) else None
        self._data = source if isinstance(source, bytes) else b""
        self._file = source.open("rb") if isinstance(source, Path) else None
        size = len(self._data) if self._file is None else self._file.seek(0, 2)
        self.sectors = max(-(-size // SECTOR), sectors)
        self.overlay: dict[int, bytes] = {}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cylinders, heads and sectors of a track, as the disk tells them."""
        track, heads = MAX_TRACK, MAX_HEADS
        return max(1, min(self.sectors // (track * heads), MAX_CYLINDERS)), heads, track

    def read(self, sector: int) -> bytes:
        """One sector; zeros beyond the end."""
        found = self.overlay.get(sector)
        if found is not None:
            return found
        if self._file is not None:
            self._file.seek(sector * SECTOR)
            data = self._file.read(SECTOR)
        else:
            data = self._data[sector * SECTOR : (sector + 1) * SECTOR]
        return data.ljust(SECTOR, b"\0")

    def write(self, sector: int, data: bytes) -> None:
        """Keep one sector over what the source holds. ValueError beyond the end or if it is no sector."""
        if not 0 <= sector < self.sectors or len(data) != SECTOR:
            raise ValueError(f"{len(data)} bytes for sector {sector} of {self.sectors}")
        self.overlay[sector] = bytes(data)

    def commit(self, path: Path) -> None:
        """Write the disk as it is now into a file of the host."""
        with path.open("r+b" if path.exists() else "w+b") as file:
            if self.path is None or not path.exists() or not path.samefile(self.path):
                for sector in range(self.sectors):
                    file.write(self.read(sector))
                file.truncate()
            else:
                for sector, data in self.overlay.items():
                    file.seek(sector * SECTOR)
                    file.write(data)

    def save(self) -> dict[str, Any]:
        numbers = sorted(self.overlay)
        written = b"".join(self.overlay[sector] for sector in numbers)
        return {"sectors": numbers, "written": b64encode(zlib.compress(written, 1)).decode()}

    def load(self, state: dict[str, Any]) -> None:
        written = zlib.decompress(b64decode(state["written"]))
        self.overlay = {
            sector: written[n * SECTOR : (n + 1) * SECTOR] for n, sector in enumerate(state["sectors"])
        }
