"""What a mode is: a processor with a trap policy, and an answer to each exit.

A mode owns the processor that really runs (`cpu`) and shows the one the guest believes in (`guest`; on
bare hardware they are the same). `run(until)` drives it until the guest has completed that many
instructions. A new technique is a subclass here and nothing anywhere else. Next: `native`, then `full`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Container
from typing import TYPE_CHECKING, ClassVar

from isa import consts as c
from isa.cpu import Cpu
from isa.disasm import format_insn
from isa.exits import Exit, Reason
from isa.faults import Fault
from isa.ids import UNMODELLED
from isa.state import BASE, CPL, CR0, CR2, CR3, EFLAGS, EIP, GDT_BASE, GDT_LIMIT, IDT_BASE, IDT_LIMIT, SEL
from isa.table import BY_ID
from vmm.events import Injected, Reflected, SoftwareInterrupt
from vmm.image import Image
from vmm.machine import Outcome, Stop

if TYPE_CHECKING:
    from vmm.machine import Machine

LATER = BY_ID[UNMODELLED].index  # instructions that this processor does not have


class Mode(ABC):
    """One technique, running one guest."""

    name: ClassVar[str]
    title: ClassVar[str]  # a line for people
    paravirtual: ClassVar[bool] = False  # the guest is built for it (PARA)
    promises_equivalence: ClassVar[bool] = True
    monitored: ClassVar[bool] = True  # something stands between the guest and the hardware
    heeds_breakpoints: ClassVar[bool] = False  # `run` asks `breakpoints` before each instruction

    cpu: Cpu
    guest: Cpu
    breakpoints: Container[int] = ()  # linear addresses; where one stops the guest, `run` gives BREAKPOINT

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.ledger = machine.ledger

    @abstractmethod
    def start(self, image: Image) -> None:
        """Put the image into memory and the processor at its entry."""

    @abstractmethod
    def run(self, until: int) -> Stop | None:
        """Run until `count` is `until`. None: got there, or a stop was requested; HALT: waits."""

    @property
    def count(self) -> int:
        """Guest instructions completed."""
        return self.cpu.count

    @property
    def guest_eip(self) -> int:
        """Linear address of the guest's next instruction."""
        return (self.guest.s[EIP] + self.guest.s[BASE + c.CS]) & c.M32

    @property
    def interruptible(self) -> bool:
        """Whether an interrupt could wake a halted guest."""
        return bool(self.guest.s[EFLAGS] & c.IF) or self.machine.devices.may_raise_nmi

    def real_state(self) -> array[int] | None:
        """The registers with which the processor runs the guest from here; None if they are the guest's own."""
        return None if self.cpu is self.guest else self.cpu.s

    def settle(self) -> None:  # noqa: B027  (most modes have nothing to do)
        """Make `guest.s` the guest's complete state (monitors copy it from the real processor)."""

    def shorten(self, until: int) -> None:
        """Come back at `until` at the latest."""
        self.cpu.shorten(until)

    def request_stop(self) -> None:
        """Come back at the next instruction."""
        self.cpu.request_stop()

    def interrupt_line_changed(self) -> None:
        """The interrupt controller wants attention, or no longer does."""
        self.cpu.interrupt_line_changed()

    def nmi(self) -> None:
        """A device pulled the NMI line."""
        self.guest.nmi()
        self.cpu.interrupt_line_changed()

    def ignore_math_error(self) -> None:
        """The board pulled the IGNNE# line."""
        self.guest.ignore_math_error()

    # -- what guests and hardware do without a monitor, for those who listen ---------------------------

    def delivered(self, vector: int, fault: Fault | None, eip: int) -> None:
        """Hardware delivered a fault or an interrupt to the guest."""
        if self.ledger.listening:
            s = self.guest.s
            if fault is None:
                self.ledger.emit(Injected(self.count, eip, vector, s[EIP]))
            else:
                self.ledger.emit(Reflected(self.count, eip, str(fault), s[EIP]))

    def software_interrupt(self, vector: int) -> None:
        """The guest is about to go through its IDT by INT n."""
        if self.ledger.listening:
            s = self.guest.s
            gate = self.guest.peek((s[IDT_BASE] + 8 * vector) & c.M32, 8) or bytes(8)
            handler = int.from_bytes(gate[:2] + gate[6:], "little") if 8 * vector + 7 <= s[IDT_LIMIT] else 0
            self.ledger.emit(SoftwareInterrupt(self.count, self.guest_eip, vector, handler))

    # -- ends that every mode knows ------------------------------------------------------------------

    def ending(self, leave: Exit) -> Stop:
        """The end of a run for an exit that nothing can answer."""
        location = self.machine.image.location(self.guest_eip)
        if leave.reason is Reason.SHUTDOWN:
            chain = ", then ".join(str(fault) for fault in leave.faults)
            insn = self.guest.current()
            if insn is not None and insn.row == LATER:
                text = format_insn(insn, self.guest.s[EIP])
                chain = f"`{text}` is not an instruction of this processor: {chain}"
            return Stop(
                Outcome.TRIPLE_FAULT,
                f"triple fault at {location}: {chain}, and no handler could be entered",
                self.describe_state(),
            )
        if leave.reason is Reason.ENDLESS:
            return Stop(
                Outcome.UNHANDLED,
                f"faults without end at {location}: {leave.faults[0]}, and no handler completes an instruction",
                self.describe_state(),
            )
        if leave.reason is Reason.NOT_MODELLED:
            text = format_insn(leave.insn, self.guest.s[EIP]) if leave.insn else "what it needs"
            what = leave.what if leave.insn is None or leave.what != leave.insn.name else text
            return Stop(
                Outcome.UNSUPPORTED,
                f"`{text}` at {self.guest_eip:#x} ({location}): {what} is not modelled",
                self.describe_state(),
            )
        return Stop(
            Outcome.ERROR, f"unexpected exit at {location}: {leave.reason.value}", self.describe_state()
        )

    def describe_state(self) -> tuple[str, ...]:
        """The guest's registers as lines for a report."""
        s = self.guest.s
        lines = [
            "  ".join(f"{c.REGISTER_NAMES[n]}={s[n]:08x}" for n in row) for row in (range(4), range(4, 8))
        ]
        lines.append(
            f"eip={s[EIP]:08x}  eflags={s[EFLAGS]:08x}  cpl={s[CPL]}  "
            + "  ".join(f"{name}={s[SEL + n]:04x}" for n, name in enumerate(c.SEGMENT_NAMES[:6]))
        )
        lines.append(
            f"cr0={s[CR0]:08x}  cr2={s[CR2]:08x}  cr3={s[CR3]:08x}  gdt={s[GDT_BASE]:08x}/{s[GDT_LIMIT]:04x}  "
            f"idt={s[IDT_BASE]:08x}/{s[IDT_LIMIT]:04x}"
        )
        return tuple(lines)
