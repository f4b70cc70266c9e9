"""Kernels of Debian packages, or a skipped test. CI brings them by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmm.report.packages import find


def real(pattern: str, package: str) -> Path:
    """A file that a Debian package brings; the test is skipped where it is absent."""
    found = find(pattern)
    if found is None:
        pytest.skip(f"needs {pattern} of the package {package}: make kernels")
    return found
