"""SYSENTER and SYSEXIT: the fast way into ring 0 and back, by MSRs instead of gates (SDM 2B, 3A 5.8.7).

Neither looks at a descriptor: CS and SS become flat segments, whatever the GDT says. SYSENTER always
enters the real ring 0, which is why a monitor cannot let a guest use it unseen (Uhlig et al. 2005).
"""

from __future__ import annotations

from isa.capstone_ids import X
from isa.consts import (
    ATTR_DPL, CR0_PE, CS, ECX, EDX, ESP, IF, M32, RF, SS, VM,
)  # fmt: skip
from isa.faults import GeneralProtection
from isa.insn import Insn
from isa.language import Builder
from isa.state import CPL, CR0, FLAT_CODE, FLAT_DATA, SYSENTER_CS, SYSENTER_EIP, SYSENTER_ESP
from isa.table import Privilege, Sensitive, insn


@insn(
    "sysenter",
    X.X86_INS_SYSENTER,
    sdm="2B SYSENTER",
    sensitive=Sensitive.SILENT,
    touches="CS, SS, CPL, IF",
    rule="enters the real ring 0 by the real MSRs, from any level",
    feature="SEP",
)
def sysenter(b: Builder, i: Insn) -> None:
    """To ring 0 at IA32_SYSENTER_EIP; #GP(0) while IA32_SYSENTER_CS is null. Interrupts go off."""
    selector = b.s[SYSENTER_CS] & 0xFFFC
    if (not b.s[CR0] & CR0_PE) or (selector == 0):
        raise GeneralProtection(0)
    b.set_system_flags(b.system_flags() & ~(VM | IF | RF) & M32)
    b.set_segment(CS, selector, 0, M32, FLAT_CODE)
    b.set_segment(SS, (selector + 8) & 0xFFFF, 0, M32, FLAT_DATA)
    b.set_cpl(0)
    b.s[ESP] = b.s[SYSENTER_ESP]
    b.go(b.s[SYSENTER_EIP])


@insn(
    "sysexit",
    X.X86_INS_SYSEXIT,
    sdm="2B SYSEXIT",
    privilege=Privilege.CPL0,
    sensitive=Sensitive.PRIVILEGED,
    touches="CS, SS, CPL",
    rule="#GP(0) at CPL > 0",
    feature="SEP",
)
def sysexit(b: Builder, i: Insn) -> None:
    """To ring 3 at EDX with the stack ECX."""
    selector = b.s[SYSENTER_CS] & 0xFFFC
    if (not b.s[CR0] & CR0_PE) or (selector == 0) or (b.s[CPL] != 0):
        raise GeneralProtection(0)
    b.set_segment(CS, ((selector + 16) & 0xFFFF) | 3, 0, M32, FLAT_CODE | ATTR_DPL)
    b.set_segment(SS, ((selector + 24) & 0xFFFF) | 3, 0, M32, FLAT_DATA | ATTR_DPL)
    b.set_cpl(3)
    b.s[ESP] = b.s[ECX]
    b.go(b.s[EDX])
