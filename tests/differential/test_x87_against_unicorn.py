"""The numbers of the x87 against Unicorn, whose arithmetic is another softfloat: QEMU's.

Unicorn 2.1.4 has QEMU 5's x87, which raises few exceptions, knows no empty registers, leaves C1 alone and
computes transcendental functions in double precision; `test_x87_against_hardware` is the judge of all
that. Here orderly cases are compared, everything masked and the stack neither empty nor full: results in
registers and memory, the answers of comparisons. Accepted divergences stand in `known.toml` under
`[[softfloat]]`.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest
from oracle import Oracle
from x87_cases import MEMORY, TRANSCENDENTAL, Case, Ours, answer_from_image, cases
from x87_compare import Tally

pytest.importorskip("unicorn")

SEED = int(os.environ.get("VMSIM_SEED", "0")) or Random().randrange(1, 1 << 32)
CASES = int(os.environ.get("VMSIM_CASES", "24000"))
BATCH = 1000
CHILD = Path(__file__).with_name("x87_unicorn_child.py")


IGNORED = frozenset({"exceptions", "C1", "opcode", "other flags"})


def shows_something(k: Case) -> bool:
    """Not a transcendental function, not FLD of the register that is kept empty."""
    return k.name not in TRANSCENDENTAL and not (k.name == "fld" and k.insn.dst.n == 7)


def wire(k: Case) -> tuple:
    return k.insn.raw, k.state, k.memory, k.eflags


def test_x87_results_are_those_of_unicorn(record_property):
    asked = [k for k in cases(Random(SEED), CASES, orderly=True) if shows_something(k)]
    ours = Ours()
    tally = Tally("softfloat", IGNORED)
    with Oracle({"memory": MEMORY}, CHILD) as oracle:
        for at in range(0, len(asked), BATCH):
            batch = asked[at : at + BATCH]
            for k, theirs in zip(batch, oracle.ask({}, 0, [wire(k) for k in batch]), strict=True):
                if theirs is not None:
                    tally.add(k, ours.run(k), answer_from_image(*theirs))
        crashes = oracle.crashes
    record_property("cases", len(asked))
    print(f"VMSIM_SEED={SEED}: {len(asked)} cases, crashes {crashes}, accepted {dict(tally.accepted)}")
    assert not tally.wrong, f"VMSIM_SEED={SEED}\n{tally.report()}"
    assert crashes < CASES // 100
