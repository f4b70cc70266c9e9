"""No definition depends on what compiled code cannot know, nor faults after it has changed something."""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest
import test_llvm_system as system
from engine_forms import FAMILIES, Form
from engine_pair import CODE, EVERYTHING, RAM_SIZE, decodable, random_state

from isa.consts import EAX, EBX, M8, M32, MASK
from isa.cpu import Cpu
from isa.engine.checked import Checked, Checker, Misuse
from isa.faults import Fault, NotModelled
from isa.memory import PhysicalMemory, Ram
from isa.state import CR0, CR3, new_state

SEED = 20261126
CASES = 60


def run_all(forms: list[Form], pages: bool) -> set[str]:
    """Every form in random states; the names of the instructions that completed."""
    r = Random(SEED)
    ram = Ram(RAM_SIZE)
    cpu = Cpu(PhysicalMemory(ram), policy=EVERYTHING)
    checker, completed = Checker(cpu), set()
    content = system.fill(r)
    for form, _ in decodable(forms):
        ram.write(0, content)
        ram.write(CODE, form.code)
        for _ in range(CASES):
            cpu.s[:] = system.state(r) if pages else random_state(r)
            if pages and r.randrange(2):
                _page_tables(r, ram, cpu)
            cpu.sync()
            cpu.engine.flush_tlb()
            with suppress(Fault, NotModelled):
                completed.add(checker.execute().name)
    return completed


def _page_tables(r: Random, ram: Ram, cpu: Cpu) -> None:
    """Identity over the RAM, with rights and presence at random in the data area."""
    cpu.s[CR0] |= 1 << 31 | r.choice((0, 1 << 16))
    cpu.s[CR3] = 0xE000
    ram.write(0xE000, (0xF000 | 0x67).to_bytes(4, "little"))
    for page in range(16):
        rights = 0x67 if page in (1, 14, 15) else r.choice((0x67, 0x27, 0x63, 0x65, 0x61, 0x07, 0x67, 0))
        ram.write(0xF000 + 4 * page, (page << 12 | rights).to_bytes(4, "little"))


@pytest.mark.parametrize("family", FAMILIES)
def test_definitions_mask_before_they_look(family: str) -> None:
    assert run_all(list(FAMILIES[family](Random(SEED))), pages=False)


def test_system_definitions_mask_before_they_look() -> None:
    completed = run_all(list(system.forms(Random(SEED))), pages=True)
    assert {"int", "iret", "retf", "lar", "mov", "pop", "sti"} <= completed


def test_families_change_nothing_before_they_may_fault_on_a_page() -> None:
    for family in FAMILIES.values():
        assert run_all(list(family(Random(SEED))), pages=True)


@pytest.fixture
def checker() -> Checker:
    return Checker(Cpu(PhysicalMemory(Ram(RAM_SIZE))))


def test_a_sum_is_masked_before_it_is_compared() -> None:
    x = Checked(0xFF, 8)
    assert int((x + 1) & M8) == 0
    with pytest.raises(Misuse):
        assert x + 1 > 5
    with pytest.raises(Misuse):
        (x << 4) >> 4
    with pytest.raises(Misuse):
        assert (x + Checked(1, 8)) & 0x1FF == 0x100


def test_counts_stay_below_the_width() -> None:
    with pytest.raises(Misuse, match="shifted by 32"):
        Checked(1, 32) >> Checked(32, 8)
    assert int(Checked(1, 8) << 7) == 0x80


def test_a_store_takes_a_word_of_its_width(checker: Checker) -> None:
    with pytest.raises(Misuse, match="not a word of 8 bits"):
        checker.store(3, 0x4000, Checked(0x100, 32), 8)


def test_a_fault_after_a_change_is_found(checker: Checker) -> None:
    checker.s[EAX] = (checker.s[EBX] + 1) & MASK[32]
    with pytest.raises(Misuse, match="after word 0 of the state has changed"):
        checker.load(3, 0x4000, 32)


def test_a_second_store_is_probed_first(checker: Checker) -> None:
    checker.probe(3, 0x4000, 8)
    checker.store(3, 0x4000, Checked(1, 32), 32)
    checker.store(3, 0x4004, Checked(M32, 32), 32)
    with pytest.raises(Misuse, match="store may fault after store has changed"):
        checker.store(3, 0x4008, Checked(1, 32), 32)


def test_the_state_is_that_of_the_processor(checker: Checker) -> None:
    checker.s[EAX] = Checked(5, 8)
    assert checker.cpu.s[EAX] == 5
    assert len(new_state()) == len(checker.cpu.s)
