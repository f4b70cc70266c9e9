"""The cases of `make verify`, as many as a test run affords; see `verify`. And what it says of a mistake."""

from __future__ import annotations

import os
import warnings
from itertools import islice
from random import Random

import pytest
import verify
from accepted import ACCEPTED
from cases import IMAGE_SIZE, TESTABLE, Form, State, forms, joins
from compare import Case, Setting, wraps
from unicorn_child import NO_VECTOR
from x87_oracles import Hardware, Softfloat
from x87_verify import verify_x87

from isa import consts as c
from isa.decode import decode
from isa.table import BY_NAME, ROWS

pytest.importorskip("unicorn")

CASES, SEED, ENGINES = verify.settings()
CASES = int(os.environ.get("VMSIM_CASES", "220000"))
STATES = 40  # of a form: fewer than in a long run, and so more forms
PARTS = {name: (wanted, run) for name, wanted, run in verify.parts(CASES, STATES)}
BARE = Setting(32, 32)


@pytest.mark.parametrize("name", PARTS)
def test_every_engine_agrees_with_the_oracles(name: str, record_property) -> None:
    wanted, run = PARTS[name]
    tally = run(wanted, SEED, ENGINES)
    record_property("cases", tally.judged)
    print(f"VMSIM_SEED={SEED} {name}: {verify.summary(tally)}")
    if tally.crashes:
        warnings.warn(f"VMSIM_SEED={SEED}: Unicorn died on {tally.crashes} cases, skipped", stacklevel=1)
    assert not tally.wrong, f"VMSIM_SEED={SEED}\n{tally.report()}"
    assert all(tally.agreed[engine] == tally.judged >= wanted for engine in ("reference", *ENGINES))


@pytest.mark.parametrize("bits", [16, 32])
def test_every_instruction_has_its_turn(bits: int) -> None:
    rows = {form.row.index for form in islice(forms(Random(1), bits), 20_000)}
    assert {ROWS[n].name for n in rows} == {ROWS[n].name for n in TESTABLE}


def test_unicorn_agrees_on_the_numbers_of_the_x87() -> None:
    """A second judge, where the processor at hand is the first."""
    oracle = Softfloat()
    try:
        tally = verify_x87(CASES // 50, SEED, (), oracle)
    finally:
        oracle.close()
    assert not tally.wrong, f"VMSIM_SEED={SEED}\n{tally.report()}"
    assert tally.crashes < CASES // 5000


def comparison() -> verify.Comparison:
    made = verify.Comparison(BARE, 1, ())
    made.picture, made.code = bytes(IMAGE_SIZE), bytes(verify.CODE_SIZE)
    return made


def prepared(made: verify.Comparison, code: str, registers: tuple[int, ...] = (0,) * 8) -> Case:
    insns, rest = [], bytes.fromhex(code)
    while rest:
        insns.append(decode(rest))
        rest = rest[insns[-1].length :]
    k = Case(0, Form(tuple(insns), 32), State(registers, c.FLAGS_ONE))
    made.code = verify.laid_out([k.form.code])
    made.reference.load(made.picture, made.code, [k.form])
    return k


def test_a_case_that_kills_unicorn_costs_only_itself() -> None:
    """LOCK BT with a register operand aborts the process of Unicorn 2.1.4."""
    made = comparison()
    code = verify.laid_out([b"\x90", bytes.fromhex("f00fa3c0")])
    nop, killer = ([slot, 0, *[0] * 8, c.FLAGS_ONE] for slot in (0, 1))
    with made.oracle as oracle:
        asked = [verify.array("I", words).tobytes() for words in (nop, killer, nop)]
        answers = oracle.ask((made.picture, code), asked)
        assert answers[0] is not None and answers[0] == answers[2]
        assert oracle.crashes == answers.count(None) <= 1


def test_a_wrong_definition_is_found_and_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """ADC that forgets the carry: seen among others, reduced to one instruction and what matters to it."""
    made = comparison()
    handlers = list(made.reference.cpu.handlers)
    add, adc = BY_NAME["add"], BY_NAME["adc"]
    handlers[adc.index] = add.define
    monkeypatch.setattr(made.reference.cpu.engine, "handlers", handlers)
    with made.oracle:
        made.batch([prepared(made, "f9 11d8 40").form])  # stc; adc eax, ebx; inc eax
    (text,) = [text for text in made.tally.wrong["adc"] if text][:1]
    assert "stc" in text and "adc eax, ebx" in text and "inc" not in text
    assert "from  eax=0 ecx=0 edx=0" in text
    assert "SDM 2A ADC" in text
    assert made.tally.mismatches == verify.STATES


def test_a_different_engine_is_found_even_in_undefined_flags() -> None:
    made = verify.Comparison(BARE, 1, ("reference",))
    other = made.engines["reference"].cpu
    handlers = list(other.handlers)
    define = BY_NAME["and"].define

    def and_with_af(b, i) -> None:
        define(b, i)
        b.change_flags(c.AF, c.AF)

    handlers[BY_NAME["and"].index] = and_with_af
    other.engine.handlers = handlers
    with made.oracle:
        made.batch([Form((decode(bytes.fromhex("21d8")),), 32)])
    assert made.tally.mismatches == verify.STATES
    assert "AF False" in made.tally.wrong["and"][0]


def test_after_a_fault_nothing_but_state_is_compared() -> None:
    made = comparison()
    k = prepared(made, "f7f3")  # div ebx, by 0
    words, changes, count = made.reference.run(k.slot, k.form, k.state)
    assert words[-2] == 0 and not changes and count == 1
    k = prepared(made, "40")
    assert made.reference.run(k.slot, k.form, k.state)[0][-2] == NO_VECTOR


def test_what_may_not_stand_in_a_row() -> None:
    assert joins(decode(bytes.fromhex("01d8")))
    for code in ("eb00", "c3", "f00118", "2e8b00", "f2f3a6", "660fc8", "0f18c0", "9d", "0fc70b"):
        assert not joins(decode(bytes.fromhex(code))), code


def test_every_accepted_divergence_says_who_is_right_and_why() -> None:
    assert len({entry.title for entry in ACCEPTED}) == len(ACCEPTED)
    for entry in ACCEPTED:
        assert entry.right in ("vmsim", "either", "neither") and entry.why
        assert entry.section.startswith(("SDM ", "APM ")), entry.title
        assert entry.differs or entry.needs or entry.names or entry.segments or entry.wraps, (
            f"{entry.title} covers anything"
        )


@pytest.mark.skipif(not Hardware.available(), reason="needs gcc and an x86")
def test_the_processor_at_hand_is_the_judge_of_the_x87() -> None:
    assert any("the processor at hand" in name for name in PARTS)


def test_an_operand_that_wraps_is_known_by_its_address() -> None:
    def at(code: str, **registers: int) -> bool:
        return wraps(decode(bytes.fromhex(code)), [registers.get(name, 0x5000) for name in c.REGISTER_NAMES])

    assert at("0103", ebx=0xFFFF_FFFD) and not at("0103", ebx=0xFFFF_0000)  # add [ebx], eax
    assert at("0fa303", ebx=0x1001, eax=-0x8020 & c.M32)  # bt [ebx], eax: at FFFFFFFD
    assert not at("0fa303", ebx=0x1001, eax=-0x8120 + 0x10000)
    assert at("a5", edi=0xFFFF_FFFE) and not at("a5")  # movsd
    assert at("50", esp=2) and not at("50")  # push
