"""Exceptions, INT n, returns and failures of a guest's kernel: small kernels, each with one question."""

from __future__ import annotations

import pytest
from xen_rig import audit, domain_of, run_kernel, word_at

from isa import consts as c
from vmm import Machine, Outcome, Result

# Every trap is noted in `seen`; execution goes on at [resume], or behind the trap if that is 0.
HARNESS = """
.include "lib/trap.inc"
.include "lib/user.inc"
.equ POOL_PAGES, 4
.include "lib/paging.inc"
trap:
    mov edi, [next_seen]
    cmp edi, seen_end
    jae .noted
    mov eax, [ebp + FRAME_VECTOR]
    stosd
    mov eax, [ebp + FRAME_ERROR]
    stosd
    mov eax, [ebp + FRAME_EIP]
    stosd
    mov eax, [ebp + FRAME_CS]
    stosd
    mov eax, [ebp + FRAME_EFLAGS]
    stosd
    mov eax, [shared_info + FAULT_ADDRESS]
    stosd
    movzx eax, byte ptr [shared_info + UPCALL_MASK]
    stosd
    mov eax, [ebp + FRAME_ESP]
    stosd
    mov [next_seen], edi
.noted:
    mov eax, [resume]
    test eax, eax
    jz .return
    mov [ebp + FRAME_EIP], eax
    mov dword ptr [resume], 0
.return:
    ret
.align 4
resume: .long 0
next_seen: .long seen
seen: .space 32 * 32
seen_end:
.macro faults_to label
    mov dword ptr [resume], \\label
.endm
.macro user_page
    call paging_init
    mov eax, user_begin
    mov edx, user_begin + (PTE_P | PTE_W | PTE_U)
    call map_page
.endm
.macro into_ring3 flags
    mov edi, boot_stack_top
    lea esp, [edi - FRAME_SIZE]
    mov eax, user_begin
    mov edx, user_begin + PAGE_SIZE
    mov ecx, \\flags
    call user_frame
    jmp trap_return
.endm
"""
VECTOR, ERROR, AT, CS, FLAGS, ADDRESS, MASK, STACK = range(8)


def run(source: str, *, budget: int = 100_000) -> tuple[Machine, Result]:
    machine, result = run_kernel(HARNESS + source, budget=budget)
    assert audit(domain_of(machine)) == []
    return machine, result


def seen(machine: Machine, n: int = 0) -> list[int]:
    """What the handler noted of trap n."""
    return [word_at(machine, "seen", 8 * n + field) for field in range(8)]


def trap_count(machine: Machine) -> int:
    begin = machine.image.symbol("seen")
    assert begin is not None
    return (word_at(machine, "next_seen") - begin) // 32


@pytest.mark.parametrize(
    ("instruction", "vector", "error"),
    [
        ("ud2", c.VEC_UD, 0),
        ("div ecx", c.VEC_DE, 0),
        ("hlt", c.VEC_GP, 0),
        ("lgdt [resume]", c.VEC_GP, 0),
        ("invlpg [0]", c.VEC_GP, 0),
        ("mov eax, [0xfc400000]", c.VEC_GP, 0),
        ("mov eax, [0xffc00000]", c.VEC_GP, 0),
        ("mov dword ptr [0xffc20000], 0", c.VEC_GP, 0),
        ("mov eax, 0xe040\n mov ds, ax", c.VEC_GP, 0xE040),
        ("mov eax, 0x08\n mov es, ax", c.VEC_GP, 0x08),
        ("mov eax, 0x0c\n mov es, ax", c.VEC_GP, 0x0C),
        ("mov eax, 0xe008\n mov ds, ax", c.VEC_GP, 0xE008),
        ("jmp 0xfc500000", c.VEC_GP, 0),
        ("jmp 0xe019:0xffc00000", c.VEC_GP, 0),
        ("jmp 0xe008:after", c.VEC_GP, 0xE008),
        ("call 0xe02b:after", c.VEC_GP, 0xE028),
        ("int 0x55", None, None),
        ("mov dword ptr [0xfc000000], 1", c.VEC_PF, 3),
        ("mov eax, [0x500000]", c.VEC_PF, 0),
        ("mov dword ptr [0x500000], 1", c.VEC_PF, 2),
        ("jmp 0x500000", c.VEC_PF, 0),
    ],
)
def test_an_exception_of_the_kernel_is_bounced_as_hardware_would_deliver_it(
    instruction: str, vector: int | None, error: int | None
) -> None:
    machine, result = run(
        f"""
main:   call traps_init
        xor ecx, ecx
        faults_to after
fault_here:
        {instruction}
after:  mov eax, KERNEL_DS
        mov ds, ax
        mov es, ax
        xor eax, eax
        ret
"""
    )
    if vector is None:  # a vector without a handler
        assert result.outcome is Outcome.TRIPLE_FAULT
        assert "no handler" in result.text
        return
    assert result.outcome is Outcome.SUCCESS, result.text
    frame = seen(machine)
    assert frame[:2] == [vector, error]
    assert frame[CS] == 0x0001_E019  # the saved mask above the selector: events were masked
    assert not frame[FLAGS] & (c.IF | c.IOPL)
    assert trap_count(machine) == 1
    assert result.work["exceptions bounced"] == 1


def test_the_faulting_address_is_in_the_shared_page() -> None:
    machine, _result = run(
        "main: call traps_init\n faults_to after\n mov [0x7ff123], al\nafter: xor eax, eax\n ret"
    )
    assert seen(machine)[ADDRESS] == 0x7F_F123


def test_the_frame_from_ring_3_has_stack_and_mask_and_comes_on_the_kernel_stack() -> None:
    machine, result = run(
        """
main:   call traps_init
        user_page
        into_ring3 EFLAGS_ONE | EFLAGS_IF
.align PAGE_SIZE
user_begin:
        mov eax, 5
        int 0x80
        cli
        xor eax, eax
        mov [image_start], eax
        .space PAGE_SIZE - 20
""",
        budget=5000,
    )
    assert result.outcome is Outcome.BUDGET  # the last fault happens over and over
    begin = machine.image.symbol("user_begin")
    assert begin is not None
    system_call, privileged, forbidden = (seen(machine, n) for n in range(3))
    assert (system_call[VECTOR], system_call[AT]) == (0x80, begin + 7)
    assert system_call[CS] == 0xE02B and system_call[FLAGS] & c.IF
    assert system_call[STACK] == begin + 0x1000
    assert system_call[MASK] == 1  # TRAP_MASKS_EVENTS
    assert (privileged[VECTOR], privileged[ERROR], privileged[AT]) == (c.VEC_GP, 0, begin + 7)
    assert forbidden == privileged  # nobody skipped it


def test_int_82_from_ring_3_is_no_hypercall() -> None:
    machine, result = run(
        """
main:   call traps_init
        user_page
        into_ring3 EFLAGS_ONE
.align PAGE_SIZE
user_begin:
        xor eax, eax
        int 0x82
        .space PAGE_SIZE - 4
""",
        budget=5000,
    )
    assert seen(machine)[:2] == [c.VEC_GP, 0x82 << 3 | 2]
    assert result.traps["int 0x82"] == result.work["exceptions bounced"] > 1


def test_int_n_is_open_to_ring_3_only_if_the_table_says_so() -> None:
    machine, _result = run(
        """
main:   call traps_init
        user_page
        into_ring3 EFLAGS_ONE
.align PAGE_SIZE
user_begin:
        int3
        int 0x0e
        .space PAGE_SIZE - 4
""",
        budget=5000,
    )
    assert seen(machine, 0)[:2] == [c.VEC_BP, 0]
    assert seen(machine, 1)[:2] == [c.VEC_GP, 0x0E << 3 | 2]


def test_a_kernel_reaches_its_own_vectors_by_int() -> None:
    machine, result = run("main: call traps_init\n int 0x80\n int3\n into\n xor eax, eax\n ret")
    assert result.outcome is Outcome.SUCCESS
    assert [seen(machine, n)[VECTOR] for n in range(2)] == [0x80, 3]
    assert trap_count(machine) == 2


def test_single_step_is_the_guests() -> None:
    machine, result = run(
        """
main:   call traps_init
        pushfd
        or dword ptr [esp], 0x100
        popfd
        nop
        nop
stop:   pushfd
        and dword ptr [esp], 0xfffffeff
        popfd
        nop
        xor eax, eax
        ret
"""
    )
    assert result.outcome is Outcome.SUCCESS
    assert {seen(machine, n)[VECTOR] for n in range(trap_count(machine))} == {c.VEC_DB}
    assert trap_count(machine) == 5
    assert seen(machine)[FLAGS] & c.TF


# -- ways to end ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("main: ud2", "no handler"),
        ("main: call traps_init\n mov esp, 0x500000\n ud2", "no frame can be written"),
        ("main: call traps_init\n mov esp, 0xfc400004\n ud2", "no frame can be written"),
        ("main: mov esp, 0x500000\n hypercall HYPERCALL_IRET", "frame cannot be read"),
        ("main: push 0\n push 0xe018\n push 0\n push 0\n hypercall HYPERCALL_IRET", "ring 0"),
        ("main: push 0\n push 0\n push 0\n push 0\n hypercall HYPERCALL_IRET", "ring 0"),
    ],
)
def test_a_guest_without_a_way_on_ends_like_a_triple_fault(source: str, words: str) -> None:
    machine, result = run(source + "\n ret")
    assert result.outcome is Outcome.TRIPLE_FAULT
    assert words in result.text and "crashed at kernel.asm:" in result.text
    assert len(result.details) == 4
    assert result.exit_code is None
    assert domain_of(machine).sched.shut_down is False


FAILSAFE = """
main:   call traps_init
        mov ebx, 0
        mov ecx, my_failsafe
        hypercall_must_succeed HYPERCALL_CALLBACK
        {body}
failed: mov eax, 1
        jmp finish
on_mine:
        mov ebp, esp
        mov eax, KERNEL_DS
        mov ds, ax
        mov es, ax
        mov esp, boot_stack_top
        mov esi, ebp
        mov edi, seen
        mov ecx, 8
        rep movsd
        xor eax, eax
        jmp finish
my_failsafe: .word CALLBACK_FAILSAFE, 0
        .long KERNEL_CS, on_mine
"""


def test_the_failsafe_callback_takes_a_return_that_cannot_be() -> None:
    machine, result = run(
        FAILSAFE.format(
            body="push USER_DS\n push 0x1234\n push EFLAGS_ONE | EFLAGS_IF\n push USER_DS | 3\n push 0x4321\n"
            "push 7\n hypercall HYPERCALL_IRET"
        )
    )
    assert result.outcome is Outcome.SUCCESS, result.text
    ds, es, _fs, _gs, eip, cs, eflags, esp = seen(machine)
    assert (ds, es) == (0xE021, 0xE021)
    assert (eip, cs, esp) == (0x4321, 0xE033, 0x1234)
    assert eflags & c.IF


def test_the_failsafe_callback_takes_a_stack_for_ring_3_that_is_ring_1s() -> None:
    machine, result = run(
        FAILSAFE.format(
            body="push KERNEL_DS\n push 0x1234\n push EFLAGS_ONE\n push USER_CS\n push 0x4321\n push 7\n"
            "hypercall HYPERCALL_IRET"
        )
    )
    assert result.outcome is Outcome.SUCCESS, result.text
    assert seen(machine)[4:6] == [0x4321, 0x0001_E02B]


def test_a_segment_that_is_taken_away_is_noticed_on_the_way_back() -> None:
    """DS is loaded from the guest's GDT; set_gdt then leaves nothing there."""
    machine, result = run(
        FAILSAFE.format(
            body="""
        mov eax, table
        call make_read_only
        call machine_address
        shr eax, PAGE_SHIFT
        mov [frames], eax
        mov ebx, frames
        mov ecx, 2
        hypercall_must_succeed HYPERCALL_SET_GDT
        mov eax, 0x09
        mov fs, ax
        xor ebx, ebx
        xor ecx, ecx
        hypercall_must_succeed HYPERCALL_SET_GDT
        jmp failed
.align 4
frames: .long 0
.align PAGE_SIZE
table:  .long 0, 0, 0x0000ffff, 0x00cfb300
        .space PAGE_SIZE - 16
"""
        )
    )
    assert result.outcome is Outcome.SUCCESS, result.text
    assert seen(machine)[:4] == [0xE021, 0xE021, 0x09, 0xE021]


def test_iret_returns_to_ring_1_with_eax_and_mask_from_the_frame() -> None:
    machine, result = run(
        """
main:   call traps_init
        mov ecx, esp
        push EFLAGS_ONE | EFLAGS_IF | 1
        push KERNEL_CS
        push back
        push 0x5a5a
        hypercall HYPERCALL_IRET
        ud2
back:   jnc wrong
        cmp esp, ecx
        jne wrong
        cmp eax, 0x5a5a
        jne wrong
        movzx eax, byte ptr [shared_info + UPCALL_MASK]
        ret
wrong:  mov eax, 1
        ret
"""
    )
    assert result.outcome is Outcome.SUCCESS, result.text
    assert machine.ledger.work["hypercall: iret"] == 1


def test_iret_to_virtual_8086_mode_is_a_protection_fault() -> None:
    machine, result = run(
        """
main:   call traps_init
        faults_to after
        push 0x20002
        push KERNEL_CS
        push after
        push 0
        hypercall HYPERCALL_IRET
after:  xor eax, eax
        mov esp, boot_stack_top
        jmp finish
"""
    )
    assert result.outcome is Outcome.SUCCESS, result.text
    assert seen(machine)[:2] == [c.VEC_GP, 0]


def test_the_processors_own_iret_works_in_ring_1() -> None:
    _machine, result = run(
        "main: call traps_init\n pushfd\n push cs\n push back\n iretd\n ud2\nback: xor eax, eax\n ret"
    )
    assert result.outcome is Outcome.SUCCESS, result.text
