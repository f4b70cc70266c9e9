"""Who judges the x87: the processor that runs the tests, by a small C program, or else Unicorn.

The processor executes each case between FRSTOR and FNSAVE (`x87_host.c`); it decides everything but the last
place of transcendental functions, which no two makers share. Unicorn 2.1.4 has QEMU 5's x87, which raises few
exceptions, knows no empty registers, leaves C1 alone and computes transcendental functions in double
precision: it judges the numbers of orderly cases, everything masked and the stack neither empty nor full.
"""

from __future__ import annotations

import platform
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from random import Random

from oracle import Oracle
from x87_cases import CODE_BYTES, MEMORY, TRANSCENDENTAL, Answer, Case, answer_from_image, cases

SOURCE = Path(__file__).with_name("x87_host.c")
CHILD = Path(__file__).with_name("x87_unicorn_child.py")
ANSWER = 256
VECTORS = {0: -1, 8: 16, 4: 6}  # of signals: SIGFPE, SIGILL


class Hardware:
    """The processor at hand."""

    name = "hardware"
    ignored: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.program = Path(self.folder.name) / "host"
        subprocess.run(["gcc", "-O1", "-mno-red-zone", "-o", self.program, SOURCE], check=True)

    @staticmethod
    def available() -> bool:
        return shutil.which("gcc") is not None and platform.machine() == "x86_64"

    def cases(self, random: Random, count: int) -> list[Case]:
        """Any."""
        return cases(random, count)

    def ask(self, asked: list[Case]) -> list[Answer | None]:
        questions = b"".join(
            k.insn.raw.ljust(CODE_BYTES, b"\xc3") + k.state + k.memory + struct.pack("<I", k.eflags)
            for k in asked
        )
        run = subprocess.run([self.program], input=questions, capture_output=True, check=True, timeout=120)
        assert len(run.stdout) == ANSWER * len(asked)
        return [self._answer(run.stdout[at : at + ANSWER]) for at in range(0, len(run.stdout), ANSWER)]

    def _answer(self, data: bytes) -> Answer:
        image, memory = data[:108], data[108 : 108 + MEMORY]
        eflags, eax, signal = struct.unpack("<3I", data[236:248])
        return answer_from_image(image, memory, eflags, eax, VECTORS[signal])

    def close(self) -> None:
        self.folder.cleanup()


class Softfloat:
    """Unicorn, in its process."""

    name = "softfloat"
    ignored = frozenset({"exceptions", "C1", "opcode", "other flags"})

    def __init__(self) -> None:
        self.oracle = Oracle({"memory": MEMORY}, CHILD)

    def cases(self, random: Random, count: int) -> list[Case]:
        """Orderly ones; no transcendental function, no FLD of the register that is kept empty."""
        return [
            k
            for k in cases(random, count, orderly=True)
            if k.name not in TRANSCENDENTAL and not (k.name == "fld" and k.insn.dst.n == 7)
        ]

    def ask(self, asked: list[Case]) -> list[Answer | None]:
        answers = self.oracle.ask((), [(k.insn.raw, k.state, k.memory, k.eflags) for k in asked])
        return [found and answer_from_image(*found) for found in answers]

    def close(self) -> None:
        self.oracle.stop()
