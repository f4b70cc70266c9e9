"""Binary translation as a whole: small kernels that end as on bare hardware, and how it was done."""

from __future__ import annotations

from pathlib import Path

import pytest

import guests
from isa.asm import assemble
from isa.state import EFLAGS, EIP
from vmm import Machine, Outcome, load_image
from vmm.events import Event, Translated, Trap
from vmm.image import Image
from vmm.machine import BREAKPOINT
from vmm.modes.rewrite import Rewrite
from vmm.monitor.vm import MONITOR_BASE

MEMORY = 2 << 20
BUDGET = 100_000

HEAD = """
.org 0x100000
start:  mov esp, stack_top
        lgdt [gdt_register]
        lidt [idt_register]
        jmp far 0x08:reload
reload: mov eax, 0x10
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov fs, ax
        mov gs, ax
        mov eax, 0x28
        ltr ax
        jmp main

finish: mov al, 0                       ; the end, well
        out 0xf4, al
        hlt

fault:  mov eax, 0x10                   ; an exception with error code: note it, go on at [after]
        mov ds, ax
        pop dword ptr [error]
        mov eax, cr2
        mov [address], eax
        inc dword ptr [faults]
        mov eax, [after]
        mov [esp], eax
        mov dword ptr [esp + 4], 0x08
        iretd
debug:  inc dword ptr [steps]
        mov eax, [esp]
        mov [last_step], eax
        iretd

.align 4096
gdt:    .long 0, 0
        .long 0x0000FFFF, 0x00CF9A00    ; 08 kernel code
        .long 0x0000FFFF, 0x00CF9200    ; 10 kernel data
        .long 0x0000FFFF, 0x00CFFA00    ; 18 user code
        .long 0x0000FFFF, 0x00CFF200    ; 20 user data
        .word 103, tss & 0xFFFF, 0x8910, 0      ; 28 TSS
        .word 0xFFFF, 0x0000, 0x9A10, 0x004F    ; 30 kernel code with base 0x100000
gdt_register: .word 55
        .long gdt
idt_register: .word 0x31 * 8 - 1
        .long idt
tss:    .long 0, stack_top, 0x10
        .space 92
error:  .long 0
address: .long 0
faults: .long 0
after:  .long 0
steps:  .long 0
last_step: .long 0
.align 8
idt:    .long 0, 0
        .word debug - 0x100000, 0x08, 0x8E00, 0x10
.rept 11
        .long 0, 0
.endr
        .word fault - 0x100000, 0x08, 0x8E00, 0x10
        .word fault - 0x100000, 0x08, 0x8E00, 0x10
.rept 0x30 - 15
        .long 0, 0
.endr
        .word finish - 0x100000, 0x08, 0xEE00, 0x10
.align 4096
stack:  .space 4096
stack_top:
main:
"""

PAGING = """
        mov edi, 0x1f0000               ; the first 2 MB one to one, for everybody
        mov eax, 7
        mov ecx, 512
fill:   stosd
        add eax, 0x1000
        loop fill
        mov dword ptr [0x1f1000], 0x1f0007
        mov eax, 0x1f1000
        mov cr3, eax
        mov eax, cr0
        or eax, 0x80010000
        mov cr0, eax
"""


def kernel(body: str) -> Image:
    program = assemble(HEAD + body)
    return Image("small", Path("small"), program.origin, program.entry, program.image, program)


def same_as_native(body: str, budget: int = BUDGET) -> Machine:
    """Run a kernel natively and translated; the translated machine, at the same end."""
    image = kernel(body)
    ends = []
    for mode in ("native", "rewrite"):
        machine = Machine(image, mode, memory=MEMORY)
        result = machine.run(budget)
        s = machine.mode.guest.s
        memory = machine.mode.guest.memory.read_bytes(0, MEMORY)
        ends.append((result.outcome, result.instructions, list(s[: EIP + 1]), s[EFLAGS], memory))
    bare, virtual = ends
    assert virtual[:4] == bare[:4]
    assert virtual[4] == bare[4]
    return machine


def variable(machine: Machine, name: str) -> int:
    at = machine.image.symbol(name)
    assert at is not None
    return int.from_bytes(machine.mode.guest.memory.read_bytes(at, 4), "little")


def ended_well(machine: Machine) -> bool:
    return machine.devices.exit_code == 0


# -- code that changes ---------------------------------------------------------------------------------


def test_an_instruction_changed_by_the_one_before_it_executes_as_changed() -> None:
    machine = same_as_native("""
        mov ecx, 5
again:  add dword ptr [patch + 1], 3
patch:  mov eax, 10
        add ebx, eax
        loop again
        jmp finish
    """)
    assert ended_well(machine)
    assert machine.mode.guest.s[3] == 13 + 16 + 19 + 22 + 25
    assert machine.ledger.work["units invalidated"] > 0
    assert machine.ledger.traps["#PF trace"] > 0


def test_code_written_by_a_string_instruction_replaces_code_that_has_run() -> None:
    machine = same_as_native("""
        call place
        mov esi, other
        mov edi, place
        mov ecx, other_end - other
        rep movsb
        call place
        jmp finish
place:  mov ebx, 1
        ret
        nop
        nop
other:  mov edx, 2
        inc edx
        ret
other_end:
    """)
    assert ended_well(machine)
    assert (machine.mode.guest.s[3], machine.mode.guest.s[2]) == (1, 3)


def test_code_that_a_program_changes_is_translated_anew() -> None:
    machine = same_as_native("""
        call subject
        push 0x23
        push 0x1e0000
        push 0x202
        push 0x1b
        push program
        iretd
program: mov eax, 0x23
        mov ds, ax
        mov byte ptr [subject + 1], 77
        int 0x30
subject: mov ecx, 11
        ret
    """)
    assert machine.ledger.traps["#PF trace"] == 1
    assert variable(machine, "subject") >> 8 & 0xFF == 77


def test_data_beside_code_is_stored_without_losing_translations() -> None:
    machine = same_as_native("""
        mov ecx, 50
again:  inc dword ptr [beside]
        loop again
        jmp finish
        .space 16
beside: .long 0
    """)
    work, traps = machine.ledger.work, machine.ledger.traps
    assert variable(machine, "beside") == 50
    assert work["instructions adapted"] == 1
    assert traps["#PF trace"] == 4, "after that, the store is a call-out"
    assert traps["callout: inc"] == 46
    assert work["units invalidated"] <= 2


def test_an_instruction_that_crosses_a_page_can_be_changed_in_either_half() -> None:
    machine = same_as_native("""
        mov ecx, 3
        jmp across
.align 4096
        .space 4096 - 3
across: add eax, 0x01010101             ; three bytes here, two there
        inc byte ptr [across + 1]
        inc byte ptr [across + 4]
        loop across
        jmp finish
    """)
    assert ended_well(machine)


# -- pages that move -----------------------------------------------------------------------------------

TWO_PAGES = """
        mov dword ptr [0x1a0000], 0xc301b3      ; mov bl, 1; ret
        mov dword ptr [0x1a1000], 0xc302b3      ; mov bl, 2; ret
"""


@pytest.mark.parametrize("how", ["invlpg [0x1a0000]", "mov eax, cr3\n mov cr3, eax"])
def test_code_at_a_remapped_address_is_the_code_that_is_there_now(how: str) -> None:
    machine = same_as_native(f"""
        {PAGING}
        {TWO_PAGES}
        mov ecx, 4
again:  mov eax, 0x1a0000
        call eax
        movzx edx, bl
        add [total], edx
        xor dword ptr [0x1f0000 + 0x1a0 * 4], 0x1000
        {how}
        call near_call
        loop again
        jmp finish
near_call: call 0x1a0000
        shl dword ptr [total], 2
        ret
.align 4096
total:  .long 0
    """)
    assert ended_well(machine)


def test_code_on_a_page_that_is_taken_away_faults_when_it_is_reached() -> None:
    machine = same_as_native(f"""
        {PAGING}
        {TWO_PAGES}
        mov dword ptr [after], gone
        call 0x1a0000
        call 0x1a0000
        mov dword ptr [0x1f0000 + 0x1a0 * 4], 0
        invlpg [0x1a0000]
        call 0x1a0000
        jmp finish
gone:   pop eax                         ; the return address of the call
        jmp finish
    """)
    assert (variable(machine, "faults"), variable(machine, "address")) == (1, 0x1A0000)
    assert ended_well(machine)


# -- the monitor's corner ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "access",
    [
        "mov eax, [0xffd00000]",
        "mov [0xfffff000], eax",
        "push dword ptr [0xffd00010]",
        "jmp far 0x08:0xffd00000",
    ],
)
def test_the_kernel_finds_nothing_of_the_monitors(access: str) -> None:
    machine = same_as_native(f"""
        {PAGING}
        mov dword ptr [after], finish
        {access}
    """)
    assert variable(machine, "faults") == 1


def test_segment_overrides_reach_the_guests_segments_only() -> None:
    same_as_native("""
        mov eax, gs:[0x100000]
        mov edx, cs:[0x100004]
        mov ebx, cs
        push cs
        push ss
        push gs
        pop gs
        mov ax, 0
        mov gs, ax
        mov dword ptr [after], finish
        mov ecx, gs:[0x100000]          ; null: #GP
    """)


def test_a_program_neither_reads_nor_writes_the_cache() -> None:
    machine = same_as_native(f"""
        {PAGING}
        mov dword ptr [after], finish
        push 0x23
        push 0x1e0000
        push 0x202
        push 0x1b
        push program
        iretd
program: mov eax, 0x23
        mov ds, ax
        mov eax, [0xffd00000]
    """)
    assert variable(machine, "faults") == 1


# -- what is not translated ----------------------------------------------------------------------------


def test_a_kernel_in_a_segment_with_a_base_is_interpreted() -> None:
    machine = same_as_native("""
        jmp far 0x30:(inside - 0x100000)
inside: mov ecx, 10
again:  add eax, ecx
        loop again
        jmp far 0x08:finish
    """)
    assert ended_well(machine)
    assert machine.ledger.work["instructions interpreted"] >= 20


def test_a_kernel_that_single_steps_itself_is_interpreted() -> None:
    machine = same_as_native("""
        push 0x102
        popfd
        mov ecx, 3
        inc ecx
        push 2
        popfd
        jmp finish
    """)
    assert variable(machine, "steps") == 4
    assert ended_well(machine)


# -- what it looks like --------------------------------------------------------------------------------


def built_in(name: str) -> Image:
    path = guests.find(name)
    assert path is not None
    return load_image(path, include_dirs=(guests.LIBRARY,))


def test_programs_run_directly_and_the_kernel_never_does() -> None:
    """The processor is in ring 3 or it executes in the monitor's corner."""
    machine = Machine(built_in("timer"), "rewrite")
    seen = set()
    for count in range(20_000, 60_000, 997):
        machine.advance(count)
        real = machine.mode.cpu.s
        inside = real[EIP] >= MONITOR_BASE
        seen.add((machine.mode.guest.s[10], inside))
        assert inside == (real[10] == 1)
    assert seen == {(0, True), (3, False)}


def test_each_unit_is_announced_and_counted() -> None:
    machine = Machine(built_in("syscall"), "rewrite")
    events: list[Event] = []
    machine.ledger.sinks.append(events.append)
    result = machine.run()
    units = [event for event in events if isinstance(event, Translated)]
    assert len(units) == result.work["units translated"]
    assert sum(unit.guest_bytes for unit in units) == result.work["guest bytes translated"]
    assert all(unit.at >= MONITOR_BASE and unit.instructions <= 12 for unit in units)
    kinds = ("identical", "rewritten", "chained", "in-cache", "call-out")
    assert sum(result.work.get(f"instructions {kind}", 0) for kind in kinds) == sum(
        unit.instructions for unit in units
    )
    call_outs = [event for event in events if isinstance(event, Trap) and event.kind.startswith("callout: ")]
    assert len(call_outs) == result.work["call-outs"]


def test_a_listing_shows_guest_code_beside_the_code_that_stands_for_it() -> None:
    machine = Machine(built_in("hello"), "rewrite")
    machine.run()
    assert isinstance(machine.mode, Rewrite)
    put_bytes = machine.image.symbol("put_bytes")
    assert put_bytes is not None
    lines = machine.mode.listing(put_bytes)
    assert [(line.text, line.treatment) for line in lines[:2]] == [
        ("pusha", "identical"), (lines[1].text, "chained"),
    ]  # fmt: skip
    assert lines[0].code[0][1] == "pusha"
    assert [text.split()[0] for _at, text in lines[1].code] == ["jecxz", "jmp", "jmp"]
    addresses = [at for line in lines for at, _text in line.code]
    assert addresses == sorted(addresses)
    assert machine.mode.listing(0x10) == []


def test_a_breakpoint_in_the_kernel_stops_before_its_instruction() -> None:
    machine = Machine(built_in("hello"), "rewrite")
    puts = machine.image.symbol("puts")
    assert puts is not None
    bare = Machine(built_in("hello"))
    for _ in range(2):
        for each in (machine, bare):
            each.mode.breakpoints = ()
            each.advance(each.mode.count + 1)
            each.mode.breakpoints = {puts}
        stops = machine.advance(BUDGET), bare.advance(BUDGET)
        assert stops[0] is stops[1] is BREAKPOINT
        assert machine.mode.guest.s[EIP] == puts
        assert machine.mode.count == bare.mode.count


def test_an_interrupt_that_waits_makes_sti_trap_and_none_else() -> None:
    machine = Machine(built_in("kernel"), "rewrite")
    result = machine.run()
    assert result.outcome is Outcome.SUCCESS
    assert 0 < result.traps.get("sti", 0) < 5
    assert "callout: sti" not in result.traps
    assert "callout: popf" not in result.traps
    assert "callout: pushf" not in result.traps


def test_what_a_program_sees_of_the_real_machine_is_reported() -> None:
    image = kernel("""
        push 0x23
        push 0x1e0000
        push 0x202
        push 0x1b
        push program
        iretd
program: mov eax, 0x23
        mov ds, ax
        sidt [0x1d0000]
        mov eax, 1
        int 0x30
    """)
    result = Machine(image, "rewrite", memory=MEMORY).run(BUDGET)
    assert [divergence.kind for divergence in result.divergences] == ["sidt"]
