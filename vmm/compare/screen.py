"""The comparison as a person sees it: the table, then the words, then what diverged and by which rule."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.text import Text

from vmm.compare.runs import Comparison
from vmm.compare.table import tables
from vmm.compare.verdict import costs, differences, summary
from vmm.report.run import divergence_lines


def show(comparison: Comparison, colour: bool, width: int | None, widest: int) -> None:
    """Put it on stdout, `width` columns wide; None: as wide as the terminal."""
    console = Console(width=width, color_system="auto" if colour else None, highlight=False)
    for part in parts(comparison, min(console.width, widest)):
        console.print(part)


def parts(comparison: Comparison, width: int) -> Iterator[RenderableType]:
    """What to print, one after the other."""
    yield from tables(comparison)
    for paragraph in (summary(comparison), costs(comparison)):
        yield ""
        for sentence in paragraph:
            yield _wrapped(sentence, width)
    unequal = list(differences(comparison))
    if unequal:
        yield ""
    for line in unequal:
        yield _wrapped(line, width, "red")
    for run in comparison.runs:
        found = run.result.divergences
        if found:
            n = len(found)
            words = f"{n} instructions" if n > 1 else "1 instruction"
            text = f"{run.mode}: {words} did something else than on bare hardware, and nothing trapped:"
            yield ""
            yield _wrapped(text, width, "bold")
            for divergence in found:
                yield Text("\n".join(divergence_lines(divergence, width)))


def _wrapped(text: str, width: int, style: str = "") -> Text:
    return Text("\n".join(textwrap.wrap(text, width, subsequent_indent="  ")), style)
