"""Runs a machine and writes a trace of it. A traced run is the same run: nothing is changed by looking.

Kinds that are about instructions need the guest stepped, one instruction at a time. The guest cannot
know; a monitor that does things by the batch, as translation does, may have more work of it. What has completed is
not always what stood at EIP: an interrupt may come first, or a fault in its place; then it is the first
instruction of the handler. The events of the step tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from isa.insn import Insn
from isa.table import ROWS, Sensitive
from vmm.debug.places import fetch
from vmm.events import Event, Injected, Reflected
from vmm.machine import DEFAULT_BUDGET, Machine, Result, Stop
from vmm.trace.kinds import STEPPED, parse_kinds, wanted
from vmm.trace.records import IO, Record, from_event, from_instruction, taken
from vmm.trace.sinks import Writer


def run_trace(
    machine: Machine,
    kinds: Iterable[str] | None,
    format: str,
    limit: int | None,
    out: TextIO,
    budget: int = DEFAULT_BUDGET,
) -> Result:
    """Run the machine's guest to its end or for `budget` instructions, tracing `kinds` to `out`.

    Without kinds it is all that need no stepping. `format` is a key of `FORMATS`. `limit` ends the
    writing, not the run. Raises ValueError for a kind that does not exist.
    """
    tracer = Tracer(machine, parse_kinds(kinds), Writer(out, format, limit))
    return tracer.run(budget)


class Tracer:
    """One traced run."""

    def __init__(self, machine: Machine, kinds: frozenset[str], write: Writer) -> None:
        self.machine = machine
        self.mode = machine.mode
        self.kinds = kinds
        self.write = write
        self.stepping = False
        self.pending: list[tuple[Event, Record | None]] = []

    def run(self, budget: int) -> Result:
        """The whole run."""
        sinks = self.machine.ledger.sinks
        sinks.append(self._note)
        try:
            stop = self._steps(budget) if self.kinds & STEPPED else None
            if stop is not None:
                return self.machine.result(stop)
            return self.machine.run(budget)
        finally:
            sinks.remove(self._note)

    def _note(self, event: Event) -> None:
        """An event happens: its entry is made now, while both processors are as they were."""
        if self.write.full:
            return
        chosen = wanted(event, self.kinds, monitored=self.mode.monitored)
        record = from_event(event, self.mode, self.machine.image) if chosen else None
        if self.stepping:
            self.pending.append((event, record))
        elif record is not None:
            self.write(record)

    # -- instruction by instruction -------------------------------------------------------------------

    def _steps(self, budget: int) -> Stop | None:
        """Step until the budget is used up, the guest ends, or nothing more will be written."""
        machine, mode = self.machine, self.mode
        self.stepping = True
        try:
            while mode.count < budget and not self.write.full:
                count, eip = mode.count, mode.guest_eip
                insn = fetch(machine, eip)
                stop = machine.advance(count + 1)
                mode.settle()
                self._completed(count, eip, insn)
                if stop is not None:
                    return stop
        finally:
            self.stepping = False
        return None

    def _completed(self, count: int, eip: int, insn: Insn | None) -> None:
        """Write what a step brought: deliveries before the instruction, the instruction, what it caused."""
        events, first = self.pending, 0
        self.pending = []
        after = self.mode.guest_eip
        for n, (event, _) in enumerate(events):
            if isinstance(event, Reflected | Injected):
                if event.count > count:  # the trap of a single step: after the instruction
                    after = event.eip
                    break
                first, eip, insn = n + 1, event.handler, None
        self._write(events[:first])
        if self.mode.count > count:
            self._instruction(insn or fetch(self.machine, eip), count, eip, after)
        self._write(events[first:])

    def _write(self, events: list[tuple[Event, Record | None]]) -> None:
        for _, record in events:
            if record is not None:
                self.write(record)

    def _instruction(self, insn: Insn | None, count: int, eip: int, after: int) -> None:
        """Write a completed instruction if it is of a kind that was chosen."""
        if insn is None:
            return
        event = self._kind(insn, eip, after)
        if event:
            self.write(from_instruction(insn, count, eip, after, self.mode, self.machine.image, event))

    def _kind(self, insn: Insn, eip: int, after: int) -> str:
        """The kind under which an instruction is written: the most telling one that was chosen, or none."""
        kinds = self.kinds
        if insn.name in IO:
            own = "io"
        elif ROWS[insn.row].sensitive is not Sensitive.INNOCUOUS:
            own = "priv"
        else:
            own = ""
        if own in kinds:
            return own
        if "branch" in kinds and taken(insn, eip, after):
            return "branch"
        return "insn" if "insn" in kinds else ""
