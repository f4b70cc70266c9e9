"""sched_op and vcpu_op: yielding, waiting, ending; one virtual processor.

`blocked` is a guest that waits: until an event can be delivered, or, in a poll, until a port of interest
is pending or the time is over. Shutdown is the verdict: poweroff is success, all else failure.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from vmm.clock import NS_PER_INSTRUCTION, Timer, instructions_in
from vmm.xen import abi
from vmm.xen.errors import HypercallError

if TYPE_CHECKING:
    from vmm.xen.domain import Domain


class Scheduler:
    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.blocked = False
        self.shut_down = False
        self.poll_timer: Timer | None = None

    @property
    def wakeable(self) -> bool:
        """Whether anything can still end the wait."""
        polling = self.poll_timer is not None and self.poll_timer.live
        return polling or self.domain.time.armed or self.domain.events.deliverable

    def wake(self) -> None:
        """End the wait."""
        self.blocked = False
        self.domain.events.polled = frozenset()
        self.domain.entered = True
        if self.poll_timer is not None:
            self.poll_timer.cancel()
            self.poll_timer = None

    # -- sched_op -------------------------------------------------------------------------------------

    def sched_op(self, command: int, argument: int) -> int:
        if command == abi.SCHEDOP_YIELD:
            return 0
        if command == abi.SCHEDOP_BLOCK:
            return self._block()
        if command == abi.SCHEDOP_SHUTDOWN:
            return self._shutdown(self.domain.memory.word(argument))
        if command == abi.SCHEDOP_POLL:
            return self._poll(argument)
        raise HypercallError(abi.ENOSYS)

    def sched_op_compat(self, command: int, argument: int) -> int:
        """The old call: the reason of a shutdown is the argument itself."""
        if command == abi.SCHEDOP_SHUTDOWN:
            return self._shutdown(argument)
        if command in (abi.SCHEDOP_YIELD, abi.SCHEDOP_BLOCK):
            return self.sched_op(command, argument)
        raise HypercallError(abi.ENOSYS)

    def _block(self) -> int:
        """Let events in and wait for one, unless one is there."""
        self.domain.shared.write8(abi.UPCALL_MASK, 0)
        self.blocked = not self.domain.events.deliverable
        return 0

    def _shutdown(self, reason: int) -> int:
        self.shut_down = True
        self.domain.machine.devices.put_verdict(reason & 0xFF)
        return 0

    def _poll(self, argument: int) -> int:
        memory, events = self.domain.memory, self.domain.events
        ports_at, count, low, high = memory.words(argument, 4)
        if count > abi.MAX_POLL_PORTS:
            raise HypercallError(abi.EINVAL)
        ports = memory.words(ports_at, count)
        if any(port >= abi.NR_EVENT_CHANNELS for port in ports):
            raise HypercallError(abi.EINVAL)
        if any(self.domain.shared.bit(abi.EVTCHN_PENDING, port) for port in ports):
            return 0
        if events.deliverable:
            return 0
        self.blocked = True
        events.polled = frozenset(ports)
        timeout = high << 32 | low
        if timeout:
            machine = self.domain.machine
            machine.bring_clock()
            self.poll_timer = machine.clock.at(instructions_in(timeout), self.wake)
            machine.look_at_devices()
        return 0

    # -- vcpu_op --------------------------------------------------------------------------------------

    def vcpu_op(self, command: int, vcpu: int, argument: int) -> int:
        if vcpu:
            raise HypercallError(abi.ENOENT)
        time = self.domain.time
        if command == abi.VCPUOP_IS_UP:
            return 1
        if command == abi.VCPUOP_INITIALISE:
            raise HypercallError(abi.EEXIST)
        if command == abi.VCPUOP_UP:
            return 0
        if command == abi.VCPUOP_GET_RUNSTATE_INFO:
            return self._runstate(argument)
        if command == abi.VCPUOP_SET_SINGLESHOT_TIMER:
            return time.set_singleshot(argument)
        if command == abi.VCPUOP_STOP_SINGLESHOT_TIMER:
            time.stop()
            return 0
        if command == abi.VCPUOP_STOP_PERIODIC_TIMER:
            return 0  # there is none
        raise HypercallError(abi.ENOSYS)

    def _runstate(self, argument: int) -> int:
        """struct vcpu_runstate_info: running, since the start; ns running, runnable, blocked, offline."""
        domain = self.domain
        running = domain.cpu.count * NS_PER_INSTRUCTION
        blocked = domain.machine.idle * NS_PER_INSTRUCTION
        record = struct.pack("<IQQQQQ", abi.RUNSTATE_RUNNING, 0, running, 0, blocked, 0)
        domain.memory.write(argument, record)
        return 0
