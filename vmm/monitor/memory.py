"""Shadow page tables: the guest's translations, composed with the host's, for the real processor.

The guest's tables map gva to gpa; the processor walks the shadow, which maps gva to hpa. A page fault is
*hidden* if the guest's own tables allow the access: the shadow is filled and the guest never knows. Else
it is *true* and the guest gets it. The walk of the guest's tables is the definition in `isa.mmu`, run on
the virtual processor, so accessed and dirty bits appear in the guest's entries as hardware would set them.
A page is mapped writable only once its dirty bit is set, which makes the first write fault and set it.

The shadow is a large virtual TLB: it may hold what a real TLB may hold, and forgets on the same occasions
(CR3, INVLPG, CR0/CR4 paging bits). How much it forgets at a load of CR3 is a `Policy`; Adams and Agesen
(2006, 3.5) weigh the costs against each other: hidden faults, comparing, traced stores.

With CR0.WP clear a supervisor may write read-only pages: such a page is mapped writable for the
supervisor alone, and falls back to read-only for the user at the user's next access. Next: `roots`.
"""

from __future__ import annotations

import os
from enum import StrEnum

from isa import consts as c
from isa.cpu import Cpu
from isa.mmu import walk
from isa.state import CPL, CR0, CR3, CR4, PDPTE
from vmm.monitor.roots import PAGE_SHIFT, Root, Source, Walker, is_wide
from vmm.monitor.vm import MONITOR_BASE, Host, OutOfFrames, VirtualMachine

PRESENT_ALL = c.PTE_P | c.PTE_W | c.PTE_U | c.PTE_A
TABLE_SHIFT = 22  # log2 of what a shadow table covers


class Policy(StrEnum):
    """What becomes of the shadow when the guest loads CR3."""

    FLUSH = "flush"  # it is emptied: every page of the new address space is a hidden fault
    COMPARE = "compare"  # each address space has a root; what the guest's tables changed is found and dropped
    TRACE = "trace"  # the same, but stores to the guest's tables trap and are followed at once


def default_policy() -> Policy:
    """COMPARE, or what `VMSIM_SHADOW` says. Raises ValueError."""
    wanted = os.environ.get("VMSIM_SHADOW") or Policy.COMPARE
    try:
        return Policy(wanted)
    except ValueError:
        raise ValueError(f"there is no shadow policy {wanted!r}; there are {', '.join(Policy)}") from None


class ShadowTables:
    """The shadow roots of one virtual machine, of which the real processor walks one."""

    def __init__(self, vm: VirtualMachine, policy: Policy | None = None) -> None:
        self.vm = vm
        self.policy = policy or default_policy()
        self.host: Host = vm.host
        self.real: Cpu = vm.host.cpu
        self.data = self.host.ram.data
        self.words = memoryview(self.data).cast("I")
        self.walker = Walker(vm.cpu)
        self.traced: set[int] = set()  # host frames that are never mapped writable
        self.entries: dict[int, set[int]] = {}  # host frame -> the shadow entries that map it, by address
        self.followed: dict[
            int, list[tuple[Root, Source]]
        ] = {}  # TRACE: host frame -> what it is a source of
        self._walking = False  # accessed and dirty bits that the monitor itself sets are no news
        self.monitor_table = self.host.allocate()
        self.roots: dict[tuple[int, ...], Root] = {}  # by `_key`, the one used last at the end
        self.real.s[CR0] |= c.CR0_PG | c.CR0_WP
        self.root = self._enter()
        vm.memory.on_remap.append(self.forget)
        self.host.on_shortage.append(self._give_way)

    def map_monitor(self, linear: int, frame: int, *, user: bool = False, writable: bool = True) -> None:
        """Map a frame of the monitor into its own corner of the linear space; for ring 3 too if `user`."""
        index = linear >> PAGE_SHIFT & 0x3FF
        rights = c.PTE_P | c.PTE_A | c.PTE_D | c.PTE_W * writable | c.PTE_U * user
        self.words[(self.monitor_table >> 2) + index] = frame | rights
        self.real.engine.flush_page(linear)

    # -- roots --------------------------------------------------------------------------------------

    def _key(self) -> tuple[int, ...]:
        """What decides what an address means, beside the contents of the guest's tables."""
        s = self.vm.cpu.s
        if not s[CR0] & c.CR0_PG:
            return ()
        how = s[CR0] & c.CR0_WP, s[CR4] & (c.CR4_PSE | c.CR4_PAE)
        if how[1] & c.CR4_PAE:
            return *how, *s[PDPTE : PDPTE + 8]
        return *how, s[CR3] & c.PAGE_MASK

    def _enter(self) -> Root:
        """Make the real processor walk the root of the guest's address space, a new one if need be."""
        key = self._key()
        root = self.roots.pop(key, None) or Root(self._new_directory())
        self.roots[key] = self.root = root
        self.real.s[CR3] = root.frame
        self.real.engine.flush_tlb()
        return root

    def _new_directory(self) -> int:
        frame = self.host.allocate()
        self.words[(frame >> 2) + (MONITOR_BASE >> TABLE_SHIFT)] = self.monitor_table | PRESENT_ALL
        return frame

    def _empty(self, root: Root) -> None:
        """Forget what a root maps."""
        for index in list(root.tables):
            self._drop_table(root, index)
        root.directories.clear()
        root.leaves.clear()
        root.volatile = False

    def _discard(self, key: tuple[int, ...]) -> None:
        root = self.roots.pop(key)
        self._empty(root)
        self.host.free(root.frame)

    def _give_way(self) -> bool:
        """The monitor's pool is used up: give back the root that was used the longest time ago."""
        for key, root in self.roots.items():
            if root is not self.root:
                self._discard(key)
                return True
        return False

    # -- filling ------------------------------------------------------------------------------------

    def guest_translation(self, gva: int, write: int) -> int:
        """What the guest's own tables say: gpa page | PTE_W | PTE_U | PTE_D. Raises PageFault, if true."""
        s, walker = self.vm.cpu.s, self.walker
        walker.entries.clear()
        if not s[CR0] & c.CR0_PG:
            return (gva & c.PAGE_MASK) | c.PTE_W | c.PTE_U | c.PTE_D
        self._walking = True
        try:
            return walk(walker, gva, write, 1 if s[CPL] == 3 else 0)  # type: ignore[arg-type]
        finally:
            self._walking = False

    def fill(self, gva: int, write: int) -> tuple[int, int, bool] | None:
        """Answer a page fault of the real processor at `gva`.

        Returns (gpa, hpa, writable) of a hidden fault now repaired, or None if there is no RAM behind
        the address. Raises `PageFault` if the fault is true.
        """
        translation = self.guest_translation(gva, write)
        gpa = translation & c.PAGE_MASK
        memory = self.vm.memory
        hpa = memory.frame(gpa >> PAGE_SHIFT)
        if hpa < 0 or gva >= MONITOR_BASE:
            return None
        stores_to = memory.store_frame(gpa >> PAGE_SHIFT)
        if write and stores_to != hpa:
            return None
        self._note_sources(gva)
        writable = bool(translation & c.PTE_W and translation & c.PTE_D)
        user = bool(translation & c.PTE_U)
        if write and not writable:  # allowed all the same: the supervisor, with CR0.WP clear
            writable, user = True, False
        writable = writable and stores_to == hpa and hpa not in self.traced
        self._set(gva, hpa | c.PTE_P | c.PTE_A | (c.PTE_D | c.PTE_W) * writable | c.PTE_U * user)
        return gpa, hpa, writable

    def _note_sources(self, gva: int) -> None:
        """The root depends on the guest's entries just walked."""
        root, wide = self.root, is_wide(self.vm.cpu)
        for start, shift in root.note(gva, self.walker, wide):
            self._drop(root, start, shift)
            self.real.engine.flush_tlb()
        if self.policy is Policy.TRACE:
            for source in root.sources(gva, wide):
                self._trace_table(root, source)

    def _set(self, gva: int, entry: int) -> None:
        root, index = self.root, gva >> TABLE_SHIFT
        table = root.tables.get(index)
        if table is None:
            table = self._new_table(index)
        at = table + (gva >> 10 & 0xFFC)
        self._unmap(at)
        self.words[at >> 2] = entry
        self.entries.setdefault(entry & c.PAGE_MASK, set()).add(at)
        self.real.engine.flush_page(gva)
        self.vm.ledger.work["shadow entries written"] += 1

    def _new_table(self, index: int) -> int:
        try:
            table = self.host.allocate()
        except OutOfFrames:
            self._empty(self.root)
            table = self.host.allocate()
        self.root.tables[index] = table
        self.words[(self.root.frame >> 2) + index] = table | PRESENT_ALL
        return table

    # -- forgetting ---------------------------------------------------------------------------------

    def _unmap(self, at: int) -> None:
        """Clear one shadow entry."""
        entry = self.words[at >> 2]
        if entry:
            self.words[at >> 2] = 0
            self.entries[entry & c.PAGE_MASK].discard(at)

    def _drop_table(self, root: Root, index: int) -> None:
        table = root.tables.pop(index)
        self.words[(root.frame >> 2) + index] = 0
        for n, entry in enumerate(self.words[table >> 2 : (table >> 2) + 1024].tolist()):
            if entry:
                self.entries[entry & c.PAGE_MASK].discard(table + 4 * n)
        self.host.free(table)

    def _drop(self, root: Root, start: int, shift: int) -> None:
        """Forget the translations of 1 << `shift` bytes from `start`."""
        if shift != PAGE_SHIFT:
            root.leaves.pop(start, None)
        table = root.tables.get(start >> TABLE_SHIFT)
        if table is None:
            return
        if shift == TABLE_SHIFT:
            self._drop_table(root, start >> TABLE_SHIFT)
            return
        first = table + (start >> 10 & 0xFFC)
        for at in range(first, first + (4 << shift - PAGE_SHIFT), 4):
            self._unmap(at)

    def flush(self) -> None:
        """The guest loaded CR3 or changed how paging works: go to the root of what it means now."""
        self.vm.ledger.work["shadow flushes"] += 1
        root = self._enter()
        if self.policy is Policy.FLUSH or root.volatile:
            self._empty(root)
        elif self.policy is Policy.COMPARE:
            sources = [*root.directories.values(), *root.leaves.values()]
            for source in sources:
                self._compare(root, source)
            if sources:
                self.vm.ledger.work["guest tables compared"] += len(sources)

    def _compare(self, root: Root, source: Source) -> None:
        for start, shift in root.changed(source, self.data):
            self._drop(root, start, shift)

    def flush_page(self, gva: int) -> None:
        """Forget one translation: INVLPG. If it was of a large page, all of that."""
        shift = self.root.covering(gva, is_wide(self.vm.cpu))
        self._drop(self.root, gva >> shift << shift, shift)
        if shift == PAGE_SHIFT:
            self.real.engine.flush_page(gva)
        else:
            self.real.engine.flush_tlb()

    def follow(self, gva: int | None) -> None:
        """The virtual processor dropped one translation, or all: so do we."""
        if gva is None:
            self.flush()
        else:
            self.flush_page(gva)

    def forget(self) -> None:
        """What is RAM has changed: nothing derived so far holds."""
        for key in list(self.roots):
            if self.roots[key] is self.root:
                self._empty(self.root)
            else:
                self._discard(key)
        self.real.engine.flush_tlb()

    # -- watching and taking away frames --------------------------------------------------------------

    def trace(self, hpa: int) -> None:
        """From now on a frame is mapped read-only, so that stores to it trap (write traces, VMware)."""
        self.traced.add(hpa)
        for at in self.entries.get(hpa, ()):
            self.words[at >> 2] &= ~(c.PTE_W | c.PTE_D) & c.M32
        self.real.engine.flush_tlb()

    def stores_to_traced(self, gva: int) -> bool:
        """Whether a store goes to a traced frame. Raises `PageFault` if the guest's own tables forbid it."""
        gpa = self.guest_translation(gva, 1)
        return self.vm.memory.frame(gpa >> PAGE_SHIFT) in self.traced

    def _trace_table(self, root: Root, source: Source) -> None:
        """Follow stores to a table of the guest's: its own trap, those made for it mark the page as code."""
        known = self.followed.setdefault(source.page, [])
        if not known:
            self.trace(source.page)
            page = self.host.ram.code_page(source.page)
            page.watchers.append(self._stored)
            page.mark()
        if all(source is not other for _, other in known):
            known.append((root, source))

    def _stored(self, number: int, first: int, last: int) -> None:
        """Something was stored to a traced table."""
        page = self.host.ram.code_offsets[number]
        self.host.ram.code[page].mark()
        if self._walking:
            return
        known = [(root, source) for root, source in self.followed[page] if root.has(source)]
        self.followed[page] = known
        for root, source in known:
            self._compare(root, source)
        self.real.engine.flush_tlb()
