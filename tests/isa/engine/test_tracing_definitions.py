"""What the rewriting of definitions makes of Python: decisions, ends, merges, and what it refuses."""

from __future__ import annotations

from array import array
from random import Random

import pytest
from engine_pair import Pair, random_word

from isa import flags
from isa.consts import EAX, EBX, ECX, EDX, ESI, M8, M32, RF
from isa.deliver import HARDWARE, interrupt
from isa.engine import trace
from isa.engine.blocks import routine_ir
from isa.engine.builder import DONE, FAULT, GUARD
from isa.engine.records import close_record, open_record
from isa.engine.words import TraceError
from isa.faults import Fault, GeneralProtection, InvalidOpcode, NotModelled
from isa.language import Builder, Word
from isa.state import EIP, FLAG_OP, FLAG_R

pytest.importorskip("llvmlite")

from isa.engine.native import Compiler

SEED = 20261125


def early_return(b: Builder) -> None:
    """A way that ends, within a way that ends."""
    x = b.s[EAX]
    if x > 100:
        if x > 0x8000:
            b.s[EBX] = 1
            return
        b.s[ECX] = x
    elif x == 7:
        b.s[EBX] = 2
        return
    b.s[EDX] = (x + 1) & M32


def conditional_values(b: Builder) -> None:
    small = b.trunc(b.s[EAX], 8) if b.s[EBX] & 1 else 0
    b.s[ECX] = b.zext(small, 8, 32) if not b.s[EDX] & 2 else M32
    b.s[EDX] = 1 if b.s[EAX] > 3 and (b.s[EBX] > 5 or b.s[ESI] in (0, 1, 0x8000)) else 0


def locals_on_both_sides(b: Builder) -> None:
    if b.s[EAX] < b.s[EBX]:
        low, high, only_here = b.s[EAX], b.s[EBX], 1
        b.s[ESI] = only_here
    else:
        low, high = b.s[EBX], b.s[EAX]
    b.s[ECX] = (high - low) & M32
    kind = flags.SUB if low == 5 else flags.LOGIC
    if kind:
        b.s[EDX] = low


def divided(b: Builder, x: Word, y: Word) -> Word:
    """A routine with returns of its own."""
    if y == 0:
        return M8
    quotient, remainder = b.udivmod(0, x, y, 32)
    if remainder > 3:
        return quotient
    return (quotient + 1) & M32


def calls(b: Builder) -> None:
    b.s[ECX] = divided(b, b.s[EAX], b.s[EBX] & 0xFF)


def faults(b: Builder) -> None:
    if b.s[EAX] & 1:
        raise GeneralProtection(b.s[EBX] & 0xFFFC)
    if b.s[EAX] & 2:
        raise InvalidOpcode()
    if b.s[EAX] & 4:
        b.not_modelled("this")
    b.s[EDX] = 1


def loops(b: Builder) -> None:
    total = 0
    for n in range(8):
        if n == 2:
            continue
        if n == 6:
            break
        if b.s[EAX] >> n & 1:
            total = total + n
    b.s[ECX] = total


def flags_differ(b: Builder) -> None:
    x = b.s[EAX]
    if b.s[EBX] & 1:
        b.set_flags(flags.SUB, 32, x, b.s[ECX], (x - b.s[ECX]) & M32)
    elif b.s[EBX] & 2:
        b.set_flags(flags.INC, 8, 0, b.cf(), b.trunc(x, 8))
    b.s[EDX] = flags.condition(b, 7) | (b.of() << 1) | (b.pf() << 2) | (flags.condition(b, 14) << 3)


ROUTINES = (early_return, conditional_values, locals_on_both_sides, calls, faults, loops, flags_differ)


def compared(pair: Pair, routine: object, function: object) -> int:
    """One random state through the routine on ints and through the compiled function."""
    start = pair.state(pair.random)
    for n in range(8):
        start[n] = pair.random.choice((random_word(pair.random), pair.random.randrange(16)))
    native = array("I", start)
    open_record(native)
    reason = pair.context.run(function, native, 0)
    close_record(native)
    cpu = pair.cpu
    cpu.s[:] = start
    cpu.sync()
    cpu.engine.here = cpu.engine.next = start[EIP]
    try:
        routine(cpu.engine)
        assert reason == DONE
    except Fault as fault:
        assert reason == FAULT + fault.vector
        assert pair.context.error == fault.error
    except NotModelled:
        assert reason == GUARD
    cpu.engine.settle()
    cpu.s[EIP] = cpu.engine.next
    native[FLAG_OP : FLAG_R + 1] = cpu.s[FLAG_OP : FLAG_R + 1]
    assert native == cpu.s, f"{routine} from {start.tolist()[:10]}"
    return reason


def test_routines_mean_compiled_what_they_mean_on_ints() -> None:
    compiler, pair = Compiler(), Pair(SEED)
    for routine in ROUTINES:
        name = routine.__name__
        function = compiler.compile({name: routine_ir(name, routine)})[name]
        reasons = {compared(pair, routine, function) for _ in range(500)}
        assert DONE in reasons
        assert len(reasons) == (4 if routine is faults else 1)


def deliver_general_protection(b: Builder) -> None:
    interrupt(b, 13, 0, b.here, HARDWARE, RF)


def test_the_delivery_of_a_fault_runs_natively() -> None:
    from test_llvm_system import fill, state

    compiler, pair = Compiler(), Pair(SEED, fill, state)
    function = compiler.compile({"gp": routine_ir("gp", deliver_general_protection)})["gp"]
    seen = set()
    for _ in range(300):
        start = state(pair.random)
        native = array("I", start)
        open_record(native)
        pair.load(b"\x90")
        reason = pair.context.run(function, native, 0)
        close_record(native)
        seen.add(reason)
        if reason != DONE:
            continue
        pair.cpu.s[:] = start
        pair.cpu.sync()
        assert pair.cpu.deliver(GeneralProtection(0)) is None
        native[FLAG_OP : FLAG_R + 1] = pair.cpu.s[FLAG_OP : FLAG_R + 1]
        assert native == pair.cpu.s
        assert pair.native_ram == bytes(pair.ram.data)
    assert DONE in seen


def test_a_decision_on_constants_leaves_no_branch() -> None:
    assert "br i1" not in routine_ir("f", lambda b: divided(b, 100, 7)).split("head:")[1]


def test_two_sides_that_only_calculate_become_a_select() -> None:
    body = routine_ir("f", locals_on_both_sides).split("head:")[1]
    assert "select" in body
    assert "br i1" not in body


def used_where_it_is_unset(b: Builder) -> None:
    if b.s[EAX]:
        x = 1
    b.s[EBX] = x


def a_loop_on_data(b: Builder) -> None:
    while b.s[EAX]:
        b.s[EAX] = 0


def a_state_word_by_a_word(b: Builder) -> None:
    b.s[EAX] = b.s[b.s[EBX] & 7]


def a_shift_too_far(b: Builder) -> None:
    b.s[EAX] = b.s[EBX] >> 32


def a_break_on_data(b: Builder) -> None:
    for n in range(3):
        if b.s[n]:
            break


def a_chain(b: Builder) -> None:
    b.s[EAX] = 1 < b.s[EBX] < 5


@pytest.mark.parametrize(
    ("routine", "why"),
    [
        (used_where_it_is_unset, "x, which has no value"),
        (a_loop_on_data, "no while"),
        (a_state_word_by_a_word, "chosen by a word"),
        (a_shift_too_far, "shifted by 32"),
        (a_break_on_data, "break depends on a word"),
        (a_chain, "chain of comparisons"),
    ],
)
def test_what_cannot_be_compiled_says_where(routine: object, why: str) -> None:
    first = routine.__code__.co_firstlineno
    with pytest.raises(TraceError, match=why) as caught:
        routine_ir("wrong", routine)
    path, line = str(caught.value).split(": ")[0].rsplit(":", 1)
    assert path.endswith("test_tracing_definitions.py")
    assert first < int(line) <= first + 4


def test_rewriting_happens_once() -> None:
    assert trace.rewritten(calls) is trace.rewritten(calls)


def test_random_words_reach_the_edges() -> None:
    r = Random(SEED)
    assert {0, 1, 0xFFFFFFFF} <= {random_word(r) for _ in range(2000)}
