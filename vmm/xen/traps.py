"""Traps: the guest's trap table, frames on its stacks, and the ways into and out of its kernel.

The processor has no IDT of use: every exception and INT leaves to the hypervisor, which *bounces* it. It
builds the frame that hardware would, by the very definition of interrupt delivery (`isa.deliver.enter`),
through the real TSS that `stack_switch` fills, with two differences of the paravirtual interface:

    |  SS              |  \\ from ring 3       EFLAGS.IF in the frame is the upcall mask, inverted;
    |  ESP             |  /                   the mask itself is in the upper half of CS.
    |  EFLAGS          |
    |  mask | CS       |
    |  EIP             |                      A vector without a handler ends the domain: there is
    |  error code      |  some exceptions     nowhere to go.

The way out is the definition of IRET, run at ring 0 on the hypervisor's own stack. If the guest's
segments do not allow it, or cannot be loaded again after its descriptors changed, the failsafe callback
is entered; if a frame cannot be written, the domain has crashed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from isa import consts as c
from isa.decode import decode
from isa.deliver import enter
from isa.faults import DoubleFault, Fault, GeneralProtection, PageFault
from isa.ops.farflow import iret
from isa.ops.stack import push
from isa.segment import attr_of, descriptor_address, dpl_of, is_code, is_conforming, load_data
from isa.state import CPL, CR0, CR2, EFLAGS, EIP, SEL, SHADOW
from vmm.events import Injected, Reflected, SoftwareInterrupt
from vmm.xen import abi
from vmm.xen.descriptors import STACK_TOP
from vmm.xen.errors import DomainCrash, HypercallError

if TYPE_CHECKING:
    from vmm.xen.domain import Domain

IRET = decode(b"\xcf", 32)
FRAME_BYTES = 20  # EIP CS EFLAGS ESP SS
ENTRY_FLAGS = ~(c.TF | c.NT | c.RF | c.VM | c.AC) & c.M32
DATA_SEGMENTS = (c.DS, c.ES, c.FS, c.GS)
VECTORS = 256


@dataclass(frozen=True, slots=True)
class Handler:
    """Where a trap, event or failsafe callback goes. `flags` as in struct trap_info."""

    cs: int = 0
    eip: int = 0
    flags: int = 0


NOBODY = Handler()


@dataclass(frozen=True, slots=True)
class Context:
    """A place to go back to, as an interrupt frame describes it."""

    eip: int
    cs: int
    eflags: int
    esp: int
    ss: int


class Traps:
    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.cpu = domain.cpu
        self.table = [NOBODY] * VECTORS
        self.event = NOBODY
        self.failsafe = NOBODY

    # -- hypercalls ---------------------------------------------------------------------------------

    def set_trap_table(self, address: int) -> int:
        """An array of struct trap_info, ended by one without address; 0 empties the table."""
        table = [NOBODY] * VECTORS if not address else list(self.table)
        for _ in range(VECTORS if address else 0):
            first, eip = self.domain.memory.words(address, 2)
            if not eip:
                break
            cs = first >> 16
            reserved = cs >> 3 >= abi.FIRST_RESERVED_GDT_ENTRY and not cs & c.SEL_TI
            if reserved and cs != abi.FLAT_RING1_CS:
                raise HypercallError(abi.EPERM)
            table[first & 0xFF] = Handler(_kernel_selector(cs), eip, first >> 8 & 0xFF)
            address += abi.TRAP_INFO_SIZE
        self.table = table
        return 0

    def set_callbacks(self, event_cs: int, event_eip: int, failsafe_cs: int, failsafe_eip: int) -> int:
        self.event = Handler(_kernel_selector(event_cs), event_eip, abi.TI_MASK_EVENTS)
        self.failsafe = Handler(_kernel_selector(failsafe_cs), failsafe_eip)
        return 0

    def callback_op(self, command: int, argument: int) -> int:
        if command == abi.CALLBACKOP_UNREGISTER:
            raise HypercallError(abi.EINVAL)
        if command != abi.CALLBACKOP_REGISTER:
            raise HypercallError(abi.ENOSYS)
        first, cs, eip = self.domain.memory.words(argument, 3)
        kind, masks = first & c.M16, first >> 16 & abi.CALLBACKF_MASK_EVENTS
        if kind == abi.CALLBACKTYPE_EVENT:
            self.event = Handler(_kernel_selector(cs), eip, abi.TI_MASK_EVENTS)
        elif kind == abi.CALLBACKTYPE_FAILSAFE:
            self.failsafe = Handler(_kernel_selector(cs), eip, abi.TI_MASK_EVENTS if masks else 0)
        elif kind == abi.CALLBACKTYPE_NMI:
            pass  # there are none
        else:
            raise HypercallError(abi.ENOSYS)
        return 0

    # -- into the guest's kernel --------------------------------------------------------------------

    def bounce(self, fault: Fault) -> None:
        """Give the guest an exception. Raises DomainCrash."""
        domain = self.domain
        eip = domain.guest_eip
        if isinstance(fault, PageFault):
            self.cpu.s[CR2] = fault.address
            domain.shared.write32(abi.ARCH_CR2, fault.address)
        if fault.vector == c.VEC_NM:
            self.cpu.s[CR0] &= ~c.CR0_TS & c.M32
        resume = 0 if fault.trap else c.RF
        self._enter(self.table[fault.vector], fault, fault.error, resume)
        domain.ledger.work["exceptions bounced"] += 1
        if domain.ledger.listening:
            handler = self.cpu.s[EIP]
            domain.ledger.emit(Reflected(self.cpu.count, eip, str(fault), handler))

    def software_interrupt(self, vector: int, length: int) -> None:
        """INT n of the guest: its trap table says whether it is open to ring 3."""
        handler, domain = self.table[vector], self.domain
        in_kernel = self.cpu.s[CPL] == abi.GUEST_KERNEL_RPL
        open_gate = in_kernel or vector in (c.VEC_BP, c.VEC_OF)  # INT3 and INTO may be executed anywhere
        if not open_gate and handler.flags & abi.TI_DPL < 3:
            self.bounce(GeneralProtection(vector * 8 | c.ERR_IDT))
            return
        if domain.ledger.listening:
            eip = domain.guest_eip
            domain.ledger.emit(SoftwareInterrupt(self.cpu.count, eip, vector, handler.eip))
        self.cpu.s[EIP] = (self.cpu.s[EIP] + length) & c.M32
        self.cpu.count += 1
        self._enter(handler, f"int {vector:#x}", None, 0)

    def upcall(self) -> None:
        """Enter the event callback, upcalls masked."""
        domain = self.domain
        eip = domain.guest_eip
        self._enter(self.event, "event", None, 0)
        domain.ledger.work["events delivered"] += 1
        if domain.ledger.listening:
            port = domain.events.lowest_pending()
            domain.ledger.emit(Injected(self.cpu.count, eip, port, self.cpu.s[EIP]))

    def _enter(self, handler: Handler, why: Fault | str, error: int | None, resume: int) -> None:
        if not handler.eip:
            raise DomainCrash(f"{why}, and the guest has no handler for it")
        try:
            self._push_frame(handler, error, resume)
        except Fault as second:
            try:
                self._enter_failsafe()
            except Fault as third:
                raise DomainCrash(f"{why}, then {second}, then {third}: no frame can be written") from None

    def _push_frame(self, handler: Handler, error: int | None, resume: int) -> None:
        """The frame and the jump, by the definition of delivery. Nothing has changed if it faults."""
        s, b = self.cpu.s, self.cpu.engine
        before = s[:]
        mask = self.domain.shared.read8(abi.UPCALL_MASK) & 1
        try:
            self._require_kernel_code(handler.cs)
            s[SEL + c.CS] = s[SEL + c.CS] & c.M16 | mask << 16
            b.set_eflags(b.eflags() & ~c.IF | (0 if mask else c.IF))
            enter(b, handler.cs, handler.eip, 0, error, s[EIP], ENTRY_FLAGS, resume, 32)
        except Fault:
            s[:] = before
            b.sync()
            raise
        s[EIP], s[SHADOW] = handler.eip, 0
        b.set_eflags(b.eflags() | c.IF)
        b.settle()
        if handler.flags & abi.TI_MASK_EVENTS:
            self.domain.shared.write8(abi.UPCALL_MASK, 1)

    def _require_kernel_code(self, selector: int) -> None:
        """Handlers run in ring 1, never further out."""
        b = self.cpu.engine
        at = descriptor_address(b, selector)
        attr = attr_of(b.load_system(at + 4, 32))
        if not is_code(attr) or is_conforming(attr) or dpl_of(attr) != abi.GUEST_KERNEL_RPL:
            raise GeneralProtection(selector & 0xFFFC)

    # -- failsafe -----------------------------------------------------------------------------------

    def _enter_failsafe(self) -> None:
        """The failsafe callback: DS ES FS GS below the frame, and none of them loaded. Raises Fault."""
        if not self.failsafe.eip:
            raise DoubleFault()
        selectors = [self.cpu.s[SEL + n] for n in DATA_SEGMENTS]
        self._push_frame(self.failsafe, None, 0)
        b = self.cpu.engine
        for selector in reversed(selectors):
            push(b, selector, 32)
        for n in DATA_SEGMENTS:
            b.set_segment(n, 0, 0, 0, 0)
        b.settle()

    def fail_safe(self, wanted: Context, why: Fault) -> None:
        """The guest asked for a context that cannot be loaded. Raises DomainCrash."""
        s = self.cpu.s
        s[SEL + c.CS], s[EIP] = wanted.cs, wanted.eip
        s[SEL + c.SS], s[c.ESP] = wanted.ss, wanted.esp
        self.cpu.engine.set_eflags(wanted.eflags)
        self.cpu.engine.set_cpl(max(wanted.cs & c.SEL_RPL, abi.GUEST_KERNEL_RPL))
        try:
            self._enter_failsafe()
        except Fault as second:
            place = f"{wanted.cs:#06x}:{wanted.eip:#010x}"
            raise DomainCrash(f"{why} on the way back to {place}, then {second}") from None

    # -- out of the hypervisor ----------------------------------------------------------------------

    def load(self, wanted: Context) -> None:
        """The hypervisor's IRET. Nothing has changed if it faults."""
        s, b = self.cpu.s, self.cpu.engine
        before = s[:]
        frame = (wanted.eip, wanted.cs, wanted.eflags, wanted.esp, wanted.ss)
        at = self.domain.descriptors.stack + c.PAGE_SIZE - FRAME_BYTES
        self.domain.host.ram.write(at, b"".join(word.to_bytes(4, "little") for word in frame))
        try:
            b.set_cpl(0)
            b.set_segment(c.SS, 0, 0, c.M32, c.ATTR_G | c.ATTR_DB | c.ATTR_P | c.ATTR_S | c.TYPE_WRITABLE)
            b.set_eflags(c.FLAGS_ONE)
            s[c.ESP] = STACK_TOP - FRAME_BYTES
            iret(b, IRET)
        except Fault:
            s[:] = before
            b.sync()
            raise
        s[EIP] = wanted.eip
        b.settle()

    def reload_segments(self) -> None:
        """The descriptor tables have changed: load every segment register again, or fail safe."""
        s, b = self.cpu.s, self.cpu.engine
        here = self.context()
        try:
            b.set_cpl(0)
            for n in DATA_SEGMENTS:
                load_data(b, n, s[SEL + n])
            self.load(here)
        except Fault as fault:
            b.set_cpl(here.cs & c.SEL_RPL)
            self.fail_safe(here, fault)

    def context(self) -> Context:
        """Where the guest is."""
        s = self.cpu.s
        return Context(s[EIP], s[SEL + c.CS], s[EFLAGS], s[c.ESP], s[SEL + c.SS])

    def iret(self) -> None:
        """Hypercall iret: EAX, then the frame, from the stack. Raises DomainCrash."""
        s, domain = self.cpu.s, self.domain
        esp = s[c.ESP]
        try:
            eax, eip, cs, eflags = domain.memory.words(esp, 4)
            outer = cs & c.SEL_RPL != abi.GUEST_KERNEL_RPL
            new_esp, ss = domain.memory.words(esp + 16, 2) if outer else (esp + 16, s[SEL + c.SS])
        except HypercallError:
            raise DomainCrash("iret: the frame cannot be read") from None
        cs &= c.M16
        if not cs & c.SEL_RPL:
            raise DomainCrash(f"iret to {cs:#06x}, a selector for ring 0")
        if eflags & c.VM:
            self.bounce(GeneralProtection(0))
            return
        s[c.EAX] = eax
        domain.shared.write8(abi.UPCALL_MASK, 0 if eflags & c.IF else 1)
        flags = eflags & ~(c.IOPL | c.VIF | c.VIP) | c.IF | c.FLAGS_ONE
        wanted = Context(eip, cs, flags & c.M32, new_esp & c.M32, ss & c.M16)
        try:
            self.load(wanted)
        except Fault as fault:
            self.fail_safe(wanted, fault)


def _kernel_selector(selector: int) -> int:
    """A code selector with RPL 0 means the guest's kernel ring."""
    selector &= c.M16
    return selector if selector & c.SEL_RPL else selector | abi.GUEST_KERNEL_RPL
