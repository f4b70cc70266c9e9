"""The native engine of one processor: compiled handlers over the state that the reference engine has, too.

`Cpu` runs in either engine and changes between them at any instruction. `run` goes on natively until the
budget is used up or something is wanted that only Python can do; whatever that is, the processor stands
between two instructions and the state says so. What an engine keeps beside the state, a flags record and
copies of segments, is handed over here.
"""

from __future__ import annotations

import ctypes
from array import array
from typing import TYPE_CHECKING, Any

from isa import consts as c
from isa.engine.context import (
    ACCESSES,
    ADDRESS,
    ATTENTION,
    AWAKE,
    CODE_BITS,
    CODE_NUMBERS,
    CONTEXT_WORDS,
    COUNTS,
    ERROR,
    EXECUTED,
    FAULTS,
    FLUSHED,
    INTERCEPTS,
    INTERRUPTS,
    LEFT,
    MISS,
    MODEL_FLAGS,
    ORIGINALS,
    PAGES,
    PENDING,
    POLICY,
    POOL,
    PORT,
    PORT_OUT,
    PORT_WIDTH,
    QUIET,
    RAM,
    READ_END,
    RESERVE,
    RETURN,
    SEGMENTS,
    SPENT,
    SPLIT,
    TIME,
    TLB,
    TRAPS,
    VALUE,
    VECTOR,
    VIRTUAL,
    WRITE_END,
)  # fmt: skip
from isa.engine.library import Library, library
from isa.engine.pool import Pool
from isa.engine.records import op_word
from isa.engine.regions import Regions
from isa.faults import PageFault
from isa.flags import PACKED
from isa.state import CR0, EFLAGS, EIP, FLAG_OP, FLAG_R, FLAG_X, FLAG_Y, SHADOW
from isa.table import ROWS, Sensitive

if TYPE_CHECKING:
    from isa.cpu import Cpu

_SENSITIVE = frozenset(row.index for row in ROWS if row.sensitive is not Sensitive.INNOCUOUS)
M64 = (1 << 64) - 1
_NONE = bytes(8 * (VIRTUAL - EXECUTED))


def _address(buffer: Any) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


class Threaded:
    """Native execution for one `Cpu`."""

    def __init__(self, cpu: Cpu, library: Library) -> None:
        self.cpu = cpu
        self.engine = engine = cpu.engine
        self.library = library
        self.pool = Pool(engine, library)
        self.context = array("Q", bytes(8 * CONTEXT_WORDS))
        self.bytes = memoryview(self.context).cast("B")
        self.state_address = cpu.s.buffer_info()[0]
        self.context_address = self.context.buffer_info()[0]
        ram = engine.ram
        for word, address in (
            (TLB, engine.tlb.address),
            (COUNTS, engine.tlb.counts.buffer_info()[0]),
            (RAM, _address(ram.data)),
            (CODE_NUMBERS, ram.code_numbers.buffer_info()[0]),
            (CODE_BITS, _address(ram.code_bits)),
            (PAGES, self.pool.pages_address),
            (POOL, self.pool.address),
            (ORIGINALS, self.pool.originals_address),
            (SPLIT, _address(self.pool.split)),
        ):
            self.context[word] = address
        engine.segments_moved = True
        self.regions: Regions | None = None
        self.configure()

    def use_regions(self, wanted: bool) -> None:
        """Compile what is hot in larger pieces, or do not."""
        if wanted and self.regions is None:
            self.regions = self.pool.regions = Regions(self)
        elif not wanted and self.regions is not None:
            self.regions.leave()
            self.regions = self.pool.regions = None

    def configure(self) -> None:
        """The trap policy, or who listens, has changed."""
        cpu, policy = self.cpu, self.cpu.policy
        self.context[MODEL_FLAGS] = cpu.model.eflags
        self.context[POLICY] = policy.exceptions & 0xFFFF_FFFF
        for row in ROWS:
            wanted = row.index in policy.instructions
            self.bytes[8 * TRAPS + row.index] = wanted + (wanted and row.index in policy.virtual)
        for vector in range(256):
            self.bytes[8 * INTERCEPTS + vector] = policy.software_interrupts >> vector & 1
        reference_only = {row.index for row in ROWS if row.feature not in cpu.model.features}
        reference_only |= policy.instructions - _SENSITIVE
        if reference_only != self.pool.reference_only:
            self.pool.reference_only = frozenset(reference_only)
            self.pool.reset()

    def run(self, budget: int) -> int:
        """Execute up to `budget` instructions; why that ended (`context`)."""
        regions = self.regions
        if regions is not None:
            budget = min(budget, regions.budget())
        cpu, engine, s, context = self.cpu, self.engine, self.cpu.s, self.context
        pending = cpu.interrupts is not None and cpu.interrupts.intr
        aligning = c.AC if s[CR0] & c.CR0_AM else 0
        context[AWAKE] = c.TF | c.RF | aligning | (c.IF if pending else 0)
        context[QUIET] = cpu.on_flush is None and cpu.quiet
        virtual = cpu.virtual
        if virtual is not None:
            context[VIRTUAL] = 0 if cpu.detailed else virtual.s.buffer_info()[0]
            context[PENDING] = c.IF if virtual.interrupts is not None and virtual.interrupts.intr else 0
        context[TIME] = (cpu.timestamp() + budget) & M64
        context[LEFT] = 1 if s[SHADOW] else budget
        context[RESERVE] = budget - context[LEFT]
        start, until = cpu.count, cpu.until
        while True:
            why = self._enter(self.library.enter)
            cpu.count = start + budget - context[LEFT] - context[RESERVE]
            if why != ACCESSES:
                break
            self._access()
            if engine.attention or not context[LEFT] or cpu.until != until:
                break
        if regions is not None:
            regions.ran(cpu.count - start)
        if why == ATTENTION or s[EFLAGS] & (c.TF | c.RF) or (s[SHADOW] and why != MISS):
            engine.attention = True
        return why

    def _access(self) -> None:
        """Use the port that IN or OUT has asked for, a monitor's guest that of its virtual machine, and end
        the instruction. Raises what the device does; the instruction has not been executed then."""
        cpu, s, context = self.cpu, self.cpu.s, self.context
        what, owner = context[PORT], cpu.virtual or cpu
        owner.count = cpu.count
        port, w = what & c.M16, what >> PORT_WIDTH & 0xFF
        if what & PORT_OUT:
            owner.ports.write(port, context[VALUE], w >> 3)
        else:
            s[c.EAX] = s[c.EAX] & ~c.MASK[w] | owner.ports.read(port, w >> 3) & c.MASK[w]
        s[EIP] = context[RETURN]
        context[LEFT] -= 1
        cpu.count += 1

    def deliver(self, vector: int) -> bool:
        """Send an external interrupt through the IDT; False, and nothing has changed, if another has to."""
        context, s = self.context, self.cpu.s
        if self.engine.breakpoints.armed:
            return False
        eip = s[EIP]
        context[VECTOR], context[AWAKE], context[LEFT], context[RESERVE] = vector, 0, 0, 0
        if self._enter(self.library.interrupt) == SPENT:
            return True
        s[EIP] = eip
        return False

    def _enter(self, function: Any) -> int:
        """Call native code; what an engine keeps beside the state goes there and comes back."""
        engine, s, context = self.engine, self.cpu.s, self.context
        kind, w, s[FLAG_X], s[FLAG_Y], s[FLAG_R] = engine.record
        s[FLAG_OP] = op_word(kind, w)
        if engine.segments_moved:
            context[READ_END : READ_END + 8] = array("Q", engine.read_end)
            context[WRITE_END : WRITE_END + 8] = array("Q", engine.write_end)
            engine.segments_moved = False
        why: int = function(self.state_address, self.context_address)
        engine.record = (PACKED, 32, 0, 0, s[EFLAGS])
        s[FLAG_OP] = s[FLAG_X] = s[FLAG_Y] = s[FLAG_R] = 0
        if context[SEGMENTS]:
            context[SEGMENTS] = 0
            engine.adopt_segments(
                context[READ_END : READ_END + 8].tolist(), context[WRITE_END : WRITE_END + 8].tolist()
            )
        if context[FLUSHED]:
            context[FLUSHED] = 0
            engine.forget_fetches()
        return why

    def page_fault(self) -> PageFault:
        """Why `FAULTED`."""
        return PageFault(self.context[ADDRESS] & 0xFFFF_FFFF, self.context[ERROR])

    def resolve(self) -> bool:
        """Make what `MISS` missed; False if the reference engine has to run it. Raises faults."""
        if self.pool.resolve(self.cpu.s[EIP]):
            return True
        self.engine.attention |= bool(self.cpu.s[SHADOW])
        return False

    def tell(self) -> None:
        """Report what was counted on the way."""
        if bytes(self.bytes[8 * EXECUTED : 8 * VIRTUAL]) == _NONE:
            return
        tell = self.cpu.on_tally
        for what, first, last in (
            ("executed", EXECUTED, INTERRUPTS),
            ("int", INTERRUPTS, FAULTS),
            ("fault", FAULTS, VIRTUAL),
        ):
            for n in range(first, last):
                if self.context[n]:
                    if what == "fault" and self.regions is not None:
                        self.regions.delivered[n - first] += self.context[n]
                    if tell is not None:
                        tell(what, n - first, self.context[n])
                    self.context[n] = 0


def start(cpu: Cpu) -> Threaded | None:
    """The native engine of a processor, or None where there is no llvmlite or no host for it."""
    try:
        return Threaded(cpu, library())
    except (ImportError, OSError, RuntimeError):
        return None
