"""What a domain finds when it starts, and where it lies in the linear space."""

from __future__ import annotations

import itertools

import pytest
from xen_rig import KERNEL, MODE, Rig, audit, image_of

from isa import consts as c
from isa.state import BASE, CPL, CR0, CR4, EFLAGS, EIP, LIMIT, SEL
from vmm import Machine
from vmm.xen import abi


@pytest.fixture(scope="module")
def rig() -> Rig:
    return Rig()


def field(rig: Rig, name: str) -> int:
    return rig.get(at=rig.cpu.s[c.ESI] + abi.START_INFO[name])[0]


def test_the_registers_are_those_of_xen() -> None:
    s = Rig().cpu.s
    assert s[EIP] == 0x100000
    assert s[SEL + c.CS] == 0xE019
    assert [s[SEL + n] for n in (c.DS, c.ES, c.SS, c.FS, c.GS)] == [0xE021] * 5
    assert s[CPL] == 1
    assert s[EFLAGS] & c.IF and not s[EFLAGS] & c.IOPL
    assert s[CR0] & c.CR0_PG and s[CR0] & c.CR0_WP and not s[CR4]


def test_segments_end_with_the_m2p_table() -> None:
    s = Rig().cpu.s
    for segment in range(6):
        assert s[BASE + segment] == 0
        assert s[LIMIT + segment] == 0xFC3F_FFFF


def test_start_info_says_where_everything_is(rig: Rig) -> None:
    esi = rig.cpu.s[c.ESI]
    assert rig.domain.memory.read(esi, 32).rstrip(b"\0") == b"xen-3.0-x86_32"
    assert field(rig, "nr_pages") == len(rig.domain.frames) == 2048
    assert field(rig, "shared_info") == rig.domain.shared_mfn << 12
    assert field(rig, "flags") == field(rig, "mod_len") == 0
    assert field(rig, "mfn_list") < esi < field(rig, "pt_base") < rig.cpu.s[c.ESP]
    assert field(rig, "store_mfn") == rig.mfn(esi + 0x1000)
    assert field(rig, "console_mfn") == rig.mfn(esi + 0x2000)
    assert field(rig, "pt_base") == esi + 0x3000
    assert field(rig, "nr_pt_frames") == 2
    assert rig.cpu.s[c.ESP] == field(rig, "pt_base") + 3 * 0x1000
    assert field(rig, "mod_start") == 0


def test_mfn_list_and_m2p_table_are_inverse_and_frames_are_scattered(rig: Rig) -> None:
    pages = field(rig, "nr_pages")
    mfns = rig.get(pages, at=field(rig, "mfn_list"))
    assert list(mfns) == rig.domain.frames
    assert len(set(mfns)) == pages
    assert all(a + 1 != b for a, b in itertools.pairwise(mfns))
    for pfn in (0, 1, 0x100, pages - 1):
        entry = rig.cpu.peek(abi.MACH2PHYS_VIRT_START + 4 * mfns[pfn], 4)
        assert entry is not None and int.from_bytes(entry, "little") == pfn
    other = rig.cpu.peek(abi.MACH2PHYS_VIRT_START, 4)
    assert other == b"\xff\xff\xff\xff"  # a frame of the hypervisor's


def test_all_pages_of_the_region_are_mapped_writable_but_the_page_tables(rig: Rig) -> None:
    fresh = Rig()
    base = field(fresh, "pt_base")
    tables = range(base, base + field(fresh, "nr_pt_frames") * 0x1000)
    for gva in range(0, 0x40_0000, 0x1000):
        entry = fresh.pte(gva)
        assert entry >> 12 == fresh.mfn(gva)
        assert entry & 7 == (c.PTE_P if gva in tables else c.PTE_P | c.PTE_W)
    assert 0x40_0000 - fresh.cpu.s[c.ESP] >= 512 << 10


def test_events_are_masked_and_the_books_balance(rig: Rig) -> None:
    fresh = Rig()
    assert fresh.domain.shared.read8(abi.UPCALL_MASK) == 1
    assert fresh.domain.shared.read8(abi.UPCALL_PENDING) == 0
    assert audit(fresh.domain) == []


def test_the_region_grows_with_the_guest_by_whole_page_tables() -> None:
    big = image_of(KERNEL + ".space 0x700000\n")
    machine = Machine(big, MODE, memory=32 << 20)
    rig = Rig.__new__(Rig)
    rig.machine, rig.domain = machine, machine.mode.domain  # type: ignore[attr-defined]
    rig.cpu, rig.pages = rig.domain.cpu, rig.domain.pages
    assert field(rig, "nr_pt_frames") == 4
    assert rig.pte(0xBF_F000) >> 12 == rig.mfn(0xBF_F000)
    assert audit(rig.domain) == []


def test_a_guest_that_does_not_fit_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="needs 4,194,304 bytes of memory at its start"):
        Machine(image_of(KERNEL), MODE, memory=2 << 20)
    with pytest.raises(ValueError, match="memory"):
        Machine(image_of(KERNEL + ".space 0x700000\n"), MODE, memory=4 << 20)
