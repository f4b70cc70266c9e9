"""Virtual interrupts: injected when the virtual machine could take them, at exactly that instruction.

The virtual interrupt controller raises its line; the virtual IF, the shadow of STI or MOV SS and HLT
decide, as they would on bare hardware. A real interrupt has nothing to do with it.
"""

from __future__ import annotations

from isa.consts import CS, IF, M32
from isa.cpu import Cpu
from isa.exits import Exit
from isa.state import BASE, EFLAGS, EIP, SHADOW
from vmm.events import Injected, Ledger


def deliverable(virtual: Cpu) -> bool:
    """An interrupt is pending and the guest could take it now."""
    s, source = virtual.s, virtual.interrupts
    return bool(s[EFLAGS] & IF) and not s[SHADOW] and source is not None and source.intr


def waits_for_shadow(virtual: Cpu) -> bool:
    """An interrupt is pending and will be taken after one more instruction."""
    source = virtual.interrupts
    return bool(virtual.s[SHADOW]) and source is not None and source.intr


def inject(virtual: Cpu, ledger: Ledger, count: int) -> Exit | None:
    """Deliver the pending interrupt through the guest's IDT. An Exit if that ends the machine."""
    assert virtual.interrupts is not None
    vector = virtual.interrupts.acknowledge()
    eip = (virtual.s[EIP] + virtual.s[BASE + CS]) & M32
    failed = virtual.inject(vector)
    ledger.work["interrupts injected"] += 1
    if ledger.listening:
        ledger.emit(Injected(count, eip, vector, virtual.s[EIP]))
    return failed
