"""The README's transcripts are real: each command is run, and what it prints is what stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from real_kernels import real

import cli

README = Path(__file__).resolve().parent.parent / "README.md"
KERNELS = "~/.cache/vmsim-kernels/"
UNSEEN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")  # what moves a terminal's cursor, and is no text
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


def transcripts() -> list[tuple[str, str]]:
    """(command, what it prints), a line `...` standing for any lines."""
    found = []
    for block in BLOCK.findall(README.read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.replace(" \\\n", " ").partition("\n")
            found.append((command, output))
    return found


def expanded(word: str) -> str:
    """What a shell makes of a word. The test is skipped where a kernel that it names is absent."""
    if not word.startswith(KERNELS):
        return word
    name = word.removeprefix(KERNELS)
    return str(real(name, "that brings it"))


def pattern(text: str) -> str:
    lines = [r"(?:.*\n)*?" if line == "..." else re.escape(line) + r" *\n" for line in text.splitlines()]
    return "".join(lines)


@pytest.mark.parametrize(("command", "printed"), transcripts(), ids=[c for c, _ in transcripts()])
@pytest.mark.timeout(900)
def test_a_transcript_of_the_readme_is_what_the_command_prints(
    command: str, printed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, *arguments = shlex.split(command)
    assert program == "vmsim"
    monkeypatch.chdir(README.parent)
    result = CliRunner().invoke(cli.cli, [expanded(word) for word in arguments], env={"COLUMNS": "110"})
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert re.fullmatch(pattern(printed), UNSEEN.sub("", result.stdout)), result.stdout


def test_the_kernel_of_the_readme_runs(tmp_path: Path) -> None:
    source = re.search(r"```asm\n(.*?)```", README.read_text(), re.DOTALL)
    assert source
    path = tmp_path / "my.asm"
    path.write_text(source.group(1))
    result = CliRunner().invoke(cli.cli, ["run", str(path)])
    assert (result.exit_code, result.stdout) == (0, "Hello from ring 0\n")
