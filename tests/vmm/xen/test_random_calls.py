"""Hypercalls with anything in their arguments: the guest gets an answer, and only the guest is hurt.

Arguments are drawn from what such calls are about: frames of the domain and of others, addresses of page
tables and of requests, small numbers, huge ones, anything. The requests behind the pointers are made in
the same way. Afterwards every reference is counted anew.
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest
from xen_rig import ARGUMENTS_AT, Rig, audit

from isa import consts as c
from isa.state import CPL, EIP
from vmm.machine import Outcome
from vmm.xen import abi
from vmm.xen.errors import DomainCrash, HypercallError
from vmm.xen.hypercalls import ARGUMENTS
from vmm.xen.pages import PageType

CALLS_PER_BATCH = int(os.environ.get("VMSIM_CALLS", "2500"))
BATCHES = 8
BETWEEN_AUDITS = 500
NUMBERS = [*abi.HYPERVISOR.values(), 11, 40, 0xFFFF_FFFF]
FREQUENT = [
    abi.HYPERVISOR[name] for name in ("mmu_update", "mmuext_op", "update_va_mapping", "set_gdt", "multicall")
]
FIRST_TOY, LAST_TOY = 0x102, 0x111  # pages of the domain that nobody needs
REQUEST_WORDS = 0x100
PTE_FLAGS = (0, 1, 3, 5, 7, 0x21, 0x63, 0x67, 0x83, 0x101, 0x19)


def r_page(r: random.Random) -> int:
    """The address of a page that nobody needs."""
    return r.randrange(FIRST_TOY, LAST_TOY) << 12


class Mischief:
    """Random arguments for a domain."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self.rig = rig
        self.r = random.Random(seed)
        self.tables: list[int] = []

    def frame(self) -> int:
        r, domain = self.r, self.rig.domain
        kind = r.randrange(10)
        if kind < 5:
            return domain.frames[r.randrange(FIRST_TOY, LAST_TOY)]
        if kind < 6:
            return r.choice(domain.frames)
        if kind < 7:
            return r.choice(self.tables)
        if kind < 8:
            return domain.shared_mfn
        return r.choice((0, 1, 5, domain.descriptors.private_table >> 12, 0xFFFFF, domain.pages.frames))

    def entry(self) -> int:
        return (self.frame() << 12 | self.r.choice(PTE_FLAGS)) & c.M32

    def pointer(self) -> int:
        r = self.r
        kind = r.randrange(12)
        if kind < 7:
            return ARGUMENTS_AT + 4 * r.randrange(REQUEST_WORDS)
        if kind < 8:
            return 0x111000 - r.randrange(64)
        choices = (0, 0xFFFF_FFFF, 0xFFFF_FFF0, 0xFC00_0000, 0xFBFF_FFF8, 0xFFC0_0000, 0x40_0000, 0x3F_FFFC)
        return r.choice((*choices, r.getrandbits(32)))

    def number(self) -> int:
        r = self.r
        kind = r.randrange(12)
        if kind < 5:
            return r.randrange(12)
        if kind < 6:
            return r.choice((0x7FF0, 0x7FF1, 1024, 7168, 7169, 8192, 1 << 31, c.M32, 0x10000, 0x10001))
        if kind < 8:
            return self.pointer()
        if kind < 9:
            return self.frame()
        if kind < 10:
            return self.entry()
        if kind < 11:
            return (self.frame() << 12 | 4 * r.randrange(1024) | r.randrange(4)) & c.M32
        return r.getrandbits(32)

    def fill(self) -> None:
        """New requests behind the pointers, and nonsense between them."""
        words: list[int] = []
        r, types = self.r, self.rig.domain.pages.type
        self.tables = [n for n, t in enumerate(types) if t not in (PageType.NONE, PageType.WRITABLE)]
        self.scribble()
        while len(words) < REQUEST_WORDS:
            kind = r.randrange(5)
            if kind == 0:
                words += [self.number() & ~3 | r.randrange(4), r.choice((0, 0, 0, 1)), self.entry(), 0]
            elif kind == 1:
                words += [r.randrange(20), self.frame(), self.number()]
            elif kind == 2:
                words += [r.choice(NUMBERS), 0, *(self.number() for _ in range(6))]
            elif kind == 3:
                words += [r.choice((0x9B00, 0x00CF_9300, 0x00CF_BB00, 0x00CF_F300)) for _ in range(2)]
            else:
                words += [self.number()]
        self.rig.domain.host.ram.write(
            self.rig.mfn(ARGUMENTS_AT) << 12,
            b"".join(word.to_bytes(4, "little") for word in words[:REQUEST_WORDS]),
        )

    def scribble(self) -> None:
        """The guest writes entries, or nothing, into one of its pages, as far as it may."""
        r, at = self.r, r_page(self.r)
        try:
            if r.random() < 0.5:
                self.rig.domain.memory.write(at, bytes(c.PAGE_SIZE))
            for _ in range(r.randrange(3)):
                self.rig.domain.memory.write_word(at + 4 * r.randrange(1024), self.entry())
        except HypercallError:
            pass

    def scheme(self) -> tuple[int, list[int]]:
        """A call that may well succeed: number and arguments, its request written."""
        r, rig = self.r, self.rig
        page = r_page(r)
        mfn = rig.domain.frames[page >> 12]
        kind = r.randrange(6)
        if kind < 2:
            entry = mfn << 12 | r.choice((1, 1, 3))
            return abi.HYPERVISOR["update_va_mapping"], [page, entry, 0, r.choice((0, 2)), 0]
        if kind < 4:
            request = [r.choice((0, 0, 1, 4, 5, 13)), mfn, r.choice((3, 512))]
            name, size = "mmuext_op", 1
        else:
            where = rig.directory if r.random() < 0.5 else r.choice(self.tables)
            entry = mfn << 12 | r.choice((0, 1, 3, 7))
            request = [where << 12 | r.choice((0, 2)) | 4 * r.randrange(2, 1024), 0, entry, 0]
            name, size = "mmu_update", 1
        rig.domain.host.ram.write(
            rig.mfn(ARGUMENTS_AT) << 12, b"".join(word.to_bytes(4, "little") for word in request)
        )
        return abi.HYPERVISOR[name], [ARGUMENTS_AT, size, 0, abi.DOMID_SELF, 0]

    def domid(self) -> int:
        return abi.DOMID_SELF if self.r.random() < 0.9 else self.number()

    def arguments(self, number: int) -> list[int]:
        """For EBX, ECX, EDX, ESI, EDI."""
        r = self.r
        if r.random() < 0.7:
            if number in (abi.HYPERVISOR["mmu_update"], abi.HYPERVISOR["mmuext_op"]):
                return [
                    self.pointer(),
                    r.choice((0, 1, 2, 5, 40)),
                    r.choice((0, 0, self.pointer())),
                    self.domid(),
                    0,
                ]
            if number == abi.HYPERVISOR["update_va_mapping"]:
                page = r_page(r) if r.random() < 0.9 else self.number()
                return [page, self.entry(), 0, r.randrange(8), 0]
            if number == abi.HYPERVISOR["set_gdt"]:
                return [self.pointer(), r.choice((0, 3, 512, 513, 1024, self.number())), 0, 0, 0]
        return [self.number() for _ in range(5)]


def attempt(mischief: Mischief) -> str:
    """One call, the way the processor would make it; what became of it."""
    rig, r = mischief.rig, mischief.r
    s = rig.cpu.s
    number = r.choice(FREQUENT) if r.random() < 0.5 else r.choice(NUMBERS)
    if number == abi.HYPERVISOR["iret"] and r.random() < 0.9:
        return "left out"  # it ends most domains
    arguments = mischief.arguments(number)
    if r.random() < 0.25:
        number, arguments = mischief.scheme()
    s[c.EAX], s[EIP], s[c.ESP] = number, 0x100000, 0x110000
    for register, value in zip(ARGUMENTS, arguments, strict=True):
        s[register] = value & c.M32
    try:
        rig.domain.hypercalls.call(2)
        if rig.domain.descriptors.changed:
            rig.domain.descriptors.changed = False
            rig.domain.traps.reload_segments()
    except DomainCrash:
        return "crashed"
    if s[CPL] != 1 or rig.domain.sched.shut_down:
        return "gone"
    return "went on"


@pytest.mark.parametrize("batch", range(BATCHES))
def test_no_call_hurts_anybody_but_its_guest(batch: int) -> None:
    seed = int(os.environ.get("VMSIM_SEED", "20261122")) + batch
    rig = Rig(memory=6 << 20)
    mischief = Mischief(rig, seed)
    outcomes: Counter[str] = Counter()
    work: Counter[str] = Counter()
    for n in range(CALLS_PER_BATCH):
        if n % 3 == 0:
            mischief.fill()
        outcome = attempt(mischief)
        outcomes[outcome] += 1
        if outcome in ("crashed", "gone"):
            assert audit(rig.domain) == [], f"VMSIM_SEED={seed - batch}, call {n}"
            work.update(rig.domain.ledger.work)
            rig = mischief.rig = Rig(memory=6 << 20)
            mischief.fill()
        elif n % BETWEEN_AUDITS == 0:
            assert audit(rig.domain) == [], f"VMSIM_SEED={seed - batch}, call {n}"
    assert audit(rig.domain) == []
    assert outcomes["went on"] > CALLS_PER_BATCH * 0.8
    work.update(rig.domain.ledger.work)
    assert all(work[figure] for figure in ("page-table updates", "pages validated", "multicalls")), work


def test_the_same_mischief_again_is_the_same() -> None:
    figures = []
    for _ in range(2):
        rig = Rig(memory=6 << 20)
        mischief = Mischief(rig, 7)
        ends = []
        for n in range(300):
            if n % 3 == 0:
                mischief.fill()
            ends.append(attempt(mischief))
            if ends[-1] in ("crashed", "gone"):
                break
        figures.append((ends, dict(rig.domain.ledger.work)))
    assert figures[0] == figures[1]


def test_a_machine_whose_guest_has_gone_mad_still_ends_in_words() -> None:
    rig = Rig()
    s = rig.cpu.s
    s[c.EAX] = abi.HYPERVISOR["iret"]
    s[c.ESP] = 0x10_F000
    rig.put(0, 0x10_0000, 0xE018, 0, at=0x10_F000)  # a selector for ring 0
    stop = rig.machine.advance(rig.machine.mode.count + 5)
    assert stop is not None and stop.outcome is Outcome.TRIPLE_FAULT
    assert "ring 0" in stop.text and stop.details
