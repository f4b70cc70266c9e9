"""Prices: which counted figure costs which constants of a profile, and what it is spent on.

    cycles = sum over all figures of  count x (constant + constant + ...)

The table below is all of it. Every cycle is booked on what the guest was doing (an *activity*), so that
bare hardware and all techniques can be compared line by line: a port access costs a bus cycle bare, a
trap and a virtual device under a monitor. A figure whose events are priced under another name is in
`PRICED_ELSEWHERE`; one that nobody has a price for is listed as unpriced and costs nothing. Next: `profile`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmm.cost.profile import Profile

if TYPE_CHECKING:
    from vmm.machine import Result

INSTRUCTIONS = "guest instructions"
PORTS = "port I/O"
EVENTS = "interrupts, exceptions"
PRIVILEGED = "sensitive instructions"
PAGING = "page tables"
TRANSLATION = "translation"
ACTIVITIES = (INSTRUCTIONS, EVENTS, PAGING, PRIVILEGED, TRANSLATION, PORTS)

Terms = tuple[str, ...]
"""Constants of a profile, to be added."""

PORT_ROWS = ("in", "out", "ins", "outs")
EVENT_ROWS = ("int", "int1", "int3", "into", "iret", "sysenter", "sysexit")
PAGING_ROWS = ("mov cr", "invlpg")

EXECUTED, CALL_OUT, DELIVERED, HYPERCALL = "executed: ", "callout: ", "delivered: ", "hypercall: "

# Traps that are no instruction to emulate.
TRAPS: dict[str, tuple[str, Terms]] = {
    "#PF hidden": (PAGING, ("page_fault", "walk", "fill")),
    "#PF true": (EVENTS, ("page_fault", "walk")),
    "#PF device": (PORTS, ("page_fault", "walk", "emulate", "device")),
    "#PF trace": (PAGING, ("trace",)),
    "#PF": (EVENTS, ("page_fault",)),
    "#GP": (EVENTS, ("exception", "emulate")),
    "#SS": (EVENTS, ("exception", "emulate")),
    "#NP": (EVENTS, ("exception", "emulate")),
    "#TS": (EVENTS, ("exception", "emulate")),
}

WORK: dict[str, tuple[str, Terms]] = {
    "delivered: #PF": (EVENTS, ("page_fault",)),
    "delivered: interrupt": (EVENTS, ("interrupt",)),
    "faults reflected": (EVENTS, ("reflect",)),
    "interrupts injected": (EVENTS, ("interrupt", "reflect")),
    "shadow flushes": (PAGING, ("flush",)),
    "guest tables compared": (PAGING, ("validate_page",)),
    "dispatches": (TRANSLATION, ("dispatch",)),
    "indirect hits": (TRANSLATION, ("indirect",)),
    "indirect misses": (TRANSLATION, ("indirect", "dispatch")),
    "chains patched": (TRANSLATION, ("chain",)),
    "units invalidated": (TRANSLATION, ("invalidate",)),
    "page-table updates": (PAGING, ("validate_entry",)),
    "pages validated": (PAGING, ("validate_page",)),
    "events delivered": (EVENTS, ("interrupt", "event")),
    "exceptions bounced": (EVENTS, ("event",)),
    "instructions interpreted": (PRIVILEGED, ("emulate",)),
    "instructions adapted": (TRANSLATION, ("invalidate",)),
    "cache emptied": (TRANSLATION, ("invalidate",)),
}

# What the translator did with each instruction it met: each has been translated.
TRANSLATED = tuple(
    f"instructions {kind}" for kind in ("identical", "rewritten", "chained", "in-cache", "call-out")
)

# Counted, and paid for under another name.
PRICED_ELSEWHERE = frozenset(
    {
        "instructions emulated",  # each by the trap or call-out that led there
        "trace faults",  # each by its trap
        "shadow entries written",  # each by its hidden fault
        "units translated",  # by their instructions
        "guest bytes translated",
        "cache bytes written",
        "call-outs",  # each by its kind
        "batched updates",  # each by its page-table update
        "multicalls",  # each by its hypercall
        "pages written out",  # the host's disk has no price
        "pages read in",
        "hypercall",  # a trap, by the call's name
    }
)


@dataclass(frozen=True, slots=True)
class Item:
    """One counted figure with its price."""

    figure: str
    activity: str
    count: int
    each: int
    constants: Terms

    @property
    def cycles(self) -> int:
        """What all of them cost."""
        return self.count * self.each


@dataclass(frozen=True, slots=True)
class Cycles:
    """The modelled cost of a run, item by item. `unpriced` are figures without a price."""

    profile: Profile
    items: tuple[Item, ...]
    unpriced: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """All cycles."""
        return sum(item.cycles for item in self.items)

    @property
    def by(self) -> dict[str, int]:
        """Cycles by activity, those that cost nothing left out."""
        sums = {activity: self.of(activity) for activity in ACTIVITIES}
        return {activity: cycles for activity, cycles in sums.items() if cycles}

    def of(self, *activities: str) -> int:
        """Cycles spent on some activities."""
        return sum(item.cycles for item in self.items if item.activity in activities)

    @property
    def without_ports(self) -> int:
        """All cycles but those of port I/O, which measure a bus and devices more than a technique."""
        return self.total - self.of(PORTS)


def price(result: Result, profile: Profile) -> Cycles:
    """What `result` costs on the machine of `profile`."""
    items: list[Item] = []
    unpriced: list[str] = []
    for figure, count, found in _figures(result, profile):
        if found is None:
            unpriced.append(figure)
        elif count:
            activity, terms = found
            items.append(Item(figure, activity, count, sum(profile[name] for name in terms), terms))
    return Cycles(profile, tuple(items), tuple(unpriced))


def _figures(result: Result, profile: Profile) -> Iterator[tuple[str, int, tuple[str, Terms] | None]]:
    """Every counted figure of a run: its name, its count, and its activity and price."""
    yield "instructions", result.instructions, (INSTRUCTIONS, ("instruction",))
    for kind, count in result.traps.items():
        if kind.startswith(CALL_OUT):
            yield kind, count, _call_out(kind.removeprefix(CALL_OUT))
        elif kind not in PRICED_ELSEWHERE:
            yield kind, count, _trap(kind)
    by_kind = sum(count for kind, count in result.traps.items() if kind.startswith(CALL_OUT))
    calls = sum(count for figure, count in result.work.items() if figure.startswith(HYPERCALL))
    for figure, count in result.work.items():
        if figure in TRANSLATED:
            yield figure, count, (TRANSLATION, ("translate",))
        elif figure == "call-outs":
            yield figure, max(0, count - by_kind), (PRIVILEGED, ("call_out",))
        elif figure == "hypercalls":
            yield figure, max(0, count - calls), (PRIVILEGED, ("hypercall",))
        elif figure not in PRICED_ELSEWHERE:
            yield figure, count, _work(figure, profile)


def activity_of(row: str) -> str:
    """What a kernel is doing when it executes a sensitive instruction."""
    if row in PORT_ROWS:
        return PORTS
    if row.split(" ")[0] in EVENT_ROWS:
        return EVENTS
    return PAGING if row in PAGING_ROWS else PRIVILEGED


def _trap(kind: str) -> tuple[str, Terms] | None:
    if kind in TRAPS:
        return TRAPS[kind]
    if kind.startswith("#"):
        return EVENTS, ("exception",)
    activity = activity_of(kind)
    if activity == PORTS:
        return PORTS, ("exception", "emulate", "device")
    if kind.startswith("int"):
        return EVENTS, ("exception", "reflect")
    return (activity, ("exception", "emulate")) if _is_instruction(kind) else None


def _call_out(kind: str) -> tuple[str, Terms] | None:
    activity = activity_of(kind)
    if activity == PORTS:
        return PORTS, ("call_out", "device")
    if kind.startswith("int"):
        return EVENTS, ("call_out", "reflect")
    return activity, ("call_out",)


def _work(figure: str, profile: Profile) -> tuple[str, Terms] | None:
    if figure in WORK:
        return WORK[figure]
    if figure.startswith(EXECUTED):
        row = figure.removeprefix(EXECUTED)
        constant = profile.by_row.get(row)
        return activity_of(row), (constant.name if constant else "other_sensitive",)
    if figure.startswith(DELIVERED + "int 0x"):
        return EVENTS, ("software_interrupt",)
    if figure.startswith(DELIVERED):
        return EVENTS, ("exception",)
    if figure.startswith(HYPERCALL):
        name = figure.removeprefix(HYPERCALL)
        return _hypercall_activity(name), ("hypercall",)
    return None


def _hypercall_activity(name: str) -> str:
    """What a paravirtual kernel is doing when it calls: Xen's names say it."""
    if name.startswith(("mmu", "update_va", "mmuext")):
        return PAGING
    if name.startswith("console"):
        return PORTS
    return EVENTS if name in ("iret", "sched_op", "event_channel_op", "stack_switch") else PRIVILEGED


def _is_instruction(name: str) -> bool:
    import isa.ops  # noqa: F401  (fills the table)
    from isa.table import BY_NAME

    return name in BY_NAME
