"""An NMI from a device: it ends HLT although IF is clear, in every mode at the same instruction."""

from __future__ import annotations

from pathlib import Path

import pytest

import guests
from isa.model import MODELS
from vmm import Machine, Outcome, load_image

SOURCE = """
.include "lib/boot.inc"
.include "lib/trap.inc"
main:
    call traps_init
    mov dword ptr [0xfec00000], 0x14    ; input 2 of the I/O APIC, the timer, is an NMI
    mov dword ptr [0xfec00010], 0x400
    mov al, 0x34
    out 0x43, al
    mov al, 0
    out 0x40, al
    mov al, 0x10
    out 0x40, al
    mov dword ptr [came], 0
    cli
    hlt
    mov eax, [came]
    dec eax
    ret
trap:
    cmp dword ptr [ebp + FRAME_VECTOR], 2
    jne 1f
    inc dword ptr [came]
1:  ret
came: .long 0
"""


@pytest.mark.parametrize("mode", ["full", "naive", "rewrite"])
def test_an_nmi_ends_hlt(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "nmi.asm"
    path.write_text(SOURCE)
    ends = []
    for name in (None, mode):
        result = Machine(
            load_image(path, include_dirs=(guests.LIBRARY,)), name, model=MODELS["ppro-apic"]
        ).run(100_000)
        assert result.outcome is Outcome.SUCCESS, result.text
        ends.append((result.instructions, result.idle))
    assert ends[0] == ends[1] and ends[0][1] > 0


def test_without_an_apic_nothing_wakes_it(tmp_path: Path) -> None:
    path = tmp_path / "nmi.asm"
    path.write_text(SOURCE)
    assert (
        "nothing left to wake it"
        in Machine(load_image(path, include_dirs=(guests.LIBRARY,))).run(100_000).text
    )
