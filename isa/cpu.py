"""The processor: state, an engine, a trap policy, and `run`.

`Cpu.run(until)` executes instructions until the count `until` and returns an `Exit` (`exits`). Between
instructions it looks, only when there is reason to (`attention`), at the things that happen there
(`boundary`). A fault is delivered through the IDT, or exits if the policy wants it.

A machine has one `Cpu`; a virtual machine monitor uses a second one, on the virtual state and the guest's
physical memory, to emulate with the very same definitions (`execute`, `deliver`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from functools import cache
from typing import TYPE_CHECKING, Protocol

from isa import consts as c
from isa import ops as _ops  # fills the table
from isa.boundary import Boundary
from isa.engine.context import ACCESSES, FAULTED, GUARD, MISS
from isa.engine.intwords import IntWords
from isa.engine.reference import Reference
from isa.exits import NATIVE, Exit, Reason, TrapPolicy
from isa.faults import Again, Fault, InvalidOpcode, NotModelled, Waiting
from isa.insn import Insn
from isa.language import Builder
from isa.memory import PhysicalMemory
from isa.mmu import walk
from isa.model import DEFAULT, Model
from isa.state import (
    CPL,
    CR0,
    EFLAGS,
    EIP,
    FPU_IGNORED,
    FPU_STATUS,
    HALTED,
    NMI,
    NMI_WAITS,
    PENDING_DEBUG,
    SHADOW,
    TSC_ADJUST,
    new_state,
)
from isa.table import ROWS, Definition

if TYPE_CHECKING:
    from isa.engine.threaded import Threaded

assert _ops

ENGINES = ("auto", "reference", "native", "handlers")
DEFAULT_ENGINE = "auto"
HOT = 200_000  # instructions after which native code is worth its start, a few tenths of a second
SLICE = 10_000_000  # instructions after which native code comes back, so that a signal is heard soon
NEVER = 1 << 63


class Ports(Protocol):
    """The I/O space; sizes in bytes."""

    def read(self, port: int, size: int) -> int: ...

    def write(self, port: int, value: int, size: int) -> None: ...


class InterruptSource(Protocol):
    """An interrupt controller: whether its INTR line is up, and the vector it gives when asked."""

    @property
    def intr(self) -> bool: ...

    def acknowledge(self) -> int: ...


class NoPorts:
    """An I/O space with nothing in it."""

    def read(self, port: int, size: int) -> int:
        return (1 << (8 * size)) - 1

    def write(self, port: int, value: int, size: int) -> None:
        pass


class _Leave(Exception):
    """Unwinds an instruction that the policy wants to see."""

    def __init__(self, reason: Exit) -> None:
        super().__init__()
        self.exit = reason


def _trap(b: Builder, i: Insn) -> None:
    raise _Leave(Exit(Reason.INSTRUCTION, insn=i))


class _Looker(IntWords):
    """As much of a builder as a page walk needs, on a processor that must not notice."""

    def __init__(self, cpu: Cpu) -> None:
        self.s = cpu.s
        self.memory = cpu.memory

    def load_physical(self, address: int, w: int) -> int:
        return int.from_bytes(self.memory.read_bytes(address, w >> 3), "little")

    def store_physical(self, address: int, value: int, w: int) -> None:
        """Accessed bits stay as they are."""


def _undefined(b: Builder, i: Insn) -> None:
    raise InvalidOpcode()


@cache
def _handlers(trapping: frozenset[int], features: frozenset[str]) -> list[Definition]:
    """What executes each row: rows `trapping` exit instead, rows that need more features are #UD."""
    return [
        _undefined if row.feature not in features else _trap if row.index in trapping else row.define
        for row in ROWS
    ]


class Cpu(Boundary):
    """One x86 processor.

    `count` is the number of instructions completed, the measure of virtual time. `interrupts` may be None
    (a monitor's guest gets its interrupts by injection). All methods leave `s` complete, EFLAGS included.
    """

    def __init__(
        self,
        memory: PhysicalMemory,
        ports: Ports | None = None,
        interrupts: InterruptSource | None = None,
        policy: TrapPolicy = NATIVE,
        model: Model = DEFAULT,
        engine: str | None = None,
    ) -> None:
        self.memory = memory
        self.ports: Ports = ports or NoPorts()
        self.interrupts = interrupts
        self.model = model
        self.s = new_state()
        self.count = 0
        self.time_offset = 0  # timestamp = count + offset
        self.virtual: Cpu | None = None  # a monitor's virtual processor, whose state native code may work on
        self.on_flush: Callable[[int | None], None] | None = (
            None  # told of INVLPG (linear) and flushes (None)
        )
        self.on_delivery: Callable[[int, Fault | None, int], None] | None = (
            None  # told of what was delivered: vector, the fault or None for an interrupt, EIP before
        )
        self.on_int: Callable[[int], None] | None = None  # told of INT n before it looks at the IDT
        self.on_tally: Callable[[str, int, int], None] | None = (
            None  # told how often native code did something: "executed" row, "int" vector, "fault" vector
        )
        self.on_math_error: Callable[[], None] | None = None  # the FERR# pin
        self.detailed = False  # `on_delivery` and `on_int` want each event, not only `on_tally` the sum
        self.native: Threaded | None = None
        self._prepared: Threaded | None = None  # `native`, while it is not in use
        self.until = self.bound = 0  # where `run` comes back; `shorten` may move it nearer
        self.stop_requested = False
        self.handlers = self.trapping_handlers = _handlers(frozenset(), model.features)
        self.policy = policy
        self.engine = Reference(self)
        self.set_policy(policy)
        self.use_engine(engine or os.environ.get("VMSIM_ENGINE") or DEFAULT_ENGINE)

    # -- configuration ------------------------------------------------------------------------------

    def use_engine(self, name: str) -> None:
        """Run in "native" code or in the "reference" engine from now on; "auto": natively once it pays.
        "handlers" is native code that is never compiled in larger pieces than single instructions.

        The outcome is the same. Where native code cannot be made, the reference engine runs.
        """
        if name not in ENGINES:
            raise ValueError(f"there is no engine {name!r}; there are {', '.join(ENGINES)}")
        self.native = None
        self.native_from = self.count + HOT if name == "auto" else NEVER if name == "reference" else 0
        self._regions = name != "handlers"

    def set_policy(self, policy: TrapPolicy) -> None:
        """What exits from now on."""
        self.policy = policy
        self.trapping_handlers = _handlers(policy.instructions, self.model.features)
        self.engine.set_cpl(self.s[CPL])
        if self.native is not None:
            self.native.configure()

    @property
    def quiet(self) -> bool:
        """Whether nobody wants to hear of each delivery."""
        return not self.detailed and (
            self.on_tally is not None or (self.on_delivery is None and self.on_int is None)
        )

    def timestamp(self) -> int:
        """The time-stamp counter: one tick per instruction, and what WRMSR has added."""
        return self.count + self.time_offset + (self.s[TSC_ADJUST] | self.s[TSC_ADJUST + 1] << 32)

    def check_intercept(self, vector: int, software: bool) -> None:
        """Called by INT n before it looks at the IDT. One that begins `Again` has been told already."""
        if self.on_int is not None and software and self.engine.begun_at != self.count:
            self.on_int(vector)
        self.engine.begun_at = -1
        if software and self.policy.software_interrupts >> vector & 1:
            raise _Leave(Exit(Reason.SOFTWARE_INTERRUPT, vector=vector))
        self.s[PENDING_DEBUG] = 0  # the handler is not single-stepped, nor is INT itself

    def interrupt_line_changed(self) -> None:
        """The interrupt controller's output moved: look at the next boundary."""
        self.engine.attention = True

    def shorten(self, until: int) -> None:
        """Make the current `run` come back at `until` at the latest: a device wants to be looked at."""
        self.until = min(self.until, until)
        self.bound = min(self.bound, until)

    def request_stop(self) -> None:
        """Make `run` return with STOP at the next instruction boundary."""
        self.stop_requested = True
        self.engine.attention = True

    def ignore_math_error(self) -> None:
        """The IGNNE# pin goes down while FERR# is: until the x87's exception is cleared it stops nothing."""
        if self.s[FPU_STATUS] & c.FSW_ES:
            self.s[FPU_IGNORED] = 1

    def sync(self) -> None:
        """Somebody wrote to the state block: take it over. Translations stay as they are."""
        self.engine.sync()

    # -- running ------------------------------------------------------------------------------------

    def run(self, until: int, breakpoints: Container[int] = ()) -> Exit:
        """Execute until `count` reaches `until` or something else makes the processor come back.

        `breakpoints` are linear addresses, asked before each instruction, the first one too.
        """
        engine = self.engine
        self.until = until
        engine.restartable = True
        result: Exit | None = None
        try:
            while result is None:
                try:
                    result = self._run_watching(breakpoints) if breakpoints else self._run_free()
                except Fault as fault:
                    result = self._fault(fault)
                except _Leave as leave:
                    result = leave.exit
                except (Waiting, Again):
                    continue
                except NotModelled as missing:
                    result = Exit(Reason.NOT_MODELLED, what=missing.what, insn=self.current())
        finally:
            engine.restartable = False
        engine.settle()
        if self.native is not None and self.on_tally is not None:
            self.native.tell()
        return result

    def _run_free(self) -> Exit | None:
        """Run without breakpoints: natively as soon as that is worth its start."""
        if self.native is None and self.count >= self.native_from:
            self._start_native()
        if self.native is not None:
            return self._run_native(self.native)
        self.bound = min(self.until, self.native_from)
        leave = self._run_reference()
        return None if leave is None and self.count < self.until else leave or Exit(Reason.UNTIL)

    def _start_native(self) -> None:
        """From now on in native code, if this host can make it."""
        from isa.engine.threaded import start

        self.native_from = NEVER
        if self._prepared is None:
            self._prepared = start(self)
        else:
            self._prepared.configure()
        self.native = self._prepared
        if self.native is not None:
            self.native.use_regions(self._regions)

    def _run_native(self, native: Threaded) -> Exit | None:
        """In native code; the reference engine runs what that cannot."""
        engine = self.engine
        while self.count < self.until:
            if engine.attention:
                leave = self._attend()
                if leave is not None:
                    return leave
                continue
            why = native.run(min(self.until - self.count, SLICE))
            if why == FAULTED:
                insn_wanted = self.virtual is None or self.detailed
                fault = native.page_fault()
                return Exit(Reason.FAULT, fault, fault.vector, self.current() if insn_wanted else None)
            if why == ACCESSES and self._monitor_is_wanted():
                return Exit(Reason.UNTIL)
            if why == GUARD or (why == MISS and not native.resolve()):
                insn = engine.fetch(self.s[EIP])
                if engine.handlers[insn.row] is _trap:
                    return Exit(Reason.INSTRUCTION, insn=insn)
                self._complete(insn)
        return Exit(Reason.UNTIL)

    def _monitor_is_wanted(self) -> bool:
        """Whether a device that was just used may have something for the virtual processor."""
        return self.virtual is not None and self.engine.attention

    def _delivers(self, vector: int) -> bool:
        return self.native is not None and self.native.deliver(vector)

    def _run_reference(self) -> Exit | None:
        """In the reference engine, up to `bound`; None: got there."""
        engine, s, fetch = self.engine, self.s, self.engine.fetch
        while self.count < self.bound:
            if engine.attention:
                leave = self._attend()
                if leave is not None:
                    return leave
                continue
            eip = s[EIP]
            page = engine.tf.get(((eip + engine.cs_base) & 0xFFFF_FFFF) >> 12)
            insn = page.get((eip + engine.cs_base) & 0xFFF | engine.key) if page is not None else None
            if insn is None or eip + insn.length > engine.cs_end:
                insn = fetch(eip)
            engine.here = eip
            engine.next = (eip + insn.length) & 0xFFFF_FFFF
            engine.handlers[insn.row](engine, insn)
            s[EIP] = engine.next
            self.count += insn.weight
        return None

    def _run_watching(self, breakpoints: Container[int]) -> Exit | None:
        """`_run_free`, with a question before each instruction. Where HLT or an interrupt comes first, the
        address does not stop us: it will be asked again when the guest is back."""
        engine, s = self.engine, self.s
        while self.count < self.until:
            eip, count = s[EIP], self.count
            if (eip + engine.cs_base) & c.M32 in breakpoints and not self._detained():
                return Exit(Reason.BREAKPOINT)
            if engine.attention:
                leave = self._attend()
                if leave is not None:
                    return leave
                if s[EIP] != eip or self.count != count:
                    continue
            self._one()
        return Exit(Reason.UNTIL)

    def _detained(self) -> bool:
        """Whether the next thing to happen is not the instruction at EIP."""
        s = self.s
        pending = self.interrupts is not None and self.interrupts.intr and s[EFLAGS] & c.IF
        return bool(s[HALTED] or ((pending or s[NMI] == NMI_WAITS) and s[SHADOW] <= 1))

    def _one(self) -> Insn:
        """Fetch, execute and complete one instruction; faults and exits come as exceptions."""
        insn = self.engine.fetch(self.s[EIP])
        self._complete(insn)
        return insn

    def _complete(self, insn: Insn) -> None:
        """Execute the instruction that was fetched at EIP."""
        engine, s = self.engine, self.s
        engine.here = eip = s[EIP]
        engine.restartable = True
        while True:
            engine.next = (eip + insn.length) & c.M32
            try:
                engine.handlers[insn.row](engine, insn)
                break
            except Again:
                continue
        s[EIP] = engine.next
        self.count += insn.weight

    # -- one instruction, for monitors ---------------------------------------------------------------

    def execute(self, *, after_ss: bool = False) -> tuple[Insn | None, Fault | None]:
        """Execute the one instruction at CS:EIP without delivering anything or asking the policy.

        Returns the instruction (None if it could not be fetched) and the fault it ended in, or None; after a
        debug trap, `fault.trap`, it has been executed. `after_ss`: the one before has loaded SS. Raises
        `NotModelled`.
        """
        insn: Insn | None = None
        policy = self.policy
        if policy is not NATIVE:
            self.set_policy(NATIVE)
        try:
            if self._wants_care():
                insn = self.current()
                self._carefully(after_ss=after_ss)
            else:
                insn = self.engine.fetch(self.s[EIP])
                self._complete(insn)
        except Fault as fault:
            return insn, fault
        except Waiting:
            pass
        finally:
            self.engine.restartable = False
            self.engine.settle()
            if policy is not NATIVE:
                self.set_policy(policy)
        return insn, None

    def current(self) -> Insn | None:
        """The instruction at EIP, if it can be fetched."""
        try:
            return self.engine.fetch(self.s[EIP])
        except (Fault, NotModelled):
            return None

    # -- looking from outside ------------------------------------------------------------------------

    def peek(self, linear: int, size: int) -> bytes | None:
        """Bytes at a linear address as a debugger sees them; nothing changes. None if not mapped."""
        out = bytearray()
        while len(out) < size:
            at = (linear + len(out)) & c.M32
            take = min(size - len(out), c.PAGE_SIZE - at % c.PAGE_SIZE)
            physical = self.peek_translate(at)
            if physical is None:
                return None
            out += self.memory.read_bytes(physical, take)
        return bytes(out)

    def peek_translate(self, linear: int) -> int | None:
        """Physical address of a linear one, without setting accessed bits or filling a TLB."""
        if not self.s[CR0] & c.CR0_PG:
            return linear
        try:
            return (walk(_Looker(self), linear, 0, 0) & ~0xFFF) | (linear & 0xFFF)  # type: ignore[arg-type]
        except Fault:
            return None
