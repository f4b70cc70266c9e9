"""Kernels of packages beside those of the README: over the small BIOS, through a reset, on the screen alone."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result
from real_kernels import real

import cli
import guests


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


QUICKLY = (
    "console=ttyS0 lpj=1000 acpi=off pci=off noapic nolapic tsc=reliable no_timer_check mitigations=off "
    "cryptomgr.notests"
)


def test_memtest_under_a_monitor() -> None:
    kernel = real("memtest86+ia32.bin", "memtest86+")
    result = run(kernel, "--append", "console=ttyS0", "--until", "Testing", "--mode", "full")
    assert result.exit_code == 0, result.stderr


@pytest.mark.timeout(600)
def test_linux_under_a_monitor_says_what_it_says_on_bare_hardware() -> None:
    """To the last byte, times and all."""
    kernel, init = real("vmlinuz-6.1*-686-pae", "linux-image-686-pae"), guests.LIBRARY / "linux" / "init.asm"
    line = ("--append", QUICKLY, "--initrd", init, "--input", "hello\\n", "--prompt", "init> ")
    bare, virtual = (run(kernel, *line, *mode) for mode in ((), ("--mode", "full")))
    assert bare.exit_code == virtual.exit_code == 0, virtual.stderr
    for result in (bare, virtual):
        assert "init: you said hello" in result.stdout
    assert virtual.stdout == bare.stdout
