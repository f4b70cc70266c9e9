"""Every form of every family, compiled, does what the reference engine does."""

from __future__ import annotations

from random import Random

import pytest
from engine_forms import FAMILIES
from engine_pair import Pair, compile_blocks, decode_all

import isa.ops  # noqa: F401
from isa.engine.builder import DONE, FAULT

pytest.importorskip("llvmlite")

from isa.engine.native import Compiler

SEED = 20261122
CASES = 200


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    return Compiler()


@pytest.mark.parametrize("family", FAMILIES)
def test_compiled_instructions_equal_the_reference(family: str, compiler: Compiler) -> None:
    print(f"seed {SEED}")
    forms = list(FAMILIES[family](Random(SEED)))
    decoded = [decode_all(form.code) for form in forms]
    functions = compile_blocks(compiler, family, decoded)
    pair = Pair(SEED)
    for form, instructions, function in zip(forms, decoded, functions, strict=True):
        pair.load(form.code)
        for _ in range(CASES):
            pair.compare(function, instructions, f"{form.name} ({form.code.hex()})")
    print(f"{len(forms)} forms, {pair.cases} cases, ended by {pair.reasons}")
    assert pair.reasons[DONE] > pair.cases // 2
    assert all(reason < FAULT for reason in pair.reasons) or family in (
        "multiplications",
        "shifts",
        "branches",
    )
