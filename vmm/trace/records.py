"""One entry of a trace, as data: where, what, in words, and the state of both processors.

`from_event` and `from_instruction` make them. `mark` is what CP put before a line: `***` for interrupts,
here also `-->` for what a monitor does. `virtual` and `real` hold only what differs between the processor
the guest believes in and the one that runs it.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, fields
from typing import Any

from isa import consts as c
from isa.cpu import Cpu
from isa.disasm import format_insn
from isa.insn import Insn, Kind
from isa.state import CPL, CR0, CR3, EFLAGS
from vmm.debug.places import place, symbol
from vmm.debug.steps import arrow
from vmm.debug.views import flag_changes
from vmm.events import (
    Diverged,
    Emulated,
    Event,
    Hypercall,
    Injected,
    Reflected,
    ShadowFilled,
    SoftwareInterrupt,
    Translated,
    Trap,
)
from vmm.image import Image
from vmm.modes.base import Mode

INTERRUPT, MONITOR, PLAIN = "***", "-->", ""
LONGEST = 15  # bytes of an instruction
IO = frozenset({"in", "out", "ins", "outs"})

NAMES: dict[type[Event], str] = {
    Trap: "trap",
    Emulated: "emulated",
    Reflected: "fault",
    Injected: "interrupt",
    SoftwareInterrupt: "int",
    ShadowFilled: "shadow",
    Translated: "translated",
    Hypercall: "hypercall",
    Diverged: "diverged",
}


@dataclass(slots=True)
class Record:
    """An entry. `details` are the event's own fields, by the names that JSON lines have."""

    count: int
    eip: int
    event: str
    where: str
    text: str
    mark: str = PLAIN
    details: dict[str, Any] = field(default_factory=dict)
    virtual: dict[str, int] = field(default_factory=dict)
    real: dict[str, int] = field(default_factory=dict)


def states(mode: Mode) -> tuple[dict[str, int], dict[str, int]]:
    """Where the virtual and the real processor differ in privileged state, at this very moment."""
    virtual, real = mode.guest.s, mode.cpu.s
    if mode.cpu is mode.guest:
        return {}, {}
    pairs = {"ring": (virtual[CPL], real[CPL]), **_flag_pairs(virtual, real)}
    pairs |= {name: (virtual[n], real[n]) for name, n in (("cr0", CR0), ("cr3", CR3))}
    differing = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    return {n: v for n, (v, _) in differing.items()}, {n: r for n, (_, r) in differing.items()}


def _flag_pairs(virtual: array[int], real: array[int]) -> dict[str, tuple[int, int]]:
    return {
        "if": (int(bool(virtual[EFLAGS] & c.IF)), int(bool(real[EFLAGS] & c.IF))),
        "iopl": (virtual[EFLAGS] >> c.IOPL_SHIFT & 3, real[EFLAGS] >> c.IOPL_SHIFT & 3),
    }


def from_event(event: Event, mode: Mode, image: Image) -> Record:
    """The entry of an event that is just happening."""
    mark, text = _words(event, image)
    details = {f.name: getattr(event, f.name) for f in fields(event) if f.name not in ("count", "eip")}
    if isinstance(event, Emulated):
        details["changes"] = [dict(zip(("name", "before", "after"), x, strict=True)) for x in event.changes]
    name = NAMES.get(type(event), type(event).__name__.lower())
    record = Record(event.count, event.eip, name, place(image, event.eip), text, mark, details)
    if mark == MONITOR:
        record.virtual, record.real = states(mode)
    return record


def _words(event: Event, image: Image) -> tuple[str, str]:
    """(mark, text) of an event."""
    match event:
        case Trap():
            return MONITOR, f"trap {_trapped(event)}: {event.why}"
        case Emulated():
            return MONITOR, f"emulated {event.insn}: {_changes(event) or 'nothing changed'}"
        case Reflected():
            return INTERRUPT, f"{event.fault} ==> {_target(event.handler, image)}"
        case Injected():
            return INTERRUPT, f"interrupt {event.vector:#x} ==> {_target(event.handler, image)}"
        case SoftwareInterrupt():
            return INTERRUPT, f"int {event.vector:#x} ==> {_target(event.handler, image)}"
        case ShadowFilled():
            rights = "writable" if event.writable else "read-only"
            return MONITOR, f"shadow gva {event.gva:08x} gpa {event.gpa:08x} hpa {event.hpa:08x} {rights}"
        case Translated():
            what = f"{event.instructions} instructions, {event.guest_bytes} bytes"
            return MONITOR, f"translated {what} into {event.bytes} at {event.at:08x}"
        case Hypercall():
            arguments = ", ".join(f"{a:#x}" for a in event.arguments)
            return MONITOR, f"hypercall {event.name}({arguments}) = {event.result:#x}"
        case Diverged():
            return MONITOR, f"DIVERGED {event.kind}: {event.actual}, on bare hardware {event.expected}"
    return MONITOR, type(event).__name__.lower()


def _trapped(event: Trap) -> str:
    """The instruction; with the kind of the trap before it where that is another word."""
    if not event.insn or event.insn.startswith(event.kind.split(" ")[0]):
        return event.insn or event.kind
    return f"{event.kind} in {event.insn}"


def _changes(event: Emulated) -> str:
    """`esp 00101ff4 → 00101ff8, IF 0 → 1`."""
    found = []
    for name, before, after in event.changes:
        if name == "eflags":
            found += [f"{flag} {x} → {y}" for flag, x, y in flag_changes(before, after)]
        elif name == "eip" and not 0 < after - before <= LONGEST:
            found.append(f"eip {arrow(before, after)}")
        elif name != "eip" and not name.startswith(_HIDDEN):
            found.append(f"{name} {arrow(before, after)}")
    return ", ".join(found)


_HIDDEN = tuple(f"{name}_" for name in c.SEGMENT_NAMES)


def _target(address: int, image: Image) -> str:
    name = symbol(image, address)
    return f"{address:08x}" + (f" {name}" if name else "")


def from_instruction(
    insn: Insn, count: int, eip: int, after: int, mode: Mode, image: Image, event: str
) -> Record:
    """The entry of an instruction that has completed; `after` is where the guest went."""
    text = format_insn(insn, eip, lambda to: symbol(image, to))
    details: dict[str, Any] = {"bytes": insn.raw.hex(), "insn": text}
    if taken(insn, eip, after):
        details["target"] = after
        text = f"{text:32} ==> {_target(after, image)}"
    elif insn.name in IO:
        details |= port_access(insn, mode.guest)
        value = f" = {details['value']:#x}" if "value" in details else ""
        text = f"{text:32} port {details['port']:#x}{value}"
    return Record(count, eip, event, place(image, eip), text, PLAIN, details)


def taken(insn: Insn, eip: int, after: int) -> bool:
    """Whether the instruction sent control elsewhere; a repetition does not."""
    return after != (eip + insn.length) & c.M32 and not (insn.rep and after == eip)


def port_access(insn: Insn, guest: Cpu) -> dict[str, int]:
    """Port and value of an I/O instruction, from the registers after it."""
    s = guest.s
    fixed = next((o.value for o in insn.operands if o.kind is Kind.IMM), None)
    found = {"port": s[c.EDX] & c.M16 if fixed is None else fixed, "size": insn.w // 8}
    if insn.name in ("in", "out"):
        found["value"] = s[c.EAX] & c.MASK[insn.w]
    return found
