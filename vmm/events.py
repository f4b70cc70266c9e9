"""What can be observed: one small record per event, and the ledger that counts them.

A machine announces what happens outside the guest's own instructions: traps, what the monitor did about
them, injected interrupts, page-table and translation work, hypercalls, divergences. `Ledger` counts
always (counted figures are facts of the simulation); a sink, any callable, gets the records themselves
when somebody listens: the tracer, the debugger, a test. Nothing here prints. Next: `machine`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened after `count` guest instructions, at the guest's `eip`."""

    count: int
    eip: int


@dataclass(frozen=True, slots=True)
class Trap(Event):
    """The processor left the guest. `kind` is what the statistics call it, `why` the rule that trapped."""

    kind: str
    insn: str
    why: str


@dataclass(frozen=True, slots=True)
class Emulated(Event):
    """The monitor ran an instruction on the virtual state; `changes` are (name, before, after)."""

    insn: str
    changes: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Reflected(Event):
    """A fault was delivered to the guest through its own tables, by its monitor or by the hardware."""

    fault: str
    handler: int


@dataclass(frozen=True, slots=True)
class Injected(Event):
    """An interrupt of a device was delivered to the guest."""

    vector: int
    handler: int


@dataclass(frozen=True, slots=True)
class SoftwareInterrupt(Event):
    """The guest executes INT n; `handler` is what its table has for `vector`."""

    vector: int
    handler: int


@dataclass(frozen=True, slots=True)
class ShadowFilled(Event):
    """A hidden page fault: the guest maps the page, the shadow table did not yet."""

    gva: int
    gpa: int
    hpa: int
    writable: bool


@dataclass(frozen=True, slots=True)
class Translated(Event):
    """The rewriter made a translation: guest code at `eip` now lives at `at` in the cache."""

    at: int
    guest_bytes: int
    bytes: int
    instructions: int


@dataclass(frozen=True, slots=True)
class Hypercall(Event):
    """A paravirtual guest called its monitor."""

    name: str
    arguments: tuple[int, ...]
    result: int


@dataclass(frozen=True, slots=True)
class Diverged(Event):
    """An instruction did something else than on bare hardware, and nothing trapped."""

    kind: str
    location: str
    expected: str
    actual: str
    rule: str


Sink = Callable[[Event], None]


@dataclass(slots=True)
class Ledger:
    """Counted figures of one run.

    `traps` is by kind; `work` counts what a monitor did (page-table entries, translations, hypercalls …)
    by names that the cost profiles price; `divergences` are collected, each place once.
    """

    traps: Counter[str] = field(default_factory=Counter)
    work: Counter[str] = field(default_factory=Counter)
    divergences: dict[tuple[str, str], Diverged] = field(default_factory=dict)
    repeats: Counter[tuple[str, str]] = field(default_factory=Counter)
    sinks: list[Sink] = field(default_factory=list)

    @property
    def listening(self) -> bool:
        """Whether records are worth making."""
        return bool(self.sinks)

    def emit(self, event: Event) -> None:
        """Give a record to every sink."""
        for sink in self.sinks:
            sink(event)

    def diverged(self, event: Diverged) -> None:
        """Note a divergence; the same instruction diverging again only counts."""
        key = (event.location, event.kind)
        self.repeats[key] += 1
        if key not in self.divergences:
            self.divergences[key] = event
        self.emit(event)
