"""Kernels of packages beside those of the README: over the small BIOS, through a reset, on the screen alone."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result
from real_kernels import real

import cli


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli.cli, ["run", *map(str, arguments)], prog_name="vmsim")
    assert "Traceback" not in result.output
    return result


@pytest.mark.timeout(600)
def test_grub_over_the_small_bios_resets_the_machine_and_is_there_again() -> None:
    disk = real("grub.img", "grub-pc-bin")
    result = run(disk, "--input", "reboot\\necho $grub_platform\\n", "--prompt", "grub> ", "--until", "\rpc")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("Minimal BASH-like line editing") == 2


def test_a_game_shows_itself_on_the_screen() -> None:
    result = run(real("invaders.exec", "grub-invaders"), "--budget", "3M", "--screen")
    assert result.exit_code == 6
    assert result.stdout.count("-*--") > 10
