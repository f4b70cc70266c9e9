"""Traces: what each kind shows, and that a traced run is the same run."""

from __future__ import annotations

import io
import json
import re
from functools import cache
from typing import Any

import pytest

import guests
from vmm import Machine, Outcome, Result, load_image
from vmm.image import Image
from vmm.modes import MODES
from vmm.trace import KINDS, parse_kinds, run_trace

FAITHFUL = [name for name, mode in MODES.items() if mode.promises_equivalence and not mode.paravirtual]
BUDGET = 2_000_000


@cache
def image(guest: str, paravirtual: bool) -> Image:
    path = guests.find(guest)
    assert path is not None
    return load_image(path, include_dirs=(guests.LIBRARY,), defines={"PARA": 1} if paravirtual else None)


def fresh(guest: str, mode: str) -> Machine:
    return Machine(image(guest, MODES[mode].paravirtual), mode)


def traced(guest: str, mode: str, *kinds: str, limit: int | None = None) -> list[str]:
    out = io.StringIO()
    run_trace(fresh(guest, mode), kinds, "text", limit, out, BUDGET)
    return out.getvalue().splitlines()


def objects(guest: str, mode: str, *kinds: str) -> list[dict[str, Any]]:
    out = io.StringIO()
    run_trace(fresh(guest, mode), kinds, "jsonl", None, out, BUDGET)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def ends(machine: Machine, result: Result) -> tuple[object, ...]:
    """All that the guest can know of its run."""
    guest = machine.mode.guest
    outcome = result.outcome, result.console, result.instructions, result.idle, result.text
    return outcome, list(guest.s), hash(guest.memory.read_bytes(0, guest.memory.size)), machine.devices.save()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("guest", ["hello", "popf", "syscall", "pagefault"])
def test_a_traced_run_is_the_same_run(guest: str, mode: str) -> None:
    plain, stepped, listened = (fresh(guest, mode) for _ in range(3))
    result = plain.run(BUDGET)
    expected = ends(plain, result)
    assert ends(stepped, run_trace(stepped, ["all"], "text", None, io.StringIO(), BUDGET)) == expected
    with_events = run_trace(listened, None, "jsonl", None, io.StringIO(), BUDGET)
    assert ends(listened, with_events) == expected
    assert with_events == result  # and the monitor's work is the same to the last count


def test_a_run_cut_short_by_its_budget_is_traced_to_there() -> None:
    out = io.StringIO()
    result = run_trace(fresh("popf", "full"), ["insn"], "text", None, out, 100)
    assert (result.outcome, result.instructions) == (Outcome.BUDGET, 100)
    assert len(out.getvalue().splitlines()) == 100


def test_a_limit_ends_the_writing_and_not_the_run() -> None:
    for kinds in (["insn"], ["trap"]):
        out = io.StringIO()
        result = run_trace(fresh("popf", "full"), kinds, "text", 7, out, BUDGET)
        assert len(out.getvalue().splitlines()) == 7
        assert result.outcome is Outcome.SUCCESS


@pytest.mark.parametrize("guest", ["popf", "syscall", "pagefault", "kernel"])
def test_every_faithful_mode_executes_the_same_instructions(guest: str) -> None:
    bare, *others = (
        [(o["count"], o["eip"], o["bytes"]) for o in objects(guest, mode, "insn")] for mode in FAITHFUL
    )
    assert [count for count, _, _ in bare] == list(range(len(bare)))
    for other in others:
        assert other == bare


def test_every_faithful_mode_delivers_the_same_faults_and_interrupts() -> None:
    keys = ("count", "eip", "event", "vector", "fault", "handler")
    bare, *others = (
        [[o.get(key) for key in keys] for o in objects("kernel", mode, "int", "fault", "inject")]
        for mode in FAITHFUL
    )
    assert {event for _, _, event, *_ in bare} == {"int", "fault", "interrupt"}
    for other in others:
        assert other == bare


def test_an_instruction_line_has_count_place_address_and_text() -> None:
    line = next(line for line in traced("popf", "full", "insn") if "(popf_here)" in line)
    assert re.fullmatch(r" +\d+  popf\.asm:\d+ \(popf_here\) +[0-9a-f]{8}  popf", line)


def test_branches_are_shown_with_their_target_and_only_when_taken() -> None:
    lines = traced("popf", "native", "branch")
    assert all("==>" in line for line in lines)
    assert any(re.search(r"call 0x[0-9a-f]+ <puts> +==> [0-9a-f]{8} puts", line) for line in lines)
    assert len(lines) < len(traced("popf", "native", "insn"))


def test_interrupts_have_three_stars_and_their_handler() -> None:
    lines = traced("kernel", "full", "int", "fault", "inject")
    assert all(line.startswith("***") for line in lines)
    assert any(re.search(r"interrupt 0x20 ==> [0-9a-f]{8} on_timer", line) for line in lines)
    assert any(
        re.search(r"#PF\(0x6\) at 0x[0-9a-f]{8} ==> [0-9a-f]{8} on_page_fault", line) for line in lines
    )
    assert any(re.search(r"int 0x80 ==> [0-9a-f]{8} on_system_call", line) for line in lines)


def test_a_monitors_lines_show_virtual_and_real_state_where_they_differ() -> None:
    lines = traced("popf", "full", "monitor")
    trap, emulated = [line for line in lines if "(popf_here)" in line][:2]
    assert trap.startswith("-->")
    assert "trap popf: the trapping processor" in trap
    assert trap.endswith("[virtual/real ring 0/1  if 0/1  cr3 0/1000]")
    assert "IF 0 → 1" in emulated
    assert emulated.endswith("[virtual/real ring 0/1  cr3 0/1000]")


def test_io_shows_port_and_value() -> None:
    ports = [
        o for o in objects("hello", "native", "io") if o["port"] == 0x3F8 and o["insn"].startswith("out")
    ]
    assert bytes(o["value"] for o in ports).startswith(b"Hello")


def test_sensitive_instructions_are_a_kind_of_their_own() -> None:
    names = {o["insn"].split(" ")[0] for o in objects("popf", "native", "priv")}
    assert {"popf", "pushf", "sgdt", "lgdt", "smsw", "lar", "cli", "iret"} <= names
    assert not names & {"in", "out", "add", "call"}


def test_divergences_are_a_kind_of_their_own() -> None:
    lines = traced("popf", "naive", "diverged")
    assert len(lines) == 13
    assert "DIVERGED popf: IF=0, on bare hardware IF=1" in lines[0]


@pytest.mark.parametrize(
    ("guest", "mode", "kind", "keys"),
    [
        ("popf", "full", "trap", {"kind", "insn", "why", "virtual", "real"}),
        ("popf", "full", "shadow", {"gva", "gpa", "hpa", "writable"}),
        ("popf", "naive", "diverged", {"kind", "expected", "actual", "rule"}),
        ("kernel", "full", "inject", {"vector", "handler"}),
        ("kernel", "native", "fault", {"fault", "handler"}),
        ("kernel", "native", "int", {"vector", "handler"}),
        ("popf", "rewrite", "translate", {"at", "guest_bytes", "bytes", "instructions"}),
        ("popf", "para", "hypercall", {"name", "arguments", "result"}),
        ("popf", "native", "io", {"bytes", "insn", "port", "size"}),
        ("popf", "native", "branch", {"bytes", "insn", "target"}),
    ],
)
def test_every_json_line_has_the_keys_that_are_promised(
    guest: str, mode: str, kind: str, keys: set[str]
) -> None:
    found = objects(guest, mode, kind)
    assert found
    for one in found:
        assert {"schema", "count", "eip", "location", "event", *keys} <= set(one)
        assert one["schema"] == 1


def test_kinds_cumulate_and_come_by_commas_too() -> None:
    assert parse_kinds(["trap,shadow", "io"]) == {"trap", "shadow", "io"}
    assert parse_kinds(["all"]) == set(KINDS) - {"all"}
    assert "insn" not in parse_kinds([]) >= {"trap", "monitor"}
    with pytest.raises(ValueError, match="`trp` cannot be traced; did you mean `trap`"):
        parse_kinds(["trp"])
