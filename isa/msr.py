"""Model-specific registers: which processor has which, and what reading and writing them does.

    10h       time-stamp counter        with TSC; a write sets its low half and clears the high one
    1Bh       base of the local APIC    with APIC, from the Pentium Pro on; it stays where it is
    8Bh       microcode revision        from the Pentium Pro on; 0: no update was ever loaded
    174h…     SYSENTER CS, ESP, EIP     with SEP

Every other one is #GP(0), as on a processor that lacks it. SDM 4, tables 2-2 and 2-56; 2B RDMSR, WRMSR.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isa.consts import M32
from isa.faults import GeneralProtection, NotModelled
from isa.model import Model
from isa.state import SYSENTER_CS, TSC_ADJUST

if TYPE_CHECKING:
    from isa.cpu import Cpu

APIC_BASE = 0xFEE0_0900  # enabled, and this is the bootstrap processor


@dataclass(frozen=True, slots=True)
class Register:
    """`has` says whether a model has it; values are of 64 bits."""

    has: Callable[[Model], bool]
    read: Callable[[Cpu], int]
    write: Callable[[Cpu, int], None]


def _set_timestamp(cpu: Cpu, value: int) -> None:
    adjust = (value & M32) - (cpu.count + cpu.time_offset)
    cpu.s[TSC_ADJUST], cpu.s[TSC_ADJUST + 1] = adjust & M32, adjust >> 32 & M32


def _move_apic(cpu: Cpu, value: int) -> None:
    if value != APIC_BASE:
        raise NotModelled("moving or disabling the local APIC (MSR 1Bh)")


def _ignore(cpu: Cpu, value: int) -> None:
    """Software clears the revision before it asks for it (SDM 3A, 9.11.7)."""


def _is_p6(model: Model) -> bool:
    return model.family == 6 and "MSR" in model.features


def _word(n: int) -> Register:
    """A register of 32 bits that the state block holds."""

    def write(cpu: Cpu, value: int) -> None:
        cpu.s[n] = value & M32

    return Register(lambda model: "SEP" in model.features, lambda cpu: cpu.s[n], write)


REGISTERS = {
    0x10: Register(lambda model: "TSC" in model.features, lambda cpu: cpu.timestamp(), _set_timestamp),
    0x1B: Register(
        lambda model: _is_p6(model) and "APIC" in model.features, lambda cpu: APIC_BASE, _move_apic
    ),
    0x8B: Register(_is_p6, lambda cpu: 0, _ignore),
    0x174: _word(SYSENTER_CS),
    0x175: _word(SYSENTER_CS + 1),
    0x176: _word(SYSENTER_CS + 2),
}


def find(model: Model, index: int) -> Register:
    """The register. #GP(0) if the processor has none of that number."""
    register = REGISTERS.get(index)
    if register is None or not register.has(model):
        raise GeneralProtection(0)
    return register
