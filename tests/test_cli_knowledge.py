"""What `vmsim` knows and tells: help, explain, guests, doctor, bench."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cli
import guests as library
from isa.table import BY_NAME, ROWS
from vmm.modes import MODES
from vmm.report import explain
from vmm.report.glossary import terms

COMMANDS = sorted(cli.cli.commands)
GUESTS = [guest.name for guest in library.catalogue()]


def vmsim(*arguments: str) -> Result:
    result = CliRunner().invoke(cli.cli, list(arguments), prog_name="vmsim")
    assert "Traceback" not in result.output
    return result


def examples(command: str) -> list[str]:
    epilog = cli.cli.commands[command].epilog or ""
    return re.findall(r"^  vmsim (.+)$", epilog, re.MULTILINE)


# -- help -----------------------------------------------------------------------------------------------------


def test_no_arguments_show_the_help() -> None:
    result = vmsim()
    assert result.exit_code == 0
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", result.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples_in_80_columns(command: str) -> None:
    for flag in ("-h", "--help"):
        result = vmsim(command, flag)
        assert result.exit_code == 0
        assert "Examples:" in result.stdout
        assert max(map(len, result.stdout.splitlines())) <= 80
        for example in examples(command):
            assert f"vmsim {example}" in result.stdout


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "bench"])
def test_the_examples_of_the_help_work(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.asm").write_text("main: mov al, 0\nout 0xf4, al\n")
    Path("my.bin").write_bytes(bytes.fromhex("b000e6f4"))
    Path("commands.txt").write_text("registers\n")
    assert examples(command)
    for example in examples(command):
        if "debug kernel" not in example:  # that one waits for a person
            result = vmsim(*shlex.split(example))
            assert result.exit_code in (0, 4, 7), (example, result.output)


def test_the_version_is_told() -> None:
    assert re.search(r"\d+\.\d+", vmsim("--version").stdout)


# -- explain ----------------------------------------------------------------------------------------------------


def test_popf_is_explained_with_its_class_its_treatment_and_its_definition() -> None:
    shown = vmsim("explain", "popf").stdout
    assert "sensitive but not privileged" in shown
    for mode in MODES:
        assert re.search(rf"^  {mode} ", shown, re.MULTILINE)
    assert "isa/ops/flagops.py:" in shown
    assert "def popf(b: Builder, i: Insn) -> None:" in shown
    assert "def merge_eflags" in shown


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_instruction_can_be_explained(row: object) -> None:
    name = row.name  # type: ignore[attr-defined]
    assert explain.find(name) is BY_NAME[name]
    lines = [text for _, text in explain.lines(BY_NAME[name], 80)]
    assert any("def " in text for text in lines)
    assert set(explain.document(BY_NAME[name])["modes"]) == set(MODES)


@pytest.mark.parametrize("term", terms(), ids=lambda term: term.name)
def test_every_term_can_be_explained(term: object) -> None:
    found = explain.find(term.name)  # type: ignore[attr-defined]
    assert vmsim("explain", "--", term.name).exit_code == 0  # type: ignore[attr-defined]
    assert found == term or found in ROWS


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("je", "jcc"),
        ("jz", "jcc"),
        ("popfd", "popf"),
        ("mov cr0, eax", "mov cr"),
        ("MOV DS, AX", "mov sreg"),
        ("int 0x80", "int"),
        ("rep movsb", "movs"),
        ("#pf", "#PF"),
        ("14", "#PF"),
        ("0xe", "#PF"),
        ("page fault", "#PF"),
        ("hidden fault", "#PF hidden"),
        ("triple fault", "triple-fault"),
    ],
)
def test_people_may_say_it_as_they_are_used_to(words: str, name: str) -> None:
    assert explain.find(words).name == name
    assert vmsim("explain", *words.split()).exit_code == 0


def test_an_unknown_word_gets_the_closest_one() -> None:
    result = vmsim("explain", "poopf")
    assert result.exit_code == 2
    assert "did you mean `popf`?" in result.stderr


def test_explain_json() -> None:
    data = json.loads(vmsim("explain", "sgdt", "--json").stdout)
    assert data["class"] == "sensitive but not privileged"
    assert "def sgdt" in data["source"][0]["text"]
    assert json.loads(vmsim("explain", "#PF", "--json").stdout)["vector"] == "14 (0xe)"


# -- guests -----------------------------------------------------------------------------------------------------


def test_the_guests_are_listed_by_name_and_title() -> None:
    shown = vmsim("guests").stdout
    for name in GUESTS:
        assert re.search(rf"^{name} ", shown, re.MULTILINE)
    data = json.loads(vmsim("guests", "--json").stdout)
    assert [guest["name"] for guest in data["guests"]] == GUESTS


def test_one_guest_is_shown_as_it_is_written() -> None:
    assert vmsim("guests", "popf").stdout == (library.LIBRARY / "popf.asm").read_text(encoding="utf-8")
    assert json.loads(vmsim("guests", "popf", "--json").stdout)["name"] == "popf"


def test_an_unknown_guest_is_told(tmp_path: Path) -> None:
    result = vmsim("guests", "poppf")
    assert result.exit_code == 3
    assert "did you mean `popf`?" in result.stderr
    (tmp_path / "x.asm").write_text("nop\n")
    assert vmsim("guests", str(tmp_path / "x.asm")).exit_code == 3


# -- doctor ----------------------------------------------------------------------------------------------------


def test_the_doctor_finds_this_installation_well() -> None:
    result = vmsim("doctor")
    assert result.exit_code == 0
    for name in ("python", "capstone", "keystone-engine", "assembler", "processor", "qemu-system-i386"):
        assert re.search(rf"^(ok|absent) +{name} ", result.stdout, re.MULTILINE), name
    assert json.loads(vmsim("doctor", "--json").stdout)["ok"] is True


def test_the_doctor_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from vmm.report import doctor

    monkeypatch.setattr(doctor, "REQUIRED", ("no-such-package",))
    result = vmsim("doctor")
    assert result.exit_code == 1
    assert "BAD" in result.stdout and "no-such-package" in result.stdout
