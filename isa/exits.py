"""How a processor comes back: the trap policy that a monitor sets, and the `Exit` it gets.

A *fault* is what hardware does and goes where the machine sends it, the IDT. An *exit* is what a monitor
sees. Which faults, software interrupts and instructions exit is data, a `TrapPolicy`; this is the only
thing that tells one kind of virtualization from another inside `isa`. Next: `cpu`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from isa.faults import Fault
from isa.insn import Insn


class Reason(Enum):
    """Why `Cpu.run` returned."""

    UNTIL = "the instruction count was reached"
    HALT = "HLT, and no interrupt is pending"
    FAULT = "a fault that the policy wants"
    SOFTWARE_INTERRUPT = "an INT n that the policy wants"
    INSTRUCTION = "an instruction that the policy wants"
    SHUTDOWN = "a triple fault"
    ENDLESS = "fault after fault, and no instruction completes"
    NOT_MODELLED = "something that vmsim does not have"
    BREAKPOINT = "an address where the caller wanted to stop"
    STOP = "somebody asked to stop"


@dataclass(frozen=True, slots=True)
class TrapPolicy:
    """What leaves to the monitor instead of taking its ordinary course.

    `exceptions` and `software_interrupts` are bitmaps of vectors; `instructions` are row indexes that exit
    at CPL > 0, before they execute. Those that are `virtual`, too, may be emulated in native code, on the
    state of `Cpu.virtual`, instead of exiting.
    """

    exceptions: int = 0
    software_interrupts: int = 0
    instructions: frozenset[int] = field(default_factory=frozenset)
    virtual: frozenset[int] = field(default_factory=frozenset)


NATIVE = TrapPolicy()
ALL_VECTORS = (1 << 256) - 1


@dataclass(slots=True)  # not frozen: there are a hundred thousand of them in a second
class Exit:
    """Why the processor came back, at an instruction boundary: EIP is that of the instruction concerned
    (for a fault the faulting one, for UNTIL the next one)."""

    reason: Reason
    fault: Fault | None = None
    vector: int = -1
    insn: Insn | None = None
    what: str = ""
    faults: tuple[Fault, ...] = ()  # SHUTDOWN: the faults that led there
