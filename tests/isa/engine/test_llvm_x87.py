"""x87 instructions in compiled code: what computes is the reference engine's, the rest runs as it does there."""

from __future__ import annotations

from array import array
from random import Random

import pytest
from engine_pair import Pair, compile_blocks, decode_all, random_state

import isa.ops  # noqa: F401
from isa.consts import CR0_EM, CR0_MP, CR0_NE, CR0_TS, FCW_BITS, FCW_ONE
from isa.engine.builder import DONE, FAULT, GUARD
from isa.state import CR0, FPU_CONTROL, FPU_R, FPU_STATUS, FPU_TAGS
from isa.x87_forms import MEMORY_FORMS, REGISTER_FORMS

pytest.importorskip("llvmlite")

from isa.engine.native import Compiler

SEED = 20261125
CASES = 20


def codes() -> list[bytes]:
    """Every form once; memory is [ebx]."""
    registers = [
        bytes((n >> 8, n & 0xFF)) for n in sorted(REGISTER_FORMS) if n & 7 in (0, 3) or n & 0xFF >= 0xE0
    ]
    memory = [bytes((op, n << 3 | 3)) for (op, n), form in MEMORY_FORMS.items() if form[0] != "-"]
    return [*registers, *memory, b"\x9b"]


def state(r: Random) -> array[int]:
    s = random_state(r)
    s[CR0] |= CR0_NE | r.choice((0, 0, 0, CR0_TS, CR0_EM, CR0_TS | CR0_MP))
    s[FPU_CONTROL] = r.getrandbits(16) & FCW_BITS | FCW_ONE
    s[FPU_STATUS] = r.getrandbits(16) & 0x7F7F & ~(r.choice((0x3F, 0x3F, 0)))
    if s[FPU_STATUS] & ~s[FPU_CONTROL] & 0x3F:
        s[FPU_STATUS] |= 0x8080
    s[FPU_TAGS] = r.choice((0xFF, 0, r.getrandbits(8)))
    for n in range(24):
        s[FPU_R + n] = r.getrandbits(16 if n % 3 == 2 else 32)
    return s


def test_every_x87_form_gives_the_same_state_compiled() -> None:
    listed = codes()
    decoded = [decode_all(code) for code in listed]
    functions = compile_blocks(Compiler(), "x87", decoded)
    pair = Pair(SEED, state=state)
    for code, instructions, function in zip(listed, decoded, functions, strict=True):
        pair.load(code)
        for _ in range(CASES):
            pair.compare(function, instructions, f"{instructions[0].name} ({code.hex()})")
    print(f"{len(listed)} forms, {pair.cases} cases, ended by {dict(sorted(pair.reasons.items()))}")
    assert pair.reasons[GUARD] and pair.reasons[DONE]
    assert {reason - FAULT for reason in pair.reasons if reason >= FAULT} == {7, 16}
