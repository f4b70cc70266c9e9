"""Every x87 instruction against the processor that runs the tests: results, stack, status, memory, faults.

A small C program (`x87_host.c`) executes each case between FRSTOR and FNSAVE. Everything must be the same in
every bit, but for the last place of transcendental functions, which no two makers share, and what stands in
`known.toml` under `[[hardware]]`, where processors differ from each other or from the SDM. `VMSIM_SEED` repeats
a run, `VMSIM_CASES` makes it longer.
"""

from __future__ import annotations

import os
import platform
import shutil
import struct
import subprocess
from pathlib import Path
from random import Random

import pytest
from x87_cases import CODE_BYTES, MEMORY, Case, Ours, answer_from_image, cases
from x87_compare import Tally

SEED = int(os.environ.get("VMSIM_SEED", "0")) or Random().randrange(1, 1 << 32)
CASES = int(os.environ.get("VMSIM_CASES", "24000"))
SOURCE = Path(__file__).with_name("x87_host.c")
ANSWER = 256
VECTORS = {0: -1, 8: 16, 4: 6}  # of signals: SIGFPE, SIGILL

pytestmark = [
    pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="needs an x86 to run on"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("x87") / "host"
    subprocess.run(["gcc", "-O1", "-mno-red-zone", "-o", str(made), str(SOURCE)], check=True)
    return made


def ask(program: Path, asked: list[Case]) -> list:
    """The processor's answers."""
    questions = b"".join(
        k.insn.raw.ljust(CODE_BYTES, b"\xc3") + k.state + k.memory + struct.pack("<I", k.eflags)
        for k in asked
    )
    data = subprocess.run(
        [str(program)], input=questions, capture_output=True, check=True, timeout=120
    ).stdout
    assert len(data) == ANSWER * len(asked)
    answers = []
    for at in range(0, len(data), ANSWER):
        image, memory = data[at : at + 108], data[at + 108 : at + 108 + MEMORY]
        eflags, eax, signal = struct.unpack("<3I", data[at + 236 : at + 248])
        answers.append(answer_from_image(image, memory, eflags, eax, VECTORS[signal]))
    return answers


def test_every_x87_instruction_does_what_a_processor_does(program, record_property):
    asked = cases(Random(SEED), CASES)
    ours = Ours()
    tally = Tally("hardware")
    for k, theirs in zip(asked, ask(program, asked), strict=True):
        tally.add(k, ours.run(k), theirs)
    record_property("cases", CASES)
    print(f"VMSIM_SEED={SEED}: {CASES} cases, accepted {dict(tally.accepted)}, last place {tally.last_place}")
    assert not tally.wrong, f"VMSIM_SEED={SEED}\n{tally.report()}"
