"""Kernels that use the x87 (`x87_kernels`) are the same in every faithful mode."""

from __future__ import annotations

import os
from random import Random

import pytest
from x87_kernels import BUDGET, FRAME, MEMORY, x87_kernel

import guests
from isa.state import EFLAGS, EIP, FPU, FPU_DS, FPU_END
from vmm import Machine, Outcome, load_image
from vmm.modes import MODES

SEED = int(os.environ.get("VMSIM_SEED", "0")) or Random().randrange(1, 1 << 24)
FAITHFUL = [name for name, mode in MODES.items() if mode.promises_equivalence and not mode.paravirtual]
KERNELS = 6


def state(machine: Machine) -> tuple[object, ...]:
    s = machine.mode.guest.s
    return machine.mode.count, list(s[: EIP + 1]), s[EFLAGS], list(s[FPU:FPU_END])


@pytest.mark.parametrize("mode", FAITHFUL[1:])
def test_a_kernel_that_computes_is_at_any_stop_what_it_is_on_bare_hardware(mode, tmp_path):
    raised = 0
    for n in range(40 * KERNELS):
        if n >= KERNELS and raised:
            break
        image = x87_kernel(SEED + n, tmp_path)
        bare, virtual = Machine(image, memory=MEMORY), Machine(image, mode, memory=MEMORY)
        stops = range(0, BUDGET, Random(SEED + n).randrange(7, 40))
        for stop in stops:
            ended = bare.advance(stop)
            assert virtual.advance(stop) == ended, f"VMSIM_SEED={SEED}, kernel {n} at {stop}"
            assert state(virtual) == state(bare), f"VMSIM_SEED={SEED}, kernel {n} at {stop}"
            if ended is not None:
                break
        assert ended is not None and ended.outcome is Outcome.SUCCESS, ended
        one, other = (m.mode.guest.memory.read_bytes(0, MEMORY) for m in (bare, virtual))
        assert one == other, f"VMSIM_SEED={SEED}, kernel {n}"
        errors, switches = (image.symbol(name) for name in ("errors", "switches"))
        assert errors and switches
        raised += one[errors] and one[switches]
    assert raised


@pytest.mark.parametrize("mode", FAITHFUL[1:])
def test_the_selector_of_the_last_operand_is_the_one_that_bare_hardware_has(mode, tmp_path):
    """Through CS and SS it would be that of ring 1."""
    path = tmp_path / "operands.asm"
    loads = (
        f"    fld dword ptr {segment}:[area]\n    fstp st(0)\n    cli" for segment in ("cs", "ss", "ds", "cs")
    )
    path.write_text(FRAME.format(body="\n".join(loads)))
    image = load_image(path, include_dirs=(guests.LIBRARY,))
    bare, virtual = Machine(image, memory=MEMORY), Machine(image, mode, memory=MEMORY)
    seen, ended, stop = set(), None, 0
    while ended is None:
        stop += 1
        ended = bare.advance(stop)
        assert virtual.advance(stop) == ended
        assert state(virtual) == state(bare), stop
        seen.add(bare.mode.guest.s[FPU_DS])
    assert len(seen - {0}) == 2
