"""The loops of `vmsim bench`: guests/bench/*.asm, each a kernel that does the same work many times.

A source says in its header what it is and what a round of it does (`; round: 1000 system calls`; for most,
instructions). The word at its label `rounds` is the number of rounds, so one image serves for a long run and
for the short one whose cost is that of starting.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import guests
from vmm.image import Image, load_image

FOLDER = guests.LIBRARY / "bench"
INSTRUCTIONS = "instructions"
# In the order in which they are shown: compute, then memory and strings, then what only kernels do.
ORDER = (
    *("alu", "sieve", "crc", "sha", "fib", "copy", "segmented", "float", "repmovs", "repstring"),
    *("sysc", "pf", "tables", "fills", "flags", "ports", "selfmod", "cold"),
)
COMPUTE = ("alu", "sieve", "crc", "sha", "fib", "copy")
_TITLE = re.compile(r"; ([\w-]+): (.+)")
_ROUND = re.compile(r"; round: (\d+) (.+)")


@dataclass(frozen=True)
class Loop:
    """One loop. `work` is how many of `what` a round does."""

    name: str
    title: str
    path: Path
    work: int
    what: str

    @property
    def unit(self) -> str:
        """What a figure of it is, as `bench --json` names it."""
        return "mips" if self.what == INSTRUCTIONS else "events_per_second"

    def image(self, rounds: int) -> Image:
        """The kernel that does it so often."""
        made = _image(self.path)
        assert made.program is not None
        at = made.program.symbols["rounds"] - made.origin
        data = made.data[:at] + rounds.to_bytes(4, "little") + made.data[at + 4 :]
        return replace(made, data=data)


@cache
def _image(path: Path) -> Image:
    return load_image(path, include_dirs=(guests.LIBRARY,))


def loops() -> list[Loop]:
    """All of them."""
    found = {path.stem: _read(path) for path in FOLDER.glob("*.asm")}
    known = [name for name in ORDER if name in found]
    return [found[name] for name in (*known, *sorted(set(found) - set(known)))]


def _read(path: Path) -> Loop:
    text = path.read_text(encoding="utf-8")
    title, work = _TITLE.match(text), _ROUND.search(text)
    if title is None or work is None or title[1] != path.stem:
        raise ValueError(
            f"{path}: the header must say `; {path.stem}: title` and `; round: 1000 of something`"
        )
    return Loop(path.stem, title[2], path, int(work[1]), work[2])
