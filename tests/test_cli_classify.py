"""`vmsim classify`: the verdict of Theorem 1, in words and as JSON."""

from __future__ import annotations

import json

from click.testing import CliRunner

import cli


def test_real_x86_is_found_wanting_and_the_trapping_one_is_not() -> None:
    result = CliRunner().invoke(cli.cli, ["classify", "--json"])
    assert result.exit_code == 0, result.output
    real, trapping = json.loads(result.stdout)["processors"]
    assert (real["virtualizable"], trapping["virtualizable"]) == (False, True)
    popf = next(entry for entry in real["instructions"] if entry["name"] == "popf")
    assert (popf["privileged"], popf["silent"], popf["table"]) == (False, True, "silent")


def test_the_classes_are_shown_with_the_verdict() -> None:
    result = CliRunner().invoke(cli.cli, ["classify"])
    assert result.exit_code == 0
    assert "Not virtualizable by Theorem 1" in result.stdout
    assert "Virtualizable by Theorem 1: every sensitive instruction traps." in result.stdout
