"""Kernels that use the x87: computing, errors, lazy switching by CR0.TS, the same in every faithful mode.

Random instructions of all forms run one after the other, at CPL 0; now and then the kernel sets CR0.TS, so that
the next of them raises #NM, and exceptions are left unmasked, so that others raise #MF.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from random import Random

import pytest

import guests
from isa.state import EFLAGS, EIP, FPU, FPU_DS, FPU_END
from vmm import Machine, Outcome, load_image
from vmm.image import Image
from vmm.modes import MODES

sys.path.insert(0, str(Path(__file__).parents[2] / "differential"))

from x87_cases import ENCODINGS, extended

SEED = int(os.environ.get("VMSIM_SEED", "0")) or Random().randrange(1, 1 << 24)
FAITHFUL = [name for name, mode in MODES.items() if mode.promises_equivalence and not mode.paravirtual]
MEMORY = 2 << 20
KERNELS, LENGTH, BUDGET = 6, 150, 100_000

FRAME = """
.include "lib/boot.inc"
.include "lib/trap.inc"

main:
    call traps_init
    mov eax, cr0
    or eax, CR0_NE | CR0_MP
    mov cr0, eax
    mov esi, area
    fninit
{body}
    xor eax, eax
    ret

; #NM: the x87 is ours again. #MF: forget what is pending. Anything else goes past the instruction.
trap:
    mov eax, [ebp + FRAME_VECTOR]
    clts
    cmp eax, 7
    je no_device
    cmp eax, 16
    jne unexpected
    fnstenv [trapped]
    fnclex
    inc dword ptr [errors]
    ret
no_device:
    inc dword ptr [switches]
    ret
unexpected:
    mov eax, 99
    jmp finish

.align 16
area:       .skip 128, 0x3f
trapped:    .skip 32
errors:     .long 0
switches:   .long 0
"""


def kernel(seed: int, folder: Path) -> Image:
    random = Random(seed)
    lines = []
    for _ in range(LENGTH):
        kind = random.random()
        if kind < 0.08:
            lines.append("    mov eax, cr0\n    or eax, CR0_TS\n    mov cr0, eax")
        elif kind < 0.3:
            x = extended(random)
            words = [x & 0xFFFF_FFFF, x >> 32 & 0xFFFF_FFFF, x >> 64]
            lines += [f"    mov dword ptr [area + {4 * n}], {word:#x}" for n, word in enumerate(words)]
        else:
            code = random.choice(ENCODINGS)
            lines.append("    .byte " + ", ".join(f"{byte:#x}" for byte in code))
    path = folder / f"x87_{seed}.asm"
    path.write_text(FRAME.format(body="\n".join(lines)))
    return load_image(path, include_dirs=(guests.LIBRARY,))


def state(machine: Machine) -> tuple[object, ...]:
    s = machine.mode.guest.s
    return machine.mode.count, list(s[: EIP + 1]), s[EFLAGS], list(s[FPU:FPU_END])


@pytest.mark.parametrize("mode", FAITHFUL[1:])
def test_a_kernel_that_computes_is_at_any_stop_what_it_is_on_bare_hardware(mode, tmp_path):
    raised = 0
    for n in range(40 * KERNELS):
        if n >= KERNELS and raised:
            break
        image = kernel(SEED + n, tmp_path)
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
