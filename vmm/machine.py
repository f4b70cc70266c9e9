"""A machine: one guest, one set of PC devices, one mode that runs it.

`Machine.run(budget)` takes a guest from its first instruction to its end and returns a `Result`;
`advance(until)` goes only so far, for those who step. Virtual time is the number of guest instructions
plus the time skipped while the guest waited in HLT; devices schedule by it, so a run is the same every
time. What a technique executes in place of the guest's instructions is in the ledger, not in time.

The loop is the whole idea: run the mode until the next thing a device has to do, let the devices do it,
look why the mode came back. Next: `modes/base`, then `monitor/vm`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from isa.model import DEFAULT as DEFAULT_MODEL
from isa.model import Model
from vmm.clock import INSTRUCTIONS_PER_SECOND, Clock
from vmm.devices.disk import Disk
from vmm.devices.mptable import mp_tables
from vmm.devices.pc import PcDevices
from vmm.events import Diverged, Ledger
from vmm.image import Image
from vmm.memory import AddressMap

if TYPE_CHECKING:
    from vmm.modes.base import Mode

DEFAULT_MEMORY = 16 << 20
LEAST_WITH_TABLES = 1 << 20  # a BIOS's tables lie below 1 MB
DEFAULT_BUDGET = 10_000_000_000
NEVER = 1 << 62  # instruction times
RESET = "the guest reset the machine"


class Outcome(StrEnum):
    """How a run ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    TRIPLE_FAULT = "triple-fault"
    UNHANDLED = "unhandled"
    BUDGET = "budget"
    UNSUPPORTED = "unsupported"
    INTERRUPTED = "interrupted"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a mode cannot go on by itself. HALT is not an end: the guest waits for an interrupt."""

    outcome: Outcome | None
    text: str = ""
    details: tuple[str, ...] = ()


HALT = Stop(None, "halted")
BREAKPOINT = Stop(None, "breakpoint")  # before an instruction that `Mode.breakpoints` names


@dataclass(slots=True)
class Result:
    """A finished run. `text` says in words why it ended; `instructions` are the guest's own."""

    guest: str
    mode: str
    outcome: Outcome
    exit_code: int | None
    console: str
    instructions: int
    text: str
    details: tuple[str, ...] = ()
    traps: dict[str, int] = field(default_factory=dict)
    work: dict[str, int] = field(default_factory=dict)
    divergences: list[Diverged] = field(default_factory=list)
    idle: int = 0
    promises_equivalence: bool = True

    def after(self, earlier: Result) -> Result:
        """This run and the one before it, on the same machine, as one."""
        traps, work = Counter(earlier.traps), Counter(earlier.work)
        traps.update(self.traps)
        work.update(self.work)
        return replace(
            self,
            instructions=earlier.instructions + self.instructions,
            idle=earlier.idle + self.idle,
            traps=dict(traps.most_common()),
            work=dict(sorted(work.items())),
            divergences=earlier.divergences + self.divergences,
        )


class TimedPorts:
    """The device bus with the clock brought up to date before each access."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.bus = machine.devices.bus

    def read(self, port: int, size: int) -> int:
        self.machine.bring_clock()
        value = self.bus.read(port, size)
        self.machine.look_at_devices()
        return value

    def write(self, port: int, value: int, size: int) -> None:
        self.machine.bring_clock()
        self.bus.write(port, value, size)
        self.machine.look_at_devices()


class TimedSpace:
    """The devices in the memory space, with the clock brought up to date before each access."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def read(self, address: int, size: int) -> int:
        self.machine.bring_clock()
        value = self.machine.devices.mmio.read(address, size)
        self.machine.look_at_devices()
        return value

    def write(self, address: int, value: int, size: int) -> None:
        self.machine.bring_clock()
        self.machine.devices.mmio.write(address, value, size)
        self.machine.look_at_devices()


class Machine:
    """A simulated PC that runs `image` under the mode named `mode`, or bare. `rom` is its firmware, if any.

    Raises KeyError for an unknown mode and ValueError if the image does not fit into `memory` bytes.
    """

    def __init__(
        self,
        image: Image,
        mode: str | None = None,
        *,
        memory: int = DEFAULT_MEMORY,
        model: Model = DEFAULT_MODEL,
        rom: bytes = b"",
    ) -> None:
        from vmm.modes import BARE, MODES

        self.image = image
        self.memory = memory
        self.model = model
        self.ledger = Ledger()
        self.clock = Clock()
        self.layout = AddressMap(memory, space=TimedSpace(self), rom=rom or image.rom)
        self.devices = PcDevices(
            self.clock,
            memory=memory,
            disk=Disk(image.disk) if image.disk is not None else None,
            apic="APIC" in model.features,
            on_exit=self._verdict,
            on_a20=self.layout.set_a20,
            on_reset=lambda: self.finish(RESET),
            on_power_off=lambda: self.finish("the guest switched the machine off"),
            on_pam=self.layout.set_pam,
        )
        for name, data in image.option_roms.items():
            self.devices.fw_cfg.add(name, data)
        self.ports = TimedPorts(self)
        self.idle = 0
        self.patience = NEVER  # how long the guest may have been idle in all
        self.on_wait: Callable[[int], int] | None = None  # told how long the guest will wait: how long it did
        self.stop_requested = False
        self.finished = ""  # how the guest itself ended the run, if not by a verdict
        self.mode: Mode = MODES[mode or BARE](self)
        self.devices.interrupts.on_change = self.mode.interrupt_line_changed
        if self.devices.apic is not None:
            self.devices.apic.on_nmi = self.mode.nmi
        self.mode.guest.on_math_error = self.devices.coprocessor.error
        self.devices.coprocessor.on_ignore = self.mode.ignore_math_error
        self.mode.start(image)
        if image.firmware:
            self.devices.firmware()
        if self.devices.apic is not None and not self.layout.rom and memory >= LEAST_WITH_TABLES:
            signature, _, _, features = model.cpuid(1, 0)
            self.mode.guest.memory.write_bytes(*mp_tables(signature, features))

    def another(self) -> Machine:
        """A machine like this one, before its first instruction."""
        return Machine(self.image, self.mode.name, memory=self.memory, model=self.model, rom=self.layout.rom)

    def rebooted(self) -> Machine:
        """This machine after a reset: its disks and its CMOS memory hold what they held."""
        machine = self.another()
        machine.devices.keep(self.devices)
        return machine

    # -- time ---------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Virtual time in instructions: the guest's own, and those it could have run while it waited."""
        return self.mode.count + self.idle

    def bring_clock(self) -> None:
        """Let the devices catch up with the guest."""
        self.clock.advance(self.now)

    def look_at_devices(self) -> None:
        """A device was touched: it may want to be looked at earlier than planned."""
        deadline = self.clock.deadline()
        if deadline is not None:
            self.mode.shorten(deadline - self.idle)

    def request_stop(self) -> None:
        """Make the run end at the next instruction (a signal handler may call this)."""
        self.stop_requested = True
        self.mode.request_stop()

    def _verdict(self, value: int) -> None:
        self.mode.request_stop()

    def finish(self, how: str) -> None:
        """The guest pulled a line that ends the run."""
        self.finished = self.finished or how
        self.mode.request_stop()

    # -- running ------------------------------------------------------------------------------------

    def advance(self, until: int) -> Stop | None:
        """Run until the guest has completed `until` instructions. None: it got there; else why it ended."""
        while True:
            self.bring_clock()
            ended = self._ended()
            if ended is not None:
                return ended
            if self.mode.count >= until:
                return None
            deadline = self.clock.deadline()
            limit = until if deadline is None else min(until, deadline - self.idle)
            stop = self.mode.run(max(limit, self.mode.count))
            if stop is HALT:
                stop = self._wait()
            if stop is not None:
                return self._ended() or stop

    def _wait(self) -> Stop | None:
        """The guest halted: skip to the next device event. Without one it has halted for good."""
        if self.devices.exit_code is not None or self.stop_requested or self.finished:
            return None
        deadline = self.clock.deadline()
        if deadline is None and self.on_wait is not None:
            deadline = self.now + NEVER
        if deadline is None or not self.mode.interruptible:
            where = self.image.location(self.mode.guest_eip)
            return Stop(Outcome.SUCCESS, f"halted at {where} with nothing left to wake it")
        wait = max(0, deadline - self.now)
        self.idle += wait if self.on_wait is None else self.on_wait(wait)
        self.mode.cpu.time_offset = self.mode.guest.time_offset = self.idle
        if self.idle < self.patience:
            return None
        where = self.image.location(self.mode.guest_eip)
        seconds = self.idle // INSTRUCTIONS_PER_SECOND
        return Stop(Outcome.BUDGET, f"the guest has waited for {seconds:,} seconds of its time at {where}")

    def _ended(self) -> Stop | None:
        code = self.devices.exit_code
        if code is not None:
            if code == 0:
                return Stop(Outcome.SUCCESS, "the guest reported success")
            return Stop(Outcome.FAILURE, f"the guest reported failure {code}")
        if self.finished:
            return Stop(Outcome.SUCCESS, self.finished)
        if self.stop_requested:
            where = self.image.location(self.mode.guest_eip)
            return Stop(Outcome.INTERRUPTED, f"interrupted at {where}")
        return None

    def run(self, budget: int = DEFAULT_BUDGET, spent: int = 0) -> Result:
        """Run to the end, or for `budget` guest instructions of which some were `spent` before a reset."""
        stop = self.advance(budget - spent)
        if stop is None:
            where = self.image.location(self.mode.guest_eip)
            stop = Stop(Outcome.BUDGET, f"{budget:,} instructions were not enough; the guest was at {where}")
        return self.result(stop)

    def result(self, stop: Stop) -> Result:
        """The figures as they stand, with `stop` as the end."""
        self.mode.settle()
        return Result(
            guest=self.image.name,
            mode=self.mode.name,
            outcome=stop.outcome or Outcome.SUCCESS,
            exit_code=self.devices.exit_code,
            console=self.devices.console.decode("latin-1"),
            instructions=self.mode.count,
            text=stop.text,
            details=stop.details,
            traps=dict(self.ledger.traps.most_common()),
            work=dict(sorted(self.ledger.work.items())),
            divergences=list(self.ledger.divergences.values()),
            idle=self.idle,
            promises_equivalence=self.mode.promises_equivalence,
        )
