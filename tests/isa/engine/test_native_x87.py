"""The x87 in native code: numbers by the language's rules, kernels at any stop, nothing left to Python."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest
import test_native_engine
from x87_kernels import BUDGET, MEMORY, x87_kernel

from isa import fpu
from isa.cpu import Cpu
from isa.engine.checked import Checked, Checker
from isa.engine.native import available
from isa.engine.x87ints import X87Ints
from isa.memory import PhysicalMemory, Ram
from vmm import Machine
from vmm.modes import MODES

sys.path.insert(0, str(Path(__file__).parents[2] / "differential"))

from x87_cases import cases, extended
from x87_processor import X87

SEED = int(os.environ.get("VMSIM_SEED", random.SystemRandom().getrandbits(24)))
CASES, KERNELS = 6000, 4
UNCHANGED = [name for name, mode in MODES.items() if not mode.paravirtual]
CONTROLS = (0x37F, 0x27F, 0x07F, 0x340, 0x77F, 0xB7F, 0xF7F, 0x37E)
OPERATIONS = [
    *((name, form) for name in fpu._BINARY for form in ("extended", "single", "double", "integer16")),
    *((name, "extended") for name in fpu._UNARY if name != "load"),
    *((name, form) for name in ("load", "store") for form in fpu.WIDTHS if form != "extended"),
    ("examine", "extended"),
    *(("constant", name) for name in ("fldz", "fld1", "fldpi")),
]


@pytest.mark.parametrize(("operation", "form"), OPERATIONS)
def test_the_numbers_keep_the_rules_of_the_language(operation: str, form: str) -> None:
    r = random.Random(f"{SEED} {operation} {form}")
    checker = Checker(Cpu(PhysicalMemory(Ram(4096))))
    for _ in range(150):
        control, x, y = r.choice(CONTROLS), extended(r), extended(r)
        w = fpu.WIDTHS.get(form, 80)
        if operation == "load":
            x = r.choice((r.getrandbits(w), extended(r) & (1 << w) - 1, 0, 1 << (w - 1)))
        elif form in fpu.WIDTHS:
            y = y if form == "extended" else r.choice((r.getrandbits(w), 0, 1 << (w - 1), (1 << w) - 1))
        other = Checked(y, w)
        found = fpu.compute(checker, operation, form, Checked(control, 16), Checked(x, 80), other)
        expected = fpu.operate(operation, form, control, x, y)
        assert tuple(map(int, found)) == expected, f"VMSIM_SEED={SEED} {control:x} {x:x} {y:x}"


@pytest.fixture
def by_python(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The operations that Python has computed."""
    seen: set[str] = set()
    f80 = X87Ints.f80

    def noted(self: X87Ints, operation: str, form: str, control: int, x: int, y: int) -> tuple[int, int]:
        seen.add(operation)
        return f80(self, operation, form, control, x, y)

    monkeypatch.setattr(X87Ints, "f80", noted)
    return seen


@pytest.mark.skipif(not available(), reason="llvmlite is not installed")
def test_native_code_does_all_but_what_needs_ints_of_any_length(by_python: set[str]) -> None:
    r = random.Random(SEED)
    reference, native = X87("reference"), X87("handlers")
    asked = cases(r, CASES)
    for k in asked:  # handlers are there from the second time on
        native.run(k)
    found = []
    by_python.clear()
    for k in asked:
        found.append(native.run(k))
    assert by_python and not by_python & fpu.COMPUTED
    for k, answer in zip(asked, found, strict=True):
        assert answer == reference.run(k), f"VMSIM_SEED={SEED} {k.describe()}"


@pytest.mark.skipif(not available(), reason="llvmlite is not installed")
@pytest.mark.parametrize("mode", UNCHANGED)
def test_kernels_that_compute_are_at_any_stop_what_they_are_in_the_reference(
    mode: str, tmp_path: Path
) -> None:
    for seed in range(SEED, SEED + KERNELS):
        made = x87_kernel(seed, tmp_path)
        test_native_engine.compare(
            lambda made=made: Machine(made, mode, memory=MEMORY), BUDGET, f"{seed} x87 {mode}"
        )
