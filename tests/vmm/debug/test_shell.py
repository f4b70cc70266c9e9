"""The interpreter: what each command shows, what a mistake says, and how a session ends."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest
from debugged_guests import guest_machine
from hypothesis import given, settings
from hypothesis import strategies as st

from vmm.debug import shell
from vmm.debug.commands import COMMANDS
from vmm.modes import MODES

Script = Callable[..., tuple[int, str]]


def test_stepping_into_popf_shows_the_trap_and_the_virtual_flag_changing(script: Script) -> None:
    status, text = script("popf", "full", "break popf_here; continue; step into; info trap; quit")
    assert status == 0
    into, info = text.split("(vmsim) step into")[1].split("(vmsim) info trap")
    for part in (into, info):
        assert re.search(r"1\. trap +popf at popf\.asm:\d+ \(popf_here\)", part)
        assert "stops at every sensitive instruction" in part
        assert "IF changes only where CPL <= IOPL" in part
        assert re.search(r"2\. emulate +popf on the virtual processor", part)
        assert "virtual eflags 00000002 → 00000202   IF 0 → 1" in part
    assert "the guest in ring 0 runs in ring 1; real EFLAGS IF IOPL=0, virtual IOPL=0" in into


def test_stepping_into_popf_shows_under_naive_what_failed_silently(script: Script) -> None:
    _, text = script("popf", "naive", "until popf_here", "into")
    assert re.search(r"1\. DIVERGED +at popf\.asm:\d+ \(popf_here\), and nothing trapped", text)
    assert re.search(r"bare hardware: IF=1\n +here: +IF=0", text)


def test_a_hidden_page_fault_shows_the_entry_that_was_filled(script: Script) -> None:
    _, text = script("hello", "full", "into")
    assert re.search(r"1\. trap +#PF hidden", text)
    assert re.search(r"2\. shadow +gva 00100020 → gpa 00100000 → hpa [0-9a-f]{8}, writable", text)


def test_stepping_into_shows_to_which_handler_an_interrupt_went(script: Script) -> None:
    _, text = script("timer", "full", "break inject; continue")
    assert re.search(
        r"interrupt +vector 0x20 delivered to the guest's handler trap\.inc:\d+ \(on_timer\)", text
    )


def test_a_stop_shows_count_mode_place_line_instruction_and_changes(script: Script) -> None:
    _, text = script("popf", "full", "until popf_here", "step")
    stop = text.split("(vmsim) step\n")[1].splitlines()
    assert re.fullmatch(r"\[\d+\] full  popf\.asm:\d+ \(popf_here\+0x1\)  ring 0, run in ring 1", stop[-4])
    assert re.fullmatch(r" +\d+ \|     ret", stop[-3])
    assert re.fullmatch(r" => [0-9a-f]{8}  c3 +ret", stop[-2])
    assert re.search(r"esp [0-9a-f]{8}→[0-9a-f]{8}  eflags IF 0→1", stop[-1])


class Terminal(io.StringIO):
    """Text that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


EVERYTHING = (
    "step 3000; regs; info monitor; info gdt; info idt; info tss; info page esp; info page 0xfffff000",
    "memory esp; x esp 4 d; x esp 8 w; x physical 0x100000 16 b; disassemble; d main 3; list; list main",
    "print [esp] + 1; console; info breakpoints; break main if eax == 1; watch esp 8; info breakpoints",
    "delete 1; delete all; over; back 3; step; into; reset; until main; continue; print count; regs; quit",
)


@pytest.mark.parametrize("mode", MODES)
def test_every_screen_can_be_drawn_in_every_mode_with_and_without_colour(
    script: Script, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    status, text = script("kernel", mode, *EVERYTHING)
    assert status == 0, text
    assert "— the guest has ended: " in text
    coloured = Terminal()
    assert shell.run(guest_machine("kernel", mode), list(EVERYTHING), coloured) == 0
    assert "\x1b[" in coloured.getvalue()
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured.getvalue()) == text


def test_the_registers_mark_what_changed_and_show_the_real_ones_beside(script: Script) -> None:
    _, text = script("popf", "full", "until popf_here", "step", "regs")
    regs = text.split("(vmsim) regs\n")[1]
    assert re.search(r"esp [0-9a-f]{8}\*", regs)
    assert re.search(r"eax [0-9a-f]{8} ", regs)
    assert re.search(r"real: ring 1  cs 0009  ss 0011", regs)


def test_the_page_screen_shows_both_walks_side_by_side(script: Script) -> None:
    _, text = script("kernel", "full", "break inject; continue; info page eip")
    assert re.search(r"PDE at [0-9a-f]{8} = [0-9a-f]{8}  P W", text)
    assert re.search(r"gpa [0-9a-f]{8} lies at hpa [0-9a-f]{8}", text)
    assert "guest and shadow agree" in text


def test_the_translation_stands_beside_the_guests_code(script: Script) -> None:
    status, text = script("popf", "rewrite", "until popf_here", "info translation")
    assert status == 0
    assert re.search(r"=> [0-9a-f]{8}  popf +in-cache +\| ffd[0-9a-f]{5}  \w+", text)
    status, text = script("popf", "full", "info translation")
    assert (status, "translates nothing" in text) == (2, True)


def test_memory_is_shown_in_hex_and_characters_in_the_width_asked_for(script: Script) -> None:
    _, text = script("popf", "native", "x popf_name 6", "x popf_name 2 w", "x 0xc0000000 physical")
    assert re.search(r"[0-9a-f]{8}  50 4f 50 46 00 50 +POPF\.P", text)
    assert re.search(r"[0-9a-f]{8}  4f50 4650 +POPF", text)


def test_the_disassembly_has_labels_lines_and_marks(script: Script) -> None:
    _, text = script("popf", "full", "break popf_here; continue; disassemble popf_here 2")
    code = text.split("disassemble popf_here 2\n")[1]
    assert re.search(r"popf_here:\n +popf\.asm:\d+  popf\n●=> [0-9a-f]{8}  9d +popf\n", code)


def test_what_the_guest_prints_is_shown_as_it_comes_and_marked(script: Script) -> None:
    _, text = script("hello", "native", "continue")
    assert "\nconsole | Hello, world!\n" in text
    assert script("hello", "native", "continue", "console")[1].count("Hello, world!") == 2


def test_going_back_prints_nothing_again(script: Script) -> None:
    _, text = script("hello", "native", "continue", "back 20", "continue")
    assert text.count("console | Hello, world!") == 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("brake main", "there is no command `brake`; did you mean `break`?"),
        ("break mian", "`mian` is neither a register nor a symbol; did you mean `main`?"),
        ("break hello.asm:9999", "makes no code at line 9999"),
        ("break main if (eax", "`)` is missing"),
        ("step zero", "`zero` is not a number of instructions"),
        ("step 0", "at least 1"),
        ("delete 3", "there is no breakpoint 3"),
        ("info", "info about what?"),
        ("info mointor", "did you mean `monitor`?"),
        ("info t", "info about `t`: trap or tss or translation?"),
        ("info trap", "nothing has trapped yet"),
        ("info page", "which address"),
        ("memory", "which address"),
        ("x eip 100000", "at most"),
        ("print [0xe0000000", "`]` is missing"),
        ("watch main 0", "1 to 4096"),
        ("re", "`re` could be reset or regs"),
        ("help brake", "did you mean `break`?"),
    ],
)
def test_a_mistake_in_a_script_is_told_and_ends_it_with_status_2(
    script: Script, command: str, message: str
) -> None:
    status, text = script("hello", "native", command, "step")
    assert status == 2
    assert message in text.splitlines()[-1]
    assert text.splitlines()[-1].startswith("error: ")


def test_a_script_that_does_not_quit_ends_well(script: Script) -> None:
    assert script("hello", "full", "step; # a remark; step", "")[0] == 0


def test_every_command_has_help_and_its_short_names_are_its_own(script: Script) -> None:
    shorts = [short for known in COMMANDS.values() for short in known.shorts]
    assert len(shorts) == len(set(shorts))
    assert not set(shorts) & set(COMMANDS)
    for name, known in COMMANDS.items():
        assert known.help
        _, text = script("hello", "native", f"help {name}")
        assert known.usage in text
    _, text = script("hello", "native", "help")
    assert all(f" {known.usage}" in text for known in COMMANDS.values())


def test_the_end_of_a_guest_is_explained_and_it_stays_to_be_inspected(script: Script) -> None:
    status, text = script("hello", "full", "continue; regs; print eax; back; step")
    assert status == 0
    assert "— the guest has ended: success, the guest reported success" in text
    status, text = script("hello", "full", "continue; step")
    assert (status, "`back` and `reset` still work" in text) == (2, True)


WORDS = st.sampled_from(
    [
        *COMMANDS,
        *"s o i c k b x d l p r if main esp [ ] 0 1 -1 ² 0x all physical w trap diverge + ( : é".split(),
        *("info trap", "info page", "info tr", "99999999999999999999", "hello.asm:3"),
    ]
)


@settings(deadline=None, max_examples=300)
@given(st.lists(WORDS, max_size=5).map(" ".join))
def test_whatever_is_typed_is_carried_out_or_answered(line: str) -> None:
    out = io.StringIO()
    status = shell.run(guest_machine("hello", "full"), ["step 150", line], out)
    assert status in (0, 2)
    assert (status == 2) == out.getvalue().splitlines()[-1].startswith("error: ")


def test_no_escape_codes_reach_a_file(script: Script) -> None:
    assert "\x1b" not in script("popf", "naive", "break popf_here; continue; into; regs; info monitor; d")[1]
