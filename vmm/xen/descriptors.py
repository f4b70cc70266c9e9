"""Descriptor tables: the real GDT, LDT and TSS, and what of the guest's may be in them.

    the hypervisor's private corner of the linear space, in every page directory
    FFC0 0000   GDT, 16 pages: 0-13 the guest's frames, 14 the flat segments, 15 nothing
    FFC1 0000   LDT, 16 pages
    FFC2 0000   TSS: SS1:ESP1, the stack on which traps from outer rings arrive; no port is open
    FFC2 1000   the hypervisor's stack, for the IRET into the guest

A guest's descriptor never has DPL 0 and never reaches beyond the M2P table; a limit that would is cut
(`checked`). Gates, tasks and expand-down segments are refused. A page of descriptors is read-only to the
guest (`pages.SEG_DESC`); the processor's own store of the accessed bit goes through this mapping.
An LDT is mapped when it is set, from the address space of that moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isa import consts as c
from isa.segment import attr_of, base_of, dpl_of, encode_descriptor, limit_of
from isa.state import FLAT_CODE, FLAT_DATA, GDT_BASE, GDT_LIMIT
from vmm.xen import abi
from vmm.xen.errors import HypercallError
from vmm.xen.pages import PageType

if TYPE_CHECKING:
    from vmm.xen.domain import Domain

PRIVATE_START = 0xFFC0_0000
GDT_VIRT = PRIVATE_START
LDT_VIRT = PRIVATE_START + 0x1_0000
TSS_VIRT = PRIVATE_START + 0x2_0000
STACK_VIRT = PRIVATE_START + 0x2_1000
STACK_TOP = STACK_VIRT + c.PAGE_SIZE
TSS_ESP1, TSS_SS1, TSS_IO_MAP, TSS_SIZE = 12, 16, 102, 104
TSS_SELECTOR, LDT_SELECTOR = 0xE040, 0xE048
PER_PAGE = c.PAGE_SIZE // 8
PRIVATE_RIGHTS = c.PTE_P | c.PTE_W | c.PTE_A | c.PTE_D


def checked(low: int, high: int) -> tuple[int, int]:
    """A descriptor as the guest may have it, its limit cut if necessary. Raises -EINVAL."""
    attr = attr_of(high)
    if not attr & c.ATTR_P or not attr & (c.ATTR_S | c.ATTR_TYPE):
        return low, high
    if not attr & c.ATTR_S or dpl_of(attr) == 0:
        raise HypercallError(abi.EINVAL)
    if attr & (c.TYPE_CODE | c.TYPE_EXPAND_DOWN) == c.TYPE_EXPAND_DOWN:
        raise HypercallError(abi.EINVAL)
    base, limit = base_of(low, high), limit_of(low, high)
    if base + limit < abi.GUEST_SEGMENT_END:
        return low, high
    room = abi.GUEST_SEGMENT_END - base
    if attr & c.ATTR_G:
        room &= c.PAGE_MASK
    if room <= 0:
        raise HypercallError(abi.EINVAL)
    return encode_descriptor(base, room - 1, attr)


class Descriptors:
    """The tables of the one virtual processor."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.ram = domain.host.ram
        self.private_table = domain.host.allocate()
        self.empty = domain.host.allocate()
        self.flat = domain.host.allocate()
        self.tss = domain.host.allocate()
        self.stack = domain.host.allocate()
        self.gdt_frames: list[int] = []
        self.gdt_entries = 0
        self.ldt_frames: list[int] = []
        self.changed = False  # the processor may hold descriptors that are no longer in the tables
        self._build()

    def _build(self) -> None:
        for n in range(abi.GDT_PAGES):
            self._map(GDT_VIRT + n * c.PAGE_SIZE, self.empty)
        self._map(GDT_VIRT + abi.FIRST_RESERVED_GDT_PAGE * c.PAGE_SIZE, self.flat)
        self._map(TSS_VIRT, self.tss)
        self._map(STACK_VIRT, self.stack)
        for selector, attr in (
            (abi.FLAT_RING1_CS, FLAT_CODE),
            (abi.FLAT_RING1_DS, FLAT_DATA),
            (abi.FLAT_RING3_CS, FLAT_CODE),
            (abi.FLAT_RING3_DS, FLAT_DATA),
        ):
            level = (selector & c.SEL_RPL) << c.ATTR_DPL_SHIFT
            words = encode_descriptor(0, abi.GUEST_SEGMENT_END - 1, attr | level)
            at = self.flat + (selector & c.SEL_INDEX) % c.PAGE_SIZE
            self.ram.write32(at, words[0])
            self.ram.write32(at + 4, words[1])
        self.ram.write(self.tss + TSS_IO_MAP, TSS_SIZE.to_bytes(2, "little"))  # beyond the limit

    def _map(self, linear: int, frame: int) -> None:
        """Show a frame in the private corner; 0 for nothing."""
        entry = frame | PRIVATE_RIGHTS if frame else 0
        self.ram.write32(self.private_table + (linear >> 10 & 0xFFC), entry)
        self.domain.cpu.engine.flush_page(linear)

    def install(self) -> None:
        """Load GDTR, LDTR and TR of the real processor."""
        cpu = self.domain.cpu
        cpu.s[GDT_BASE], cpu.s[GDT_LIMIT] = GDT_VIRT, abi.GDT_PAGES * c.PAGE_SIZE - 1
        cpu.engine.set_segment(c.TR, TSS_SELECTOR, TSS_VIRT, TSS_SIZE - 1, c.ATTR_P | c.TYPE_TSS32_BUSY)
        cpu.engine.set_segment(c.LDTR, 0, 0, 0, 0)

    # -- validation ---------------------------------------------------------------------------------

    def check_page(self, mfn: int) -> None:
        """Every descriptor of a page, cut where necessary; all or nothing. Raises -EINVAL."""
        at = mfn * c.PAGE_SIZE
        words = [self.ram.read32(at + 4 * n) for n in range(2 * PER_PAGE)]
        fixed = [checked(words[n], words[n + 1]) for n in range(0, 2 * PER_PAGE, 2)]
        for n, (low, high) in enumerate(fixed):
            if (low, high) != (words[2 * n], words[2 * n + 1]):
                self.ram.write32(at + 8 * n, low)
                self.ram.write32(at + 8 * n + 4, high)

    def _acquire(self, mfns: list[int]) -> None:
        """Take all of these frames as pages of descriptors, or none."""
        pages = self.domain.pages
        taken: list[int] = []
        try:
            for mfn in mfns:
                pages.get_page_type(mfn, PageType.SEG_DESC)
                taken.append(mfn)
        except HypercallError:
            for mfn in taken:
                pages.put_page_type(mfn)
            raise

    # -- hypercalls ---------------------------------------------------------------------------------

    def set_gdt(self, frame_list: int, entries: int) -> int:
        """The guest's part of the GDT, from now on these frames."""
        if entries > abi.FIRST_RESERVED_GDT_ENTRY:
            raise HypercallError(abi.EINVAL)
        mfns = list(self.domain.memory.words(frame_list, -(-entries // PER_PAGE)))
        self._acquire(mfns)
        for mfn in self.gdt_frames:
            self.domain.pages.put_page_type(mfn)
        self.gdt_frames, self.gdt_entries = mfns, entries
        for n in range(abi.FIRST_RESERVED_GDT_PAGE):
            frame = mfns[n] * c.PAGE_SIZE if n < len(mfns) else self.empty
            self._map(GDT_VIRT + n * c.PAGE_SIZE, frame)
        self.changed = True
        return 0

    def set_ldt(self, linear: int, entries: int) -> None:
        """MMUEXT_SET_LDT."""
        if linear % c.PAGE_SIZE or entries > abi.LDT_ENTRIES:
            raise HypercallError(abi.EINVAL)
        count = -(-entries // PER_PAGE)
        mfns = [self.domain.mmu.frame_at(linear + n * c.PAGE_SIZE) for n in range(count)]
        self._acquire(mfns)
        for mfn in self.ldt_frames:
            self.domain.pages.put_page_type(mfn)
        self.ldt_frames = mfns
        for n in range(abi.LDT_ENTRIES // PER_PAGE):
            self._map(LDT_VIRT + n * c.PAGE_SIZE, mfns[n] * c.PAGE_SIZE if n < count else 0)
        engine = self.domain.cpu.engine
        if entries:
            engine.set_segment(c.LDTR, LDT_SELECTOR, LDT_VIRT, entries * 8 - 1, c.ATTR_P | c.TYPE_LDT)
        else:
            engine.set_segment(c.LDTR, 0, 0, 0, 0)
        self.changed = True

    def update_descriptor(self, address: int, address_high: int, low: int, high: int) -> int:
        """Write one descriptor by its machine address."""
        mfn = address >> 12
        if address % 8 or address_high:
            raise HypercallError(abi.EINVAL)
        low, high = checked(low, high)
        pages = self.domain.pages
        pages.require_owned(mfn)
        wanted = PageType.SEG_DESC if pages.type[mfn] is PageType.SEG_DESC else PageType.WRITABLE
        pages.get_page_type(mfn, wanted)
        self.ram.write32(address, low)
        self.ram.write32(address + 4, high)
        pages.put_page_type(mfn)
        self.changed = True
        return 0

    def stack_switch(self, ss: int, esp: int) -> int:
        """Where traps from outer rings arrive. A selector with RPL 0 means the guest's kernel ring."""
        ss &= c.M16
        if ss & c.SEL_RPL < abi.GUEST_KERNEL_RPL:
            ss |= abi.GUEST_KERNEL_RPL
        self.ram.write32(self.tss + TSS_ESP1, esp)
        self.ram.write32(self.tss + TSS_SS1, ss)
        return 0
