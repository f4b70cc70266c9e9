"""What trap-and-emulate monitors share: a guest kernel in ring 1 over shadow page tables.

The dispatcher: direct execution until something traps, then an answer. `full` and `naive` differ only in
the processor they run on, `rewrite` in what it lets run. On every trap the guest's registers are brought
into the virtual state, the answer is worked out there, and the virtual state, compressed, goes back into
the real processor. Next: `full`, then `monitor/world`.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from isa import consts as c
from isa.boundary import AFTER_MOV_SS
from isa.disasm import format_insn
from isa.exits import ALL_VECTORS, Exit, Reason, TrapPolicy
from isa.faults import Fault, NotModelled, PageFault
from isa.insn import Insn
from isa.state import CPL, CR0, DR, EFLAGS, EIP, HALTED, PENDING_DEBUG, SHADOW
from isa.table import ROWS
from vmm.events import Emulated, Reflected, ShadowFilled, Trap
from vmm.image import Image
from vmm.machine import BREAKPOINT, HALT, Stop
from vmm.modes.base import Mode
from vmm.monitor import cpu as interpreter
from vmm.monitor import events
from vmm.monitor.memory import ShadowTables
from vmm.monitor.residence import RESERVE
from vmm.monitor.vm import Host, VirtualMachine
from vmm.monitor.world import World

if TYPE_CHECKING:
    from vmm.machine import Machine

EVERY_FAULT = (1 << 32) - 1
NAMES = [row.name for row in ROWS]


def trap_kind(insn: Insn | None) -> str:
    """What the statistics call a trapped instruction: its row's name, INT with its vector."""
    if insn is None:
        return "unknown"
    name = NAMES[insn.row]
    return f"int {insn.dst.value:#x}" if name == "int" else name


class Deprivileged(Mode):
    """A monitor over a guest whose kernel runs in ring 1."""

    policy = TrapPolicy(exceptions=EVERY_FAULT, software_interrupts=ALL_VECTORS)
    corner_is_empty = False  # nothing is mapped in the monitor's corner: segments may reach around it

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.host = Host(machine.memory, self.policy, machine.model)
        self.vm = VirtualMachine(self.host, machine)
        self.cpu = self.host.cpu
        self.guest = self.vm.cpu
        self.shadow = ShadowTables(self.vm)
        self.world = World(self.guest, self.cpu, may_wrap=self.corner_is_empty)
        self.virtually = False  # the virtual processor runs by itself
        self.guest.on_int = self.software_interrupt
        self.guest.on_flush = self.flushed
        self.guest.on_delivery = self.delivered

    def start(self, image: Image) -> None:
        image.place(self.vm.memory)
        image.set_up(self.guest.s, self.machine.memory)
        self.guest.sync()
        self.world.enter()

    @property
    def count(self) -> int:
        return self.guest.count

    def shorten(self, until: int) -> None:
        self.cpu.shorten(until)
        self.guest.shorten(until)

    def request_stop(self) -> None:
        self.cpu.request_stop()
        if self.virtually:
            self.guest.request_stop()

    def interrupt_line_changed(self) -> None:
        self.cpu.interrupt_line_changed()
        self.guest.interrupt_line_changed()

    def ignore_math_error(self) -> None:
        """The x87 is in the real processor while the guest runs."""
        self.cpu.ignore_math_error()
        super().ignore_math_error()

    def settle(self) -> None:
        """Between `run` calls the virtual state is complete already."""

    def real_state(self) -> array[int] | None:
        self.world.enter()
        return self.cpu.s

    # -- the dispatcher ------------------------------------------------------------------------------

    def run(self, until: int) -> Stop | None:
        cpu, guest = self.cpu, self.guest
        cpu.until = until
        while cpu.count < cpu.until:
            if self.vm.frames is not None and self.vm.frames.is_short:
                self.vm.claim(2 * RESERVE)
            if events.deliverable(guest):
                failed = events.inject(guest, self.ledger, self.count)
                if failed is not None:
                    return self.ending(failed)
            if guest.s[HALTED]:
                return HALT
            if guest.s[PENDING_DEBUG] and not guest.s[SHADOW]:
                stop = self.reflect(guest.debug_trap())
                if stop is not None:
                    return stop
                continue
            stop = self.step_world(cpu.until)
            if stop is not None:
                return stop
            if cpu.stop_requested:
                cpu.stop_requested = False
                return None
        return None

    def step_world(self, until: int) -> Stop | None:
        """Run the guest directly until `until` or a trap, and answer the trap."""
        guest, cpu, s = self.guest, self.cpu, self.guest.s
        if not self.is_protected():
            return self.run_virtually(until)
        if self.debugs_itself():
            return self.interpret_one()
        one = s[SHADOW] and events.waits_for_shadow(guest)
        self.world.enter()
        start = cpu.count
        leave = cpu.run(start + 1 if one else until, self.breakpoints)
        while leave.reason is Reason.FAULT and self._repaired(leave):
            leave = cpu.run(start + 1 if one else until, self.breakpoints)
        if one:
            cpu.until = until
        self.world.leave()
        guest.count = cpu.count
        if cpu.s[SHADOW] > 1:
            s[SHADOW] = cpu.s[SHADOW]
        elif cpu.count > start:
            s[SHADOW] = 0
        reason = leave.reason
        if reason is Reason.UNTIL or reason is Reason.STOP or reason is Reason.BREAKPOINT:
            if reason is Reason.STOP:
                cpu.stop_requested = True
            if cpu.count > start:
                s[PENDING_DEBUG] = cpu.s[PENDING_DEBUG]
            return BREAKPOINT if reason is Reason.BREAKPOINT else None
        return self.answer(leave)

    def _repaired(self, leave: Exit) -> bool:
        """Whether a page fault was hidden and the guest can go on at once. Who listens hears of it by
        `page_fault`."""
        fault = leave.fault
        if not isinstance(fault, PageFault) or self.ledger.listening or self.cpu.stop_requested:
            return False
        self.guest.count = self.cpu.count
        write = 1 if (fault.error or 0) & c.PF_W else 0
        try:
            filled = self.shadow.fill(fault.address, write)
        except (PageFault, NotModelled):
            return False
        if filled is None or (write and not filled[2]):
            return False
        self.ledger.traps["#PF hidden"] += 1
        return True

    # -- what ring 1 cannot run ------------------------------------------------------------------------

    def is_protected(self) -> bool:
        """Whether the guest is in protected mode; ring 1 has no real or virtual-8086 mode to offer."""
        s = self.guest.s
        return bool(s[CR0] & c.CR0_PE and not s[EFLAGS] & c.VM)

    def run_virtually(self, until: int) -> Stop | None:
        """Let the virtual processor run by itself until the guest is in protected mode: an interpreter of
        whole stretches, as a hybrid monitor has it (Popek and Goldberg, theorem 3)."""
        if self.ledger.listening:
            return self.interpret_one()
        guest, start = self.guest, self.guest.count
        self.virtually = guest.engine.attention = True
        leave = guest.run(until, self.breakpoints)
        self.virtually = guest.stop_requested = False
        self.cpu.count = guest.count
        if guest.s[SHADOW] == 1:
            guest.s[SHADOW] = 0
        self.ledger.work["instructions interpreted"] += guest.count - start
        if leave.reason is Reason.BREAKPOINT:
            return BREAKPOINT
        return None if leave.reason in (Reason.UNTIL, Reason.STOP, Reason.HALT) else self.ending(leave)

    def interpret_one(self) -> Stop | None:
        """One instruction on the virtual processor, not because it trapped."""
        start = self.guest.count
        stop = self.interpret(figure="")
        self.ledger.work["instructions interpreted"] += self.guest.count - start
        return stop

    def flushed(self, gva: int | None) -> None:
        """The virtual processor dropped a translation of addresses, or all: paging or its mode may have
        changed."""
        self.shadow.follow(gva)
        if self.virtually and self.is_protected():
            self.guest.request_stop()

    def delivered(self, vector: int, fault: Fault | None, eip: int) -> None:
        """The virtual processor went through the guest's IDT, or interrupt vectors."""
        if not self.virtually:
            return
        self.ledger.work["interrupts injected" if fault is None else "faults reflected"] += 1
        if self.is_protected():
            self.guest.request_stop()

    def software_interrupt(self, vector: int) -> None:
        super().software_interrupt(vector)
        if self.virtually and self.guest.s[EFLAGS] & c.VM:
            self.guest.request_stop()

    def debugs_itself(self) -> bool:
        """Whether the guest has breakpoints enabled, or a debug trap pending: the real debug registers are
        the monitor's, so the virtual processor executes what they would watch."""
        s = self.guest.s
        return bool(s[DR + 7] & c.DR7_ENABLED or s[PENDING_DEBUG])

    def answer(self, leave: Exit) -> Stop | None:
        """What the monitor does about a trap."""
        if leave.reason is Reason.INSTRUCTION:
            return self.emulate(leave, "the trapping processor stops at every sensitive instruction")
        if leave.reason is Reason.SOFTWARE_INTERRUPT:
            return self.emulate(leave, "INT n belongs to the monitor's IDT")
        if leave.reason is Reason.FAULT:
            assert leave.fault is not None
            if isinstance(leave.fault, PageFault):
                return self.page_fault(leave, leave.fault)
            if leave.vector in (c.VEC_GP, c.VEC_SS, c.VEC_NP, c.VEC_TS):
                return self.protection_fault(leave, leave.fault)
            self.trapped(leave.fault.name, leave.insn, "every fault comes to the monitor first")
            if leave.vector == c.VEC_MF and not self.guest.s[CR0] & c.CR0_NE:
                return self.interpret()  # the guest wants an interrupt instead
            return self.reflect(leave.fault)
        return self.ending(leave)

    # -- answers --------------------------------------------------------------------------------------

    def trapped(self, kind: str, insn: Insn | None, why: str) -> None:
        """Count a trap, and tell whoever listens."""
        self.ledger.traps[kind] += 1
        if self.ledger.listening:
            text = format_insn(insn, self.guest.s[EIP]) if insn else ""
            self.ledger.emit(Trap(self.count, self.guest_eip, kind, text, why))

    def emulate(self, leave: Exit, why: str) -> Stop | None:
        """Run the instruction at the guest's EIP on the virtual state; it trapped because of `why`."""
        insn = leave.insn or self._peek_insn()
        self.trapped(trap_kind(insn), insn, why)
        return self.interpret()

    def interpret(self, figure: str = "instructions emulated") -> Stop | None:
        """The instruction at the guest's EIP, on the virtual state, and what follows from it; `figure` counts
        it, if it is not counted elsewhere."""
        guest = self.guest
        eip, shadow = self.guest_eip, guest.s[SHADOW]
        guest.s[SHADOW] = 1 if shadow else 0
        try:
            executed, fault, changes = interpreter.emulate(
                guest, detailed=self.ledger.listening, after_ss=shadow == AFTER_MOV_SS
            )
        except NotModelled as missing:
            return self.ending(Exit(Reason.NOT_MODELLED, what=missing.what, insn=self._peek_insn()))
        if fault is not None and not fault.trap:
            return self.reflect(fault)
        assert executed is not None
        self.cpu.count = guest.count
        if guest.s[SHADOW] == 1:
            guest.s[SHADOW] = 0
        if figure:
            self.ledger.work[figure] += 1
        if self.ledger.listening:
            text = format_insn(executed, self.guest.s[EIP])
            self.ledger.emit(Emulated(self.count, eip, text, changes))
        return None if fault is None else self.reflect(fault)

    def page_fault(self, leave: Exit, fault: PageFault) -> Stop | None:
        """Hidden (the shadow lacks what the guest maps), true (the guest's), or no RAM behind it."""
        write = 1 if (fault.error or 0) & c.PF_W else 0
        try:
            filled = self.shadow.fill(fault.address, write)
        except PageFault as true_fault:
            self.trapped("#PF true", leave.insn, "the guest's own tables forbid the access")
            return self.reflect(true_fault)
        except NotModelled as missing:
            return self.ending(Exit(Reason.NOT_MODELLED, what=missing.what, insn=leave.insn))
        if filled is None:
            self.trapped("#PF device", leave.insn, "there is no RAM behind the address")
            return self.interpret()
        gpa, hpa, writable = filled
        if write and not writable:
            self.trapped("#PF trace", leave.insn, "the page holds one of the guest's page tables")
            return self.interpret()
        self.trapped("#PF hidden", leave.insn, "the shadow table has no entry for the page yet")
        if self.ledger.listening:
            self.ledger.emit(ShadowFilled(self.count, self.guest_eip, fault.address, gpa, hpa, writable))
        return None

    def protection_fault(self, leave: Exit, fault: Fault) -> Stop | None:
        """#GP and its kin: a privileged instruction to emulate, or a fault of the guest's own.

        Segments are truncated and compressed, so the real processor may refuse what bare hardware would
        allow; the virtual processor decides, by executing the instruction.
        """
        insn = leave.insn
        if insn is not None and insn.row in interpreter.WHITELIST:
            self.trapped(trap_kind(insn), insn, f"{fault} in ring {self.cpu.s[CPL]}")
        else:
            self.trapped(fault.name, insn, "segments of the guest are truncated and in ring 1")
        return self.interpret()

    def reflect(self, fault: Fault) -> Stop | None:
        """Give the guest its fault, through its own IDT, TSS and stacks."""
        eip = self.guest_eip
        failed = self.guest.deliver(fault)
        self.ledger.work["faults reflected"] += 1
        if failed is not None:
            return self.ending(failed)
        if self.ledger.listening:
            self.ledger.emit(Reflected(self.count, eip, str(fault), self.guest.s[EIP]))
        return None

    def _peek_insn(self) -> Insn | None:
        try:
            return self.guest.engine.fetch(self.guest.s[EIP])
        except (Fault, NotModelled):
            return None
