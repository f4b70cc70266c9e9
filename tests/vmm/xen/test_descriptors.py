"""The guest's descriptors in the real GDT and LDT: nothing for ring 0, nothing beyond the M2P table."""

from __future__ import annotations

import pytest
from xen_rig import ARGUMENTS_AT, Rig, audit, run_kernel, word_at

from isa import consts as c
from isa.segment import encode_descriptor, limit_of
from vmm import Outcome
from vmm.xen import abi
from vmm.xen.descriptors import checked
from vmm.xen.errors import HypercallError
from vmm.xen.pages import PageType

CODE1 = c.ATTR_P | c.ATTR_S | 1 << 5 | c.TYPE_CODE | c.TYPE_READABLE | c.ATTR_DB
DATA1 = c.ATTR_P | c.ATTR_S | 1 << 5 | c.TYPE_WRITABLE | c.ATTR_DB
BAD = {
    "data of ring 0": encode_descriptor(0, 0xFFF, DATA1 & ~c.ATTR_DPL),
    "code of ring 0": encode_descriptor(0, 0xFFF, CODE1 & ~c.ATTR_DPL),
    "conforming code of ring 0": encode_descriptor(0, 0xFFF, CODE1 & ~c.ATTR_DPL | c.TYPE_CONFORMING),
    "a call gate": (0x0008_0000, 0x0000_EC00),
    "a TSS": encode_descriptor(0, 0x67, c.ATTR_P | c.TYPE_TSS32 | 3 << 5),
    "an LDT": encode_descriptor(0, 0x67, c.ATTR_P | c.TYPE_LDT),
    "a trap gate": (0xE019_0000, 0x0010_EF00),
    "expand-down data": encode_descriptor(0, 0xFFF, DATA1 | c.TYPE_EXPAND_DOWN),
    "a base above the M2P table": encode_descriptor(0xFC40_0000, 0xFFF, DATA1),
    "a base in the private corner": encode_descriptor(0xFFC0_0000, 0, DATA1),
}
NULLISH = {
    "null": (0, 0),
    "not present": encode_descriptor(0, c.M32, c.ATTR_G | CODE1 & ~c.ATTR_DPL & ~c.ATTR_P),
    "type 0": (0, 0x8000),
}


@pytest.fixture
def rig() -> Rig:
    return Rig()


def gdt_page(rig: Rig, *descriptors: tuple[int, int]) -> int:
    return rig.make_table(
        rig.free_page(),
        {2 * n + k: word for n, pair in enumerate(descriptors) for k, word in enumerate(pair)},
    )


@pytest.mark.parametrize("what", BAD)
def test_what_a_guest_may_not_have_is_refused(rig: Rig, what: str) -> None:
    mfn = gdt_page(rig, (0, 0), BAD[what])
    assert rig.call("set_gdt", rig.put(mfn), 2) == -abi.EINVAL
    assert rig.call("update_descriptor", mfn << 12, 0, *BAD[what]) == -abi.EINVAL
    assert rig.pages.type[mfn] is PageType.NONE
    assert audit(rig.domain) == []


@pytest.mark.parametrize("what", NULLISH)
def test_what_cannot_be_used_is_harmless(what: str) -> None:
    assert checked(*NULLISH[what]) == NULLISH[what]


@pytest.mark.parametrize("base", [0, 0x1000, 0x8000_0000, 0xFC3F_E000, 0xFC3F_F001])
@pytest.mark.parametrize("granular", [0, c.ATTR_G])
def test_a_limit_is_cut_at_the_end_of_the_m2p_table(base: int, granular: int) -> None:
    limit = c.M32 if granular else 0xFFFFF
    try:
        low, high = checked(*encode_descriptor(base, limit, DATA1 | granular))
    except HypercallError:
        assert granular and base == 0xFC3F_F001  # not a whole page is left
        return
    assert base + limit_of(low, high) < abi.GUEST_SEGMENT_END
    assert base + limit_of(low, high) > min(base + limit, abi.GUEST_SEGMENT_END) - 0x2000


def test_a_page_in_the_gdt_is_neither_writable_nor_a_table(rig: Rig) -> None:
    page = rig.free_page()
    writable = rig.mfn(page)
    assert rig.call("set_gdt", rig.put(writable), 2) == -abi.EINVAL  # still mapped writable
    mfn = gdt_page(rig, (0, 0), encode_descriptor(0, 0xFFFF, DATA1))
    assert rig.call("set_gdt", rig.put(mfn), 2) == 0
    assert rig.pages.type[mfn] is PageType.SEG_DESC
    assert rig.map(page, mfn << 12 | 3) == -abi.EINVAL
    assert rig.mmuext(abi.MMUEXT_PIN_L1_TABLE, mfn) == -abi.EINVAL
    assert rig.mmu_update((mfn << 12 | 8, 0)) == -abi.EINVAL
    assert audit(rig.domain) == []
    assert rig.call("set_gdt", 0, 0) == 0
    assert rig.pages.type[mfn] is PageType.NONE
    assert rig.map(page, mfn << 12 | 3) == 0
    assert audit(rig.domain) == []


def test_too_many_entries_and_foreign_frames_are_refused(rig: Rig) -> None:
    assert rig.call("set_gdt", ARGUMENTS_AT, 7169) == -abi.EINVAL
    for foreign in (0, rig.pages.frames, c.M32, rig.domain.descriptors.flat >> 12):
        assert rig.call("set_gdt", rig.put(foreign), 1) == -abi.EINVAL
    good = gdt_page(rig, (0, 0))
    assert rig.call("set_gdt", rig.put(good, rig.domain.shared_mfn), 513) == -abi.EINVAL
    assert rig.pages.type[good] is PageType.NONE
    assert audit(rig.domain) == []


def test_the_flat_segments_cannot_be_updated(rig: Rig) -> None:
    at = rig.domain.descriptors.flat + 0x18
    before = rig.domain.host.ram.read(at, 8)
    assert rig.call("update_descriptor", at, 0, *encode_descriptor(0, 0xFFF, DATA1)) == -abi.EINVAL
    assert rig.call("update_descriptor", 4, 0, 0, 0) == -abi.EINVAL  # not aligned
    assert rig.call("update_descriptor", 0, 1, 0, 0) == -abi.EINVAL
    assert rig.domain.host.ram.read(at, 8) == before


def test_a_guest_uses_its_own_segments() -> None:
    """A data segment with a base, from the GDT, and one from an LDT: loads, limits, update_descriptor."""
    machine, result = run_kernel(
        """
.include "lib/trap.inc"
.equ POOL_PAGES, 0
.include "lib/paging.inc"
trap:   mov eax, [ebp + FRAME_VECTOR]
        mov [vector], eax
        mov eax, [ebp + FRAME_ERROR]
        mov [error], eax
        mov dword ptr [ebp + FRAME_EIP], after
        ret
main:   call traps_init
        mov eax, table
        call make_read_only
        call machine_address
        mov [machine], eax
        shr eax, PAGE_SHIFT
        mov [frames], eax
        mov ebx, frames
        mov ecx, 3
        hypercall_must_succeed HYPERCALL_SET_GDT
        mov eax, 0x09
        mov fs, ax
        mov eax, fs:[4]
        mov [through_fs], eax
        mov ebx, [machine]
        add ebx, 8
        xor ecx, ecx
        mov edx, low_word
        mov edx, [edx]
        mov esi, 0x0040f300
        hypercall_must_succeed 10
        lsl eax, word ptr [selector]
        mov [new_limit], eax
        mov dword ptr [ldt_op], 13
        mov dword ptr [ldt_op + 4], ldt
        mov dword ptr [ldt_op + 8], 1
        mov eax, ldt
        call make_read_only
        mov ebx, ldt_op
        mov ecx, 1
        xor edx, edx
        mov esi, DOMID_SELF
        hypercall_must_succeed HYPERCALL_MMUEXT
        mov eax, 0x05
        mov gs, ax
        mov eax, gs:[0]
        mov [through_gs], eax
        mov eax, gs:[16]                ; beyond its limit
after:  xor eax, eax
        ret
.align 8
machine: .long 0
frames: .long 0
ldt_op: .long 0, 0, 0
through_fs: .long 0
through_gs: .long 0
new_limit: .long 0
vector: .long 0
error:  .long 0
selector: .long 0x09
low_word: .long 0x00001234
value:  .long 0x11111111, 0x22222222
.align PAGE_SIZE
table:  .long 0, 0
        descriptor value, 0x7, 0xb3, 4
        .space PAGE_SIZE - 16
ldt:    descriptor value, 0x7, 0xb3, 4
        .space PAGE_SIZE - 8
""",
    )
    assert result.outcome is Outcome.SUCCESS, result.text
    assert word_at(machine, "through_fs") == 0x2222_2222
    assert word_at(machine, "through_gs") == 0x1111_1111
    assert word_at(machine, "new_limit") == 0x1234
    assert (word_at(machine, "vector"), word_at(machine, "error")) == (c.VEC_GP, 0)


@pytest.mark.parametrize("linear", [0x50_0000, 0x101004, abi.HYPERVISOR_VIRT_START, 0xFFFF_F000])
def test_an_ldt_must_be_whole_pages_of_the_guests(rig: Rig, linear: int) -> None:
    assert rig.mmuext(abi.MMUEXT_SET_LDT, linear, 4) == -abi.EINVAL
    assert rig.mmuext(abi.MMUEXT_SET_LDT, rig.free_page(), 8193) == -abi.EINVAL
    assert rig.mmuext(abi.MMUEXT_SET_LDT, rig.free_page(), 4) == -abi.EINVAL  # writable
    assert rig.mmuext(abi.MMUEXT_SET_LDT, 0, 0) == 0
    assert audit(rig.domain) == []


def test_the_kernel_stack_is_where_stack_switch_says(rig: Rig) -> None:
    assert rig.call("stack_switch", 0xE020, 0x12345678) == 0
    tss = rig.domain.descriptors.tss
    assert rig.domain.host.ram.read32(tss + 12) == 0x12345678
    assert rig.domain.host.ram.read32(tss + 16) == 0xE021
