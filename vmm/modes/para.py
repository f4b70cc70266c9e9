"""`para`: a guest kernel that knows better than to try: it calls the hypervisor (Xen's interface).

The processor is a real x86, silent instructions and all; the kernel, built for it, uses none of them. It
runs in ring 1 on its own page tables, whose every change the hypervisor has checked, and asks by INT 82h
for what it may not do. Here is the loop; what is behind it is `vmm/xen`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isa.exits import ALL_VECTORS, Exit, Reason, TrapPolicy
from isa.faults import NotModelled
from vmm.image import Image
from vmm.machine import BREAKPOINT, HALT, Outcome, Stop
from vmm.modes.base import Mode
from vmm.modes.deprivileged import EVERY_FAULT
from vmm.monitor.vm import Host
from vmm.xen.domain import Domain
from vmm.xen.errors import DomainCrash

if TYPE_CHECKING:
    from vmm.machine import Machine


class Para(Mode):
    """Paravirtualization."""

    name = "para"
    title = "the kernel in ring 1, on its own page tables, calls the hypervisor (Xen's interface)"
    paravirtual = True
    heeds_breakpoints = True
    policy = TrapPolicy(exceptions=EVERY_FAULT, software_interrupts=ALL_VECTORS)

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.host = Host(machine.memory, self.policy)
        self.cpu = self.guest = self.host.cpu
        self.domain = Domain(self.host, machine)

    def start(self, image: Image) -> None:
        self.domain.build(image)

    @property
    def interruptible(self) -> bool:
        """Whether a waiting guest has anything to wait for."""
        return self.domain.sched.wakeable

    def run(self, until: int) -> Stop | None:
        cpu, domain = self.cpu, self.domain
        cpu.until = until
        try:
            while cpu.count < cpu.until or domain.sched.blocked:
                if domain.entered and not domain.must_wait:
                    domain.resume()
                if domain.sched.blocked:
                    return HALT
                stop = self._step()
                if stop is not None:
                    return stop
                if cpu.stop_requested:
                    cpu.stop_requested = False
                    return None
        except DomainCrash as crash:
            location = self.machine.image.location(self.guest_eip)
            text = f"the domain crashed at {location}: {crash}"
            return Stop(Outcome.TRIPLE_FAULT, text, self.describe_state())
        except NotModelled as missing:
            return self.ending(Exit(Reason.NOT_MODELLED, what=missing.what))
        return None

    def _step(self) -> Stop | None:
        """Run the guest until a trap or its time, and answer the trap."""
        until = self.cpu.until
        limit = self.cpu.count + 1 if self.domain.must_wait else until
        leave = self.cpu.run(limit, self.breakpoints)
        if limit < until:
            self.cpu.until = until
        if leave.reason is Reason.STOP:
            self.cpu.stop_requested = True
        elif leave.reason in (Reason.SOFTWARE_INTERRUPT, Reason.FAULT):
            self.domain.answer(leave)
        elif leave.reason is Reason.BREAKPOINT:
            return BREAKPOINT
        elif leave.reason is not Reason.UNTIL:
            return self.ending(leave)
        return None
