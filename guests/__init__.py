"""The guests: small kernels, each with a header comment that is its specification.

Here: `catalogue`, which reads those headers, `find`, which turns a bare name into a file, and `LIBRARY`,
the folder to search for what guests include (`lib/boot.inc` and the rest; `minos/` is what only minos is made
of). Guests are data: this module knows neither the assembler nor the machines.

A header is the comment at the top of the file:

    ; hello: the smallest kernel that shows it is alive.       name and title
    ;
    ; It takes over the processor ...                          summary: what it does, how to read it
    ;
    ; expect:                                                  the console, byte for byte,
    ;   | Hello, world!                                        one line each; the verdict is 0
    ;
    ; modes: native full rewrite para                          where this must come true
    ; naive: POPF at popf_here                                 what `naive` gets wrong, at which label;
                                                               one line each, or `naive: nothing`

A guest lies at 1 MiB and is entered in protected mode; `boot` alone is a disk with a boot sector.
A guest with `para` among its modes has a paravirtual port: assemble it with `PARA` defined as 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

LIBRARY = Path(__file__).resolve().parent

READING_ORDER = (
    *(
        "hello",
        "boot",
        "sieve",
        "hash",
        "syscall",
        "pagefault",
        "timer",
        "popf",
        "rings",
        "selfmod",
        "vectors",
    ),
    *("kernel", "minos"),
)

_COMMENT = re.compile(r"; ?(.*)")
_TITLE = re.compile(r"([\w-]+): (.+)")
_FIELD = re.compile(r"(expect|modes|naive):(.*)")
_CONSOLE = re.compile(r" *\| ?(.*)")
_DIVERGENCE = re.compile(r"(.+) at ([A-Za-z_]\w*)")
_NOTHING = "nothing"


class HeaderError(ValueError):
    """A guest's header does not say what it must."""


@dataclass(frozen=True)
class Divergence:
    """What goes wrong where sensitive instructions fail silently."""

    instruction: str
    label: str

    def __str__(self) -> str:
        return f"{self.instruction} at {self.label}"


@dataclass(frozen=True)
class Guest:
    name: str
    path: Path
    title: str
    summary: str
    modes: tuple[str, ...]
    expected: str
    """The console, byte for byte."""
    naive: tuple[Divergence, ...]
    """What `naive` must show; empty if it runs this guest faithfully."""

    @property
    def has_para(self) -> bool:
        return "para" in self.modes


def catalogue() -> list[Guest]:
    """All built-in guests, in the order in which to read them; those without a place come last."""
    names = sorted(path.stem for path in LIBRARY.glob("*.asm"))
    known = [name for name in READING_ORDER if name in names]
    return [read(LIBRARY / f"{name}.asm") for name in known + [name for name in names if name not in known]]


def find(name: str) -> Path | None:
    """The file of a built-in guest, named as in the catalogue; None if there is none."""
    if not re.fullmatch(r"[\w-]+", name):
        return None
    path = LIBRARY / f"{name}.asm"
    return path if path.is_file() else None


def read(path: Path) -> Guest:
    """The guest in this file, from its header."""
    lines = _header(path)
    title = _TITLE.fullmatch(lines[0]) if lines else None
    if title is None or title[1] != path.stem:
        raise HeaderError(f"{path}: the first line must be `; {path.stem}: title`")
    fields: dict[str, list[str]] = {"expect": [], "modes": [], "naive": []}
    summary: list[str] = []
    for line in lines[1:]:
        field = _FIELD.fullmatch(line)
        console = _CONSOLE.fullmatch(line) if fields["expect"] else None
        if field is not None:
            fields[field[1]].append(field[2].strip())
        elif console is not None:
            fields["expect"].append(console[1])
        elif not any(fields.values()):
            summary.append(line)
        elif line.strip():
            raise HeaderError(f"{path}: after the first field comes nothing but fields, not `{line}`")
    for name, values in fields.items():
        if not values:
            raise HeaderError(f"{path}: the header lacks `{name}:`")
    return Guest(
        name=path.stem,
        path=path,
        title=title[2],
        summary="\n".join(summary).strip("\n"),
        modes=tuple(" ".join(fields["modes"]).split()),
        expected="".join(line + "\n" for line in fields["expect"][1:]),
        naive=_divergences(path, fields["naive"]),
    )


def _header(path: Path) -> list[str]:
    """The comment at the top, without its signs."""
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        comment = _COMMENT.fullmatch(line)
        if comment is None:
            break
        lines.append(comment[1].rstrip())
    return lines


def _divergences(path: Path, notes: list[str]) -> tuple[Divergence, ...]:
    if notes == [_NOTHING]:
        return ()
    found: list[Divergence] = []
    for note in notes:
        match = _DIVERGENCE.fullmatch(note)
        if match is None:
            raise HeaderError(f"{path}: `naive: {note}` is not `INSTRUCTION at label`")
        found.append(Divergence(match[1], match[2]))
    return tuple(found)
