"""One run: a summary in words for a person, an object for a program.

Counted figures are facts of the simulation, cycles are a model; both forms keep them apart.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from vmm.cost import Cycles
from vmm.cost.prices import CALL_OUT
from vmm.events import Diverged
from vmm.machine import Result

SCHEMA = "vmsim/1"
KINDS_SHOWN = 8
LABEL_WIDTH = 11


def document(result: Result, cycles: Cycles) -> dict[str, Any]:
    """What `run --json` prints, and one of the `runs` of `compare --json`."""
    return {
        "schema": SCHEMA,
        "guest": result.guest,
        "mode": result.mode,
        "outcome": str(result.outcome),
        "exit_code": result.exit_code,
        "text": result.text,
        "details": list(result.details),
        "console": result.console,
        "instructions": result.instructions,
        "idle": result.idle,
        "traps": result.traps,
        "work": result.work,
        "divergences": [divergence(result.mode, found) for found in result.divergences],
        "cycles": cycles_document(cycles),
    }


def divergence(mode: str, found: Diverged) -> dict[str, str]:
    """A divergence under the names that outside tools rely on."""
    return {
        "mode": mode,
        "kind": found.kind,
        "location": found.location,
        "expected": found.expected,
        "actual": found.actual,
        "rule": found.rule,
    }


def cycles_document(cycles: Cycles) -> dict[str, Any]:
    """The modelled cost, which names its profile and says that it is modelled."""
    return {
        "profile": cycles.profile.name,
        "modelled": True,
        "total": cycles.total,
        "by": cycles.by,
        "items": [
            {"figure": item.figure, "activity": item.activity, "count": item.count, "each": item.each}
            for item in cycles.items
        ],
        "unpriced": list(cycles.unpriced),
    }


def summary(result: Result, cycles: Cycles, width: int = 80) -> list[str]:
    """The end of a run in words; the first line is the verdict."""
    lines = [f"{result.guest} under {result.mode}: {result.outcome}"]
    lines += textwrap.wrap(_sentence(result.text), width, initial_indent="  ", subsequent_indent="  ")
    lines += [f"  {line}" for line in result.details]
    for label, text in _figures(result, cycles):
        indent = " " * (LABEL_WIDTH + 2)
        lines += textwrap.wrap(
            text, width, initial_indent=f"  {label:{LABEL_WIDTH}}", subsequent_indent=indent
        )
    for found in result.divergences:
        lines += divergence_lines(found, width)
    return lines


def divergence_lines(found: Diverged, width: int, indent: str = "  ") -> list[str]:
    """A silent failure: where, what should have been, what was, and by which rule."""
    inner = indent + "  "
    lines = textwrap.wrap(
        f"{found.kind} at {found.location}", width, initial_indent=indent, subsequent_indent=inner
    )
    for label, text in (("expected", found.expected), ("actual", found.actual), ("rule", found.rule)):
        lines += textwrap.wrap(
            text, width, initial_indent=f"{inner}{label:9}", subsequent_indent=inner + " " * 9
        )
    return lines


def _figures(result: Result, cycles: Cycles) -> Iterator[tuple[str, str]]:
    parts = [f"{result.instructions:,} guest instructions"]
    if result.idle:
        parts.append(f"{result.idle:,} instruction times idle in HLT")
    real = {kind: count for kind, count in result.traps.items() if not kind.startswith(CALL_OUT)}
    calls = {kind[len(CALL_OUT) :]: count for kind, count in result.traps.items() if kind not in real}
    for words, counts in (("traps", real), ("call-outs", calls)):
        if counts:
            parts.append(f"{sum(counts.values()):,} {words}: {most(counts)}")
    yield "counted", "; ".join(parts)
    if result.work:
        yield "", most(result.work)
    share = {name: f"{100 * value / cycles.total:.0f}%" for name, value in cycles.by.items()}
    spent = ", ".join(f"{share[name]} {name}" for name in sorted(cycles.by, key=cycles.by.__getitem__)[::-1])
    yield "modelled", f"{cycles.total:,} cycles on {cycles.profile.name}" + (f": {spent}" if spent else "")
    if cycles.unpriced:
        yield "unpriced", ", ".join(cycles.unpriced)
    if result.divergences:
        n = len(result.divergences)
        yield "diverged", f"{n} instruction{'s' * (n > 1)} did something else than on bare hardware:"


def most(counts: Mapping[str, int], shown: int = KINDS_SHOWN) -> str:
    """The largest of some counts, and how many there are besides."""
    order = sorted(counts.items(), key=lambda entry: -entry[1])
    text = ", ".join(f"{name} {count:,}" for name, count in order[:shown])
    rest = order[shown:]
    return text + (f", {len(rest)} other kinds {sum(n for _, n in rest):,}" if rest else "")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "." if text and not text.endswith(".") else text
