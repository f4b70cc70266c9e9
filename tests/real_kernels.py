"""Kernels of Debian packages: where they are. `make kernels` brings them, CI does so by itself.

They are looked for in the folders that VMSIM_KERNELS names, in the one that `make kernels` fills, and
where the packages themselves put them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmsim-kernels"
PLACES = ("", "boot", "bin", "usr/share/seabios", "usr/lib/grub-rescue", "usr/lib/syslinux", "usr/lib/ipxe")


def folders() -> list[Path]:
    """Every folder that may have one."""
    named = [Path(folder) for folder in os.environ.get("VMSIM_KERNELS", "").split(":") if folder]
    return named + [root / place for root in (CACHE, Path("/")) for place in PLACES]


def real(pattern: str, package: str) -> Path:
    """A file that a Debian package brings; the test is skipped where it is absent."""
    for folder in folders():
        found = sorted(folder.glob(pattern))
        if found:
            return found[0]
    pytest.skip(f"needs {pattern} of the package {package}: make kernels")
