"""Records written: as lines for people, or as JSON lines for programs.

Every JSON object has `schema`, `count` (guest instructions completed before), `eip` (linear), `location`
and `event`. The other keys depend on the event:

    insn branch priv io   bytes, insn; target if control went elsewhere; io: port, size, value
    trap                  kind, insn, why                 fault       fault, handler
    emulated              insn, changes [name before after]  interrupt vector, handler
    shadow                gva, gpa, hpa, writable         int         vector, handler
    translated            at, guest_bytes, bytes, instructions
    hypercall             name, arguments, result         diverged    kind, expected, actual, rule

A monitor's events also have `virtual` and `real`: ring, if, iopl, cr0, cr3 where the two differ.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TextIO

from vmm.trace.records import Record

SCHEMA = 1


def text_line(record: Record) -> str:
    """`***        419  popf.asm:209 (popf_here)          00103485  …`."""
    state = "  ".join(
        f"{name} {v:x}/{record.real[name]:x}" for name, v in record.virtual.items() if name != "cr0"
    )  # a host's CR0 always is another; JSON lines have it
    line = f"{record.mark:3} {record.count:>9}  {record.where:34} {record.eip:08x}  {record.text}"
    return f"{line}   [virtual/real {state}]" if state else line.rstrip()


def json_line(record: Record) -> str:
    """One object."""
    document = {
        "schema": SCHEMA,
        "count": record.count,
        "eip": record.eip,
        "location": record.where,
        "event": record.event,
        **{name: value for name, value in record.details.items() if name != "location"},
    }
    if record.virtual:
        document |= {"virtual": record.virtual, "real": record.real}
    return json.dumps(document)


FORMATS: dict[str, Callable[[Record], str]] = {"text": text_line, "jsonl": json_line}


class Writer:
    """Writes records until `limit` of them are written; then it is `full` and writes no more."""

    def __init__(self, out: TextIO, format: str, limit: int | None) -> None:
        self.out = out
        self.render = FORMATS[format]
        self.limit = limit
        self.written = 0

    @property
    def full(self) -> bool:
        return self.limit is not None and self.written >= self.limit

    def __call__(self, record: Record) -> None:
        if not self.full:
            self.written += 1
            self.out.write(self.render(record) + "\n")
