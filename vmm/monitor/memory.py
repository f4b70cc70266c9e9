"""Shadow page tables: the guest's translations, composed with the host's, for the real processor.

The guest's tables map gva to gpa; the processor walks the shadow, which maps gva to hpa. A page fault is
*hidden* if the guest's own tables allow the access: the shadow is filled and the guest never knows. Else
it is *true* and the guest gets it. The walk of the guest's tables is the definition in `isa.mmu`, run on
the virtual processor, so accessed and dirty bits appear in the guest's entries as hardware would set them.

The shadow is a large virtual TLB: it may hold what a real TLB may hold, and forgets on the same occasions
(CR3, INVLPG, CR0/CR4 paging bits), so the guest's tables need no write protection. A page is mapped
writable only once its dirty bit is set, which makes the first write fault and set it.

With CR0.WP clear a supervisor may write read-only pages: such a page is mapped writable for the
supervisor alone, and falls back to read-only for the user at the user's next access.
"""

from __future__ import annotations

from isa import consts as c
from isa import mmu
from isa.cpu import Cpu
from isa.state import CPL, CR0, CR3, CR4
from vmm.monitor.vm import MONITOR_BASE, Host, OutOfFrames, VirtualMachine

PRESENT_ALL = c.PTE_P | c.PTE_W | c.PTE_U | c.PTE_A


class ShadowTables:
    """One shadow root for the guest's current address space."""

    def __init__(self, vm: VirtualMachine) -> None:
        self.vm = vm
        self.host: Host = vm.host
        self.real: Cpu = vm.host.cpu
        self.root = self.host.allocate()
        self.tables: dict[int, int] = {}  # directory index -> frame of the page table
        self.traced: set[int] = set()  # host frames that are never mapped writable
        self.monitor_table = self.host.allocate()
        self._root_entry(MONITOR_BASE >> 22, self.monitor_table | PRESENT_ALL)
        real = self.real.s
        real[CR3] = self.root
        real[CR0] |= c.CR0_PG | c.CR0_WP
        vm.cpu.on_flush = self.follow

    def _root_entry(self, index: int, entry: int) -> None:
        self.host.ram.write32(self.root + 4 * index, entry)

    def map_monitor(self, linear: int, frame: int, *, user: bool = False, writable: bool = True) -> None:
        """Map a frame of the monitor into its own corner of the linear space; for ring 3 too if `user`."""
        index = linear >> 12 & 0x3FF
        rights = c.PTE_P | c.PTE_A | c.PTE_D | c.PTE_W * writable | c.PTE_U * user
        self.host.ram.write32(self.monitor_table + 4 * index, frame | rights)
        self.real.engine.flush_page(linear)

    # -- filling ------------------------------------------------------------------------------------

    def guest_translation(self, gva: int, write: int) -> int:
        """What the guest's own tables say: gpa page | PTE_W | PTE_U | PTE_D. Raises PageFault, if true."""
        v = self.vm.cpu
        if not v.s[CR0] & c.CR0_PG:
            return (gva & c.PAGE_MASK) | c.PTE_W | c.PTE_U | c.PTE_D
        return mmu.walk(v.engine, gva, write, 1 if v.s[CPL] == 3 else 0)

    def fill(self, gva: int, write: int) -> tuple[int, int, bool] | None:
        """Answer a page fault of the real processor at `gva`.

        Returns (gpa, hpa, writable) of a hidden fault now repaired, or None if there is no RAM behind
        the address. Raises `PageFault` if the fault is true.
        """
        translation = self.guest_translation(gva, write)
        gpa = translation & c.PAGE_MASK
        hpa = self.vm.memory.frame(gpa >> 12)
        if hpa < 0 or gva >= MONITOR_BASE:
            return None
        if write and self.vm.memory.store_frame(gpa >> 12) != hpa:
            return None
        writable = bool(translation & c.PTE_W and translation & c.PTE_D)
        user = bool(translation & c.PTE_U)
        if write and not writable:  # allowed all the same: the supervisor, with CR0.WP clear
            writable, user = True, False
        writable = writable and hpa not in self.traced and self.vm.memory.store_frame(gpa >> 12) == hpa
        entry = hpa | c.PTE_P | c.PTE_A | c.PTE_D * writable | c.PTE_W * writable | c.PTE_U * user
        self._set(gva, entry)
        return gpa, hpa, writable

    def trace(self, hpa: int) -> None:
        """From now on a frame is mapped read-only, so that stores to it trap (write traces, VMware)."""
        self.traced.add(hpa)
        for table in self.tables.values():
            for at in range(table, table + c.PAGE_SIZE, 4):
                entry = self.host.ram.read32(at)
                if entry & c.PAGE_MASK == hpa and entry & c.PTE_W:
                    self.host.ram.write32(at, entry & ~c.PTE_W)
        self.real.engine.flush_tlb()

    def stores_to_traced(self, gva: int) -> bool:
        """Whether a store goes to a traced frame. Raises `PageFault` if the guest's own tables forbid it."""
        gpa = self.guest_translation(gva, 1)
        return self.vm.memory.frame(gpa >> 12) in self.traced

    def _set(self, gva: int, entry: int) -> None:
        index = gva >> 22
        table = self.tables.get(index)
        if table is None:
            table = self._new_table(index)
        self.host.ram.write32(table + (gva >> 10 & 0xFFC), entry)
        self.real.engine.flush_page(gva)
        self.vm.ledger.work["shadow entries written"] += 1

    def _new_table(self, index: int) -> int:
        try:
            table = self.host.allocate()
        except OutOfFrames:
            self.flush()
            table = self.host.allocate()
        self.tables[index] = table
        self._root_entry(index, table | PRESENT_ALL)
        return table

    # -- forgetting ---------------------------------------------------------------------------------

    def flush(self) -> None:
        """Forget every translation: the guest loaded CR3 or changed how paging works."""
        for index, table in self.tables.items():
            self._root_entry(index, 0)
            self.host.free(table)
        self.tables.clear()
        self.real.engine.flush_tlb()
        self.vm.ledger.work["shadow flushes"] += 1

    def flush_page(self, gva: int) -> None:
        """Forget one translation: INVLPG. With large pages on, everything in the same 4 MB."""
        index = gva >> 22
        table = self.tables.get(index)
        if table is None:
            return
        if self.vm.cpu.s[CR4] & c.CR4_PSE:
            self._root_entry(index, 0)
            self.host.free(self.tables.pop(index))
            self.real.engine.flush_tlb()
        else:
            self.host.ram.write32(table + (gva >> 10 & 0xFFC), 0)
            self.real.engine.flush_page(gva)

    def follow(self, gva: int | None) -> None:
        """The virtual processor dropped one translation, or all: so do we."""
        if gva is None:
            self.flush()
        else:
            self.flush_page(gva)
