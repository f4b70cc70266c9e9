"""Memory management hypercalls: mmu_update, update_va_mapping, mmuext_op; and the M2P table.

The guest's own page tables are what the processor walks; nothing is shadowed. Here the guest's requests
are taken apart, `pages` says whether they are safe. Long batches stop after `BATCH` elements and are
repeated by the guest with what is left (`Preempted`), as in Xen. Only the domain itself may be meant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from isa import consts as c
from isa.state import CR3
from vmm.xen import abi
from vmm.xen.errors import HypercallError, Preempted
from vmm.xen.pages import ENTRIES, PageType

if TYPE_CHECKING:
    from vmm.xen.domain import Domain

BATCH = 1024  # elements before a hypercall is interrupted
PINS = {abi.MMUEXT_PIN_L1_TABLE: PageType.L1, abi.MMUEXT_PIN_L2_TABLE: PageType.L2}
FLUSH_ALL = (abi.MMUEXT_TLB_FLUSH_LOCAL, abi.MMUEXT_TLB_FLUSH_MULTI, abi.MMUEXT_TLB_FLUSH_ALL)
FLUSH_PAGE = (abi.MMUEXT_INVLPG_LOCAL, abi.MMUEXT_INVLPG_MULTI, abi.MMUEXT_INVLPG_ALL)


class Mmu:
    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.cpu = domain.cpu
        self.ram = domain.host.ram
        self.pages = domain.pages
        self.machine_pages = self.ram.size // c.PAGE_SIZE
        per_page = c.PAGE_SIZE // 4
        self.m2p_frames = [domain.host.allocate() for _ in range(-(-self.machine_pages // per_page))]
        self.m2p_table = domain.host.allocate()
        for n, frame in enumerate(self.m2p_frames):
            self.ram.write(frame, b"\xff" * c.PAGE_SIZE)
            self.ram.write32(self.m2p_table + 4 * n, frame | c.PTE_P | c.PTE_A)
        self._publish()

    def _publish(self) -> None:
        """The directory entries above the guest's part: the M2P table to read, and the private corner."""
        entries = [0] * (ENTRIES - (abi.HYPERVISOR_VIRT_START >> 22))
        entries[0] = self.m2p_table | c.PTE_P | c.PTE_A
        entries[-1] = self.domain.descriptors.private_table | c.PTE_P | c.PTE_W | c.PTE_A | c.PTE_D
        self.pages.hypervisor_entries = entries

    def set_m2p(self, mfn: int, pfn: int) -> None:
        per_page = c.PAGE_SIZE // 4
        self.ram.write32(self.m2p_frames[mfn // per_page] + 4 * (mfn % per_page), pfn)

    # -- looking at the guest's tables ------------------------------------------------------------------

    def l1_slot(self, gva: int) -> tuple[int, int]:
        """(frame, index) of the entry that maps `gva` now. Raises -EINVAL if there is none."""
        if gva >= abi.HYPERVISOR_VIRT_START:
            raise HypercallError(abi.EINVAL)
        directory = self.cpu.s[CR3] >> 12
        entry = self.pages.entry(directory, gva >> 22)
        if not entry & c.PTE_P:
            raise HypercallError(abi.EINVAL)
        return entry >> 12, gva >> 12 & 0x3FF

    def frame_at(self, gva: int) -> int:
        """The machine frame mapped at `gva`. Raises -EINVAL."""
        entry = self.pages.entry(*self.l1_slot(gva))
        if not entry & c.PTE_P:
            raise HypercallError(abi.EINVAL)
        return entry >> 12

    # -- mmu_update -----------------------------------------------------------------------------------------

    def _resume(self, count: int, done_at: int) -> tuple[int, int]:
        """(elements left, elements done before) of a call that may be a continuation."""
        if count & abi.MMU_UPDATE_PREEMPTED:
            return count & ~abi.MMU_UPDATE_PREEMPTED, self.domain.memory.word(done_at) if done_at else 0
        return count, 0

    def _batch(
        self,
        perform: Callable[[tuple[int, ...]], None],
        size: int,
        requests: int,
        count: int,
        done_at: int,
        domid: int,
    ) -> int:
        """Do up to `BATCH` requests of `size` bytes each; the first error ends it. Raises Preempted."""
        if domid != abi.DOMID_SELF:
            raise HypercallError(abi.EPERM)
        left, before = self._resume(count, done_at)
        memory = self.domain.memory
        errno = done = 0
        try:
            while done < min(left, BATCH):
                perform(memory.words(requests + done * size, size // 4))
                done += 1
        except HypercallError as error:
            errno = error.errno
        if left > 1 and size == abi.MMU_UPDATE_SIZE:
            self.domain.ledger.work["batched updates"] += done
        if done_at:
            memory.write_word(done_at, (before + done) & c.M32)
        if not errno and done < left:
            rest = (left - done) | abi.MMU_UPDATE_PREEMPTED
            raise Preempted((requests + done * size) & c.M32, rest, done_at, domid)
        return -errno

    def mmu_update(self, requests: int, count: int, done_at: int, domid: int) -> int:
        """A batch of (machine address of an entry | command, new value)."""
        return self._batch(self._update, abi.MMU_UPDATE_SIZE, requests, count, done_at, domid)

    def _update(self, request: tuple[int, ...]) -> None:
        pointer, pointer_high, value, value_high = request
        command, mfn = pointer & 3, pointer >> 12
        if pointer_high:
            raise HypercallError(abi.EINVAL)
        if command in (abi.MMU_NORMAL_PT_UPDATE, abi.MMU_PT_UPDATE_PRESERVE_AD):
            if value_high:
                raise HypercallError(abi.EINVAL)
            keep = command == abi.MMU_PT_UPDATE_PRESERVE_AD
            self.pages.set_entry(mfn, (pointer & 0xFFF) >> 2, value, preserve_ad=keep)
        elif command == abi.MMU_MACHPHYS_UPDATE:
            self.pages.require_owned(mfn)
            self.set_m2p(mfn, value)
        else:
            raise HypercallError(abi.ENOSYS)

    # -- update_va_mapping --------------------------------------------------------------------------------

    def update_va_mapping(self, gva: int, low: int, high: int, flags: int) -> int:
        """Set the page-table entry that maps `gva` in the current address space."""
        if high:
            raise HypercallError(abi.EINVAL)
        self.pages.set_entry(*self.l1_slot(gva), low)
        kind = flags & abi.UVMF_FLUSHTYPE_MASK
        if kind == abi.UVMF_TLB_FLUSH:
            self.cpu.engine.flush_tlb()
        elif kind == abi.UVMF_INVLPG:
            self.cpu.engine.flush_page(gva)
        return 0

    # -- mmuext_op ------------------------------------------------------------------------------------------

    def mmuext_op(self, operations: int, count: int, done_at: int, domid: int) -> int:
        """A batch of (command, frame or linear address, further argument)."""
        return self._batch(self._extended, abi.MMUEXT_OP_SIZE, operations, count, done_at, domid)

    def _extended(self, operation: tuple[int, ...]) -> None:
        command, first, second = operation
        if command in PINS:
            self.pages.pin(first, PINS[command])
        elif command == abi.MMUEXT_UNPIN_TABLE:
            self.pages.unpin(first)
        elif command == abi.MMUEXT_NEW_BASEPTR:
            self.new_baseptr(first)
        elif command in FLUSH_ALL:
            self.cpu.engine.flush_tlb()
        elif command in FLUSH_PAGE:
            self.cpu.engine.flush_page(first)
        elif command == abi.MMUEXT_FLUSH_CACHE:
            raise HypercallError(abi.EPERM)  # only for domains with devices of their own
        elif command == abi.MMUEXT_SET_LDT:
            self.domain.descriptors.set_ldt(first, second)
        elif command == abi.MMUEXT_CLEAR_PAGE:
            self._fill(first, bytes(c.PAGE_SIZE))
        elif command == abi.MMUEXT_COPY_PAGE:
            self.pages.require_owned(second)
            self._fill(first, self.ram.read(second << 12, c.PAGE_SIZE))
        elif command in (abi.MMUEXT_PIN_L3_TABLE, abi.MMUEXT_PIN_L4_TABLE):
            raise HypercallError(abi.EINVAL)
        else:
            raise HypercallError(abi.ENOSYS)

    def _fill(self, mfn: int, data: bytes) -> None:
        """Write a whole frame, which must not be a table."""
        self.pages.get_page_type(mfn, PageType.WRITABLE)
        self.ram.write(mfn << 12, data)
        self.pages.put_page_type(mfn)

    def new_baseptr(self, mfn: int) -> None:
        """CR3: another directory. The old one is let go only when the new one is known to be good."""
        self.pages.get_page_type(mfn, PageType.L2)
        old = self.cpu.s[CR3] >> 12
        self.cpu.s[CR3] = mfn << 12
        self.cpu.engine.flush_tlb()
        self.pages.put_page_type(old)
