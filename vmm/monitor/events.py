"""Virtual interrupts: injected when the virtual machine could take them, at exactly that instruction.

The virtual interrupt controller raises its line; the virtual IF, the shadow of STI or MOV SS and HLT
decide, as they would on bare hardware. A real interrupt has nothing to do with it.
"""

from __future__ import annotations

from isa.consts import CS, IF, M32
from isa.cpu import Cpu
from isa.exits import Exit
from isa.state import BASE, EFLAGS, EIP, NMI, NMI_WAITS, SHADOW
from vmm.events import Injected, Ledger


def deliverable(virtual: Cpu) -> bool:
    """An interrupt is pending and the guest could take it now."""
    s, source = virtual.s, virtual.interrupts
    if s[SHADOW]:
        return False
    return s[NMI] == NMI_WAITS or (bool(s[EFLAGS] & IF) and source is not None and source.intr)


def waits_for_shadow(virtual: Cpu) -> bool:
    """An interrupt is pending and will be taken after one more instruction."""
    s, source = virtual.s, virtual.interrupts
    return bool(s[SHADOW]) and (s[NMI] == NMI_WAITS or (source is not None and source.intr))


def inject(virtual: Cpu, ledger: Ledger, count: int) -> Exit | None:
    """Deliver the pending interrupt through the guest's IDT. An Exit if that ends the machine."""
    if virtual.s[NMI] == NMI_WAITS:
        vector = virtual.take_nmi()
    else:
        assert virtual.interrupts is not None
        vector = virtual.interrupts.acknowledge()
    eip = (virtual.s[EIP] + virtual.s[BASE + CS]) & M32
    failed = virtual.inject(vector)
    ledger.work["interrupts injected"] += 1
    if ledger.listening:
        ledger.emit(Injected(count, eip, vector, virtual.s[EIP]))
    return failed
