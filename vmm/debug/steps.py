"""One guest instruction as the monitor lived it: its events as numbered steps with words.

A trap and what follows from it belong together: what trapped and by which rule, what was emulated and
which virtual state that changed, what was delivered to the guest and where, what the shadow tables or the
translation cache learned. The text comes from the events alone, so every mode tells its own story.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from isa.table import BY_NAME
from vmm.debug.paint import Paint
from vmm.debug.places import place
from vmm.debug.views import flag_changes, flags
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

INDENT = " " * 15
DETAIL_WIDTH = 96


def arrow(before: int, after: int) -> str:
    return f"{before:08x} → {after:08x}"


def rule(kind: str) -> str:
    """What the table says of a sensitive instruction, by a trap's kind (`popf`, `int 0x80`)."""
    row = BY_NAME.get(kind) or BY_NAME.get(kind.split(" ")[0])
    if row is None or not row.rule:
        return ""
    return f"{row.sensitive.value}; {row.rule} (SDM {row.sdm})"


def wrapped(text: str) -> list[str]:
    """A long line as several, those after the first indented below its text."""
    return textwrap.wrap(text, DETAIL_WIDTH, subsequent_indent=" " * 6)


class Teller:
    """Events as lines of text."""

    def __init__(self, image: Image, paint: Paint) -> None:
        self.image = image
        self.paint = paint

    def steps(self, events: Iterable[Event]) -> list[str]:
        """All of them, numbered."""
        lines = []
        for n, event in enumerate(events, 1):
            first, *rest = self.lines(event)
            lines.append(f"{n:3}. {first}")
            lines += [INDENT + line for line in rest]
        return lines

    def lines(self, event: Event) -> list[str]:
        """One event: a headline `kind  what`, and details."""
        kind, what, details = self._told(event)
        return [f"{self.paint('monitor', f'{kind:10}')}{what}", *details]

    def _told(self, event: Event) -> tuple[str, str, list[str]]:
        image = self.image
        match event:
            case Trap():
                law = rule(event.kind)
                details = [f"why:  {event.why}", *(wrapped(f"rule: {law}") if law else ())]
                name = event.insn or event.kind
                if event.kind.startswith("#"):
                    name = f"{event.kind} in {event.insn}" if event.insn else event.kind
                return "trap", f"{name} at {place(image, event.eip)}", details
            case Emulated():
                return "emulate", f"{event.insn} on the virtual processor", list(self.changes(event))
            case Reflected():
                return "deliver", f"{event.fault} to the guest's handler {place(image, event.handler)}", []
            case Injected():
                where = place(image, event.handler)
                return "interrupt", f"vector {event.vector:#x} delivered to the guest's handler {where}", []
            case SoftwareInterrupt():
                return (
                    "int",
                    f"INT {event.vector:#x} through the guest's IDT to {place(image, event.handler)}",
                    [],
                )
            case ShadowFilled():
                rights = "writable" if event.writable else "read-only until it is written"
                return (
                    "shadow",
                    f"gva {event.gva:08x} → gpa {event.gpa:08x} → hpa {event.hpa:08x}, {rights}",
                    [],
                )
            case Translated():
                what = f"{event.guest_bytes} bytes, {event.instructions} instructions at {place(image, event.eip)}"
                return "translate", what, [f"now {event.bytes} bytes at {event.at:08x} in the cache"]
            case Hypercall():
                arguments = ", ".join(f"{a:#x}" for a in event.arguments)
                return "hypercall", f"{event.name}({arguments}) = {event.result:#x}", []
            case Diverged():
                details = [
                    f"bare hardware: {event.expected}",
                    f"here:          {self.paint('warn', event.actual)}",
                    *wrapped(f"rule: {event.rule}"),
                ]
                return "DIVERGED", f"at {event.location}, and nothing trapped", details
        return type(event).__name__.lower(), "", []

    def changes(self, event: Emulated) -> Iterator[str]:
        """The virtual state that an emulation changed; EFLAGS flag by flag."""
        for name, before, after in event.changes:
            if name.endswith(("_attr", "_limit", "_base")) and name.split("_")[0] not in ("gdt", "idt"):
                continue
            text = f"virtual {name:7}{self.paint('changed', arrow(before, after))}"
            if name == "eflags":
                text += f"   {self.flag_text(before, after)}"
            elif name == "eip":
                text += f"   {place(self.image, after)}"
            yield text
        if not any(name == "eflags" for name, _, _ in event.changes):
            yield "virtual eflags unchanged"

    def flag_text(self, before: int, after: int) -> str:
        """`IF 0 → 1` for each flag that changed, then all that are set."""
        changed = ", ".join(f"{name} {x} → {y}" for name, x, y in flag_changes(before, after))
        return f"{self.paint('changed', changed)}   now {flags(after)}"
