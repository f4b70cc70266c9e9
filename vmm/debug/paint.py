"""Colour, injected: text goes through a `Paint`, which adds escape codes on a terminal and nothing elsewhere.

`paint_for(out)` chooses; `rich` knows what a terminal can show and that NO_COLOR means none. Pad before
you paint: escape codes have no width.
"""

from __future__ import annotations

from typing import TextIO

STYLES = {
    "head": "bold",
    "address": "cyan",
    "changed": "bold yellow",
    "dim": "dim",
    "warn": "bold red",
    "monitor": "magenta",
    "console": "green",
}


class Paint:
    """No colour at all."""

    def __call__(self, style: str, text: str) -> str:
        """`text` in a style of `STYLES`; in none if `style` is empty."""
        return text


class RichPaint(Paint):
    """Colour by rich."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console
        from rich.style import Style

        console = Console(file=out)
        self.system = None if console.no_color else console._color_system
        self.styles = {name: Style.parse(text) for name, text in STYLES.items()}

    def __call__(self, style: str, text: str) -> str:
        if self.system is None or not style:
            return text
        return self.styles[style].render(text, color_system=self.system)


def paint_for(out: TextIO) -> Paint:
    """Colour if `out` is a terminal that wants it."""
    return RichPaint(out) if out.isatty() else Paint()
