"""Page types: what a guest may map and what may be a page table, and every way around that we know."""

from __future__ import annotations

import pytest
from xen_rig import ARGUMENTS_AT, Rig, audit

from isa import consts as c
from isa.state import CR3
from vmm.xen import abi
from vmm.xen.pages import ENTRIES, GUEST_L2_ENTRIES, PageType

RO, RW = c.PTE_P, c.PTE_P | c.PTE_W
SPARE = 0x50_0000  # an address without a page table


@pytest.fixture
def rig() -> Rig:
    return Rig()


def refused(rig: Rig, result: int, errno: int = abi.EINVAL) -> bool:
    """The call failed as it should, and nothing has moved."""
    return result == -errno and audit(rig.domain) == []


# -- mapping ----------------------------------------------------------------------------------------


def test_a_page_is_mapped_again_and_counted(rig: Rig) -> None:
    a, b = rig.free_page(), rig.free_page(1)
    assert rig.map(a, rig.mfn(b) << 12 | RW) == 0
    rig.put(0x1234, at=a)
    assert rig.get(at=b) == (0x1234,)
    assert rig.pages.type_count[rig.mfn(b)] == 2
    assert rig.pages.refs[rig.mfn(a)] == 0
    assert audit(rig.domain) == []


@pytest.mark.parametrize("flags", [RO, RW])
def test_a_foreign_frame_cannot_be_mapped(rig: Rig, flags: int) -> None:
    hypervisor = rig.domain.descriptors.private_table >> 12
    for mfn in (0, hypervisor, rig.domain.mmu.m2p_table >> 12, rig.pages.frames, 0xF_FFFF):
        assert refused(rig, rig.map(rig.free_page(), mfn << 12 | flags))


def test_a_page_table_cannot_be_mapped_writable(rig: Rig) -> None:
    for mfn in (rig.directory, rig.pages.entry(rig.directory, 0) >> 12):
        assert refused(rig, rig.map(rig.free_page(), mfn << 12 | RW))
        assert rig.map(rig.free_page(), mfn << 12 | RO) == 0


@pytest.mark.parametrize("flag", [0x80, 0x100])
def test_large_and_global_pages_are_refused(rig: Rig, flag: int) -> None:
    page = rig.free_page()
    assert refused(rig, rig.map(page, rig.mfn(page) << 12 | RW | flag))
    table = rig.make_table(rig.free_page(1))
    assert refused(rig, rig.mmu_update((rig.directory << 12 | 8, table << 12 | RW | flag)))


def test_the_shared_page_can_be_mapped_but_never_be_a_table(rig: Rig) -> None:
    assert rig.map(rig.free_page(), rig.domain.shared_mfn << 12 | RW) == 0
    assert rig.map(rig.free_page(), 0) == 0
    for command in (abi.MMUEXT_PIN_L1_TABLE, abi.MMUEXT_PIN_L2_TABLE):
        assert refused(rig, rig.mmuext(command, rig.domain.shared_mfn))


def test_an_address_without_table_or_in_the_hole_cannot_be_mapped(rig: Rig) -> None:
    for gva in (SPARE, abi.HYPERVISOR_VIRT_START, 0xFFC0_0000, 0xFFFF_F000):
        assert refused(rig, rig.map(gva, rig.mfn(rig.free_page()) << 12 | RW))
    assert refused(rig, rig.call("update_va_mapping", rig.free_page(), 0, 1, 0))


# -- pinning ----------------------------------------------------------------------------------------


def test_a_page_becomes_a_table_only_when_nobody_can_write_it(rig: Rig) -> None:
    page = rig.free_page()
    mfn = rig.mfn(page)
    assert refused(rig, rig.mmuext(abi.MMUEXT_PIN_L1_TABLE, mfn))
    rig.make_table(page)
    assert rig.mmuext(abi.MMUEXT_PIN_L1_TABLE, mfn) == 0
    assert rig.pages.type[mfn] is PageType.L1
    assert refused(rig, rig.map(page, mfn << 12 | RW))
    assert rig.mmuext(abi.MMUEXT_UNPIN_TABLE, mfn) == 0
    assert rig.map(page, mfn << 12 | RW) == 0
    assert audit(rig.domain) == []


def test_pinning_twice_or_as_something_else_is_refused(rig: Rig) -> None:
    mfn = rig.make_table(rig.free_page())
    assert rig.mmuext(abi.MMUEXT_PIN_L1_TABLE, mfn) == 0
    assert refused(rig, rig.mmuext(abi.MMUEXT_PIN_L1_TABLE, mfn))
    assert refused(rig, rig.mmuext(abi.MMUEXT_PIN_L2_TABLE, mfn))
    assert refused(rig, rig.mmuext(abi.MMUEXT_PIN_L3_TABLE, mfn))
    assert rig.mmuext(abi.MMUEXT_UNPIN_TABLE, mfn) == 0
    assert refused(rig, rig.mmuext(abi.MMUEXT_UNPIN_TABLE, mfn))
    for foreign in (0, rig.pages.frames, c.M32):
        assert refused(rig, rig.mmuext(abi.MMUEXT_PIN_L1_TABLE, foreign))
        assert refused(rig, rig.mmuext(abi.MMUEXT_UNPIN_TABLE, foreign))


def test_a_table_with_one_bad_entry_is_refused_and_leaves_no_trace(rig: Rig) -> None:
    good = rig.mfn(rig.free_page(1)) << 12 | RW
    for bad in (0 | RW, rig.directory << 12 | RW, good | 0x80, (rig.pages.frames << 12) | RO):
        mfn = rig.make_table(rig.free_page(), {0: good, 5: good & ~c.PTE_W, 1023: bad})
        assert refused(rig, rig.mmuext(abi.MMUEXT_PIN_L1_TABLE, mfn))
        rig.map(rig.free_page(), mfn << 12 | RW)


def test_a_table_that_maps_itself_writable_is_refused(rig: Rig) -> None:
    page = rig.free_page()
    mfn = rig.make_table(page, {7: rig.mfn(page) << 12 | RW})
    assert refused(rig, rig.mmuext(abi.MMUEXT_PIN_L1_TABLE, mfn))
    rig.map(page, mfn << 12 | RW)
    rig.make_table(page, {7: mfn << 12 | RO})
    assert rig.mmuext(abi.MMUEXT_PIN_L1_TABLE, mfn) == 0
    assert audit(rig.domain) == []


def test_a_directory_takes_its_tables_with_it(rig: Rig) -> None:
    table = rig.make_table(rig.free_page(), {0: rig.mfn(rig.free_page(2)) << 12 | RW})
    directory = rig.make_table(rig.free_page(1), {0: table << 12 | RW | c.PTE_U, 900: table << 12 | RW})
    assert rig.mmuext(abi.MMUEXT_PIN_L2_TABLE, directory) == 0
    assert rig.pages.type[table] is PageType.L1 and rig.pages.type_count[table] == 2
    assert audit(rig.domain) == []
    assert rig.mmuext(abi.MMUEXT_UNPIN_TABLE, directory) == 0
    assert rig.pages.type[table] is PageType.NONE
    assert audit(rig.domain) == []


def test_a_directory_in_a_directory_or_as_its_own_table_is_refused(rig: Rig) -> None:
    page = rig.free_page()
    for entry in (rig.mfn(page) << 12 | RO, rig.directory << 12 | RO):
        mfn = rig.make_table(page, {3: entry})
        assert refused(rig, rig.mmuext(abi.MMUEXT_PIN_L2_TABLE, mfn))
        rig.map(page, mfn << 12 | RW)


def test_what_a_guest_wrote_above_its_part_of_a_directory_is_overwritten(rig: Rig) -> None:
    forged = {n: rig.mfn(rig.free_page(1)) << 12 | RW for n in range(GUEST_L2_ENTRIES, ENTRIES)}
    mfn = rig.make_table(rig.free_page(), {**forged, 0: rig.pages.entry(rig.directory, 0)})
    assert rig.mmuext(abi.MMUEXT_NEW_BASEPTR, mfn) == 0
    assert rig.directory == mfn
    assert audit(rig.domain) == []
    assert rig.call("xen_version", 0) > 0


# -- changing entries -------------------------------------------------------------------------------


def test_entries_are_changed_by_their_machine_address(rig: Rig) -> None:
    table = rig.pages.entry(rig.directory, 0) >> 12
    page, other = rig.free_page(), rig.mfn(rig.free_page(1))
    at = table << 12 | (page >> 10 & 0xFFC)
    assert rig.mmu_update((at, other << 12 | RW)) == 0
    assert rig.pte(page) >> 12 == other
    assert rig.domain.ledger.work["page-table updates"] == 1
    assert audit(rig.domain) == []
    for bad in (rig.directory << 12 | RW, rig.domain.descriptors.tss | RO):
        assert refused(rig, rig.mmu_update((at, bad)))
    assert rig.pte(page) >> 12 == other


def test_the_hypervisors_entries_cannot_be_changed(rig: Rig) -> None:
    table = rig.make_table(rig.free_page())
    for index in (GUEST_L2_ENTRIES, 1010, 1023):
        for entry in (0, table << 12 | RW):
            assert refused(rig, rig.mmu_update((rig.directory << 12 | 4 * index, entry)))
    assert rig.mmu_update((rig.directory << 12 | 4 * (GUEST_L2_ENTRIES - 1), table << 12 | RW)) == 0


def test_accessed_and_dirty_can_be_kept(rig: Rig) -> None:
    table, page = rig.pages.entry(rig.directory, 0) >> 12, rig.free_page()
    at = table << 12 | (page >> 10 & 0xFFC)
    rig.put(1, at=page)
    assert rig.pte(page) & (c.PTE_A | c.PTE_D) == c.PTE_A | c.PTE_D
    assert rig.mmu_update((at | abi.MMU_PT_UPDATE_PRESERVE_AD, rig.mfn(page) << 12 | RO)) == 0
    assert rig.pte(page) & 0xFFF == RO | c.PTE_A | c.PTE_D


def test_a_foreign_frame_is_not_written_as_if_it_were_a_table(rig: Rig) -> None:
    private = rig.domain.descriptors.private_table
    before = rig.domain.host.ram.read(private, 4096)
    for at in (private, rig.domain.descriptors.tss, rig.domain.mmu.m2p_table, rig.domain.descriptors.flat, 0):
        assert refused(rig, rig.mmu_update((at, 0xFFFF_F067)))
        assert refused(rig, rig.mmu_update((at | abi.MMU_MACHPHYS_UPDATE, 1)))
    assert rig.domain.host.ram.read(private, 4096) == before


def test_the_m2p_table_is_updated_for_own_frames(rig: Rig) -> None:
    mfn = rig.mfn(rig.free_page())
    assert rig.mmu_update((mfn << 12 | abi.MMU_MACHPHYS_UPDATE, 0xABC)) == 0
    data = rig.cpu.peek(abi.MACH2PHYS_VIRT_START + 4 * mfn, 4)
    assert data == (0xABC).to_bytes(4, "little")


def test_a_batch_stops_at_the_first_error_and_says_how_far_it_came(rig: Rig) -> None:
    mfn = rig.mfn(rig.free_page())
    good, bad = (mfn << 12 | 1, 5), (0, 5)
    at = rig.put(*(w for pointer, value in (good, good, bad, good) for w in (pointer, 0, value, 0)))
    done_at = ARGUMENTS_AT + 0x800
    assert rig.call("mmu_update", at, 4, done_at, abi.DOMID_SELF) == -abi.EINVAL
    assert rig.get(at=done_at) == (2,)
    assert rig.domain.ledger.work["batched updates"] == 2
    assert rig.call("mmu_update", at, 2, 0, 0) == -abi.EPERM  # only of itself


@pytest.mark.parametrize("count", [3000, 1024, 1025])
def test_a_long_batch_is_interrupted_and_the_guest_cannot_tell(rig: Rig, count: int) -> None:
    """3000 updates are done in three rounds; registers, result and *pdone are as if in one."""
    mfn = rig.mfn(rig.free_page())
    at = 0x102000  # behind the arguments; 48,000 bytes
    rig.put(*((mfn << 12 | 1, 0, 5, 0) * count), at=at)
    done_at = ARGUMENTS_AT
    before = rig.cpu.count
    assert rig.call("mmu_update", at, count, done_at, abi.DOMID_SELF) == 0
    assert rig.get(at=done_at) == (count,)
    assert rig.domain.ledger.work["hypercalls"] == 1
    assert rig.domain.ledger.traps["hypercall"] == rig.cpu.count - before == -(-count // 1024)
    assert rig.cpu.s[c.EBX] == abi.CLOBBERED


# -- stale translations -------------------------------------------------------------------------------


def test_a_stale_translation_does_not_outlive_the_right_to_write(rig: Rig) -> None:
    """The guest takes its mapping away without a flush, and makes the page a table."""
    page = rig.free_page()
    mfn, engine = rig.mfn(page), rig.cpu.engine
    rig.put(*[0] * 1024, at=page)
    rig.call("xen_version", 0)  # the kernel's page is known to hold code from now on
    engine.store(c.DS, page, 0, 32)
    assert engine.tw[page >> 12]
    assert rig.map(page, mfn << 12 | RO, 0) == 0
    assert engine.tw[page >> 12]  # as in hardware
    assert rig.mmuext(abi.MMUEXT_PIN_L1_TABLE, mfn) == 0
    assert not engine.tw[page >> 12]


def test_a_frame_that_leaves_the_domain_is_out_of_reach(rig: Rig) -> None:
    page = rig.free_page()
    mfn = rig.mfn(page)
    rig.call("xen_version", 0)
    rig.cpu.engine.store(c.DS, page, 77, 32)
    extents = rig.put(mfn, at=ARGUMENTS_AT + 0x100)
    reservation = (extents, 1, 0, 0, abi.DOMID_SELF)
    assert rig.call("memory_op", abi.XENMEM_DECREASE_RESERVATION, rig.put(*reservation)) == 0  # still mapped
    assert rig.map(page, 0, 0) == 0
    assert rig.call("memory_op", abi.XENMEM_DECREASE_RESERVATION, rig.put(*reservation)) == 1
    assert not rig.cpu.engine.tw[page >> 12]
    assert refused(rig, rig.map(page, mfn << 12 | RO))
    assert rig.call("memory_op", abi.XENMEM_CURRENT_RESERVATION, rig.put(abi.DOMID_SELF)) == 2047
    rig.put(page >> 12, at=extents)
    assert rig.call("memory_op", abi.XENMEM_POPULATE_PHYSMAP, rig.put(*reservation)) == 1
    assert rig.get(at=extents) == (mfn,)
    assert rig.map(page, mfn << 12 | RW) == 0
    assert rig.get(at=page) == (0,)  # nothing of what was there
    assert audit(rig.domain) == []


# -- the current directory ------------------------------------------------------------------------------


def test_cr3_keeps_its_directory(rig: Rig) -> None:
    old = rig.directory
    new = rig.make_table(rig.free_page(), {0: rig.pages.entry(old, 0)})
    for bad in (0, rig.mfn(rig.free_page(1)), rig.pages.frames, rig.pages.entry(old, 0) >> 12):
        assert refused(rig, rig.mmuext(abi.MMUEXT_NEW_BASEPTR, bad))
        assert rig.directory == old
    assert rig.mmuext(abi.MMUEXT_NEW_BASEPTR, new) == 0
    assert rig.cpu.s[CR3] == new << 12
    assert refused(rig, rig.map(rig.free_page(), new << 12 | RW))
    assert rig.mmuext(abi.MMUEXT_UNPIN_TABLE, old) == 0  # the builder's pin
    assert rig.pages.type[old] is PageType.NONE
    assert audit(rig.domain) == []


def test_a_guest_may_cut_the_branch_it_sits_on(rig: Rig) -> None:
    """A directory that maps nothing is a good directory. What follows is the guest's own affair."""
    empty = rig.make_table(rig.free_page())
    rig.put(abi.MMUEXT_NEW_BASEPTR, empty, 0)
    s = rig.cpu.s
    s[c.EAX], s[c.EBX], s[c.ECX], s[c.EDX], s[c.ESI] = 26, ARGUMENTS_AT, 1, 0, abi.DOMID_SELF
    stop = rig.machine.advance(rig.machine.mode.count + 3)
    assert stop is not None and "crashed" in stop.text
    assert audit(rig.domain) == []


def test_whole_pages_are_cleared_and_copied_but_not_tables(rig: Rig) -> None:
    a, b = rig.free_page(), rig.free_page(1)
    rig.put(*range(1024), at=a)
    assert rig.mmuext(abi.MMUEXT_COPY_PAGE, rig.mfn(b), rig.mfn(a)) == 0
    assert rig.get(1024, at=b) == tuple(range(1024))
    assert rig.mmuext(abi.MMUEXT_CLEAR_PAGE, rig.mfn(a)) == 0
    assert rig.get(at=a + 0xFFC) == (0,)
    for bad in (rig.directory, 0, rig.pages.frames):
        assert refused(rig, rig.mmuext(abi.MMUEXT_CLEAR_PAGE, bad))
        assert refused(rig, rig.mmuext(abi.MMUEXT_COPY_PAGE, bad, rig.mfn(b)))
    assert refused(rig, rig.mmuext(abi.MMUEXT_COPY_PAGE, rig.mfn(a), 0))
    assert refused(rig, rig.mmuext(abi.MMUEXT_FLUSH_CACHE), abi.EPERM)
    assert refused(rig, rig.mmuext(99), abi.ENOSYS)
