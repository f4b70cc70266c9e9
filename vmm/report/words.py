"""What people type, read: numbers with units, names of modes and profiles, guests, definitions.

Whatever cannot be understood is a `ValueError` (for a file a `LoadError`) that says what would have been
right, with the closest name there is.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import guests
from vmm.image import LoadError

PAGE = 4096
MAX_MEMORY = 2 << 30
UNITS = "kmg"
FOR_EVER = 1 << 62  # instructions


class Unknown(ValueError):
    """A word that means nothing here."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean …?`, or nothing."""
    found = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f"; did you mean `{found[0]}`?" if found else ""


def _number(text: str, base: int, example: str) -> int:
    digits = text.strip().lower().replace(",", "")
    power = UNITS.find(digits[-1:]) + 1 if digits else 0
    if power:
        digits = digits[:-1]
    try:
        value = int(float(digits) * base**power) if "." in digits else int(digits, 0) * base**power
    except (ValueError, OverflowError):
        raise ValueError(f"`{text}` is not a number; write {example}") from None
    if value <= 0:
        raise ValueError("must be more than nothing")
    return value


def read_count(text: str) -> int:
    """A number of instructions: 500000, 1_000_000, 10M."""
    return _number(text, 1000, "500000, 1_000_000 or 10M")


def read_budget(text: str) -> int:
    """A number of instructions, or `none` for no end."""
    return FOR_EVER if text.strip().lower() == "none" else read_count(text)


def read_seconds(text: str) -> float:
    """A time limit."""
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"`{text}` is not a number of seconds") from None
    if not 0 < value < FOR_EVER:
        raise ValueError("must be more than nothing")
    return value


def read_size(text: str) -> int:
    """Bytes of memory: 16M is 16 MiB."""
    value = _number(text, 1024, "16M or 0x1000000")
    if value % PAGE or value > MAX_MEMORY:
        raise ValueError(f"must be whole pages of {PAGE} bytes, {MAX_MEMORY >> 30}G at most")
    return value


def read_address(text: str) -> int | str:
    """A number, or a name to be looked up among the symbols."""
    try:
        return int(text, 0)
    except ValueError:
        return text


def read_define(text: str) -> tuple[str, int]:
    """NAME, which is then 1, or NAME=VALUE."""
    name, _, number = text.partition("=")
    try:
        return name.strip(), int(number or "1", 0)
    except ValueError:
        raise ValueError(f"`{number}` is not a number") from None


def _known(what: str, word: str, names: Sequence[str]) -> str:
    if word not in names:
        hint = suggestion(word, names) or f"; there are {', '.join(names)}"
        raise ValueError(f"there is no {what} `{word}`{hint}")
    return word


def read_mode(text: str) -> str:
    """The name of a mode."""
    from vmm.modes import MODES

    return _known("mode", text.strip(), list(MODES))


def read_modes(text: str) -> list[str]:
    """Names of modes, separated by commas, each once."""
    return list(dict.fromkeys(read_mode(word) for word in text.split(",")))


def read_kinds(text: str) -> frozenset[str]:
    """Kinds of events to trace, separated by commas."""
    from vmm.trace import parse_kinds

    return parse_kinds([text])


def read_model(text: str) -> str:
    """The name of a processor model."""
    from isa.model import MODELS

    return _known("processor", text.strip(), list(MODELS))


def read_format(text: str) -> str:
    """The name of a file format for guests."""
    from vmm.loader import FORMATS

    return _known("format", text.strip(), FORMATS)


def read_profile(text: str) -> str:
    """The name of a cost profile."""
    from vmm.cost import profile_names

    return _known("profile", text.strip(), profile_names())


def guest_path(name: str) -> Path:
    """The file that a GUEST argument means: as it stands, else the built-in guest of that name."""
    path = Path(name)
    if path.exists():
        if path.is_file() and not os.access(path, os.R_OK):
            raise LoadError(f"{name}: permission denied")
        return path
    bare = name.removesuffix(".asm")
    found = guests.find(bare)
    if found is not None:
        return found
    known = {file.stem for file in guests.LIBRARY.glob("*.asm")}
    hint = suggestion(Path(bare).name, known) or "; `vmsim guests` lists the built-in ones"
    raise LoadError(f"{name}: no such file{hint}")
