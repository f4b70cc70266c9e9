"""From a file to the image that a mode wants: the same source, assembled as the mode needs it.

A paravirtual mode gets the build with `PARA` defined as 1. Whether a guest has one is in its header, if
it has the header of a built-in guest; else a source that mentions PARA has one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import guests
from vmm.image import Image, LoadError, load_image
from vmm.modes import MODES

PARA = "PARA"

_MENTION = re.compile(rf"^[^;#]*\b{PARA}\b", re.MULTILINE)


def build(path: Path, mode: str, defines: Mapping[str, int] | None = None, **loading: Any) -> Image:
    """The guest in `path`, built for `mode`; `loading` as for `load_image`. `LoadError`, `AsmError`."""
    names = dict(defines or {})
    if MODES[mode].paravirtual:
        names.setdefault(PARA, 1)
    return load_image(path, defines=names, include_dirs=(guests.LIBRARY,), **loading)


def fit(image: Image, memory: int) -> None:
    """Raises `LoadError` if the image does not fit into that many bytes of memory."""
    if image.end > memory:
        raise LoadError(
            f"{image.name} reaches up to {image.end:#x}; it needs more than {memory:,} bytes of memory"
        )


def has_para(image: Image) -> bool:
    """Whether the guest has a paravirtual build."""
    if image.program is None:
        return False
    try:
        return guests.read(image.path).has_para
    except guests.HeaderError:
        return any(_MENTION.match(line.text) for line in image.program.lines.listed)


def applicable_modes(image: Image) -> list[str]:
    """The modes that a guest can be compared in."""
    para = has_para(image)
    return [name for name, mode in MODES.items() if para or not mode.paravirtual]
