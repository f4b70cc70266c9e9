"""`vmsim run`: the console is data, the rest is talk, and every end has its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cli
import guests
from vmm.machine import Machine
from vmm.modes import BARE, MODES

HELLO = "Hello, world!\n6 * 7 = 42\n"
LOOP = "start: jmp start\n"
TRIPLE = "start: lidt [nothing]\nud2\nnothing: dw 0, 0, 0\n"
FAILURE = "start: mov al, 9\nout 0xf4, al\n"
LATER = "start: db 0x0f, 0x28, 0xc1  ; movaps xmm0, xmm1\n"


def vmsim(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(cli.cli, [str(word) for word in arguments], prog_name="vmsim")
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def guest(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write(text: str, name: str = "guest.asm") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_console_is_on_stdout_and_the_rest_on_stderr() -> None:
    result = vmsim("run", "hello")
    assert result.exit_code == 0
    assert result.stdout == HELLO
    assert "success" in result.stderr and "379 guest instructions" in result.stderr
    assert "modelled" in result.stderr and "p4-672" in result.stderr


@pytest.mark.parametrize("mode", list(MODES))
def test_a_guest_runs_under_every_mode(mode: str) -> None:
    result = vmsim("run", "hello", "--mode", mode)
    assert (result.exit_code, result.stdout) == (0, HELLO)
    assert f"hello under {mode}: success" in result.stderr


def test_a_guest_may_be_a_path_a_name_or_a_name_with_its_suffix() -> None:
    for name in (guests.LIBRARY / "hello.asm", "hello", "hello.asm"):
        assert vmsim("run", name).stdout == HELLO


def test_a_flat_binary_runs(tmp_path: Path) -> None:
    path = tmp_path / "guest.bin"
    path.write_bytes(bytes.fromhex("b007 e6e9 b000 e6f4".replace(" ", "")))
    result = vmsim("run", path)
    assert result.exit_code == 0
    assert result.stdout_bytes == b"\x07\n"


def test_json_is_one_object_with_the_promised_names() -> None:
    result = vmsim("run", "hello", "--json")
    data = json.loads(result.stdout)
    names = {"schema", "guest", "mode", "outcome", "exit_code", "console", "instructions", "traps", "cycles"}
    assert names <= set(data)
    assert (data["guest"], data["mode"], data["outcome"], data["console"]) == (
        "hello",
        BARE,
        "success",
        HELLO,
    )
    assert data["cycles"]["profile"] == "p4-672"
    assert data["cycles"]["total"] == sum(data["cycles"]["by"].values())


def test_another_profile_gives_other_cycles_and_the_same_counts() -> None:
    p4, i386 = (
        json.loads(vmsim("run", "hello", "--json", "--profile", p).stdout) for p in ("p4-672", "i386")
    )
    assert p4["cycles"]["total"] != i386["cycles"]["total"]
    assert (p4["instructions"], p4["traps"], p4["work"]) == (
        i386["instructions"],
        i386["traps"],
        i386["work"],
    )


@pytest.mark.parametrize(
    ("source", "status", "outcome", "words"),
    [
        (FAILURE, 4, "failure", "failure 9"),
        (TRIPLE, 5, "triple-fault", "#UD"),
        (LATER, 5, "triple-fault", "`movaps xmm0, xmm1` is not an instruction of this processor"),
        (LOOP, 6, "budget", "guest.asm:1"),
    ],
)
def test_each_end_has_its_status_and_says_where(
    guest,
    source: str,
    status: int,
    outcome: str,
    words: str,  # type: ignore[no-untyped-def]
) -> None:
    result = vmsim("run", guest(source), "--budget", "10k")
    assert result.exit_code == status
    talk = " ".join(result.stderr.split())
    assert outcome in talk and words in talk


def test_a_triple_fault_reports_its_faults_its_place_and_the_registers(guest) -> None:  # type: ignore[no-untyped-def]
    talk = vmsim("run", guest(TRIPLE)).stderr
    assert "Triple fault at guest.asm:2: #UD, then #GP" in talk
    assert "eax=" in talk and "cr0=" in talk and "idt=" in talk


def test_a_timeout_is_a_budget(guest) -> None:  # type: ignore[no-untyped-def]
    result = vmsim("run", guest(LOOP), "--timeout", "0.3", "--budget", "1000000G")
    assert result.exit_code == 6
    assert "0.3 seconds were not enough" in result.stderr and "guest.asm:1" in result.stderr


@pytest.mark.parametrize(
    ("text", "instructions"), [("2500", 2500), ("2_500", 2500), ("2k", 2000), ("0.5k", 500)]
)
def test_a_budget_has_units(guest, text: str, instructions: int) -> None:  # type: ignore[no-untyped-def]
    data = json.loads(vmsim("run", guest(LOOP), "--budget", text, "--json").stdout)
    assert (data["instructions"], data["outcome"]) == (instructions, "budget")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "hello", "--mode", "fulll"], "did you mean `full`?"),
        (["run", "hello", "--mode", "xyz"], f"there are {BARE}"),
        (["run", "hello", "--profile", "p4-67"], "did you mean `p4-672`?"),
        (["run", "hello", "--budget", "many"], "`many` is not a number"),
        (["run", "hello", "--budget", "0"], "more than nothing"),
        (["run", "hello", "--budget", "-5"], "more than nothing"),
        (["run", "hello", "--memory", "5000"], "whole pages"),
        (["run", "hello", "--memory", "64G"], "whole pages"),
        (["run", "hello", "--timeout", "0"], "timeout"),
        (["run", "hello", "--mod", "full"], "--mode"),
        (["run"], "GUEST"),
        (["rnu", "hello"], "Did you mean 'run'?"),
    ],
)
def test_bad_usage_is_status_2_and_says_what_would_be_right(arguments: list[str], words: str) -> None:
    result = vmsim(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_what_is_no_guest_is_status_3_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.asm").touch()
    (tmp_path / "noise.asm").write_bytes(bytes(range(256)))
    cases = {
        "no-such.asm": "no such file",
        "helo": "did you mean `hello`?",
        str(tmp_path): "is a directory",
        str(tmp_path / "empty.asm"): "is empty",
        str(tmp_path / "noise.asm"): "is not assembly source",
    }
    for name, words in cases.items():
        result = vmsim("run", name)
        assert result.exit_code == 3, name
        assert words in result.stderr
        assert result.stdout == ""


def test_a_guest_that_does_not_fit_into_memory_is_refused(guest) -> None:  # type: ignore[no-untyped-def]
    for command in ("run", "compare"):
        result = vmsim(command, guest(LOOP), "--memory", "1M")
        assert result.exit_code == 3
        assert "memory" in result.stderr


def test_a_mistake_of_our_own_is_one_line_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("a screw is loose")

    monkeypatch.setattr(Machine, "run", broken)
    result = vmsim("run", "hello")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0] == "internal error: RuntimeError: a screw is loose"
    assert "--debug" in result.stderr
    shown = CliRunner().invoke(cli.cli, ["--debug", "run", "hello"])
    assert isinstance(shown.exception, RuntimeError)


def test_every_outcome_has_a_status() -> None:
    from vmm.machine import Outcome

    statuses = {outcome: cli.ExitStatus.of(outcome) for outcome in Outcome}
    assert statuses[Outcome.SUCCESS] == 0
    assert {int(status) for status in statuses.values()} == {0, 1, 4, 5, 6, 130}
