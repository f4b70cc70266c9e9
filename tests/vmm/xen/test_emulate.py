"""What still traps: privileged instructions as Xen emulates them, and stores into page tables."""

from __future__ import annotations

import pytest
from test_traps import ADDRESS, ERROR, VECTOR, run, seen, trap_count
from xen_rig import domain_of, word_at

from isa import consts as c
from isa.state import CR0, CR3, CR4
from vmm import Outcome


def kernel(body: str) -> str:
    return f"""
main:   call traps_init
        {body}
        mov [answer], eax
        mov [answer + 4], ebx
        mov [answer + 8], ecx
        mov [answer + 12], edx
        xor eax, eax
        ret
.align 4
answer: .long 0, 0, 0, 0
"""


@pytest.mark.parametrize(
    ("body", "row", "eax"),
    [
        ("mov eax, 0x12345678\n in al, 0x60", "in", 0x1234_56FF),
        ("mov dx, 0x3f8\n in eax, dx", "in", c.M32),
        ("mov eax, 5\n out 0xf4, al", "out", 5),  # no verdict: the domain has no ports
        ("xor eax, eax\n wbinvd", "wbinvd", 0),
        ("mov eax, cr2", "mov cr", 0),
        ("mov eax, 77\n mov cr2, eax\n mov eax, [shared_info + FAULT_ADDRESS]", "mov cr", 77),
        ("mov eax, 0x1234\n mov dr1, eax\n xor eax, eax\n mov eax, dr1", "mov dr", 0x1234),
        ("xor eax, eax\n mov cr4, eax\n mov eax, 3", "mov cr", 3),
        ("mov edi, buffer\n mov dx, 0x60\n insb\n movzx eax, byte ptr [buffer]", "ins", 0xFF),
        ("mov esi, buffer\n mov dx, 0x60\n outsd\n lea eax, [esi - buffer]", "outs", 4),
        ("mov edi, buffer\n mov dx, 0x60\n mov ecx, 3\n rep insd\n mov eax, [buffer + 8]", "ins", c.M32),
    ],
)
def test_an_instruction_of_the_whitelist_is_emulated_in_the_kernel(body: str, row: str, eax: int) -> None:
    machine, result = run(kernel(body) + "\nbuffer: .long 0, 0, 0, 0")
    assert result.outcome is Outcome.SUCCESS, result.text
    assert word_at(machine, "answer") == eax
    assert result.traps[row] == result.work["instructions emulated"] >= 1
    assert trap_count(machine) == 0
    assert result.console == ""


def test_cli_and_sti_do_nothing_at_all() -> None:
    machine, result = run(
        kernel(
            "sti\n pushfd\n pop ecx\n movzx ebx, byte ptr [shared_info + UPCALL_MASK]\n cli\n pushfd\n pop edx\n"
            "movzx eax, byte ptr [shared_info + UPCALL_MASK]"
        )
    )
    assert result.traps["cli"] == result.traps["sti"] == 1
    assert [word_at(machine, "answer", n) for n in range(2)] == [1, 1]
    assert word_at(machine, "answer", 2) & word_at(machine, "answer", 3) & c.IF  # the real flag, always


def test_task_switched_is_the_one_bit_of_cr0_that_a_guest_can_change() -> None:
    machine, result = run(
        kernel("mov eax, cr0\n or eax, 8\n mov cr0, eax\n mov eax, cr0\n clts\n mov ebx, cr0")
    )
    assert result.outcome is Outcome.SUCCESS, result.text
    assert word_at(machine, "answer") == word_at(machine, "answer", 1) | c.CR0_TS
    assert not domain_of(machine).cpu.s[CR0] & c.CR0_TS


@pytest.mark.parametrize(
    "body",
    [
        "mov eax, cr0\n and eax, 0x7fffffff\n mov cr0, eax",
        "mov eax, cr0\n and eax, 0xfffeffff\n mov cr0, eax",
        "mov eax, cr0\n and eax, 0xfffffffe\n mov cr0, eax",
        "xor eax, eax\n mov cr3, eax",
        "mov eax, 0x7ffff000\n mov cr3, eax",
        "mov eax, 0xffffffff\n mov cr4, eax",
        "mov ecx, 0x174\n rdmsr",
        "mov ecx, 0xc0000080\n wrmsr",
        "lmsw ax",
        "hlt",
        "invd",
    ],
)
def test_what_a_guest_may_not_do_is_a_protection_fault(body: str) -> None:
    machine, result = run(kernel(f"faults_to refused\n {body}\nrefused:"))
    assert result.outcome is Outcome.SUCCESS, result.text
    assert seen(machine)[:2] == [c.VEC_GP, 0]
    s = domain_of(machine).cpu.s
    assert s[CR0] & c.CR0_PG and s[CR0] & c.CR0_WP and s[CR0] & c.CR0_PE and not s[CR4]
    assert s[CR3]


def test_cr3_reads_as_a_machine_frame_and_is_loaded_if_it_is_a_directory() -> None:
    machine, result = run(
        kernel("call paging_init\n mov eax, cr3\n mov cr3, eax\n mov ebx, cr3\n mov ecx, 0")
    )
    assert result.outcome is Outcome.SUCCESS, result.text
    assert word_at(machine, "answer") == word_at(machine, "answer", 1) == domain_of(machine).cpu.s[CR3]


def test_forced_emulation_of_cpuid_shows_the_hypervisor() -> None:
    machine, result = run(kernel('mov eax, 0x40000000\n ud2\n .ascii "xen"\n cpuid'))
    assert result.outcome is Outcome.SUCCESS, result.text
    words = [word_at(machine, "answer", n) for n in range(1, 4)]
    assert b"".join(word.to_bytes(4, "little") for word in words) == b"XenVMMXenVMM"
    assert trap_count(machine) == 0


def test_forced_emulation_of_anything_else_is_an_invalid_opcode() -> None:
    machine, _result = run(kernel('faults_to after\n ud2\n .ascii "xen"\n rdtsc\nafter:'))
    assert seen(machine)[VECTOR] == c.VEC_UD
    machine, _result = run(kernel('faults_to after\n ud2\n .ascii "xem"\n cpuid\nafter:'))
    assert seen(machine)[VECTOR] == c.VEC_UD


def test_the_time_stamp_counter_runs_without_a_trap_and_agrees_with_the_time() -> None:
    machine, result = run(kernel("rdtsc\n mov ebx, [shared_info + 40]"))
    assert "rdtsc" not in result.traps
    assert 0 <= word_at(machine, "answer") - word_at(machine, "answer", 1) < 200


def test_a_port_of_the_kernels_is_not_one_of_ring_3() -> None:
    machine, result = run(
        """
main:   call traps_init
        user_page
        into_ring3 EFLAGS_ONE
.align PAGE_SIZE
user_begin:
        in al, 0x60
        .space PAGE_SIZE - 2
""",
        budget=3000,
    )
    assert seen(machine)[:2] == [c.VEC_GP, 0]
    assert result.traps["in"] > 1


# -- stores into page tables --------------------------------------------------------------------------

# EBX = the entry that maps `toy`, in the first page table, where the kernel can read it.
FIND = """
        mov ebx, [start_info]
        mov ebx, [ebx + START_PT_BASE]
        mov edi, ebx                        ; the directory
        add ebx, PAGE_SIZE
        mov eax, toy
        shr eax, 12
        lea ebx, [ebx + eax*4]
"""
TOY = "\n.align PAGE_SIZE\ntoy: .space PAGE_SIZE\ntoy2: .long 0x2222\n.space PAGE_SIZE - 4\n"


@pytest.mark.parametrize(
    "store",
    [
        "mov eax, [ebx]\n and eax, ~2\n mov [ebx], eax",
        "and dword ptr [ebx], ~2",
        "btr dword ptr [ebx], 1",
        "and byte ptr [ebx], ~2",
        "and word ptr [ebx], ~2",
        "mov eax, [ebx]\n mov ecx, eax\n and ecx, ~2\n lock cmpxchg [ebx], ecx",
        "mov eax, [ebx]\n and eax, ~2\n xchg [ebx], eax",
        "mov eax, [ebx]\n and eax, ~2\n mov edi, ebx\n stosd",
        "mov eax, [ebx]\n and eax, ~2\n mov [other], eax\n mov esi, other\n mov edi, ebx\n mov ecx, 1\n rep movsd",
        "mov eax, [ebx]\n and eax, ~2\n mov ecx, esp\n lea esp, [ebx + 4]\n push eax\n mov esp, ecx",
    ],
)
def test_a_store_into_a_page_table_is_checked_and_done(store: str) -> None:
    machine, result = run(
        kernel(
            f"{FIND}\n {store}\n mov eax, [toy]\n faults_to refused\n mov dword ptr [toy], 1\n mov eax, 1\nrefused:"
        )
        + "\nother: .long 0"
        + TOY
    )
    assert result.outcome is Outcome.SUCCESS, result.text
    assert seen(machine)[:2] == [c.VEC_PF, 3]
    assert seen(machine)[ADDRESS] == machine.image.symbol("toy")
    assert trap_count(machine) == 1
    assert result.work["page-table updates"] == 2  # and the shared page's
    assert result.work["instructions emulated"] == 1
    assert result.traps["#PF"] == 2


@pytest.mark.parametrize(
    ("store", "why"),
    [
        ("mov eax, [ebx + 4]\n and eax, 0xfff\n mov [ebx], eax", "frame 0 is not its own"),
        ("or dword ptr [ebx], 0x80", "a bit that is not allowed"),
        ("mov eax, [edi]\n or eax, 2\n mov [ebx], eax", "a page table, writable"),
        ("mov eax, 0x40000003\n mov [ebx], eax", "no such frame"),
        ("mov eax, [ebx]\n mov [ebx + 1], eax", "across two entries"),
        ("mov eax, [edi]\n mov [edi + 4], eax", "a directory"),
        ("mov dword ptr [edi], 0", "a directory"),
        ("mov esp, ebx\n int3", "a frame on a page table"),
    ],
)
def test_a_store_that_would_forge_a_page_table_is_the_guests_page_fault(store: str, why: str) -> None:
    """Stores through the pointers that the last test uses; nothing changes and the kernel gets its #PF."""
    machine, result = run(
        kernel(f"{FIND}\n faults_to refused\n {store}\n mov dword ptr [resume], 0\n ud2\nrefused:") + TOY
    )
    if "esp" in store:
        assert result.outcome is Outcome.TRIPLE_FAULT, why
        return
    assert result.outcome is Outcome.SUCCESS, (why, result.text)
    assert seen(machine)[VECTOR] == c.VEC_PF and seen(machine)[ERROR] & 3 == 3, why
    assert result.work["page-table updates"] == 1, why


def test_a_whole_table_is_filled_by_one_rep_stos_entry_by_entry() -> None:
    machine, result = run(
        kernel(
            f"""{FIND}
        mov edi, ebx
        mov ecx, 2
        xor eax, eax
        rep stosd                           ; toy and toy2 are gone
        faults_to refused
        mov eax, [toy2]
        ud2
refused:"""
        )
        + TOY
    )
    assert result.outcome is Outcome.SUCCESS, result.text
    assert result.work["instructions emulated"] == 2
    assert seen(machine)[:2] in ([c.VEC_PF, 0], [c.VEC_UD, 0])


def test_ring_3_cannot_store_into_a_page_table_that_it_is_shown() -> None:
    machine, result = run(
        f"""
main:   call traps_init
        user_page
        {FIND}
        mov [where], ebx
        mov eax, ebx
        and eax, ~0xfff
        mov edx, eax
        or edx, PTE_P | PTE_U
        call map_page                       ; read-only, for ring 3
        into_ring3 EFLAGS_ONE
.align PAGE_SIZE
user_begin:
        mov ebx, [where]
        mov eax, [ebx]
        mov dword ptr [ebx], 0
        .space PAGE_SIZE - 20
where:  .long 0
"""
        + TOY,
        budget=4000,
    )
    assert seen(machine)[:2] == [c.VEC_PF, 7]
    assert "instructions emulated" not in result.work
