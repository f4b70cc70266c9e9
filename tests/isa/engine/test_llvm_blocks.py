"""Straight lines and loops of compiled instructions: state, memory and count are those of the reference."""

from __future__ import annotations

from random import Random

import pytest
from engine_forms import FAMILIES, Form
from engine_pair import CODE, Pair, compile_blocks, decode_all

from isa.engine.blocks import block_ir
from isa.engine.builder import BUDGET, DONE, MEMORY
from isa.engine.words import TraceError

pytest.importorskip("llvmlite")

from isa.engine.native import Compiler

SEED = 20261123
BLOCKS = 200
CASES = 50
LINES = ("arithmetic", "logic", "moves", "stack", "shifts", "bits", "multiplications")


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    return Compiler()


def random_line(r: Random, forms: dict[str, list[Form]]) -> bytes:
    """One to eleven instructions that do not jump."""
    return b"".join(r.choice(forms[r.choice(LINES)]).code for _ in range(r.randrange(1, 12)))


def all_forms(r: Random) -> dict[str, list[Form]]:
    return {name: list(family(r)) for name, family in FAMILIES.items()}


def test_blocks_that_end_in_a_branch_equal_the_reference(compiler: Compiler) -> None:
    print(f"seed {SEED}")
    r = Random(SEED)
    forms = all_forms(r)
    codes = [random_line(r, forms) + r.choice(forms["branches"]).code for _ in range(BLOCKS)]
    decoded = [decode_all(code) for code in codes]
    functions = compile_blocks(compiler, "line", decoded)
    pair = Pair(SEED)
    for code, instructions, function in zip(codes, decoded, functions, strict=True):
        pair.load(code)
        for _ in range(CASES):
            pair.compare(function, instructions, " ".join(i.name for i in instructions) + " " + code.hex())
    print(f"{BLOCKS} blocks, {pair.cases} cases, ended by {pair.reasons}")
    assert pair.reasons[DONE] > pair.cases // 4
    assert pair.reasons[MEMORY] > 100


def test_loops_stop_at_exactly_the_budget(compiler: Compiler) -> None:
    """A block that jumps to its own head stays inside, and gives back what it could not run."""
    print(f"seed {SEED}")
    r = Random(SEED + 1)
    forms = all_forms(r)
    texts, codes = {}, []
    for n in range(BLOCKS):
        line = random_line(r, forms)
        while len(line) > 120:
            line = random_line(r, forms)
        jump = r.choice([0xEB, 0xE2, 0xE0, *range(0x70, 0x80)])
        code = line + bytes([jump, (-len(line) - 2) & 0xFF])
        codes.append((code, decode_all(code)))
        texts[f"loop{n}"] = block_ir(f"loop{n}", codes[-1][1], CODE)
    functions = compiler.compile(texts)
    pair = Pair(SEED)
    for (code, instructions), function in zip(codes, functions.values(), strict=True):
        pair.load(code)
        for _ in range(CASES // 2):
            budget = r.randrange(1, 8 * len(instructions))
            pair.compare(function, instructions, f"{code.hex()} for {budget}", budget=budget)
    print(f"{BLOCKS} loops, {pair.cases} cases, ended by {pair.reasons}")
    assert pair.reasons[BUDGET] > pair.cases // 8


def test_a_jump_within_a_block_is_refused() -> None:
    with pytest.raises(TraceError, match="within a block"):
        block_ir("wrong", decode_all(b"\xeb\x00\x90"), CODE)
