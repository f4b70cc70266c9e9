"""Faults: what the hardware does when an instruction cannot complete; each has its name from the SDM.

A `Fault` is raised anywhere in a definition and caught once, where instructions are run; the machine then
delivers it through the IDT (`deliver`), or, if the trap policy says so, leaves to the monitor with an
`Exit` (`cpu`). A fault leaves EIP at the instruction, a trap (`Breakpoint`, `Overflow`, single step) at
the next one. `NotModelled` is none of these: it is our own honest "this part of x86 is not there yet".
SDM 3A, chapter 6.
"""

from __future__ import annotations

from isa import consts as c


class Fault(Exception):
    """An exception of the processor: `vector`, `error` code (or None), and whether EIP moves on."""

    vector: int = 0
    error: int | None = None
    trap = False  # True: EIP saved is that of the next instruction

    def __init__(self, error: int | None = None) -> None:
        super().__init__()
        if error is not None:
            self.error = error

    @property
    def name(self) -> str:
        """`#GP`, `#PF`, …"""
        return c.VECTOR_NAMES.get(self.vector, f"vector {self.vector}")

    def __str__(self) -> str:
        return self.name if self.error is None else f"{self.name}({self.error:#x})"


class DivideError(Fault):
    vector = c.VEC_DE


class DebugException(Fault):
    """`why` are the bits of DR6 that it sets: a single step, a breakpoint, a task switch (traps), an
    instruction breakpoint or a use of protected debug registers (faults) (SDM 3B, 17.3.1)."""

    vector = c.VEC_DB

    def __init__(self, why: int = c.DR6_BS, *, trap: bool = True) -> None:
        super().__init__()
        self.why = why
        self.trap = trap


class BoundRange(Fault):
    vector = c.VEC_BR


class InvalidOpcode(Fault):
    vector = c.VEC_UD


class DeviceNotAvailable(Fault):
    vector = c.VEC_NM


class DoubleFault(Fault):
    vector = c.VEC_DF
    error = 0


class InvalidTSS(Fault):
    vector = c.VEC_TS
    error = 0


class SegmentNotPresent(Fault):
    vector = c.VEC_NP
    error = 0


class StackFault(Fault):
    vector = c.VEC_SS
    error = 0


class GeneralProtection(Fault):
    vector = c.VEC_GP
    error = 0


class MathFault(Fault):
    """The x87 has an exception pending that is not masked."""

    vector = c.VEC_MF


class AlignmentCheck(Fault):
    vector = c.VEC_AC
    error = 0


class PageFault(Fault):
    """`address` is the linear address that CR2 receives."""

    vector = c.VEC_PF
    error = 0

    def __init__(self, address: int, error: int) -> None:
        super().__init__(error)
        self.address = address

    def __str__(self) -> str:
        return f"#PF({self.error:#x}) at {self.address:#010x}"


WITH_ERROR = frozenset(fault.vector for fault in Fault.__subclasses__() if fault.error is not None)
CONTRIBUTORY = frozenset({c.VEC_DE, c.VEC_TS, c.VEC_NP, c.VEC_SS, c.VEC_GP})


def becomes_double_fault(first: int, second: int) -> bool:
    """Whether a fault `second`, met while delivering `first`, is a double fault (SDM 6.15, table 6-5)."""
    if first in CONTRIBUTORY:
        return second in CONTRIBUTORY
    if first == c.VEC_PF:
        return second in CONTRIBUTORY or second == c.VEC_PF
    return False


class Waiting(Exception):
    """The instruction has not begun: it waits for an interrupt, as after HLT, and will be tried again."""


class Again(Exception):
    """The instruction or delivery begins again: a translation on its way has marked an entry of the page tables,
    which it may have read (SDM 3A, 4.8). Nothing else has changed; the next time the mark is there."""


class NotModelled(Exception):
    """The guest needs something of x86 that vmsim does not have; `what` names it."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what
