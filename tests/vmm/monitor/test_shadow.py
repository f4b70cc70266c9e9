"""Shadow page tables: what they keep, what they drop, and that no policy can be told from bare hardware."""

from __future__ import annotations

from pathlib import Path

import pytest

import guests
from isa.state import EFLAGS, EIP
from vmm import Machine, Outcome, load_image
from vmm.image import Image
from vmm.monitor.memory import Policy

MEMORY = 8 << 20
BUDGET = 400_000
FRAME = """
.include "lib/boot.inc"
.include "lib/trap.inc"
.include "lib/openpages.inc"

.macro use root
    mov eax, \\root
    mov cr3, eax
.endm
.macro want address, value
    cmp dword ptr [\\address], \\value
    jne wrong
.endm

.equ DIRECTORY, 0x200000
.equ OTHER, 0x210000
.equ TABLE, 0x201000                    ; the first 4 MB, in both address spaces
.equ WINDOW, 0x202000                   ; 4 MB from 0x400000, only in the first
.equ OTHER_WINDOW, 0x203000

main:
    call traps_init
    call open_pages
    mov dword ptr [DIRECTORY], TABLE + 7
    mov dword ptr [OTHER], TABLE + 7
    mov dword ptr [DIRECTORY + 4], WINDOW + 7
    mov dword ptr [OTHER + 4], OTHER_WINDOW + 7
    mov dword ptr [WINDOW], 0x300007
    mov dword ptr [OTHER_WINDOW], 0x301007
    mov dword ptr [0x300000], 111
    mov dword ptr [0x301000], 222
    call open_paging
{body}
    xor eax, eax
    ret
wrong:
    mov eax, 1
    ret
trap:
    mov eax, cr2
    mov [0x1f0000], eax
    mov eax, [ebp + FRAME_ERROR]
    mov [0x1f0004], eax
    mov dword ptr [0x202004], 0x302007  ; map it
    ret
"""
KERNELS = {
    "two address spaces": """
        want 0x400000, 111
        use OTHER
        want 0x400000, 222
        mov dword ptr [0x400000], 333
        use DIRECTORY
        want 0x400000, 111
        use OTHER
        want 0x400000, 333
        want 0x301000, 333
    """,
    "a table changed while its address space was not in use": """
        want 0x400000, 111
        use OTHER
        mov dword ptr [WINDOW], 0x301007
        use DIRECTORY
        want 0x400000, 222
    """,
    "a directory entry changed": """
        want 0x400000, 111
        mov dword ptr [DIRECTORY + 4], OTHER_WINDOW + 7
        use DIRECTORY
        want 0x400000, 222
    """,
    "a large page in the place of a table, and back": """
        mov eax, cr4
        or eax, 0x10
        mov cr4, eax
        want 0x400000, 111
        mov dword ptr [DIRECTORY + 4], 0x87
        use DIRECTORY
        want 0x700000, 111
        mov dword ptr [0x701000], 5
        want 0x301000, 5
        mov dword ptr [DIRECTORY + 4], WINDOW + 7
        invlpg [0x700000]
        want 0x400000, 111
    """,
    "invlpg": """
        want 0x400000, 111
        mov dword ptr [WINDOW], 0x301007
        invlpg [0x400000]
        want 0x400000, 222
    """,
    "a fault that the guest answers": """
        mov dword ptr [0x302000], 77
        want 0x401000, 77
        want 0x1f0000, 0x401000
        want 0x1f0004, 0
    """,
    "accessed and dirty": """
        want 0x400000, 111
        want WINDOW, 0x300027
        mov dword ptr [0x400000], 1
        want WINDOW, 0x300067
        and dword ptr [WINDOW], ~0x60
        use DIRECTORY
        want 0x400000, 1
        want WINDOW, 0x300027
        inc dword ptr [0x400000]
        want WINDOW, 0x300067
    """,
    "a directory that maps itself": """
        mov dword ptr [DIRECTORY + 0xFFC - 4], DIRECTORY + 7
        use DIRECTORY
        want 0xffbfe000, TABLE + 0x27
        mov dword ptr [0xff801000], 0x301007    ; WINDOW, through the directory
        use DIRECTORY
        want 0x400000, 222
    """,
    "tables one after the other, more than the monitor has frames for": """
        mov ecx, 500
    1:  mov eax, ecx
        and eax, 511
        mov dword ptr [DIRECTORY + 8 + eax * 4], WINDOW + 7
        shl eax, 22
        mov edx, [eax + 0x800000]
        inc dword ptr [0x300000]
        loop 1b
        want 0x300000, 611
    """,
}


def kernel(name: str, folder: Path) -> Image:
    path = folder / "kernel.asm"
    path.write_text(FRAME.format(body=KERNELS[name]))
    return load_image(path, include_dirs=(guests.LIBRARY,))


def end(machine: Machine) -> tuple[object, ...]:
    result = machine.run(BUDGET)
    s = machine.mode.guest.s
    memory = machine.mode.guest.memory.read_bytes(0, MEMORY)
    return result.outcome, result.instructions, list(s[: EIP + 1]), s[EFLAGS], hash(memory)


@pytest.mark.parametrize("engine", ["reference", "native"])
@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("name", KERNELS)
def test_whatever_the_guest_does_to_its_tables_the_shadow_says_the_same(
    name, policy, engine, tmp_path, monkeypatch
):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("VMSIM_ENGINE", engine)
    monkeypatch.setenv("VMSIM_SHADOW", policy)
    image = kernel(name, tmp_path)
    bare = end(Machine(image, memory=MEMORY))
    assert bare[0] is Outcome.SUCCESS
    assert end(Machine(image, "full", memory=MEMORY)) == bare


def test_an_address_space_that_comes_back_needs_no_new_faults(tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    image = kernel("two address spaces", tmp_path)
    hidden = {}
    for policy in Policy:
        monkeypatch.setenv("VMSIM_SHADOW", policy)
        result = Machine(image, "full", memory=MEMORY).run(BUDGET)
        hidden[policy] = result.traps["#PF hidden"]
    assert hidden[Policy.COMPARE] < hidden[Policy.FLUSH]
    assert hidden[Policy.TRACE] == hidden[Policy.COMPARE]


def test_stores_to_traced_tables_trap(tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("VMSIM_SHADOW", Policy.TRACE)
    machine = Machine(kernel("invlpg", tmp_path), "full", memory=MEMORY)
    assert machine.run(BUDGET).traps["#PF trace"] == 1


def test_a_guest_does_not_use_up_the_monitors_frames(tmp_path):  # type: ignore[no-untyped-def]
    name = "tables one after the other, more than the monitor has frames for"
    machine = Machine(kernel(name, tmp_path), "full", memory=MEMORY)
    host = machine.mode.host  # type: ignore[attr-defined]
    host.pool = host.pool[-100:]
    most = 0
    while machine.devices.exit_code is None:
        machine.advance(machine.mode.count + 100)
        most = max(most, len(machine.mode.shadow.root.tables))  # type: ignore[attr-defined]
    assert machine.devices.exit_code == 0
    assert 50 < most < 100


def test_a_policy_that_does_not_exist_is_refused(tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("VMSIM_SHADOW", "hope")
    with pytest.raises(ValueError, match="no shadow policy 'hope'"):
        Machine(kernel("invlpg", tmp_path), "full", memory=MEMORY)
