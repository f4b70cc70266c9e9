"""The comparison as data: what `compare --json` prints."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from vmm.compare.runs import Comparison, Run
from vmm.compare.verdict import sentences
from vmm.cost.prices import PORTS
from vmm.report import run as report


def document(comparison: Comparison) -> dict[str, Any]:
    """All runs, all divergences of all modes, and the verdict in words."""
    return {
        "schema": report.SCHEMA,
        "guest": comparison.guest,
        "profile": comparison.profile.name,
        "runs": [_run(comparison, run) for run in comparison.runs],
        "divergences": [found for run in comparison.runs for found in _divergences(run)],
        "verdict": sentences(comparison),
    }


def _run(comparison: Comparison, run: Run) -> dict[str, Any]:
    return {
        **report.document(run.result, run.cycles),
        "equal": None if run.differences is None else run.equal,
        "promises_equivalence": run.result.promises_equivalence,
        "memory_compared": run.memory_compared,
        "slowdown": comparison.slowdown(run),
        "slowdown_without_ports": comparison.slowdown(run, (PORTS,)),
    }


def _divergences(run: Run) -> list[dict[str, str]]:
    silent = [report.divergence(run.mode, found) for found in run.result.divergences]
    return silent + [{"mode": run.mode, **asdict(found)} for found in run.differences or ()]
