"""The host and the virtual machines on it: frames, processors, the monitor's own corner.

A `Host` has one real processor and RAM; it deals out frames (Popek and Goldberg's allocator). A
`VirtualMachine` has guest-physical memory, scattered over host frames that need not be contiguous, and a
virtual processor: a second `Cpu` whose state is what the guest believes, whose memory is the guest's and
whose ports are the virtual devices. Emulating an instruction means letting that `Cpu` execute it.

    linear space under a monitor                       host RAM
    FFC0 0000  the monitor: shadow GDT, cache  ─┐      | monitor's frames | guest's frames, scattered |
    0000 0000  the guest, up to FFBF FFFF      ─┴ segments of the guest end below the monitor

gva, gpa, hpa: guest-virtual, guest-physical, host-physical addresses.
"""

from __future__ import annotations

from collections.abc import Callable
from math import gcd
from typing import TYPE_CHECKING

from isa.consts import PAGE_SIZE
from isa.cpu import Cpu
from isa.exits import TrapPolicy
from isa.memory import PhysicalMemory, Ram
from isa.model import DEFAULT, Model
from vmm.memory import PcMemory
from vmm.monitor.residence import Frames

if TYPE_CHECKING:
    from vmm.machine import Machine

MONITOR_BASE = 0xFFC0_0000  # the top 4 MB, where VMware and Xen lived too (AA 3.5, EV)
MONITOR_FRAMES = 1024  # what the monitor keeps for its tables and caches: 4 MB


class OutOfFrames(Exception):
    """The monitor's pool is used up; whoever asked throws something away and asks again."""


class Host:
    """The real machine: RAM, one processor, and a pool of frames for the monitor."""

    def __init__(self, guest_bytes: int, policy: TrapPolicy, model: Model = DEFAULT) -> None:
        self.guest_frames = guest_bytes // PAGE_SIZE
        self.ram = Ram((MONITOR_FRAMES + self.guest_frames) * PAGE_SIZE)
        self.cpu = Cpu(PhysicalMemory(self.ram), policy=policy, model=model)
        self.pool = [n * PAGE_SIZE for n in reversed(range(MONITOR_FRAMES))]
        self.spare: list[int] = []  # frames of guests that were claimed back
        self.on_shortage: list[Callable[[], bool]] = []  # asked to give frames back; whether one did

    def allocate(self) -> int:
        """A zeroed frame of the monitor's pool: its host-physical address. Raises `OutOfFrames`."""
        while not self.pool:
            if not any(give_way() for give_way in self.on_shortage):
                raise OutOfFrames
        frame = self.pool.pop()
        self.ram.write(frame, bytes(PAGE_SIZE))
        return frame

    def free(self, frame: int) -> None:
        """Give a frame back."""
        self.pool.append(frame)

    def scattered_frames(self) -> list[int]:
        """Host frames for a guest, deliberately not in order: nothing may rely on contiguity."""
        n = self.guest_frames
        step = next(k for k in range(n * 5 // 8 | 1, 2 * n + 2) if gcd(k, n) == 1)
        return [(MONITOR_FRAMES + i * step % n) * PAGE_SIZE for i in range(n)]


class VirtualMachine:
    """One guest on a host. `cpu` is the virtual processor; its state is the guest's truth."""

    def __init__(self, host: Host, machine: Machine) -> None:
        self.host = host
        self.machine = machine
        self.ledger = machine.ledger
        rom = [host.allocate() for _ in range(0, len(machine.layout.rom), PAGE_SIZE)]
        self.memory = PcMemory(host.ram, machine.layout, host.scattered_frames() + rom)
        self.cpu = Cpu(self.memory, machine.ports, machine.devices.interrupts, model=machine.model)
        self.frames: Frames | None = None  # once something was claimed back

    def claim(self, pages: int) -> int:
        """Take frames away from the guest, which does not notice: `Host.spare` has them. How many; between
        two instructions only."""
        if self.frames is None:
            movable = self.machine.memory // PAGE_SIZE
            self.memory.frames = self.frames = Frames(self.host, self.memory.frames, movable, self.ledger)
            self.frames.on_pressure = self.machine.mode.request_stop
        taken = self.frames.take(pages)
        self.memory.remapped()
        return taken
