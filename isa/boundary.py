"""Between two instructions: what happens there, and how events get into the IDT.

`Boundary` is the part of `Cpu` that is not running instructions: interrupts, HLT, single step,
breakpoints, debug traps that wait; and delivery, where a fault on the way becomes a double fault and then
a shutdown (SDM 3A, 6.9 and 6.15; 3B, 17.3). The order of priority at a boundary is that of table 6-2: debug
traps of the last instruction, interrupts, instruction breakpoints, faults of the next one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from isa import consts as c
from isa.deliver import HARDWARE, SOFTWARE, interrupt
from isa.exits import Exit, Reason, TrapPolicy
from isa.faults import (
    Again,
    DebugException,
    DoubleFault,
    Fault,
    NotModelled,
    PageFault,
    becomes_double_fault,
)
from isa.insn import Insn
from isa.state import CR2, DR, EFLAGS, EIP, HALTED, NMI, NMI_BLOCKED, NMI_WAITS, PENDING_DEBUG, SHADOW

if TYPE_CHECKING:
    from isa.cpu import InterruptSource
    from isa.engine.reference import Reference

AFTER_MOV_SS = 3  # SHADOW then
ENDLESS = 10_000  # faults delivered at the same instruction count: a real processor would go on for ever


class Boundary(ABC):
    """What `Cpu` does between instructions."""

    s: array[int]
    engine: Reference
    policy: TrapPolicy
    interrupts: InterruptSource | None
    stop_requested: bool
    count: int
    faulted_at = -1  # the count at the latest fault, and how many there have been at it
    in_vain = 0
    on_delivery: Callable[[int, Fault | None, int], None] | None

    @abstractmethod
    def _one(self) -> Insn:
        """Execute one instruction."""

    @abstractmethod
    def current(self) -> Insn | None:
        """The instruction at CS:EIP, if it can be fetched."""

    def _attend(self) -> Exit | None:
        """Whatever happens between two instructions (SDM 3A, 6.9, in its order of priority).

        Where the next one wants care, or interrupts wait for it, it is executed here.
        """
        engine, s = self.engine, self.s
        engine.restartable = True
        if self.stop_requested:
            self.stop_requested = False
            return Exit(Reason.STOP)
        shadow = s[SHADOW]
        if s[PENDING_DEBUG] and not shadow:
            raise self.debug_trap()
        s[SHADOW] = 1 if shadow > 1 else 0
        if s[NMI] == NMI_WAITS and not s[SHADOW]:
            s[HALTED] = 0
            return self._external(self.take_nmi())
        pending = self.interrupts is not None and self.interrupts.intr
        if pending and s[EFLAGS] & c.IF and not s[SHADOW]:
            s[HALTED] = 0
            assert self.interrupts is not None
            return self._external(self.interrupts.acknowledge())
        if s[HALTED]:
            return Exit(Reason.HALT)
        careful = self._wants_care()
        engine.attention = bool(s[SHADOW] or careful or self.stop_requested)
        if careful:
            self._carefully(after_ss=shadow == AFTER_MOV_SS)
        elif s[SHADOW]:
            self._one()
        return None

    def nmi(self) -> None:
        """An NMI arrives. One more is remembered while its handler runs."""
        self.s[NMI] |= NMI_WAITS
        self.engine.attention = True

    def take_nmi(self) -> int:
        """The vector of the NMI that waits; no other comes before the next IRET."""
        self.s[NMI] = NMI_BLOCKED
        return c.VEC_NMI

    def _wants_care(self) -> bool:
        """Whether the next instruction is one for `_carefully`."""
        s = self.s
        watched = self.engine.breakpoints.follow()
        return bool(watched or s[EFLAGS] & (c.TF | c.RF) or s[PENDING_DEBUG])

    def _carefully(self, *, after_ss: bool = False) -> Insn:
        """One instruction as breakpoints, TF and RF will have it; a debug trap comes as an exception.

        Instruction breakpoints are faults and not looked at under RF and after a load of SS; data, port and
        single-step traps wait while SS has just been loaded (SDM 3B, 17.3.1).
        """
        engine, s, watch = self.engine, self.s, self.engine.breakpoints
        resumed, pending = s[EFLAGS] & c.RF, s[PENDING_DEBUG]
        if watch.armed and not resumed and not after_ss:
            why = watch.at_instruction((s[EIP] + engine.cs_base) & c.M32)
            if why:
                raise DebugException(why, trap=False)
        watch.hit = 0
        if s[EFLAGS] & c.TF:
            s[PENDING_DEBUG] |= c.DR6_BS
        try:
            insn = self._one()
        except BaseException:
            s[PENDING_DEBUG] = pending
            raise
        if resumed and insn.name != "iret":
            s[EFLAGS] &= ~c.RF & c.M32
        s[PENDING_DEBUG] |= watch.hit
        if s[PENDING_DEBUG] and s[SHADOW] != AFTER_MOV_SS:
            raise self.debug_trap()
        return insn

    def debug_trap(self) -> DebugException:
        """The debug trap that is pending, no longer."""
        why, self.s[PENDING_DEBUG] = self.s[PENDING_DEBUG], 0
        return DebugException(why)

    def _external(self, vector: int) -> Exit | None:
        """An external interrupt. HLT left EIP at the next instruction already."""
        self._begin_event()
        returns_to = self.s[EIP]
        if not self._delivers(vector):
            try:
                self._interrupt(vector, None, returns_to, HARDWARE)
            except Fault as fault:
                return self._nested(fault)
            self.s[EIP] = self.engine.next
        self.s[PENDING_DEBUG] |= self.engine.breakpoints.hit
        if self.on_delivery is not None:
            self.on_delivery(vector, None, returns_to)
        return None

    def _interrupt(self, *what: Any) -> None:
        """`deliver.interrupt`, until it has gone through."""
        engine = self.engine
        before, engine.restartable = engine.restartable, True
        try:
            while True:
                with suppress(Again):
                    interrupt(engine, *what)
                    return
        finally:
            engine.restartable, engine.begun_at = before, -1

    @abstractmethod
    def _delivers(self, vector: int) -> bool:
        """Whether another engine has delivered an external interrupt."""

    def _begin_event(self) -> None:
        """What an event that goes through the IDT ends: HLT, shadows, debug traps not taken yet."""
        self.s[HALTED] = self.s[SHADOW] = self.s[PENDING_DEBUG] = 0
        self.engine.breakpoints.hit = 0

    # -- faults -------------------------------------------------------------------------------------

    def _fault(self, fault: Fault) -> Exit | None:
        if self.policy.exceptions >> fault.vector & 1:
            return Exit(Reason.FAULT, fault=fault, vector=fault.vector, insn=self.current())
        return self._nested(fault)

    def _nested(self, fault: Fault) -> Exit | None:
        """Deliver a fault; a fault while doing so may be a double fault, and the next one a shutdown."""
        if self.count != self.faulted_at:
            self.faulted_at, self.in_vain = self.count, 0
        self.in_vain += 1
        if self.in_vain > ENDLESS:
            return Exit(Reason.ENDLESS, faults=(fault,))
        history = [fault]
        while True:
            try:
                self._enter_handler(fault)
                return None
            except Fault as second:
                history.append(second)
                if fault.vector == c.VEC_DF:
                    return Exit(Reason.SHUTDOWN, faults=tuple(history))
                fault = DoubleFault() if becomes_double_fault(fault.vector, second.vector) else second

    def _enter_handler(self, fault: Fault) -> None:
        s = self.s
        if isinstance(fault, PageFault):
            s[CR2] = fault.address
        resume = 0 if fault.trap or fault.vector == c.VEC_DF else c.RF
        if isinstance(fault, DebugException):
            s[DR + 6] = s[DR + 6] & ~c.DR6_B | fault.why
            s[DR + 7] &= ~c.DR7_GD
            if fault.why & c.DR6_B:
                resume = 0  # an instruction breakpoint is the one fault that does not set RF
        self._begin_event()
        self._interrupt(fault.vector, fault.error, s[EIP], HARDWARE, resume)
        returns_to, s[EIP] = s[EIP], self.engine.next
        s[PENDING_DEBUG] |= self.engine.breakpoints.hit
        if self.on_delivery is not None:
            self.on_delivery(fault.vector, fault, returns_to)

    def deliver(self, fault: Fault) -> Exit | None:
        """Send a fault through the IDT now; an Exit (SHUTDOWN, NOT_MODELLED) if that is impossible."""
        try:
            return self._nested(fault)
        except NotModelled as missing:
            return Exit(Reason.NOT_MODELLED, what=missing.what)
        finally:
            self.engine.settle()

    def inject(self, vector: int, *, software: bool = False) -> Exit | None:
        """Deliver an interrupt now, as the hardware does between two instructions; it ends HLT."""
        self._begin_event()
        try:
            self._interrupt(vector, None, self.s[EIP], SOFTWARE if software else HARDWARE)
            self.s[EIP] = self.engine.next
            self.s[PENDING_DEBUG] |= self.engine.breakpoints.hit
            return None
        except Fault as fault:
            return self.deliver(fault)
        except NotModelled as missing:
            return Exit(Reason.NOT_MODELLED, what=missing.what)
        finally:
            self.engine.settle()
