"""The comparison: equality is really compared, a difference is found and named, and words follow figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

import guests
from vmm.compare import Comparison, applicable_modes, build, compare, document, has_para, screen, verdict
from vmm.compare.runs import BUDGET, _differences, _memory_differences
from vmm.cost import load_profile
from vmm.events import Injected
from vmm.machine import Machine, Outcome
from vmm.modes import BARE, MODES

P4 = load_profile()
PROMISING = [name for name in MODES if MODES[name].promises_equivalence and name != BARE]


@pytest.fixture(scope="module")
def kernel() -> Comparison:
    return compare(guests.LIBRARY / "kernel.asm", None, P4)


@pytest.fixture(scope="module")
def popf() -> Comparison:
    return compare(guests.LIBRARY / "popf.asm", None, P4)


def shown(comparison: Comparison, width: int = 80) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for part in screen.parts(comparison, width):
        console.print(part)
    return console.export_text()


def write(folder: Path, text: str) -> Path:
    path = folder / "guest.asm"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_mode_runs_and_the_bare_one_is_first(kernel: Comparison) -> None:
    assert [run.mode for run in kernel.runs] == list(MODES)
    assert kernel.bare.differences is None


def test_what_promises_equivalence_is_equal_in_all_that_can_be_compared(kernel: Comparison) -> None:
    for run in kernel.monitored:
        if run.result.promises_equivalence:
            assert run.equal, run.differences
            assert run.memory_compared is (run.image is kernel.bare.image)
            assert run.result.console == kernel.bare.result.console
    assert kernel.broken_promises() == []


def test_what_promises_nothing_shows_its_divergences(popf: Comparison) -> None:
    strayed = [run for run in popf.monitored if not run.result.promises_equivalence]
    assert strayed and all(run.result.divergences for run in strayed)
    assert popf.broken_promises() == []
    assert popf.broken_promises(strict=True) == strayed


def test_a_run_that_went_another_way_has_no_slowdown(popf: Comparison) -> None:
    for run in popf.monitored:
        assert (popf.slowdown(run) is None) is (not run.equal)


def test_monitors_cost_more_than_bare_hardware_port_io_apart(kernel: Comparison) -> None:
    for run in verdict.ranking(kernel):
        factor = kernel.slowdown(run, ("port I/O",))
        assert factor is not None and factor > 1


def test_the_cheapest_monitor_is_named_first_and_every_mode_gets_a_sentence(kernel: Comparison) -> None:
    said = verdict.sentences(kernel)
    assert said[0].startswith(verdict.ranking(kernel)[0].mode)
    for run in kernel.runs:
        assert any(sentence.startswith(f"{run.mode}: ") for sentence in said)
    assert not any("Without a price" in sentence for sentence in said)


def test_nothing_that_a_mode_counts_is_without_a_price(kernel: Comparison, popf: Comparison) -> None:
    for run in (*kernel.runs, *popf.runs):
        assert run.cycles.unpriced == ()


def test_the_same_event_is_counted_alike_bare_and_monitored(kernel: Comparison) -> None:
    from vmm.compare.table import faults, interrupts_by_software

    for run in kernel.monitored:
        if run.equal:
            assert interrupts_by_software(run) == interrupts_by_software(kernel.bare)
            assert faults(run) == faults(kernel.bare)


@pytest.mark.parametrize("width", [80, 140])
def test_the_table_keeps_counted_and_modelled_apart_and_fits(kernel: Comparison, width: int) -> None:
    text = shown(kernel, width)
    lines = text.splitlines()
    counted = next(n for n, line in enumerate(lines) if line.startswith("counted"))
    modelled = next(n for n, line in enumerate(lines) if line.startswith("modelled"))
    end = next(n for n, line in enumerate(lines) if n > modelled and not line.strip())
    assert not any("≈" in line for line in lines[counted:modelled])
    assert all("≈" in line for line in lines[modelled + 1 : end])
    assert "not measured" in lines[modelled]
    assert max(map(len, lines)) <= width


def test_a_divergence_is_shown_with_line_expectation_result_and_rule(popf: Comparison) -> None:
    text = shown(popf)
    assert "popf at popf.asm:" in text
    assert "expected IF=1" in text
    assert "actual   IF=0" in text
    assert "rule     POPF: IF changes only where CPL <= IOPL" in text


def test_the_document_has_the_promised_names(popf: Comparison) -> None:
    data = document.document(popf)
    assert {"schema", "guest", "runs", "divergences"} <= set(data)
    names = {"schema", "guest", "mode", "outcome", "exit_code", "console", "instructions", "traps", "cycles"}
    for run in data["runs"]:
        assert names <= set(run)
        assert {"profile", "total", "by", "modelled"} <= set(run["cycles"])
        assert run["cycles"]["modelled"] is True
    for found in data["divergences"]:
        assert set(found) == {"mode", "kind", "location", "expected", "actual", "rule"}
    assert len(data["divergences"]) > 13


SPIN = "start: jmp start\n"
PARA_ONLY = """
.ifdef PARA
    nop
.endif
start:  mov al, 0
        out 0xf4, al
"""


def test_a_paravirtual_mode_applies_only_where_there_is_such_a_build(tmp_path: Path) -> None:
    plain = build(write(tmp_path, "start: mov al, 0\nout 0xf4, al ; PARA\n"), BARE)
    assert not has_para(plain)
    assert all(not MODES[name].paravirtual for name in applicable_modes(plain))
    ported = build(write(tmp_path, PARA_ONLY), BARE)
    assert has_para(ported)
    assert applicable_modes(ported) == list(MODES)
    assert has_para(build(guests.LIBRARY / "hello.asm", BARE))


def test_a_guest_that_never_ends_is_given_up_in_every_mode(tmp_path: Path) -> None:
    comparison = compare(write(tmp_path, SPIN), None, P4, budget=5_000)
    assert {run.result.outcome for run in comparison.runs} == {Outcome.BUDGET}
    assert comparison.broken_promises() == []
    assert "does not come to its end" in verdict.sentences(comparison)[0]


def test_a_mode_that_strays_is_not_followed_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    budgets = []
    original = Machine.run

    def run(machine: Machine, budget: int) -> object:
        budgets.append(budget)
        return original(machine, budget)

    monkeypatch.setattr(Machine, "run", run)
    comparison = compare(guests.LIBRARY / "hello.asm", None, P4)
    assert budgets[0] == BUDGET
    assert set(budgets[1:]) == {20 * comparison.bare.result.instructions + 100_000}


@pytest.mark.parametrize("mode", PROMISING[:1])
def test_a_broken_promise_is_found_and_described(mode: str) -> None:
    """A monitor with a bug: what it prints, how it ends and what it leaves in memory are all held against bare."""
    comparison = compare(guests.LIBRARY / "hello.asm", [mode], P4)
    run = comparison.monitored[0]
    run.result.console = run.result.console.replace("42", "43")
    run.result.instructions += 1
    run.result.outcome, run.result.exit_code = Outcome.FAILURE, 1
    run.differences = _differences(comparison.bare, run)
    assert [found.kind for found in run.differences] == ["outcome", "console", "instructions"]
    console = run.differences[1]
    assert console.location == "console line 2"
    assert (console.expected, console.actual) == ("'6 * 7 = 42'", "'6 * 7 = 43'")
    assert comparison.broken_promises() == [run]
    assert f"{mode} differs in console line 2" in "\n".join(verdict.differences(comparison))
    assert verdict.ranking(comparison) == []


def test_memories_are_compared_byte_for_byte() -> None:
    image = build(guests.LIBRARY / "hello.asm", BARE)
    memory = bytearray(0x200000)
    expected = bytes(memory)
    assert _memory_differences(image, expected, bytes(memory)) == []
    place = image.symbol("puts")
    assert place is not None
    memory[place + 1], memory[place + 0x5000] = 7, 9
    (found,) = _memory_differences(image, expected, bytes(memory))
    assert found.location == f"memory at {place + 1:#010x} (puts+0x1) and 1 more bytes"
    assert (found.expected, found.actual) == ("0x00", "0x07")


def test_a_mistake_of_a_monitor_ends_its_run_and_not_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Machine.run
    broken = PROMISING[0]

    def run(machine: Machine, budget: int) -> object:
        if machine.mode.name == broken:
            raise AssertionError("the monitor lost its mind")
        return original(machine, budget)

    monkeypatch.setattr(Machine, "run", run)
    comparison = compare(guests.LIBRARY / "hello.asm", None, P4)
    outcomes = {run.mode: run.result.outcome for run in comparison.runs}
    assert outcomes[broken] is Outcome.ERROR
    assert [name for name, outcome in outcomes.items() if outcome is Outcome.ERROR] == [broken]


def test_bare_hardware_counts_what_it_delivers_and_announces_it_too() -> None:
    machine = Machine(build(guests.LIBRARY / "kernel.asm", BARE), BARE)
    seen: list[object] = []
    machine.ledger.sinks.append(seen.append)
    result = machine.run()
    injected = [event for event in seen if isinstance(event, Injected)]
    assert result.work["delivered: interrupt"] == len(injected) > 0
    assert result.work["executed: out"] > 100
    assert result.work["delivered: int 0x80"] > 0
    assert result.work["delivered: #PF"] > 0
