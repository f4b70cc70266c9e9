"""Other assemblers, for comparison: what GNU as makes of single lines."""

from __future__ import annotations

import subprocess
from pathlib import Path

INTEL = ".intel_syntax noprefix\n"


def gas(lines: list[str], folder: Path, header: str = INTEL) -> list[bytes]:
    """What GNU as makes of each line behind `header`."""
    source = folder / "t.s"
    body = "".join(f"L{i}: {line}\n" for i, line in enumerate(lines)) + f"L{len(lines)}:\n"
    source.write_text(header + body)
    run = subprocess.run(["as", "--32", "-o", folder / "t.o", source], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", folder / "t.o", folder / "t.bin"], check=True)
    names = subprocess.run(["nm", folder / "t.o"], capture_output=True, text=True, check=True).stdout
    at = {
        name: int(value, 16)
        for value, _, name in (row.split() for row in names.splitlines() if len(row.split()) == 3)
    }
    image = (folder / "t.bin").read_bytes()
    return [image[at[f"L{i}"] : at[f"L{i + 1}"]] for i in range(len(lines))]
