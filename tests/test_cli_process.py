"""`vmsim` as a process: what it loads, Ctrl-C, pipes, colour."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

from isa.engine.native import available

ROOT = Path(__file__).resolve().parent.parent
FOR_EVER = ("--budget", "1000000G")  # longer than anybody waits, also in native code
COMMAND = [sys.executable, "-c", "import cli; cli.main()"]


def vmsim(*arguments: str, **more: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, timeout=60, **more)  # type: ignore[call-overload, no-any-return]


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, cli\ntry: cli.cli(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'vmm.machine', 'isa.table', 'rich', 'capstone', 'keystone', 'llvmlite'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.fixture
def loop(tmp_path: Path) -> Path:
    path = tmp_path / "loop.asm"
    path.write_text("start: mov al, 'x'\nout 0xe9, al\nagain: jmp again\n")
    return path


@pytest.mark.parametrize("command", ["run", "compare"])
def test_ctrl_c_reports_what_there_is_and_ends_with_130(loop: Path, command: str) -> None:
    with subprocess.Popen(
        [*COMMAND, command, str(loop), *FOR_EVER], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        out, talk = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"interrupted" in out + talk
    assert b"Traceback" not in talk


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    line = " ".join(f"'{word}'" for word in [*COMMAND, "guests", "kernel"])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line} | head -1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith("; kernel:")
    assert done.stderr == ""


def test_a_pipe_gets_no_colour_and_no_progress() -> None:
    done = vmsim("compare", "hello")
    assert b"\x1b" not in done.stdout + done.stderr
    assert b"\r" not in done.stderr


@pytest.mark.parametrize(("variable", "coloured"), [("", True), ("NO_COLOR=1", False), ("TERM=dumb", False)])
def test_a_terminal_gets_colour_unless_it_says_no(variable: str, coloured: bool) -> None:
    name, _, value = variable.partition("=")
    clean = {
        key: text for key, text in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")
    }
    environment = {**clean, "TERM": "xterm-256color", **({name: value} if name else {})}
    for arguments in (["run", "hello"], ["compare", "hello"], ["explain", "popf"]):
        child = pexpect.spawn(
            COMMAND[0],
            [*COMMAND[1:], *arguments],
            cwd=str(ROOT),
            env=environment,
            dimensions=(50, 100),
            timeout=60,
        )
        shown = child.read()
        child.close()
        assert child.exitstatus == 0
        assert (b"\x1b[" in shown) is coloured, arguments


@pytest.mark.skipif(not available(), reason="llvmlite is not installed")
def test_a_terminal_is_told_that_native_code_is_made_the_first_time(tmp_path: Path) -> None:
    environment = {**os.environ, "VMSIM_CACHE": str(tmp_path), "VMSIM_ENGINE": "native"}
    shown = []
    for _ in range(2):
        child = pexpect.spawn(
            COMMAND[0], [*COMMAND[1:], "run", "hello"], cwd=str(ROOT), env=environment, timeout=60
        )
        shown.append(child.read())
        child.close()
        assert child.exitstatus == 0 and b"Hello, world!" in shown[-1]
    assert b"compiling" in shown[0] and b"compiling" not in shown[1]
    piped = subprocess.run(
        [*COMMAND, "run", "hello"], cwd=ROOT, env={**environment, "VMSIM_CACHE": ""}, capture_output=True
    )
    assert b"compiling" not in piped.stdout + piped.stderr


def test_the_console_comes_while_the_guest_is_running(loop: Path) -> None:
    loop.write_text("start: mov al, 'x'\nout 0xe9, al\nmov al, 10\nout 0xe9, al\nagain: jmp again\n")
    with subprocess.Popen(
        [*COMMAND, "run", str(loop), *FOR_EVER], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"x\n"
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "secret.asm"
    path.write_text("nop\n")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    done = vmsim("run", str(path))
    assert done.returncode == 3
    assert b"permission denied" in done.stderr
