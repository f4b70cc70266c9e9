"""A domain: one paravirtual guest, everything the hypervisor keeps for it, and the way back into it.

A trap is answered by the part that it concerns (`answer`). Before the guest runs again (`resume`) its
time is brought up to date, segments are loaded again if descriptors changed, and a pending event that
is not masked is delivered. Nothing of this happens because a run was cut into slices, so a run in one
piece and a run in steps are the same run. Next: `builder`, `traps`, `mmu`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isa import consts as c
from isa.disasm import format_insn
from isa.exits import Exit, Reason
from isa.faults import Fault, InvalidOpcode, PageFault
from isa.insn import Insn
from isa.state import BASE, CPL, EIP, SHADOW
from isa.table import ROWS
from vmm.events import Emulated, Trap
from vmm.image import Image
from vmm.monitor.vm import Host
from vmm.xen import abi
from vmm.xen.builder import build
from vmm.xen.console import Console
from vmm.xen.descriptors import Descriptors
from vmm.xen.emulate import WHITELIST, Emulator
from vmm.xen.events import EventChannels
from vmm.xen.guestmem import GuestPointers
from vmm.xen.hypercalls import Hypercalls
from vmm.xen.memory import Reservation
from vmm.xen.mmu import Mmu
from vmm.xen.pages import PageType, PageTypes
from vmm.xen.sched import Scheduler
from vmm.xen.shared import SharedInfo
from vmm.xen.time import VcpuTime
from vmm.xen.traps import Traps
from vmm.xen.version import Version

if TYPE_CHECKING:
    from vmm.machine import Machine

AFTER_MOV_SS = 2  # SHADOW then: the next instruction belongs to it


class Domain:
    """One guest with one virtual processor, on one real one."""

    def __init__(self, host: Host, machine: Machine) -> None:
        self.host = host
        self.machine = machine
        self.ledger = machine.ledger
        self.cpu = host.cpu
        self.frames = [at >> 12 for at in host.scattered_frames()]  # pseudo-physical -> machine
        self.console_mfn = 0  # the builder knows
        self.entered = True  # the hypervisor ran: there may be something to do before the guest does
        self.memory = GuestPointers(self.cpu)
        self.descriptors = Descriptors(self)
        self.shared_mfn = host.allocate() >> 12
        self.shared = SharedInfo(host.ram, self.shared_mfn << 12)
        self.pages = PageTypes(
            host.ram, self.ledger.work, self.cpu.engine.flush_tlb, self.descriptors.check_page
        )
        self.mmu = Mmu(self)
        self.traps = Traps(self)
        self.events = EventChannels(self)
        self.time = VcpuTime(self)
        self.console = Console(self)
        self.sched = Scheduler(self)
        self.version = Version(self)
        self.reservation = Reservation(self)
        self.emulator = Emulator(self)
        self.hypercalls = Hypercalls(self)
        for pfn, mfn in enumerate(self.frames):
            self.pages.owned[mfn] = 1
            self.mmu.set_m2p(mfn, pfn)
        self.pages.owned[self.shared_mfn] = 1
        self.pages.get_page_type(self.shared_mfn, PageType.WRITABLE)  # for good: never a page table

    def build(self, image: Image) -> None:
        """Put the guest at its first instruction. Raises ValueError if it does not fit."""
        build(self, image)

    # -- traps ----------------------------------------------------------------------------------------

    def answer(self, leave: Exit) -> None:
        """What the hypervisor does about a trap. Raises DomainCrash, NotModelled."""
        self.entered = True
        if leave.reason is Reason.SOFTWARE_INTERRUPT:
            self._software_interrupt(leave.vector)
        else:
            assert leave.fault is not None
            self._fault(leave.fault, leave.insn)
        self.cpu.s[SHADOW] = 0

    def _software_interrupt(self, vector: int) -> None:
        s = self.cpu.s
        insn = self.cpu.engine.fetch(s[EIP])
        if vector == abi.HYPERCALL_VECTOR and s[CPL] == abi.GUEST_KERNEL_RPL:
            self.trapped("hypercall", insn, "INT 82h is the hypervisor's gate, open to ring 1")
            self.hypercalls.call(insn.length)
        else:
            self.trapped(f"int {vector:#x}", insn, "the IDT is the hypervisor's")
            self.traps.software_interrupt(vector, insn.length)

    def _fault(self, fault: Fault, insn: Insn | None) -> None:
        if fault.vector == c.VEC_GP and not fault.error and insn is not None and insn.row in WHITELIST:
            self.trapped(ROWS[insn.row].name, insn, f"{fault} in ring {self.cpu.s[CPL]}")
            self._emulate(insn)
            return
        self.trapped(fault.name, insn, "every fault comes to the hypervisor first")
        if isinstance(fault, PageFault) and self.emulator.page_table(fault):
            return
        if isinstance(fault, InvalidOpcode) and self._forced(insn):
            return
        self.traps.bounce(fault)

    def _emulate(self, insn: Insn) -> None:
        count, eip = self.cpu.count, self.guest_eip
        fault = self.emulator.privileged(insn)
        if fault is not None:
            self.traps.bounce(fault)
        elif self.ledger.listening:
            self.ledger.emit(Emulated(count, eip, format_insn(insn, self.cpu.s[EIP]), ()))

    def _forced(self, insn: Insn | None) -> bool:
        """Whether #UD was a request for emulation, and it has been granted."""
        prefix = self.cpu.peek(self.guest_eip, len(abi.FORCED_EMULATION))
        if prefix != abi.FORCED_EMULATION:
            return False
        try:
            return self.emulator.forced() is None
        except Fault:
            return False

    def trapped(self, kind: str, insn: Insn | None, why: str) -> None:
        """Count a trap, and tell whoever listens."""
        self.ledger.traps[kind] += 1
        if self.ledger.listening:
            text = format_insn(insn, self.cpu.s[EIP]) if insn else ""
            self.ledger.emit(Trap(self.cpu.count, self.guest_eip, kind, text, why))

    @property
    def guest_eip(self) -> int:
        """Linear address of the guest's next instruction."""
        s = self.cpu.s
        return (s[EIP] + s[BASE + c.CS]) & c.M32

    # -- back into the guest ----------------------------------------------------------------------------

    @property
    def must_wait(self) -> bool:
        """An event is due, but the guest has just loaded SS and one more instruction belongs to that."""
        return self.cpu.s[SHADOW] >= AFTER_MOV_SS and self.events.deliverable

    def resume(self) -> None:
        """The guest runs next: what has to happen before. Raises DomainCrash."""
        if self.descriptors.changed:
            self.descriptors.changed = False
            self.traps.reload_segments()
        if self.events.deliverable:
            self.sched.wake()
            self.traps.upcall()
        if not self.sched.blocked:
            self.entered = False
            self.time.update()
