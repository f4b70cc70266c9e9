"""Every constant of every profile says where it comes from and how it is known, and what is derived adds up."""

from __future__ import annotations

import pytest

import isa.ops  # noqa: F401  (fills the table)
from isa.table import BY_NAME
from vmm.cost import DEFAULT_PROFILE, STATUSES, ProfileError, load_profile, profile_names
from vmm.cost.prices import EXECUTED, TRAPS, WORK, _work, price
from vmm.cost.profile import read_profile
from vmm.machine import Outcome, Result

PROFILES = {name: load_profile(name) for name in profile_names()}
CONSTANTS = [(profile, constant) for profile in PROFILES.values() for constant in profile.constants.values()]
IDS = [f"{profile.name}-{constant.name}" for profile, constant in CONSTANTS]

TEXT = """
title = "a toy"
notes = "none"
[constants.a]
value = 7
unit = "cycles"
source = "somewhere"
status = "measured"
[constants.b]
value = 14
unit = "cycles"
source = "twice a"
status = "derived"
formula = "2 * a"
"""


def test_there_are_the_machine_of_the_paper_and_the_80386() -> None:
    assert profile_names()[0] == DEFAULT_PROFILE == "p4-672"
    assert "i386" in PROFILES


@pytest.mark.parametrize(("profile", "constant"), CONSTANTS, ids=IDS)
def test_a_constant_has_a_source_a_unit_and_a_tag(profile: object, constant: object) -> None:
    assert len(constant.source) > 10  # type: ignore[attr-defined]
    assert constant.unit  # type: ignore[attr-defined]
    assert constant.status in STATUSES  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_profile_has_every_constant_that_a_price_asks_for(name: str) -> None:
    profile = PROFILES[name]
    rows = [_work(f"{EXECUTED}{row}", profile) for row in BY_NAME]
    asked = [terms for _, terms in (*TRAPS.values(), *WORK.values(), *filter(None, rows))]
    missing = {term for terms in asked for term in terms} - set(profile.constants)
    assert missing == set()
    assert profile.megahertz > 0


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_rows_that_a_constant_prices_are_instructions_and_have_one_price(name: str) -> None:
    rows = [row for constant in PROFILES[name].constants.values() for row in constant.rows]
    assert set(rows) <= set(BY_NAME)
    assert len(rows) == len(set(rows))


def test_the_published_sums_come_out_again() -> None:
    """What was taken apart to get the constants has to add up to what Adams and Agesen measured."""
    p4 = PROFILES["p4-672"]
    assert p4["exception"] + p4["emulate"] == p4["trap_and_emulate"]
    assert p4["exception"] + p4["reflect"] + p4["call_out"] == p4["bt_divzero"]
    assert p4["page_fault"] + p4["walk"] + p4["reflect"] + p4["call_out"] == p4["bt_pgfault"]


def test_a_profile_is_read() -> None:
    toy = read_profile(TEXT, "toy")
    assert (toy["a"], toy["b"]) == (7, 14)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("value = 14", "value = 15", "is 14, not 15"),
        ("2 * a", "2 * c", "does not belong"),
        ("2 * a", "__import__('os')", "does not belong"),
        ('"measured"', '"guessed"', "none of"),
        ('source = "somewhere"\n', "", "source"),
        ('"somewhere"', '""', "source"),
        ("value = 7", "value = 7.5", "whole number"),
        ("value = 7", "value = -7", "whole number"),
        ('status = "derived"', 'status = "assumed"', "formula"),
        ("title", "titel", "title"),
        ("[constants.a]", "[constants.a", "toy"),
    ],
)
def test_an_unsound_profile_is_refused(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(ProfileError, match=message):
        read_profile(TEXT.replace(old, new), "toy")


def test_an_unknown_profile_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        load_profile("abacus")


def result(**figures: object) -> Result:
    fields = {
        "guest": "g",
        "mode": "m",
        "outcome": Outcome.SUCCESS,
        "exit_code": 0,
        "console": "",
        "text": "",
    }
    return Result(**{**fields, "instructions": 1000, **figures})  # type: ignore[arg-type]


def test_a_trapped_port_access_costs_a_trap_an_emulation_and_a_device() -> None:
    p4 = PROFILES["p4-672"]
    cycles = price(result(traps={"out": 10}), p4)
    assert cycles.of("port I/O") == 10 * (889 + 1141 + 216)
    assert cycles.total == 1000 + cycles.of("port I/O")
    assert cycles.without_ports == 1000


def test_a_bare_port_access_waits_for_the_bus() -> None:
    assert price(result(work={"executed: in": 2}), PROFILES["p4-672"]).by["port I/O"] == 2 * 3209


def test_a_hidden_fault_is_page_table_work_and_a_true_one_is_the_guests() -> None:
    by = price(result(traps={"#PF hidden": 1, "#PF true": 1}), PROFILES["p4-672"]).by
    assert by["page tables"] == 1093 + 500 + 137
    assert by["interrupts, exceptions"] == 1093 + 500


def test_a_call_out_is_cheaper_than_a_trap() -> None:
    p4 = PROFILES["p4-672"]
    assert price(result(traps={"callout: lgdt": 1}), p4).total < price(result(traps={"lgdt": 1}), p4).total


def test_call_outs_and_hypercalls_without_a_kind_are_priced_all_the_same() -> None:
    p4 = PROFILES["p4-672"]
    assert price(result(work={"call-outs": 3}, traps={"callout: cli": 2}), p4).total == 1000 + 3 * 1254
    assert price(result(work={"hypercalls": 3, "hypercall: iret": 2}), p4).total == 1000 + 3 * 889


def test_a_figure_without_a_price_is_named_and_costs_nothing() -> None:
    cycles = price(result(work={"pigeons fed": 9}, traps={"no such trap": 4}), PROFILES["p4-672"])
    assert cycles.total == 1000
    assert set(cycles.unpriced) == {"pigeons fed", "no such trap"}


def test_the_items_add_up_to_the_total_and_to_the_activities() -> None:
    figures = {"cli": 3, "int 0x80": 2, "#GP": 1, "callout: out": 4, "mov cr": 1}
    cycles = price(
        result(traps=figures, work={"units translated": 2, "instructions identical": 9}), PROFILES["i386"]
    )
    assert cycles.total == sum(cycles.by.values()) == sum(item.count * item.each for item in cycles.items)
    assert not cycles.unpriced
