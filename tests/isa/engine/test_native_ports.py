"""IN and OUT: native code asks Python for the device and goes on; what the device starts comes in time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile_kernels import MEMORY, hostile_kernel
from test_native_engine import SEED, compare

from isa.consts import EBP, EDI, ESI
from isa.engine.context import ACCESSES
from isa.engine.native import available
from vmm import Machine, load_image
from vmm.modes import BARE, MODES

pytestmark = pytest.mark.skipif(not available(), reason="llvmlite is not installed")

HOSTILE, HOSTILE_BUDGET = 12, 600
UNCHANGED = [name for name, mode in MODES.items() if not mode.paravirtual]
TICKING = load_image(Path(__file__).with_name("ticking_ports.asm"))


@pytest.mark.parametrize("mode", UNCHANGED)
def test_what_a_device_starts_comes_in_time(mode: str) -> None:
    print(f"VMSIM_SEED={SEED}")
    compare(lambda: Machine(TICKING, mode, memory=1 << 20), 20_000, f"{SEED} ticking {mode}")


def test_the_timer_ticks_and_ring_3_is_refused_what_is_not_its_own() -> None:
    machine = Machine(TICKING, memory=1 << 20)
    machine.mode.cpu.use_engine("native")
    result = machine.run(20_000)
    s = machine.mode.guest.s
    assert result.exit_code == 0
    assert s[EBP] > 40  # ticks
    assert s[EDI] == 5 * 40  # five instructions are under TF in each round
    assert s[ESI] == 2 * 40


@pytest.mark.parametrize("mode", [BARE, "full"])
def test_native_code_asks_only_for_the_device(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference engine does not run IN and OUT a second time."""
    machine = Machine(TICKING, mode, memory=1 << 20)
    machine.mode.cpu.use_engine("native")
    machine.advance(20)
    native = machine.mode.cpu.native
    assert native is not None
    reasons = []
    enter = native._enter

    def entered(function: object) -> int:
        reasons.append(enter(function))
        return reasons[-1]

    monkeypatch.setattr(native, "_enter", entered)
    machine.advance(50_000)
    assert ACCESSES in reasons


@pytest.mark.parametrize("mode", UNCHANGED)
def test_a_hostile_kernel_does_the_same_in_every_engine(mode: str) -> None:
    for n in range(HOSTILE):
        made = hostile_kernel(SEED + n)
        compare(
            lambda made=made: Machine(made, mode, memory=MEMORY), HOSTILE_BUDGET, f"{SEED + n} hostile {mode}"
        )
