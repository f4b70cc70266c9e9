"""What stops a guest: addresses, memory that changes, and events.

`AddressBreak` and `Watch` are asked before every instruction, by way of `Stops`, a container of linear
addresses that a mode's run loop looks into (`Mode.breakpoints`); to the processor a changed watch is an
address where to stop. `EventBreak` matches the records that a machine emits. Conditions are the engine's
business: the state is complete only once the guest has stopped.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vmm.events import Diverged, Event, Hypercall, Injected, Reflected, SoftwareInterrupt, Trap
from vmm.machine import Machine


@dataclass(slots=True, eq=False)
class AddressBreak:
    """Stops before the instruction at an address, if the condition holds."""

    number: int
    place: str  # as it was asked for
    address: int
    condition: str = ""
    hits: int = 0

    def __str__(self) -> str:
        return f"at {self.place}" + (f" if {self.condition}" if self.condition else "")


@dataclass(slots=True, eq=False)
class Watch:
    """Stops after an instruction that changed memory. `last` is None while nothing is mapped there."""

    number: int
    place: str
    address: int
    size: int
    last: bytes | None = None
    hits: int = 0

    def __str__(self) -> str:
        return f"when {self.size} bytes at {self.place} change"


@dataclass(frozen=True, slots=True)
class EventKind:
    """A kind of event to stop after: its class, and how it reads."""

    type: type[Event]
    title: str


def _detail(event: Event) -> str:
    """What a narrower choice is compared with."""
    match event:
        case Trap() | Diverged():
            return event.kind
        case Injected() | SoftwareInterrupt():
            return f"{event.vector:#x}"
        case Reflected():
            return event.fault
        case Hypercall():
            return event.name
    return ""


EVENTS: dict[str, EventKind] = {
    "trap": EventKind(Trap, "after a trap into the monitor"),
    "inject": EventKind(Injected, "after an interrupt is delivered"),
    "fault": EventKind(Reflected, "after a fault is delivered to the guest"),
    "int": EventKind(SoftwareInterrupt, "after an INT n of the guest"),
    "hypercall": EventKind(Hypercall, "after a hypercall"),
    "diverge": EventKind(Diverged, "after a divergence from bare hardware"),
}


@dataclass(slots=True, eq=False)
class EventBreak:
    """Stops after an event. `detail` narrows it: a trap's kind, a vector, a hypercall's name."""

    number: int
    event: str
    detail: str = ""
    hits: int = 0

    def matches(self, event: Event) -> bool:
        kind = EVENTS[self.event]
        if not isinstance(event, kind.type):
            return False
        wanted, found = self.detail.lower(), _detail(event).lower()
        return not wanted or found == wanted or found.startswith((wanted + " ", wanted + "(", "#" + wanted))

    def __str__(self) -> str:
        return EVENTS[self.event].title + (f": {self.detail}" if self.detail else "")


Break = AddressBreak | Watch | EventBreak


@dataclass(slots=True, eq=False)
class Changed:
    """A watch that fired: what was and is there, and the instruction that did it, if it is known."""

    watch: Watch
    before: bytes | None
    after: bytes | None
    by: int | None


@dataclass(slots=True, eq=False)
class Stops:
    """The container that a run loop asks: stop before the instruction at this linear address?

    The place where a run starts does not stop it (`start` is its count and address), unless it comes by
    again.
    """

    machine: Machine
    addresses: dict[int, list[AddressBreak]] = field(default_factory=dict)
    watches: list[Watch] = field(default_factory=list)
    temporary: int | None = None
    start: tuple[int, int] = (-1, -1)
    changed: Changed | None = None
    _previous: int | None = None

    def __contains__(self, linear: object) -> bool:
        assert isinstance(linear, int)
        if self.watches and self._look(linear):
            return True
        if linear in self.addresses or linear == self.temporary:
            return self.start != (self.machine.mode.count, linear)
        return False

    def begin(self, machine: Machine, temporary: int | None) -> None:
        """A run starts, to end at `temporary` if not elsewhere."""
        self.machine = machine
        self.temporary = temporary
        self.start = (machine.mode.count, machine.mode.guest_eip)
        self.changed = None
        self._previous = None
        for watch in self.watches:
            watch.last = machine.mode.guest.peek(watch.address, watch.size)

    def _look(self, linear: int) -> bool:
        """Whether a watched place has changed since the run began."""
        peek = self.machine.mode.guest.peek
        for watch in self.watches:
            now = peek(watch.address, watch.size)
            if now != watch.last:
                self.changed = Changed(watch, watch.last, now, self._previous)
                return True
        self._previous = linear
        return False

    def look(self) -> Changed | None:
        """The watch that has changed, asked once more where a run came to its end by itself."""
        if self.watches and self.changed is None:
            self._look(-1)
        return self.changed
