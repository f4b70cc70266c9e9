"""The debugger as an API: stepping and going back, what stops a guest, and that looking changes nothing."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from isa import consts as c
from isa.state import CPL, EFLAGS, NAMES, SEL
from vmm import Machine, Outcome
from vmm.debug import DebugError, Debugger
from vmm.debug.expression import ExpressionError
from vmm.events import Diverged, Emulated, Hypercall, Injected, Reflected, Trap
from vmm.modes import MODES

Make = Callable[[str, str], Debugger]
FAITHFUL = [name for name, mode in MODES.items() if mode.promises_equivalence and not mode.paravirtual]
MONITORED = [name for name in FAITHFUL if MODES[name].monitored]


def everything(debugger: Debugger) -> tuple[object, ...]:
    """All that may not differ between two ways to one instruction."""
    machine = debugger.machine
    machine.bring_clock()
    memory = machine.mode.guest.memory
    return (
        debugger.count,
        list(debugger.state),
        hash(memory.read_bytes(0, memory.size)),
        bytes(machine.devices.console),
        machine.devices.save(),
        dict(machine.ledger.traps),
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("guest", ["popf", "syscall", "pagefault", "timer"])
def test_a_walk_forwards_and_back_ends_where_it_began(debug: Make, guest: str, mode: str) -> None:
    dice = random.Random(f"{guest} {mode}")
    debugger = debug(guest, mode)
    for _ in range(4):
        if debugger.step(dice.randrange(1, 500)).ended:
            break
        here, count = everything(debugger), debugger.count
        forwards = dice.randrange(1, 300)
        debugger.step(forwards)
        debugger.back(debugger.count - count)
        assert everything(debugger) == here


@pytest.mark.parametrize("mode", MODES)
def test_single_steps_come_to_the_same_end_as_one_run(debug: Make, mode: str) -> None:
    stepped, run = debug("popf", mode), debug("popf", mode)
    while stepped.ended is None:
        stepped.step()
    run.resume()
    assert run.ended is not None
    assert stepped.ended == run.ended
    assert everything(stepped) == everything(run)


@pytest.mark.parametrize("mode", MODES)
def test_a_breakpoint_stops_before_its_instruction_each_time(debug: Make, mode: str) -> None:
    debugger = debug("syscall", mode)
    place = debugger.break_at("puts")
    counts = []
    while debugger.resume().ended is None:
        assert debugger.eip == place.address
        counts.append(debugger.count)
    assert counts == sorted(set(counts))
    assert place.hits == len(counts) > 0


def test_every_faithful_mode_stops_at_the_same_instructions(debug: Make) -> None:
    found = []
    for mode in FAITHFUL:
        debugger = debug("kernel", mode)
        debugger.break_at("on_timer")
        debugger.break_at("on_page_fault")
        stops = []
        while debugger.resume().ended is None:
            stops.append((debugger.count, debugger.eip))
        found.append(stops)
    assert len(found[0]) > 5
    assert all(stops == found[0] for stops in found)


@pytest.mark.parametrize("mode", MODES)
def test_a_run_with_breakpoints_and_watches_is_the_same_run(debug: Make, mode: str) -> None:
    plain, broken = debug("timer", mode), debug("timer", mode)
    plain.resume()
    broken.break_at("trap_common")
    broken.break_at("trap_return")
    broken.watch("boot_stack_top - 8")
    while broken.ended is None:
        broken.resume()
    assert everything(broken) == everything(plain)


def test_a_condition_decides_whether_a_breakpoint_stops(debug: Make) -> None:
    debugger = debug("popf", "full")
    debugger.break_at("popf_here", "!(eax & 0x200)")
    stopped = debugger.resume()
    assert stopped.ended is None
    assert debugger.evaluate("eax & 0x200") == 0
    assert debugger.resume().ended is not None


def test_a_condition_that_cannot_be_evaluated_stops(debug: Make) -> None:
    debugger = debug("popf", "native")
    debugger.break_at("popf_here", "[esp] != [eax - eax] + 1")
    assert debugger.resume().ended is None
    with pytest.raises(ExpressionError):
        debugger.break_at("popf_here", "nonsense")


def test_a_place_is_a_label_a_line_of_a_file_or_an_address(debug: Make) -> None:
    debugger = debug("popf", "native")
    label = debugger.resolve("popf_here")
    line = debugger.machine.image.where(label)
    assert line is not None
    assert debugger.resolve(f"popf.asm:{line.line}") == label == debugger.resolve(hex(label))
    assert debugger.resolve("popf_here + 1") == label + 1
    with pytest.raises(ExpressionError, match="did you mean `popf_here`"):
        debugger.resolve("popf_her")
    with pytest.raises(ExpressionError, match=r"did you mean `popf\.asm`"):
        debugger.resolve("pop.asm:3")


@pytest.mark.parametrize("mode", MONITORED)
def test_a_watch_stops_after_the_store_and_names_the_instruction(debug: Make, mode: str) -> None:
    debugger = debug("popf", mode)
    debugger.watch("seen", 6)
    stopped = debugger.resume()
    assert stopped.changed is not None
    assert stopped.changed.before == bytes(6)
    assert stopped.changed.after == debugger.machine.mode.guest.peek(debugger.resolve("seen"), 6)
    assert stopped.changed.by == debugger.resolve("sgdt_here")


def test_over_steps_over_calls_and_interrupts_and_repetitions(debug: Make) -> None:
    debugger = debug("popf", "full")
    debugger.run_to(debugger.resolve("main"))
    start = debugger.count
    insn = debugger.instruction
    assert insn is not None and insn.name == "call"
    after = debugger.eip + insn.length
    debugger.over()
    assert debugger.eip == after
    assert debugger.count > start + 1
    debugger.run_to(debugger.resolve("write_flags"))
    while (insn := debugger.instruction) is not None and insn.name != "int":
        debugger.step()
    after = debugger.eip + insn.length
    debugger.over()
    assert debugger.eip == after


def test_a_trap_tells_what_was_emulated_and_which_flags_changed(debug: Make) -> None:
    debugger = debug("popf", "full")
    debugger.run_to(debugger.resolve("popf_here"))
    trap, emulated = debugger.step().events
    assert isinstance(trap, Trap)
    assert trap.kind == "popf"
    assert isinstance(emulated, Emulated)
    _name, before, after = next(change for change in emulated.changes if change[0] == "eflags")
    assert (before ^ after) == c.IF
    assert after == debugger.state[EFLAGS]


def test_what_fails_silently_is_a_divergence_and_an_event_to_stop_at(debug: Make) -> None:
    debugger = debug("popf", "naive")
    stop = debugger.break_on("diverge")
    stopped = debugger.resume()
    assert stopped.hit == (stop,)
    assert isinstance(stopped.events[-1], Diverged)
    assert stopped.eip == debugger.resolve("popf_here + 1")


def test_events_stop_the_guest_after_they_happened(debug: Make) -> None:
    for mode, event, detail, kind in (
        ("full", "trap", "iret", Trap),
        ("full", "trap", "PF hidden", Trap),
        ("full", "inject", "", Injected),
        ("native", "inject", "0x20", Injected),
        ("native", "fault", "PF", Reflected),
        ("para", "hypercall", "", Hypercall),
    ):
        debugger = debug("kernel", mode)
        debugger.break_on(event, detail)
        stopped = debugger.resume()
        assert stopped.ended is None, (mode, event, detail)
        assert any(isinstance(one, kind) for one in stopped.events)


def test_an_interrupt_delivered_leaves_the_guest_at_its_handler(debug: Make) -> None:
    for mode in FAITHFUL:
        debugger = debug("timer", mode)
        debugger.break_on("inject")
        debugger.resume()
        assert debugger.eip == debugger.resolve("on_timer"), mode


@pytest.mark.parametrize("mode", MONITORED)
def test_the_real_processor_is_seen_beside_the_virtual_one(debug: Make, mode: str) -> None:
    debugger = debug("popf", mode)
    debugger.run_to(debugger.resolve("popf_here"))
    real = debugger.real
    assert real is not None
    assert (debugger.state[CPL], real[CPL]) == (0, 1)
    assert not debugger.state[EFLAGS] & c.IF
    assert real[EFLAGS] & c.IF
    assert real[SEL + c.CS] & 3 == 1
    assert debug("popf", "native").real is None


def test_looking_changes_nothing(debug: Make) -> None:
    for mode in MODES:
        looked, plain = debug("syscall", mode), debug("syscall", mode)
        while looked.ended is None:
            looked.step(97)
            _ = looked.real, looked.instruction, looked.evaluate("[esp] + eax")
        plain.resume()
        assert everything(looked) == everything(plain)


def test_a_guest_that_has_ended_stays_to_be_looked_at_and_can_go_back(debug: Make) -> None:
    debugger = debug("hello", "full")
    stopped = debugger.resume()
    assert stopped.ended is not None
    assert stopped.ended.outcome is Outcome.SUCCESS
    assert debugger.evaluate("count") == debugger.count > 100
    with pytest.raises(DebugError, match="has ended"):
        debugger.step()
    debugger.back()
    assert debugger.ended is None
    assert debugger.resume().ended == stopped.ended


def test_going_back_past_the_beginning_stops_there(debug: Make) -> None:
    debugger = debug("hello", "full")
    debugger.step(5)
    assert debugger.back(100).count == 0
    assert debugger.eip == debugger.machine.image.entry


def test_breakpoints_stay_when_the_guest_starts_anew(debug: Make) -> None:
    debugger = debug("popf", "full")
    stop = debugger.break_at("popf_here")
    first = debugger.resume().count
    debugger.reset()
    assert debugger.count == 0
    assert debugger.resume().count == first
    assert stop.hits == 2
    debugger.delete(stop.number)
    assert debugger.resume().ended is not None
    with pytest.raises(DebugError, match="no breakpoint 7"):
        debugger.delete(7)


def test_a_run_can_be_interrupted_from_outside(debug: Make) -> None:
    debugger = debug("kernel", "full")
    debugger.on_console = lambda _byte: debugger.interrupt()
    stopped = debugger.resume()
    assert (stopped.why, stopped.ended) == ("interrupted", None)
    debugger.on_console = None
    assert debugger.resume().ended is not None


def test_a_mode_that_looks_at_no_breakpoints_is_stepped(debug: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    heeding, stepped = debug("popf", "full"), debug("popf", "full")
    monkeypatch.setattr(type(stepped.machine.mode), "heeds_breakpoints", False)
    stepped.break_at("pushf_here")
    stepped.resume()
    monkeypatch.undo()
    heeding.break_at("pushf_here")
    heeding.resume()
    assert everything(stepped) == everything(heeding)


def test_the_names_of_registers_and_flags_are_known(debug: Make) -> None:
    debugger = debug("popf", "full")
    debugger.run_to(debugger.resolve("popf_here"))
    state = debugger.state
    assert debugger.evaluate("eax") == state[NAMES["eax"]]
    assert debugger.evaluate("ah") == state[NAMES["eax"]] >> 8 & 0xFF
    assert debugger.evaluate("ax") == state[NAMES["eax"]] & 0xFFFF
    assert debugger.evaluate("if") == 0
    assert debugger.evaluate("cpl") == 0
    assert debugger.evaluate("[esp]") & c.IF


def test_the_machines_of_a_debugger_are_all_alike() -> None:
    from debugged_guests import guest_machine

    machines: list[Machine] = []

    def fresh() -> Machine:
        machines.append(guest_machine("hello", "full"))
        return machines[-1]

    debugger = Debugger(fresh)
    debugger.step(50)
    debugger.back(10)
    debugger.reset()
    assert len(machines) == 3
