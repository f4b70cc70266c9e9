"""Time as the guest sees it, and its one-shot timer.

One guest instruction is 100 ns. vcpu_time_info holds a pair (time-stamp counter, nanoseconds) taken at
the last entry into the guest, and the scale between them, so that

    ns = system_time + ((((RDTSC - tsc_timestamp) << tsc_shift) * tsc_to_system_mul) >> 32)

is exact in between. The version is even; it moves by 2 with each entry, so a guest that reads it before
and after knows that nothing changed meanwhile. The timer raises VIRQ_TIMER.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from vmm.clock import NS_PER_INSTRUCTION, Timer, instructions_in
from vmm.xen import abi
from vmm.xen.errors import HypercallError

if TYPE_CHECKING:
    from vmm.xen.domain import Domain

TSC_SHIFT = 7
TSC_TO_SYSTEM_MUL = (NS_PER_INSTRUCTION << 32) >> TSC_SHIFT
M64 = (1 << 64) - 1
FAR_FUTURE_SHIFT = 50  # Xen takes a timeout 2^50 ns ahead, or a negative one, for a mistake of the guest
SOON_NS = 100_000_000  # and makes it this


class VcpuTime:
    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.machine = domain.machine
        self.version = 0
        self.timer: Timer | None = None

    @property
    def now_ns(self) -> int:
        """Nanoseconds since the machine was switched on."""
        return self.machine.now * NS_PER_INSTRUCTION

    def update(self) -> None:
        """Bring vcpu_time_info up to date: the guest is about to be entered."""
        self.version = (self.version + 2) & 0xFFFF_FFFF
        stamp = self.domain.cpu.timestamp() & M64
        record = struct.pack(
            "<IIQQIbBxx", self.version, 0, stamp, self.now_ns & M64, TSC_TO_SYSTEM_MUL, TSC_SHIFT, 0
        )
        self.domain.shared.write(abi.VCPU_TIME, record)

    # -- the timer ------------------------------------------------------------------------------------

    @property
    def armed(self) -> bool:
        return self.timer is not None and self.timer.live

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def set(self, timeout: int) -> None:
        """VIRQ_TIMER at `timeout` nanoseconds, at once if that is past."""
        self.machine.bring_clock()
        self.stop()
        self.timer = self.machine.clock.at(instructions_in(timeout), self._fire)
        self.machine.look_at_devices()

    def _fire(self) -> None:
        self.domain.events.raise_virq(abi.VIRQ_TIMER)

    def set_timer_op(self, low: int, high: int) -> int:
        """Absolute time in ns; 0 cancels."""
        timeout = high << 32 | low
        if timeout == 0:
            self.stop()
            return 0
        if timeout >> 63 or (timeout - self.now_ns) >> FAR_FUTURE_SHIFT > 0:
            timeout = self.now_ns + SOON_NS
        self.set(timeout)
        return 0

    def set_singleshot(self, argument: int) -> int:
        """VCPUOP_set_singleshot_timer: {u64 timeout_abs_ns, u32 flags}."""
        low, high, flags = self.domain.memory.words(argument, 3)
        timeout = high << 32 | low
        if flags & abi.VCPU_SSHOTTMR_FUTURE and timeout < self.now_ns:
            raise HypercallError(abi.ETIME)
        self.set(min(timeout, self.now_ns + (1 << FAR_FUTURE_SHIFT)))
        return 0
