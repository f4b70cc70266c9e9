"""What still traps: privileged instructions, and the guest's own writes to its page tables.

Each is emulated by its own definition on a virtual processor: the real state, seen as the guest's kernel
is meant to see it. There is a whitelist (Xen's, pv/emul-priv-op.c) and a postcondition (`vmm.monitor.cpu`);
whatever is not on the list is the guest's fault, and it gets it.

    privileged()   ring 1 counts as ring 0, IOPL is 0; CLI and STI do nothing to the upcall mask, an
                   unprivileged domain has no ports, of CR0 only TS can change
    forced()       UD2A; .ascii "xen"; CPUID asks for the guest's CPUID in place of the processor's
    page_table()   a store into a validated page table: each entry is checked and written like an update
                   by hypercall (ro-page-fault.c)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isa import consts as c
from isa.cpu import Cpu
from isa.faults import Fault, GeneralProtection, NotModelled, PageFault
from isa.insn import Insn, Kind
from isa.memory import PhysicalMemory, Ram
from isa.state import CPL, CR0, CR2, CR3, CR4, DR, EFLAGS, EIP
from isa.table import BY_NAME
from vmm.monitor import cpu as interpreter
from vmm.xen import abi
from vmm.xen.errors import HypercallError
from vmm.xen.pages import PageType, PageTypes
from vmm.xen.version import GUEST_MODEL

if TYPE_CHECKING:
    from vmm.xen.domain import Domain

WHITELIST = frozenset(
    BY_NAME[name].index
    for name in (
        *("in", "out", "ins", "outs", "cli", "sti", "clts", "wbinvd", "mov cr", "mov dr"),
        *("rdmsr", "wrmsr", "rdtsc", "cpuid"),
    )
)
CPUID = BY_NAME["cpuid"].index
MOV_CR = BY_NAME["mov cr"].index
GUEST_CR4 = c.CR4_TSD  # of CR4 a guest may change this
ACCESSED_DIRTY = c.PTE_A | c.PTE_D
OWN_REGISTERS = frozenset({*range(8), EIP, EFLAGS})  # what a store may change besides memory


class TableMemory(PhysicalMemory):
    """Machine memory in which a store to a page table goes through the checks, one to other typed or
    foreign frames not at all."""

    def __init__(self, ram: Ram, pages: PageTypes) -> None:
        super().__init__(ram)
        self.pages = pages
        self.refused = PageFault(0, 0)  # what a store that is not allowed ends in

    def frame(self, number: int) -> int:
        if number < self.pages.frames and self.pages.type[number] is PageType.WRITABLE:
            return super().frame(number)
        return -1

    def read(self, address: int, size: int) -> int:
        return int.from_bytes(self.ram.read(address, size), "little")

    def write(self, address: int, value: int, size: int) -> None:
        mfn, pages = address >> 12, self.pages
        shift = 8 * (address & 3)
        if mfn >= pages.frames or (address & 3) + size > 4:
            raise self.refused
        old = pages.entry(mfn, (address & 0xFFF) >> 2)
        mask = ((1 << 8 * size) - 1) << shift
        new = (old & ~mask) | (value << shift & mask)
        if not (old ^ new) & ~ACCESSED_DIRTY and pages.type[mfn] in (PageType.L1, PageType.L2):
            self.ram.write32(address & ~3, new)  # the page walk itself
            return
        if pages.type[mfn] is not PageType.L1:
            raise self.refused
        try:
            pages.set_entry(mfn, (address & 0xFFF) >> 2, new)
        except HypercallError:
            raise self.refused from None


class Emulator:
    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.real = domain.cpu
        self.virtual = Cpu(self.real.memory, model=GUEST_MODEL)
        self.tables = TableMemory(domain.host.ram, domain.pages)
        self.writer = Cpu(self.tables, model=GUEST_MODEL)

    def _copy(self, to: Cpu) -> None:
        """The real state into a virtual processor that has no translations yet."""
        to.s[:] = self.real.s
        to.count, to.time_offset = self.real.count, self.real.time_offset
        to.sync()
        to.engine.flush_tlb()

    # -- privileged instructions ------------------------------------------------------------------------

    def privileged(self, insn: Insn) -> Fault | None:
        """Emulate a whitelisted instruction. A Fault if the guest is to have one; raises NotModelled."""
        self._prepare()
        return self._emulate(insn)

    def forced(self) -> Fault | None:
        """The instruction after the prefix, if it may be asked for; else #UD where the prefix is."""
        self._prepare()
        start = self.virtual.s[EIP]
        self.virtual.s[EIP] = (start + len(abi.FORCED_EMULATION)) & c.M32
        insn = self.virtual.engine.fetch(self.virtual.s[EIP])
        if insn.row != CPUID:
            raise GeneralProtection(0)
        return self._emulate(insn)

    def _prepare(self) -> None:
        v = self.virtual
        self._copy(v)
        if v.s[CPL] == abi.GUEST_KERNEL_RPL:
            v.engine.set_cpl(0)
        mask = self.domain.shared.read8(abi.UPCALL_MASK)
        v.engine.set_eflags(v.s[EFLAGS] & ~(c.IF | c.IOPL) | (0 if mask else c.IF))

    def _emulate(self, insn: Insn) -> Fault | None:
        v = self.virtual
        try:
            _insn, fault, _changes = interpreter.emulate(v)
        except NotModelled:
            if insn.row != MOV_CR:
                raise
            return GeneralProtection(0)  # real mode, PAE: nothing that a guest could switch
        fault = fault or self._commit(insn)
        if fault is None:
            self.domain.ledger.work["instructions emulated"] += 1
        return fault

    def _commit(self, insn: Insn) -> Fault | None:
        """Let the real processor have what the guest may change."""
        v, r = self.virtual.s, self.real.s
        if (v[CR0] ^ r[CR0]) & ~c.CR0_TS:
            return GeneralProtection(0)
        loads_cr3 = insn.row == MOV_CR and insn.dst.kind == Kind.CONTROL and insn.dst.n == 3
        if loads_cr3:
            try:
                self.domain.mmu.new_baseptr(v[CR3] >> 12)
            except HypercallError:
                return GeneralProtection(0)
        if v[CR2] != r[CR2]:
            r[CR2] = v[CR2]
            self.domain.shared.write32(abi.ARCH_CR2, v[CR2])
        r[0 : EIP + 1] = v[0 : EIP + 1]
        r[CR0] = v[CR0]
        r[CR4] = (r[CR4] & ~GUEST_CR4) | (v[CR4] & GUEST_CR4)
        r[DR : DR + 8] = v[DR : DR + 8]
        self.real.count = self.virtual.count
        return None

    # -- writable page tables -----------------------------------------------------------------------------

    def page_table(self, fault: PageFault) -> bool:
        """Whether the page fault was a kernel's store into a page table, and it has been done."""
        real = self.real.s
        wanted = c.PF_P | c.PF_W
        if real[CPL] == 3 or (fault.error or 0) & wanted != wanted:
            return False
        try:
            mfn = self.domain.mmu.frame_at(fault.address)
        except HypercallError:
            return False
        if self.domain.pages.type[mfn] is not PageType.L1:
            return False
        w = self.writer
        self._copy(w)
        w.s[CR0] &= ~c.CR0_WP & c.M32
        self.tables.refused = fault
        before = w.s[:]
        try:
            insn, failed = w.execute()
        except NotModelled:
            return False
        changed = [n for n in range(len(before)) if before[n] != w.s[n]]
        if insn is None or failed is not None or not OWN_REGISTERS.issuperset(changed):
            return False
        real[0 : EIP + 1] = w.s[0 : EIP + 1]
        self.real.engine.set_eflags(w.s[EFLAGS])
        self.real.count = w.count
        self.domain.ledger.work["instructions emulated"] += 1
        return True

    # -- registers by hypercall -----------------------------------------------------------------------------

    def set_debugreg(self, register: int, value: int) -> int:
        """DR0 to DR3 and DR6; in DR7 no breakpoint can be enabled (-ENOSYS)."""
        number = _debug_register(register)
        if number < 4 and value >= abi.HYPERVISOR_VIRT_START:
            raise HypercallError(abi.EPERM)
        if number == 7 and value & 0xFF:
            raise HypercallError(abi.ENOSYS)
        fixed = {6: 0xFFFF_0FF0, 7: 0x400}.get(number, 0)
        self.real.s[DR + number] = value | fixed
        return 0

    def get_debugreg(self, register: int) -> int:
        return self.real.s[DR + _debug_register(register)]

    def fpu_taskswitch(self, set_it: int) -> int:
        """CR0.TS, with which a kernel postpones saving the FPU."""
        cr0 = self.real.s[CR0]
        self.real.s[CR0] = cr0 | c.CR0_TS if set_it else cr0 & ~c.CR0_TS & c.M32
        return 0


def _debug_register(register: int) -> int:
    """DR4 and DR5 are other names of DR6 and DR7."""
    if register > 7:
        raise HypercallError(abi.EINVAL)
    return register + 2 if register in (4, 5) else register
