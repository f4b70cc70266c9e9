"""A domain to experiment on: hypercalls one at a time from a test, and kernels of a few lines.

`Rig.call` executes a real INT 82h in ring 1 of a domain whose kernel does nothing else; memory behind the
kernel is free for arguments. `run_kernel` assembles a kernel with the guests' library and runs it to its
end. `audit` counts every reference of a domain anew and says what the frame table has got wrong.
"""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

import guests
from isa import consts as c
from isa.asm import assemble
from isa.state import CR3, EIP
from vmm import Machine, Result
from vmm.image import Image
from vmm.xen import abi
from vmm.xen.domain import Domain
from vmm.xen.hypercalls import ARGUMENTS
from vmm.xen.pages import ENTRIES, GUEST_L2_ENTRIES, PageType

KERNEL = """
.org 0x100000
again:  int 0x82
        jmp again
.org 0x101000
arguments: .space 0x10000
"""
ARGUMENTS_AT = 0x101000
MODE = "para"
MEMORY = 8 << 20
ACCESSED_DIRTY = c.PTE_A | c.PTE_D


def image_of(source: str) -> Image:
    program = assemble(source, name="kernel.asm", defines={"PARA": 1}, include_dirs=(guests.LIBRARY,))
    return Image("kernel", Path("kernel.asm"), program.origin, program.entry, program.image, program)


def domain_of(machine: Machine) -> Domain:
    domain = machine.mode.domain  # type: ignore[attr-defined]
    assert isinstance(domain, Domain)
    return domain


class Rig:
    """One domain, and a hand on its registers."""

    def __init__(self, *, memory: int = MEMORY) -> None:
        self.machine = Machine(image_of(KERNEL), MODE, memory=memory)
        self.domain = domain_of(self.machine)
        self.cpu = self.domain.cpu
        self.pages = self.domain.pages

    def call(self, name: str | int, *arguments: int) -> int:
        """The result of a hypercall, signed; a call that is interrupted is carried on to its end."""
        s = self.cpu.s
        s[c.EAX] = abi.HYPERVISOR[name] if isinstance(name, str) else name
        for register, value in zip(ARGUMENTS, arguments, strict=False):
            s[register] = value & c.M32
        s[EIP] = 0x100000
        while s[EIP] == 0x100000:
            stop = self.machine.advance(self.machine.mode.count + 1)
            assert stop is None, stop
        result = s[c.EAX]
        return result - (1 << 32) if result >> 31 else result

    def put(self, *words: int, at: int = ARGUMENTS_AT) -> int:
        """Words in the guest's memory; their address."""
        self.domain.memory.write(at, struct.pack(f"<{len(words)}I", *words))
        return at

    def get(self, count: int = 1, at: int = ARGUMENTS_AT) -> tuple[int, ...]:
        return self.domain.memory.words(at, count)

    def mfn(self, gva: int) -> int:
        """The machine frame of a page that the domain was built with."""
        return self.domain.frames[gva >> 12]

    def pte(self, gva: int) -> int:
        return self.pages.entry(*self.domain.mmu.l1_slot(gva))

    def map(self, gva: int, entry: int, flags: int = abi.UVMF_INVLPG) -> int:
        return self.call("update_va_mapping", gva, entry, 0, flags)

    def mmu_update(self, *pairs: tuple[int, int]) -> int:
        at = self.put(*(word for pointer, value in pairs for word in (pointer, 0, value, 0)))
        return self.call("mmu_update", at, len(pairs), 0, abi.DOMID_SELF)

    def mmuext(self, command: int, first: int = 0, second: int = 0) -> int:
        at = self.put(command, first, second)
        return self.call("mmuext_op", at, 1, 0, abi.DOMID_SELF)

    @property
    def directory(self) -> int:
        """The frame that CR3 names."""
        return self.cpu.s[CR3] >> 12

    def free_page(self, n: int = 0) -> int:
        """The address of a page that nobody uses: behind the arguments."""
        return 0x111000 - 0x1000 * (n + 1)

    def make_table(self, gva: int, words: dict[int, int] | None = None) -> int:
        """Fill a page with entries and give up the right to write it; its frame."""
        page = [0] * ENTRIES
        for index, entry in (words or {}).items():
            page[index] = entry
        self.put(*page, at=gva)
        assert self.map(gva, self.mfn(gva) << 12 | c.PTE_P) == 0
        return self.mfn(gva)


def run_kernel(source: str, *, budget: int = 200_000) -> tuple[Machine, Result]:
    """A kernel that begins with lib/boot.inc and has a `main`."""
    machine = Machine(image_of('.include "lib/boot.inc"\n' + source), MODE)
    return machine, machine.run(budget)


def word_at(machine: Machine, symbol: str, n: int = 0) -> int:
    """A word of the guest's memory by its label."""
    at = machine.image.symbol(symbol)
    assert at is not None
    data = machine.mode.cpu.peek(at + 4 * n, 4)
    assert data is not None
    return int.from_bytes(data, "little")


def audit(domain: Domain) -> list[str]:
    """What the frame table has got wrong; counted from what is there."""
    pages = domain.pages
    refs: Counter[int] = Counter()
    typed: dict[int, Counter[PageType]] = {}
    problems: list[str] = []

    def need(mfn: int, kind: PageType | None, why: str) -> None:
        if mfn >= pages.frames or not pages.owned[mfn]:
            problems.append(f"{why}: frame {mfn:#x} is not the domain's")
            return
        refs[mfn] += 1
        if kind is not None:
            typed.setdefault(mfn, Counter())[kind] += 1

    for mfn in pages.pinned:
        need(mfn, pages.type[mfn], "pinned")
    need(domain.cpu.s[CR3] >> 12, PageType.L2, "CR3")
    for mfn in (*domain.descriptors.gdt_frames, *domain.descriptors.ldt_frames):
        need(mfn, PageType.SEG_DESC, "descriptors")
    need(domain.shared_mfn, PageType.WRITABLE, "shared info")
    for mfn in range(pages.frames):
        if pages.type[mfn] is PageType.L1:
            for entry in pages.words[mfn * ENTRIES : (mfn + 1) * ENTRIES].tolist():
                if entry & c.PTE_P:
                    kind = PageType.WRITABLE if entry & c.PTE_W else None
                    need(entry >> 12, kind, f"table {mfn:#x} entry {entry:#x}")
        elif pages.type[mfn] is PageType.L2:
            words = pages.words[mfn * ENTRIES : (mfn + 1) * ENTRIES].tolist()
            for entry in words[:GUEST_L2_ENTRIES]:
                if entry & c.PTE_P:
                    need(entry >> 12, PageType.L1, f"directory {mfn:#x} entry {entry:#x}")
            above = [entry & ~ACCESSED_DIRTY for entry in words[GUEST_L2_ENTRIES:]]
            if above != [entry & ~ACCESSED_DIRTY for entry in pages.hypervisor_entries]:
                problems.append(f"directory {mfn:#x}: the hypervisor's part has changed")
    for mfn in range(pages.frames):
        kinds = typed.get(mfn, Counter())
        if len(kinds) > 1:
            problems.append(f"frame {mfn:#x} is used as {dict(kinds)}")
        kind, count = next(iter(kinds.items()), (PageType.NONE, 0))
        if (pages.type[mfn], pages.type_count[mfn], pages.refs[mfn]) != (kind, count, refs[mfn]):
            problems.append(
                f"frame {mfn:#x}: {pages.type[mfn].name} {pages.type_count[mfn]}, {pages.refs[mfn]} references; "
                f"counted {kind.name} {count}, {refs[mfn]}"
            )
    return problems
