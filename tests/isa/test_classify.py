"""Popek and Goldberg by experiment: the classes that the table claims are the classes that are found."""

from __future__ import annotations

from functools import cache

from isa.classify import Finding, classify, virtualizable
from isa.exits import TrapPolicy
from isa.table import ROWS, Sensitive, rows

NOT_TRIED = {"unmodelled", "pause"}  # no encoding without a prefix


@cache
def real_x86() -> list[Finding]:
    return classify()


def test_the_experiment_reaches_every_row_of_the_table() -> None:
    assert {row.name for row in ROWS} - {finding.row.name for finding in real_x86()} <= NOT_TRIED


def test_the_classes_of_the_table_are_those_that_the_experiment_finds() -> None:
    wrong = {}
    for finding in real_x86():
        found = (
            Sensitive.PRIVILEGED if finding.privileged
            else Sensitive.SILENT if finding.sensitive
            else Sensitive.INNOCUOUS
        )  # fmt: skip
        if found is not finding.row.sensitive:
            wrong[finding.row.name] = (finding.row.sensitive, found, finding.witness)
    assert wrong == {}


def test_real_x86_is_not_virtualizable_and_these_are_the_reasons() -> None:
    silent = {finding.row.name for finding in real_x86() if finding.silent}
    robin_and_irvine = {
        "sgdt", "sidt", "sldt", "smsw", "pushf", "popf", "lar", "lsl", "verr", "verw", "pop sreg", "push sreg",
        "call far", "jmp far", "int", "retf", "str", "mov sreg",
    }  # fmt: skip
    assert robin_and_irvine <= silent
    assert not virtualizable(real_x86())


def test_the_processor_whose_sensitive_instructions_trap_is_virtualizable() -> None:
    trapping = classify(TrapPolicy(instructions=rows((Sensitive.PRIVILEGED, Sensitive.SILENT))))
    assert [finding.row.name for finding in trapping if finding.silent] == []
    assert virtualizable(trapping)
