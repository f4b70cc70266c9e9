"""What `vmsim classify` shows: the classes of Popek and Goldberg, found by experiment, and the verdict.

The experiments are `isa.classify`; the two processors are the real x86 and one whose sensitive
instructions all trap. The claim of the table stands beside each finding, so a disagreement would show.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from isa.classify import Finding, classify, virtualizable
from isa.exits import NATIVE, TrapPolicy
from isa.table import Sensitive, rows

SCHEMA = 1
THEOREM = (
    "Theorem 1 (Popek and Goldberg 1974): a virtual machine monitor may be constructed if the set of sensitive "
    "instructions is a subset of the set of privileged instructions."
)
PROCESSORS: dict[str, tuple[str, TrapPolicy]] = {
    "real": ("the x86 as it was built", NATIVE),
    "trapping": (
        "an x86 whose sensitive instructions all trap in user mode",
        TrapPolicy(instructions=rows((Sensitive.PRIVILEGED, Sensitive.SILENT))),
    ),
}


def found_class(finding: Finding) -> Sensitive:
    """The class that the experiment finds, in the table's words."""
    if finding.privileged:
        return Sensitive.PRIVILEGED
    return Sensitive.SILENT if finding.sensitive else Sensitive.INNOCUOUS


def experiments() -> Iterator[tuple[str, str, list[Finding]]]:
    """(name, description, findings) for both processors; seconds each."""
    for name, (title, policy) in PROCESSORS.items():
        yield name, title, classify(policy)


def document(results: list[tuple[str, str, list[Finding]]]) -> dict[str, Any]:
    """The findings as data."""
    return {
        "schema": SCHEMA,
        "theorem": THEOREM,
        "processors": [
            {
                "name": name,
                "title": title,
                "virtualizable": virtualizable(findings),
                "instructions": [
                    {
                        "name": finding.row.name,
                        "privileged": finding.privileged,
                        "sensitive": sorted(finding.classes),
                        "silent": finding.silent,
                        "table": finding.row.sensitive.name.lower(),
                        "trials": finding.trials,
                        "witness": finding.witness,
                    }
                    for finding in findings
                ],
            }
            for name, title, findings in results
        ],
    }


def lines(results: list[tuple[str, str, list[Finding]]]) -> Iterator[tuple[str, str]]:
    """(style, line) for people: what is not innocuous, then the verdict."""
    for _name, title, findings in results:
        yield "head", title[0].upper() + title[1:]
        yield "plain", f"  {'instruction':<12} {'privileged':<10}  {'sensitive':<18}  example"
        innocuous = 0
        for finding in findings:
            if not finding.sensitive and not finding.privileged:
                innocuous += 1
                continue
            classes = ", ".join(sorted(finding.classes)) or "-"
            example = next(iter(finding.witness.values()), "")
            mark = "traps" if finding.privileged else "no"
            style = "silent" if finding.silent else "plain"
            yield style, f"  {finding.row.name:<12} {mark:<10}  {classes:<18}  {example}".rstrip()
        yield "plain", f"  and {innocuous} innocuous ones"
        yield from _verdict(findings)


def _verdict(findings: list[Finding]) -> Iterator[tuple[str, str]]:
    silent = [finding.row.name for finding in findings if finding.silent]
    if silent:
        yield "head", f"  Not virtualizable by Theorem 1: {len(silent)} sensitive instructions do not trap."
        yield "plain", "  " + ", ".join(silent)
    else:
        yield "head", "  Virtualizable by Theorem 1: every sensitive instruction traps."
    for finding in findings:
        if found_class(finding) is not finding.row.sensitive and silent:
            yield "silent", f"  the table calls {finding.row.name} {finding.row.sensitive.value}"
