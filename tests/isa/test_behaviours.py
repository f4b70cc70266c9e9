"""Behaviours of the whole processor, one small kernel each (`behaviours/*.asm`): what it prints here is what
Bochs and QEMU print, whatever engine runs it, bare or under a monitor.

A line is the outcome of one case; its heading, up to the colon, names it. Where a peer prints something else
the manual decides, and `tests/differential/accepted.py` has the section. Bochs judges every line; QEMU all
but those that it is known to get wrong.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from peers import needs_bochs, needs_qemu, on_bochs, on_qemu

from isa.model import MODELS
from vmm import Machine, Outcome, load_image
from vmm.image import Image

sys.path.append(str(Path(__file__).parents[1] / "differential"))
from accepted import accepted

BEHAVIOURS = sorted(Path(__file__).parent.joinpath("behaviours").glob("*.asm"))
BUDGET = 200_000
HANGS, ENDS_EARLY, RF = "hangs", "ends early", "RF"

each_behaviour = pytest.mark.parametrize("path", BEHAVIOURS, ids=lambda path: path.stem)


@cache
def image_of(path: Path) -> Image:
    return load_image(path)


def run(path: Path, mode: str | None, engine: str) -> tuple[list[str], int]:
    """What the kernel prints, and its instructions."""
    machine = Machine(image_of(path), mode, model=MODELS["p2-apic"])
    for cpu in (machine.mode.cpu, machine.mode.guest):
        cpu.use_engine(engine)
    result = machine.run(BUDGET)
    assert result.outcome is Outcome.SUCCESS, (result.text, result.details)
    return result.console.splitlines(), result.instructions


@cache
def ours(path: Path) -> tuple[list[str], int]:
    return run(path, None, "reference")


def without_rf(line: str) -> str:
    """The line with RF clear in the EFLAGS of every exception that it tells of."""
    return re.sub(r"(#(?:[0-9A-F]{8} ){4}000)([0-3])", lambda found: found[1] + str(int(found[2]) & 2), line)


def heading(line: str) -> str:
    """Which case a line belongs to; a line may be more of the case before."""
    return line.rpartition(": ")[0]


def agree(path: Path, peer: str, on_peer: Callable[[Image, Path], bytes], folder: Path) -> None:
    facts = {"name": path.stem}
    if accepted(peer, facts, [HANGS]):
        pytest.skip(f"{peer} hangs in it, and is known to")
    lines, _ = ours(path)
    theirs = on_peer(image_of(path), folder).decode("latin-1").splitlines()
    assert len(theirs) == len(lines) or accepted(peer, facts, [ENDS_EARLY]), theirs[-1:]
    for line, other in zip(lines, theirs, strict=False):
        if line != other:
            found = RF if without_rf(line) == without_rf(other) else heading(line)
            assert accepted(peer, facts, [found]), f"here:  {line}\n{peer}: {other}"


@needs_bochs
@each_behaviour
def test_a_behaviour_is_the_same_on_bochs(path: Path, tmp_path: Path) -> None:
    agree(path, "bochs", on_bochs, tmp_path)


@needs_qemu
@each_behaviour
def test_a_behaviour_is_the_same_on_qemu(path: Path, tmp_path: Path) -> None:
    agree(path, "qemu", on_qemu, tmp_path)


@each_behaviour
def test_a_behaviour_is_the_same_natively_and_under_a_monitor(path: Path) -> None:
    wanted = ours(path)
    for mode, engine in ((None, "native"), ("full", "reference"), ("full", "native"), ("rewrite", "native")):
        assert run(path, mode, engine) == wanted, (mode, engine)


def test_every_behaviour_says_what_it_is_and_where_the_manual_has_it() -> None:
    for path in BEHAVIOURS:
        head = path.read_text().split("\n.include")[0]
        assert head.startswith("; ") and "SDM" in head, path.name
