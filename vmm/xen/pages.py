"""Page types: what each machine frame of the domain is used for, and by how many.

A frame has one type at a time, and a count of those who rely on it:

    NONE       nobody
    WRITABLE   mapped writable by so many entries
    L1, L2     a validated page table or directory: in use by directories, CR3, a pin
    SEG_DESC   a validated page of segment descriptors

The types exclude each other, so a page table is never mapped writable, and that is the whole protection:
every entry of a validated table refers to a frame of the domain's own, with rights its type allows, and
the guest cannot change it but by hypercall. `refs` counts all references, read-only mappings too; a frame
with none may leave the domain. What a stale translation still allows is flushed when a frame becomes a
table. Xen: arch/x86/mm.c, get_page_type and its callers; SOSP 2003, 3.3.3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import Enum, auto

from isa.consts import PAGE_SIZE, PTE_A, PTE_D, PTE_P, PTE_W
from isa.memory import Ram
from vmm.xen import abi
from vmm.xen.errors import HypercallError

ENTRIES = PAGE_SIZE // 4
GUEST_L2_ENTRIES = abi.HYPERVISOR_VIRT_START >> 22


class PageType(Enum):
    NONE = auto()
    WRITABLE = auto()
    L1 = auto()
    L2 = auto()
    SEG_DESC = auto()


class PageTypes:
    """The frame table. `flush` empties the real TLB; `check_descriptors` validates a page of descriptors."""

    def __init__(
        self,
        ram: Ram,
        work: Counter[str],
        flush: Callable[[], None],
        check_descriptors: Callable[[int], None],
    ) -> None:
        self.ram = ram
        self.words = memoryview(ram.data).cast("I")
        self.work = work
        self.flush = flush
        self.check_descriptors = check_descriptors
        self.frames = ram.size // PAGE_SIZE
        self.owned = bytearray(self.frames)
        self.type = [PageType.NONE] * self.frames
        self.type_count = [0] * self.frames
        self.refs = [0] * self.frames
        self.pinned: set[int] = set()
        self.hypervisor_entries: list[int] = []  # what every directory holds above the guest's part

    # -- references ---------------------------------------------------------------------------------

    def require_owned(self, mfn: int) -> None:
        """-EINVAL unless the frame exists and is the domain's."""
        if mfn >= self.frames or not self.owned[mfn]:
            raise HypercallError(abi.EINVAL)

    def get_page_type(self, mfn: int, wanted: PageType) -> None:
        """Rely on the frame being of a type; validates it if it was not. Raises HypercallError."""
        self.require_owned(mfn)
        if self.type_count[mfn] == 0:
            self.type[mfn], self.type_count[mfn] = wanted, 1
            try:
                self._validate(mfn, wanted)
            except HypercallError:
                self.type[mfn], self.type_count[mfn] = PageType.NONE, 0
                raise
        elif self.type[mfn] is wanted:
            self.type_count[mfn] += 1
        else:
            raise HypercallError(abi.EINVAL)
        self.refs[mfn] += 1

    def put_page_type(self, mfn: int) -> None:
        """Undo `get_page_type`; the last one to go invalidates a table."""
        self.refs[mfn] -= 1
        self.type_count[mfn] -= 1
        if self.type_count[mfn] == 0:
            old, self.type[mfn] = self.type[mfn], PageType.NONE
            if old is PageType.L1:
                self._release(mfn, ENTRIES, self.put_l1e)
            elif old is PageType.L2:
                self._release(mfn, GUEST_L2_ENTRIES, self.put_l2e)

    def pin(self, mfn: int, wanted: PageType) -> None:
        """Keep a table validated until it is unpinned."""
        self.get_page_type(mfn, wanted)
        if mfn in self.pinned:
            self.put_page_type(mfn)
            raise HypercallError(abi.EINVAL)
        self.pinned.add(mfn)

    def unpin(self, mfn: int) -> None:
        if mfn not in self.pinned:
            raise HypercallError(abi.EINVAL)
        self.pinned.remove(mfn)
        self.put_page_type(mfn)

    # -- validation ---------------------------------------------------------------------------------

    def _validate(self, mfn: int, wanted: PageType) -> None:
        if wanted is PageType.WRITABLE:
            return
        self.flush()  # the frame may have been writable, and a TLB may not have heard the end of it
        if wanted is PageType.L1:
            self._acquire(mfn, ENTRIES, self.get_l1e, self.put_l1e)
        elif wanted is PageType.L2:
            self._acquire(mfn, GUEST_L2_ENTRIES, self.get_l2e, self.put_l2e)
            for n, entry in enumerate(self.hypervisor_entries, GUEST_L2_ENTRIES):
                self._store(mfn, n, entry)
        else:
            self.check_descriptors(mfn)
        self.work["pages validated"] += 1

    def _acquire(
        self, mfn: int, entries: int, get: Callable[[int], None], put: Callable[[int], None]
    ) -> None:
        """Take a reference for each entry of a table; all or none."""
        first = mfn * ENTRIES
        taken: list[int] = []
        try:
            for entry in self.words[first : first + entries]:
                if entry & PTE_P:
                    get(entry)
                    taken.append(entry)
        except HypercallError:
            for entry in taken:
                put(entry)
            raise

    def _release(self, mfn: int, entries: int, put: Callable[[int], None]) -> None:
        first = mfn * ENTRIES
        for entry in self.words[first : first + entries].tolist():
            put(entry)

    def get_l1e(self, entry: int) -> None:
        """An entry of a page table: a frame of the domain's, which is no table if it is writable."""
        if not entry & PTE_P:
            return
        if entry & abi.DISALLOWED_PTE_FLAGS:
            raise HypercallError(abi.EINVAL)
        mfn = entry >> 12
        if entry & PTE_W:
            self.get_page_type(mfn, PageType.WRITABLE)
        else:
            self.require_owned(mfn)
            self.refs[mfn] += 1

    def put_l1e(self, entry: int) -> None:
        if not entry & PTE_P:
            return
        if entry & PTE_W:
            self.put_page_type(entry >> 12)
        else:
            self.refs[entry >> 12] -= 1

    def get_l2e(self, entry: int) -> None:
        """An entry of a directory: a page table, valid or about to be."""
        if not entry & PTE_P:
            return
        if entry & abi.DISALLOWED_PTE_FLAGS:
            raise HypercallError(abi.EINVAL)
        self.get_page_type(entry >> 12, PageType.L1)

    def put_l2e(self, entry: int) -> None:
        if entry & PTE_P:
            self.put_page_type(entry >> 12)

    # -- changing one entry -------------------------------------------------------------------------

    def set_entry(self, mfn: int, index: int, entry: int, *, preserve_ad: bool = False) -> None:
        """Write one entry of a frame: checked if it is a page table or directory, as it is if writable."""
        self.require_owned(mfn)
        kind = self.type[mfn]
        old = self.words[mfn * ENTRIES + index]
        if preserve_ad:
            entry = (entry & ~(PTE_A | PTE_D)) | (old & (PTE_A | PTE_D))
        if kind is PageType.L1:
            self.get_l1e(entry)
            self._store(mfn, index, entry)
            self.put_l1e(old)
        elif kind is PageType.L2:
            if index >= GUEST_L2_ENTRIES:
                raise HypercallError(abi.EINVAL)
            self.get_l2e(entry)
            self._store(mfn, index, entry)
            self.put_l2e(old)
        elif kind is PageType.SEG_DESC:
            raise HypercallError(abi.EINVAL)
        else:
            self._store(mfn, index, entry)
            return
        self.work["page-table updates"] += 1

    def _store(self, mfn: int, index: int, entry: int) -> None:
        self.ram.write32(mfn * PAGE_SIZE + 4 * index, entry)

    def entry(self, mfn: int, index: int) -> int:
        """An entry as it stands."""
        return int(self.words[mfn * ENTRIES + index])
