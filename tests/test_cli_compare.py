"""`vmsim compare`: the table and the words on stdout, the verdict in the exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cli
from vmm.events import Diverged
from vmm.machine import Machine
from vmm.modes import BARE, MODES

PROMISING = [name for name in MODES if MODES[name].promises_equivalence and name != BARE]
UNPROMISING = [name for name in MODES if not MODES[name].promises_equivalence]


def vmsim(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(cli.cli, [str(word) for word in arguments], prog_name="vmsim")
    assert "Traceback" not in result.output
    return result


def test_all_modes_stand_side_by_side_and_nothing_is_talked() -> None:
    result = vmsim("compare", "hello")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].split() == ["hello", *MODES]
    assert result.stderr == ""
    assert "\x1b" not in result.stdout


def test_modes_are_chosen_and_the_bare_one_is_always_there() -> None:
    result = vmsim("compare", "hello", "--modes", f"{PROMISING[0]},{PROMISING[0]}")
    assert result.stdout.splitlines()[0].split() == ["hello", BARE, PROMISING[0]]


def test_an_unknown_mode_among_them_is_bad_usage() -> None:
    result = vmsim("compare", "hello", "--modes", f"{BARE},ful")
    assert result.exit_code == 2
    assert "did you mean `full`?" in result.stderr


def test_json_has_the_promised_names() -> None:
    data = json.loads(vmsim("compare", "popf", "--json").stdout)
    assert {"schema", "guest", "runs", "divergences"} <= set(data)
    assert [run["mode"] for run in data["runs"]] == list(MODES)
    assert {found["mode"] for found in data["divergences"]} == set(UNPROMISING)
    assert {"mode", "kind", "location", "expected", "actual", "rule"} == set(data["divergences"][0])


def test_a_divergence_without_a_promise_counts_only_if_strict() -> None:
    assert vmsim("compare", "popf").exit_code == 0
    assert vmsim("compare", "popf", "--strict").exit_code == 7


def test_a_broken_promise_is_status_7(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Machine.run

    def run(machine: Machine, budget: int) -> object:
        result = original(machine, budget)
        if machine.mode.name == PROMISING[0]:
            result.console += "?"
        return result

    monkeypatch.setattr(Machine, "run", run)
    result = vmsim("compare", "hello")
    assert result.exit_code == 7
    assert f"{PROMISING[0]} differs in console" in result.stdout


def test_a_mistake_of_a_monitor_is_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Machine.run

    def run(machine: Machine, budget: int) -> object:
        if machine.mode.name == PROMISING[0]:
            raise AssertionError("lost")
        return original(machine, budget)

    monkeypatch.setattr(Machine, "run", run)
    result = vmsim("compare", "hello")
    assert result.exit_code == 1
    assert "error" in result.stdout


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("start: mov al, 3\nout 0xf4, al\n", 4),
        ("start: lidt [n]\nud2\nn: dw 0, 0, 0\n", 5),
        ("start: db 0x0f, 0x28, 0xc1  ; movaps xmm0, xmm1\n", 5),
        ("start: jmp start\n", 6),
    ],
)
def test_a_guest_that_ends_badly_everywhere_gives_the_status_of_its_end(
    tmp_path: Path, source: str, status: int
) -> None:
    path = tmp_path / "guest.asm"
    path.write_text(source)
    assert vmsim("compare", path, "--budget", "5k").exit_code == status


def test_a_time_limit_holds_for_the_whole_comparison(tmp_path: Path) -> None:
    path = tmp_path / "guest.asm"
    path.write_text("start: jmp start\n")
    result = vmsim("compare", path, "--timeout", "0.4")
    assert result.exit_code == 6


def test_a_divergence_of_an_instruction_in_a_promising_mode_would_be_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = Machine.run

    def run(machine: Machine, budget: int) -> object:
        result = original(machine, budget)
        result.divergences.append(Diverged(1, 2, "popf", "x.asm:3", "IF=1", "IF=0", "a rule"))
        return result

    monkeypatch.setattr(Machine, "run", run)
    assert "popf at x.asm:3" in vmsim("compare", "hello", "--modes", PROMISING[0]).stdout
