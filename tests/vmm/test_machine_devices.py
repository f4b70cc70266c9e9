"""A guest and the devices of its machine: the display, wire A20, a ROM and reset, in modes that show them."""

from dataclasses import replace
from pathlib import Path

import pytest

from isa.asm import assemble
from isa.model import DEFAULT
from vmm.image import Image
from vmm.machine import Machine, Outcome
from vmm.modes import MODES

SAME_BUILD = [name for name, mode in MODES.items() if not mode.paravirtual]
SUCCESS = "mov al, 0\n out 0xf4, al\n"
ORIGIN = 0x20_0000


def run(source, mode, rom=b""):
    program = assemble(source, origin=ORIGIN)
    image = Image("guest", Path("guest.asm"), program.origin, program.entry, program.image, program)
    machine = Machine(image, mode, memory=4 << 20, rom=rom)
    return machine, machine.run(10_000)


@pytest.mark.parametrize("mode", SAME_BUILD)
def test_a_guest_writes_on_the_screen(mode):
    source = f"mov dword [0xb8000], 0x1f691f48\n mov eax, [0xb8000]\n mov [0xb80a0], eax\n {SUCCESS}"
    machine, result = run(source, mode)
    assert result.outcome is Outcome.SUCCESS, result.text
    assert [line[:3] for line in machine.devices.screen()[:2]] == ["Hi ", "Hi "]


@pytest.mark.parametrize("mode", SAME_BUILD)
def test_without_wire_a20_odd_megabytes_are_the_even_ones_before_them(mode):
    machine, result = run(
        f"""
        mov dword [0x300000], 3
        mov dword [0x380000], 3
        mov dword [0x280000], 2
        mov al, 0xdd
        out 0x64, al
        mov ebx, [0x380000]
        mov dword [0x380000], 4
        mov al, 0xdf
        out 0x64, al
        mov ecx, [0x280000]
        mov edx, [0x380000]
        {SUCCESS}
        """,
        mode,
    )
    assert result.outcome is Outcome.SUCCESS, result.text
    assert list(machine.mode.guest.s[1:4]) == [4, 3, 2], "ecx, edx, ebx"


@pytest.mark.parametrize("mode", SAME_BUILD)
def test_a_rom_is_read_where_it_lies_and_stays_as_it_is(mode):
    rom = bytes(range(256)) * 512
    machine, result = run(
        f"""
        mov dword [0xf0010], 0
        mov dword [0xfffffff0], 0
        mov ebx, [0xf0010]
        mov ecx, [0xfffffff0]
        {SUCCESS}
        """,
        mode,
        rom,
    )
    assert result.outcome is Outcome.SUCCESS, result.text
    assert (machine.mode.guest.s[3], machine.mode.guest.s[1]) == (0x13121110, 0xF3F2F1F0)


@pytest.mark.parametrize("mode", SAME_BUILD)
def test_a_reset_ends_the_run(mode):
    _machine, result = run("mov al, 0xfe\n out 0x64, al\n ud2", mode)
    assert (result.outcome, result.text) == (Outcome.SUCCESS, "the guest reset the machine")


@pytest.mark.parametrize("mode", SAME_BUILD)
def test_a_guest_switches_the_machine_off(mode):
    source = """
        mov dx, 0xcf8
        mov eax, 0x80000b40
        out dx, eax
        mov dx, 0xcfc
        mov eax, 0x601
        out dx, eax
        mov dx, 0xcf8
        mov eax, 0x80000b80
        out dx, eax
        mov dx, 0xcfc
        mov al, 1
        out dx, al
        mov dx, 0x604
        mov ax, 0x2000
        out dx, ax
        ud2
    """
    _machine, result = run(source, mode)
    assert (result.outcome, result.text) == (Outcome.SUCCESS, "the guest switched the machine off")


@pytest.mark.parametrize("mode", SAME_BUILD)
def test_a_firmware_turns_its_rom_into_protected_ram(mode):
    machine, result = run(
        f"""
        mov eax, 0x80000058
        mov dx, 0xcf8
        out dx, eax
        mov dx, 0xcfd
        mov al, 0x20
        out dx, al
        mov eax, [0xf0010]
        mov [0xf0010], eax          ; the shadow under the ROM
        mov dword [0xf0020], 0x5a5a5a5a
        mov al, 0x10
        out dx, al
        mov dword [0xf0020], 0
        mov ebx, [0xf0010]
        mov ecx, [0xf0020]
        {SUCCESS}
        """,
        mode,
        bytes(range(256)) * 512,
    )
    assert result.outcome is Outcome.SUCCESS, result.text
    assert (machine.mode.guest.s[3], machine.mode.guest.s[1]) == (0x13121110, 0x5A5A5A5A)


@pytest.mark.parametrize("mode", SAME_BUILD)
def test_a_guest_reads_its_disk(mode):
    source = f"""
        mov dx, 0x1f2
        mov al, 1
        out dx, al
        mov al, 0
        inc dx
        out dx, al
        inc dx
        out dx, al
        inc dx
        out dx, al
        inc dx
        mov al, 0xe0
        out dx, al
        inc dx
        mov al, 0x20
        out dx, al
    busy:
        in al, dx
        test al, 8
        jz busy
        mov dx, 0x1f0
        mov edi, 0x280000
        mov ecx, 128
        cld
        rep insd
        mov ebx, [0x280000]
        {SUCCESS}
    """
    program = assemble(source, origin=ORIGIN)
    image = Image(
        "guest", Path("guest.asm"), program.origin, program.entry, program.image, program, disk=b"boot" * 300
    )
    machine = Machine(image, mode, memory=4 << 20)
    result = machine.run(100_000)
    assert result.outcome is Outcome.SUCCESS, result.text
    assert machine.mode.guest.s[3] == int.from_bytes(b"boot", "little")


WITH_APIC = replace(DEFAULT, name="with APIC", features=DEFAULT.features | {"APIC"})
APIC_GUEST = """
        lgdt [gdt_pointer]
        jmp 8:reload
    reload:
        mov ax, 16
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov esp, 0x290000
        lidt [idt_pointer]
        mov eax, 1
        cpuid
        and edx, 0x200
        mov [has_apic], edx
        mov dword [0xfee000f0], 0x1ff   ; SVR: on
        mov dword [0xfee003e0], 0xb     ; divide by 1
        mov dword [0xfee00320], 0x20020 ; periodic, vector 20h
        mov dword [0xfee00380], 5000
        sti
    wait:
        hlt
        cmp dword [ticks], 10
        jb wait
        cli
        mov al, 0
        out 0xf4, al
    tick:
        inc dword [ticks]
        mov dword [0xfee000b0], 0
        iretd
    align 8
    gdt:
        dq 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
    gdt_pointer:
        dw 23
        dd gdt
    ticks:
        dd 0
    has_apic:
        dd 0
    idt_pointer:
        dw 33 * 8 - 1
        dd idt
    align 8
    idt:
        times 32 dq 0
        dw tick - $$ , 8, 0x8e00, 0x20
"""


@pytest.mark.parametrize("mode", SAME_BUILD)
def test_a_guest_is_interrupted_by_the_timer_of_its_apic(mode):
    program = assemble(APIC_GUEST, origin=ORIGIN)
    image = Image("guest", Path("guest.asm"), program.origin, program.entry, program.image, program)
    machine = Machine(image, mode, memory=4 << 20, model=WITH_APIC)
    result = machine.run(100_000)
    assert result.outcome is Outcome.SUCCESS, (result.text, result.details)
    memory = machine.mode.guest.memory
    assert memory.read_bytes(program.symbols["ticks"], 4)[0] == 10
    assert memory.read_bytes(program.symbols["has_apic"], 4) == b"\0\2\0\0"
    assert memory.read_bytes(0xF5800, 4) == b"_MP_"
