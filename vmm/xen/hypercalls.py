"""The hypercall table: which numbers are answered, by whom, with how many arguments.

`Hypercalls.call` is INT 82h from ring 1: number in EAX, arguments in EBX ECX EDX ESI EDI, result in EAX,
and the argument registers that the call takes are overwritten, so that no guest comes to rely on them.
An unknown number is -ENOSYS, a refused call -errno. A call that was interrupted repeats the INT with new
arguments; only the last round completes. `multicall` runs a list of them for the price of one trap; the
ledger's `multicalls` counts the calls in such lists.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isa import consts as c
from isa.state import BASE, EIP
from vmm.events import Hypercall
from vmm.xen import abi
from vmm.xen.errors import HypercallError, Preempted
from vmm.xen.mmu import BATCH

if TYPE_CHECKING:
    from vmm.xen.domain import Domain

ARGUMENTS = (c.EBX, c.ECX, c.EDX, c.ESI, c.EDI)
MULTICALL = "<8I"  # op, result, args[6]
MULTICALL_SIZE = 32
NAMES = {number: name for name, number in abi.HYPERVISOR.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """One hypercall: its name, how many arguments it takes, who answers."""

    name: str
    arguments: int
    answer: Callable[..., int]


class Hypercalls:
    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.cpu = domain.cpu
        self.nested = False
        d = domain
        answers: dict[str, tuple[int, Callable[..., int]]] = {
            "set_trap_table": (1, d.traps.set_trap_table),
            "mmu_update": (4, d.mmu.mmu_update),
            "set_gdt": (2, d.descriptors.set_gdt),
            "stack_switch": (2, d.descriptors.stack_switch),
            "set_callbacks": (4, d.traps.set_callbacks),
            "fpu_taskswitch": (1, d.emulator.fpu_taskswitch),
            "sched_op_compat": (2, d.sched.sched_op_compat),
            "set_debugreg": (2, d.emulator.set_debugreg),
            "get_debugreg": (1, d.emulator.get_debugreg),
            "update_descriptor": (4, d.descriptors.update_descriptor),
            "memory_op": (2, d.reservation.memory_op),
            "multicall": (2, self.multicall),
            "update_va_mapping": (4, d.mmu.update_va_mapping),
            "set_timer_op": (2, d.time.set_timer_op),
            "xen_version": (2, d.version.xen_version),
            "console_io": (3, d.console.console_io),
            "vm_assist": (2, d.version.vm_assist),
            "vcpu_op": (3, d.sched.vcpu_op),
            "mmuext_op": (4, d.mmu.mmuext_op),
            "sched_op": (2, d.sched.sched_op),
            "callback_op": (2, d.traps.callback_op),
            "event_channel_op": (2, d.events.event_channel_op),
        }
        self.table = {
            abi.HYPERVISOR[name]: Entry(name, count, answer) for name, (count, answer) in answers.items()
        }

    def call(self, length: int) -> None:
        """The guest executed INT 82h, `length` bytes long, in ring 1. Raises DomainCrash."""
        s, domain = self.cpu.s, self.domain
        number = s[c.EAX]
        at = (s[EIP] + s[BASE + c.CS]) & c.M32
        entry = self.table.get(number)
        taken = ARGUMENTS[: entry.arguments] if entry else ()
        arguments = tuple(s[n] for n in taken)
        if number == abi.HYPERVISOR["iret"]:
            self._count("iret")
            s[EIP] = (s[EIP] + length) & c.M32
            self.cpu.count += 1
            domain.traps.iret()
            self._tell(at, "iret", (), s[c.EAX])
            return
        try:
            result = entry.answer(*arguments) if entry else -abi.ENOSYS
        except HypercallError as error:
            result = -error.errno
        except Preempted as rest:
            for register, value in zip(taken, rest.arguments, strict=True):
                s[register] = value
            self.cpu.count += 1  # the INT will be executed again, and that is no gift
            return
        name = NAMES.get(number, "unknown")
        self._count(name)
        for register in taken:
            s[register] = abi.CLOBBERED
        s[c.EAX] = result & c.M32
        s[EIP] = (s[EIP] + length) & c.M32
        self.cpu.count += 1
        self._tell(at, name, arguments, result)

    def multicall(self, calls: int, count: int) -> int:
        """A list of struct multicall_entry; each gets its own result."""
        memory, done = self.domain.memory, 0
        if self.nested:
            raise HypercallError(abi.EINVAL)
        self.nested = True
        try:
            while done < count:
                at = calls + done * MULTICALL_SIZE
                if done == BATCH:
                    raise Preempted(at & c.M32, count - done)
                operation, _result, *arguments = struct.unpack(MULTICALL, memory.read(at, MULTICALL_SIZE))
                entry = self.table.get(operation)
                try:
                    result = self._one(entry, arguments) if entry else -abi.ENOSYS
                except Preempted as rest:
                    memory.write(at + 8, struct.pack(f"<{len(rest.arguments)}I", *rest.arguments))
                    raise Preempted(at & c.M32, count - done) from None
                memory.write_word(at + 4, result & c.M32)
                self.domain.ledger.work["multicalls"] += 1
                done += 1
        finally:
            self.nested = False
        return 0

    def _one(self, entry: Entry, arguments: list[int]) -> int:
        """One call of a multicall."""
        try:
            return entry.answer(*arguments[: entry.arguments])
        except HypercallError as error:
            return -error.errno

    def _count(self, name: str) -> None:
        work = self.domain.ledger.work
        work["hypercalls"] += 1
        work[f"hypercall: {name}"] += 1

    def _tell(self, at: int, name: str, arguments: tuple[int, ...], result: int) -> None:
        ledger = self.domain.ledger
        if ledger.listening:
            ledger.emit(Hypercall(self.cpu.count, at, name, arguments, result))
