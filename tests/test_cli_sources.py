"""`vmsim asm` and `vmsim dis`: from source to bytes and back, and every mistake with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cli

MISTAKES = """\
main:
    mov eax,
    moov ebx, 1
    jmp nowhere
    mov al, 500
    .foo 3
"""
SMALL = """\
start:  cli
.text:  dd 0x12345678
again:  jmp again
"""


def vmsim(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(cli.cli, [str(word) for word in arguments], prog_name="vmsim")
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.asm"
    path.write_text(SMALL)
    return path


def test_asm_writes_a_flat_binary_and_says_so(small: Path, tmp_path: Path) -> None:
    output = tmp_path / "small.bin"
    result = vmsim("asm", small, "-o", output)
    assert result.exit_code == 0
    assert output.read_bytes() == bytes.fromhex("fa78563412ebfe")
    assert "7 bytes at 0x100000, entry 0x100000 (start)" in result.stdout


def test_asm_writes_nothing_but_the_binary_to_stdout(small: Path) -> None:
    assert vmsim("asm", small, "-o", "-").stdout_bytes == bytes.fromhex("fa78563412ebfe")


def test_a_listing_shows_addresses_and_bytes_beside_the_source(small: Path) -> None:
    assert "00100000  fa" in vmsim("asm", small, "--listing").stdout


def test_a_constant_can_be_defined(tmp_path: Path) -> None:
    path = tmp_path / "d.asm"
    path.write_text("db VALUE, OTHER\n")
    assert vmsim("asm", path, "-D", "VALUE=0x41", "-D", "OTHER", "-o", "-").stdout_bytes == b"A\x01"
    assert vmsim("asm", path, "-D", "VALUE=x").exit_code == 2


@pytest.mark.parametrize("command", ["asm", "run", "dis", "compare"])
def test_five_mistakes_are_five_reports_with_place_caret_and_hint(tmp_path: Path, command: str) -> None:
    path = tmp_path / "bad.asm"
    path.write_text(MISTAKES)
    result = vmsim(command, path)
    assert result.exit_code == 3
    assert result.stdout == ""
    for line in (2, 3, 4, 5, 6):
        assert f"{path}:{line}:" in result.stderr
    assert result.stderr.count("^") >= 5
    assert "did you mean `mov`?" in result.stderr


def test_mistakes_as_json_for_editors(tmp_path: Path) -> None:
    path = tmp_path / "bad.asm"
    path.write_text(MISTAKES)
    result = vmsim("asm", path, "--json")
    assert result.exit_code == 3
    errors = json.loads(result.stdout)["errors"]
    assert sorted(error["line"] for error in errors) == [2, 3, 4, 5, 6]
    assert {"path", "column", "length", "message", "hint"} <= set(errors[0])


def test_asm_json_has_symbols_and_lines() -> None:
    data = json.loads(vmsim("asm", "hello", "--json").stdout)
    assert data["symbols"]["main"] > data["origin"]
    assert data["errors"] == []
    assert {"path", "line", "address", "length"} == set(data["lines"][0])


def test_a_disassembly_has_symbols_source_lines_and_data_as_data(small: Path) -> None:
    shown = vmsim("dis", small).stdout
    assert shown.splitlines()[:2] == ["start:", "; small.asm:1  start:  cli"]
    assert "00100000  fa" in shown
    assert "4 bytes of data" in shown
    assert "jmp 0x100005 <again>" in shown


def test_a_disassembly_starts_and_ends_where_it_is_told(small: Path) -> None:
    shown = vmsim("dis", "hello", "--start", "main", "--count", "2").stdout.splitlines()
    assert shown[0] == "main:"
    assert sum(line.startswith("00") for line in shown) == 2
    assert vmsim("dis", small, "--start", "0x100005").stdout.startswith("again:")


def test_a_flat_binary_is_disassembled_and_noise_is_bytes(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"\xfa\xff\xff")
    assert [line.split()[-1] for line in vmsim("dis", path).stdout.splitlines()] == ["cli", "0xff", "0xff"]


def test_dis_json(small: Path) -> None:
    rows = json.loads(vmsim("dis", small, "--json").stdout)["rows"]
    assert (rows[0]["address"], rows[0]["bytes"], rows[0]["text"], rows[0]["symbol"]) == (
        0x100000,
        "fa",
        "cli",
        "start",
    )
    assert rows[0]["line"] == 1


@pytest.mark.parametrize(("place", "words"), [("mian", "did you mean `main`?"), ("0x5", "outside of hello")])
def test_a_place_that_does_not_exist_is_told(place: str, words: str) -> None:
    result = vmsim("dis", "hello", "--start", place)
    assert result.exit_code == 3
    assert words in result.stderr
