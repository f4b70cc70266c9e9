"""Kernels of Debian packages: where they are. `make kernels` brings them.

They are looked for in the folders that VMSIM_KERNELS names, in the one that `make kernels` fills, and where
the packages themselves put them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PLACES = ("", "boot", "bin", "usr/share/seabios", "usr/lib/grub-rescue", "usr/lib/syslinux", "usr/lib/ipxe")


def folders() -> Iterator[Path]:
    """Every folder that may have one."""
    yield from (Path(folder) for folder in os.environ.get("VMSIM_KERNELS", "").split(":") if folder)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmsim-kernels"
    yield from (root / place for root in (cache, Path("/")) for place in PLACES)


def find(pattern: str) -> Path | None:
    """The first file of that pattern, or a folder; None if there is none."""
    return next((found for folder in folders() for found in sorted(folder.glob(pattern))), None)
