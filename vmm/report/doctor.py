"""Is everything here that vmsim needs, and does it work? What `vmsim doctor` finds out.

What vmsim cannot run without is required; the oracles are needed by its tests only. After that comes what
the simulated machine has and has not, as SUPPORT.md lists it.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vmm.report.run import SCHEMA

REQUIRED = ("capstone", "click", "keystone-engine", "llvmlite", "pyelftools", "rich", "zstandard")
SUPPORT = Path(__file__).resolve().parent.parent.parent / "SUPPORT.md"
SUPPORTED = "supported"
ORACLES = (
    ("qemu-system-i386", "runs the guests as a second opinion"),
    ("as", "GNU's assembler, against which ours is held"),
    ("nasm", "another assembler to compare with"),
)
OLDEST_PYTHON = (3, 11)
RADIX = 16


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    required: bool
    detail: str
    state: str = ""  # what is said instead of ok and absent


def checks() -> Iterator[Check]:
    """Everything, one after the other; some take a moment."""
    yield Check(
        "python", sys.version_info >= OLDEST_PYTHON, True, f"{platform.python_version()} on {sys.platform}"
    )
    yield Check("vmsim", True, True, _version("vmsim") or "not installed, run from its folder")
    for package in REQUIRED:
        found = _version(package)
        yield Check(package, found is not None, True, found or "missing: install vmsim again")
    yield _working("assembler", _assemble)
    yield _working("processor", _run)
    for command, purpose in ORACLES:
        path = shutil.which(command)
        yield Check(command, path is not None, False, path or f"not found; {purpose}, in tests")
    found = _version("unicorn")
    yield Check("unicorn", found is not None, False, found or "not found; an independent x86, in tests")
    yield Check("terminal", True, False, _terminal())
    yield from support()


def support() -> Iterator[Check]:
    """The rows of SUPPORT.md; none where it was not installed."""
    try:
        text = SUPPORT.read_text(encoding="utf-8")
    except OSError:
        return
    for row in text.splitlines():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if row.startswith("| ") and len(cells) == 3 and cells[0] != "feature":
            name, state, note = cells
            yield Check(name, state == SUPPORTED, False, note, state)


def document(found: list[Check]) -> dict[str, Any]:
    """What `doctor --json` prints."""
    return {"schema": SCHEMA, "ok": healthy(found), "checks": [asdict(check) for check in found]}


def healthy(found: list[Check]) -> bool:
    """Whether everything required is there and works."""
    return all(check.ok for check in found if check.required)


def line(check: Check) -> tuple[str, str]:
    """(colour, text) of a check."""
    if check.state:
        note = f" ({check.detail})" if check.detail else ""
        return "green" if check.ok else "yellow", f"{check.state:13} {check.name}{note}"
    word = "ok" if check.ok else "BAD" if check.required else "absent"
    return (
        "green" if check.ok else "red" if check.required else "yellow",
        f"{word:7} {check.name:17} {check.detail}",
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _working(name: str, attempt: Callable[[], tuple[bool, str]]) -> Check:
    try:
        ok, detail = attempt()
    except Exception as error:  # whatever is broken, a doctor says so
        return Check(name, False, True, f"{type(error).__name__}: {error}")
    return Check(name, ok, True, detail)


def _assemble() -> tuple[bool, str]:
    """Keystone reads numbers in hexadecimal if an option was ever set on it: `mov eax, 16` tells."""
    from isa.asm import encode, radix_canary

    canary, code = radix_canary(), encode("mov eax, 16")
    right = code == bytes.fromhex("b810000000")
    note = "" if canary == RADIX else f"; this keystone takes 16 for {canary}, which vmsim works around"
    return right, ("16 is 16" if right else f"`mov eax, 16` became {code.hex()}") + note


def _run() -> tuple[bool, str]:
    """The smallest guest, to its end."""
    import guests
    from vmm.image import load_image
    from vmm.machine import Machine, Outcome

    path = guests.LIBRARY / "hello.asm"
    result = Machine(load_image(path, include_dirs=(guests.LIBRARY,))).run()
    expected = guests.read(path).expected
    right = result.outcome is Outcome.SUCCESS and result.console == expected
    return right, f"hello: {result.text}, {result.instructions:,} instructions"


def _terminal() -> str:
    size = shutil.get_terminal_size()
    shown = "a terminal" if sys.stdout.isatty() else "not a terminal: no colour, no progress"
    colour = ", NO_COLOR is set" if os.environ.get("NO_COLOR") else ""
    return f"{os.environ.get('TERM', 'no TERM')}, {size.columns}x{size.lines}, {shown}{colour}"
