"""The debugger as a person meets it: at a terminal, with a prompt, Ctrl-C and Ctrl-D."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pexpect = pytest.importorskip("pexpect")

ROOT = Path(__file__).resolve().parents[3]
PROMPT = r"\(vmsim\) "
LOOP = """
    .code32
    .globl _start
_start:
    mov ecx, 0
forever:
    inc ecx
    jmp forever
"""
PROGRAM = """
import sys
from pathlib import Path
import guests
from vmm import Machine, load_image
from vmm.debug import shell
image = load_image(Path(sys.argv[1]), include_dirs=(guests.LIBRARY,))
sys.exit(shell.run(Machine(image, sys.argv[2]), None, sys.stdout))
"""


def spawn(guest: Path, mode: str, **environment: str) -> pexpect.spawn:
    child = pexpect.spawn(
        sys.executable,
        ["-c", PROGRAM, str(guest), mode],
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", **environment},
        encoding="utf-8",
        timeout=30,
        dimensions=(40, 120),
    )
    child.expect(PROMPT)
    return child


@pytest.fixture
def popf() -> Iterator[pexpect.spawn]:
    child = spawn(ROOT / "guests" / "popf.asm", "full", NO_COLOR="1")
    yield child
    child.close(force=True)


def test_a_person_breaks_continues_and_steps_into(popf: pexpect.spawn) -> None:
    popf.sendline("b popf_here")
    popf.expect("breakpoint 1 at popf_here")
    popf.sendline("c")
    popf.expect(r"— breakpoint 1 at popf_here")
    popf.expect(PROMPT)
    popf.sendline("i")
    popf.expect(r"IF 0 → 1")
    popf.expect(PROMPT)


def test_an_empty_line_repeats_the_last_step_and_nothing_else(popf: pexpect.spawn) -> None:
    popf.sendline("step 2")
    popf.expect(r"\[2\] full")
    popf.sendline("")
    popf.expect(r"\[4\] full")
    popf.expect(PROMPT)
    popf.sendline("print 6 * 7")
    popf.expect("= 42")
    popf.sendline("")
    popf.expect(r"\(vmsim\) \r\n" + PROMPT)


def test_a_mistake_does_not_end_the_session(popf: pexpect.spawn) -> None:
    popf.sendline("contniue")
    popf.expect("did you mean `continue`")
    popf.expect(PROMPT)
    popf.sendline("quit")
    popf.expect(pexpect.EOF)
    popf.close()
    assert popf.exitstatus == 0


def test_control_d_ends_the_session(popf: pexpect.spawn) -> None:
    popf.sendeof()
    popf.expect(pexpect.EOF)
    popf.close()
    assert popf.exitstatus == 0


def test_control_c_at_the_prompt_says_how_to_leave(popf: pexpect.spawn) -> None:
    popf.sendintr()
    popf.expect("`quit` or Ctrl-D leaves")
    popf.expect(PROMPT)


@pytest.mark.parametrize("mode", ["native", "full", "rewrite"])
def test_control_c_stops_a_guest_that_runs_forever(tmp_path: Path, mode: str) -> None:
    guest = tmp_path / "loop.asm"
    guest.write_text(LOOP)
    child = spawn(guest, mode, NO_COLOR="1")
    try:
        child.sendline("continue")
        child.expect("continue")
        with pytest.raises(pexpect.TIMEOUT):
            child.expect(PROMPT, timeout=1)
        child.sendintr()
        child.expect("— interrupted")
        child.expect(PROMPT)
        child.sendline("print ecx > 0 && count > 100")
        child.expect("0x1 = 1")
        child.expect(PROMPT)
        child.sendline("step")
        child.expect(r"\[\d[\d,]+\]")
        child.expect(PROMPT)
    finally:
        child.close(force=True)


def test_tab_completes_commands_and_symbols(popf: pexpect.spawn) -> None:
    popf.send("disas\tpopf_h\t\n")
    popf.expect("popf_here:")
    popf.expect(PROMPT)


def test_colour_is_for_terminals_that_want_it() -> None:
    for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        child = spawn(ROOT / "guests" / "hello.asm", "full", **environment)
        child.sendline("step")
        child.expect(r"\[1\]")
        child.expect(PROMPT)
        assert ("\x1b[3" in child.before + child.after) == coloured, environment
        child.close(force=True)
