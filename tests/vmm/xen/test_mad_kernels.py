"""Kernels that execute anything at all in ring 1: the run ends in words, and the frame table is right."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest
from xen_rig import MODE, audit, domain_of

from isa import consts as c
from isa.asm import assemble
from isa.state import CPL, EFLAGS
from vmm import Machine, Outcome
from vmm.image import Image

SEED = int(os.environ.get("VMSIM_SEED", "20261122"))
KERNELS = int(os.environ.get("VMSIM_MAD_KERNELS", "40"))


def small(source: str) -> Machine:
    program = assemble(source, name="small.asm")
    made = Image("small", Path("small.asm"), program.origin, program.entry, program.image, program)
    return Machine(made, MODE, memory=6 << 20)


def random_kernel(r: random.Random) -> str:
    """Slots of 16 bytes with random bytes, instructions and hypercalls. After a fault it goes on at the next."""
    lines = [
        ".org 0x100000",
        "start: mov esp, stack_top",
        "mov [start_info], esi",
        *(
            "mov eax, 14",
            "mov ebx, shared",
            "mov ecx, [esi + 36]",
            "or ecx, 3",
            "xor edx, edx",
            "xor esi, esi",
        ),
        "int 0x82",
        *("xor eax, eax", "mov ebx, traps", "int 0x82"),
        *(
            "mov eax, 4",
            "mov ebx, 0xe019",
            "mov ecx, event",
            "mov edx, 0xe019",
            "mov esi, failsafe",
            "int 0x82",
        ),
        "jmp body",
        "event: failsafe: plain:",
        "mov ax, 0xe021",
        *("mov ds, ax", "mov es, ax", "mov ss, ax", "mov esp, stack_top"),
        "inc dword ptr [slot]",
        "mov eax, [slot]",
        *("cmp eax, SLOTS", "jae over", "shl eax, 4", "add eax, body"),
        "jmp eax",
        "over: mov eax, 29",
        *("mov ebx, 2", "mov ecx, zero", "int 0x82", "jmp over"),
        ".align 16",
        "body:",
    ]
    slots = 60
    for _ in range(slots):
        lines.append(_slot(r))
        lines.append("ud2\n.align 16, 0xcc")
    lines += ["jmp over", ".align 4", "slot: .long 0", "zero: .long 0", "start_info: .long 0", "traps:"]
    for vector in range(256):
        lines.append(f".byte {vector}, {r.choice((0, 3, 4, 7))}\n.word 0xe019\n.long plain")
    lines += [".long 0, 0", ".align 4096", "data: .space 8192", "shared: .space 4096", "stack: .space 4096"]
    lines += ["stack_top:", f".equ SLOTS, {slots}"]
    return "\n".join(lines)


def _slot(r: random.Random) -> str:
    pointers = [
        "data",
        "shared",
        "start_info",
        "0x102000",
        "0xfc000000",
        "0xfc3ffffe",
        "0xffc00000",
        "0x3ff000",
    ]
    pointer = r.choice([*pointers, hex(r.getrandbits(32))])
    selector = r.choice(
        (0, 8, 0x0F, 0xE018, 0xE019, 0xE021, 0xE02B, 0xE033, 0xE040, 0xE048, r.getrandbits(16))
    )
    choices = [
        lambda: ".byte " + ", ".join(str(r.getrandbits(8)) for _ in range(r.randrange(1, 12))),
        lambda: f"mov eax, [{pointer}]",
        lambda: f"mov dword ptr [{pointer}], {r.getrandbits(32)}",
        lambda: f"mov eax, {selector}\n mov {r.choice(('ds', 'es', 'fs', 'gs', 'ss'))}, ax",
        lambda: f"jmp {hex(selector)}:{r.choice(('body', hex(r.getrandbits(32))))}",
        lambda: f"push {selector}\n push body\n retf",
        lambda: f"push {r.getrandbits(22)}\n push {selector}\n push body\n iretd",
        lambda: f"push {r.getrandbits(22)}\n popfd",
        lambda: f"mov ecx, {r.getrandbits(8)}\n rep {r.choice(('stosd', 'movsd', 'insd', 'outsb'))}",
        lambda: f"mov eax, {r.randrange(50)}\n mov ebx, {pointer}\n int 0x82",
        lambda: f"mov ecx, {r.randrange(4)}\n mov edx, {pointer}\n int 0x82",
        lambda: f"mov eax, {r.getrandbits(32)}\n mov {r.choice(('cr0', 'cr3', 'cr4', 'dr1', 'dr6'))}, eax",
        lambda: r.choice(
            ("cli", "sti", "hlt", "clts", "wbinvd", "rdmsr", "wrmsr", "rdtsc", "cpuid", "into", "leave")
        ),
        lambda: f"int {r.getrandbits(8)}",
    ]
    if r.random() < 0.01:
        return f"mov esp, {pointer}\n {r.choice(('pushad', 'int3', 'call body', 'ud2'))}"
    return r.choice(choices)()


def private_pages(machine: Machine) -> list[bytes]:
    """Pages of the hypervisor's that nothing may ever change."""
    descriptors, mmu = domain_of(machine).descriptors, domain_of(machine).mmu
    ram = descriptors.ram
    return [ram.read(at, c.PAGE_SIZE) for at in (descriptors.flat, descriptors.empty, mmu.m2p_table)]


@pytest.mark.parametrize("batch", range(4))
def test_whatever_a_kernel_executes_ends_in_an_outcome(batch: int) -> None:
    outcomes: Counter[Outcome] = Counter()
    untouched = private_pages(small(random_kernel(random.Random(0))))
    for n in range(KERNELS):
        r = random.Random(SEED * 1000 + batch * KERNELS + n)
        machine = small(random_kernel(r))
        result = machine.run(20_000)
        outcomes[result.outcome] += 1
        assert result.outcome is not Outcome.ERROR, (SEED, batch, n, result.text)
        assert audit(domain_of(machine)) == [], (SEED, batch, n)
        s = machine.mode.cpu.s
        assert s[CPL] in (1, 2, 3) and s[EFLAGS] & c.IF
        assert private_pages(machine) == untouched
    assert outcomes[Outcome.SUCCESS] > 0, outcomes
