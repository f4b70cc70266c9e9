"""Kernels that use the x87: computing, errors, lazy switching by CR0.TS.

Random instructions of all forms run one after the other, at CPL 0; now and then the kernel sets CR0.TS, so that
the next of them raises #NM, and exceptions are left unmasked, so that others raise #MF.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import guests
from vmm import load_image
from vmm.image import Image

sys.path.insert(0, str(Path(__file__).parent / "differential"))

from x87_cases import ENCODINGS, extended

MEMORY = 2 << 20
LENGTH, BUDGET = 150, 100_000

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


def x87_kernel(seed: int, folder: Path) -> Image:
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
