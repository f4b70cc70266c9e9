"""Compiled monitor code: a sensitive instruction emulated where it stands, on the virtual state.

A trap to Python costs some ten microseconds. For the common ones native code has the monitor in it: a
second handler of the same shape, which runs the same definition, but takes what is virtual (level, IF and
IOPL, segments, control registers, tables) from the virtual processor's state, whose address is in the
context. General registers, arithmetic flags and memory are the guest's own; what the definition cannot do
here, a fault, a page that is missing, leaves for the monitor in Python like any trap.

It is for a monitor to ask for this (`TrapPolicy.virtual`) and to say that it is possible now: no
interrupt waits for IF, nobody listens. The postcondition holds when the code is made: of the virtual
state nothing changes but EFLAGS. How often each instruction was emulated is counted like its execution.
"""

from __future__ import annotations

from typing import Any

from isa import state
from isa.consts import AC, ARITHMETIC, DF, FLAGS_ONE, ID, IF, M32, NT, RF, TF
from isa.engine.context import EXECUTED, PENDING, VIRTUAL
from isa.engine.frames import tracing
from isa.engine.handler import Handler
from isa.engine.shapes import Shape
from isa.engine.threadedbuilder import VIRTUAL_STATE, Words
from isa.engine.trace import run
from isa.engine.words import TraceError, Word, fit
from isa.insn import Insn, Kind
from isa.state import EFLAGS
from isa.table import BY_NAME, ROWS

# Rows that change nothing virtual but EFLAGS; MOV to a segment or control register is for Python.
EMULATED = frozenset(
    BY_NAME[name].index
    for name in (
        "cli", "sti", "pushf", "popf", "rdtsc", "smsw", "sgdt", "sidt", "sldt", "str", "lar", "lsl", "verr",
        "verw", "push sreg", "mov sreg", "mov cr", "in", "out",
    )
)  # fmt: skip
DIRECT_FLAGS = ARITHMETIC | TF | DF | NT | RF | AC | ID  # in the real EFLAGS; the others are virtual
VIRTUAL_FLAGS = ~DIRECT_FLAGS & M32
_REAL = frozenset((*range(8), state.EIP, state.SHADOW, *range(state.FLAG_OP, state.FLAG_R + 1)))


def is_emulated(insn: Insn) -> bool:
    """Whether compiled code can emulate an instruction."""
    loads = bool(insn.operands) and insn.operands[0].kind in (Kind.SEGMENT, Kind.CONTROL)
    return insn.row in EMULATED and not (loads and ROWS[insn.row].name.startswith("mov"))


class VirtualWords(Words):
    """`b.s`: general registers are the real ones, the rest is the virtual processor's."""

    def __getitem__(self, n: Word) -> Word:
        if not isinstance(n, int):
            raise TraceError("a word of the virtual state chosen by data")
        return super().__getitem__(n if n in _REAL or n >= VIRTUAL_STATE else n + VIRTUAL_STATE)

    def __setitem__(self, n: int, value: Word) -> None:
        if n not in _REAL and n < VIRTUAL_STATE:
            raise TraceError("this changes the virtual state")
        super().__setitem__(n, value)


class VirtualHandler(Handler):
    """The second handler of a shape."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.name = virtual_name(shape)
        self.s = VirtualWords(self)

    def eflags(self) -> Word:
        flags: Word = self.system_flags() | self._packed()
        return flags

    def system_flags(self) -> Any:
        direct: Any = self.real_flags() & (DIRECT_FLAGS & ~ARITHMETIC)
        virtual: Any = self.s[EFLAGS] & VIRTUAL_FLAGS
        return direct | virtual

    def real_flags(self) -> Any:
        """EFLAGS as the processor has it."""
        return self.words[EFLAGS] if EFLAGS in self.words else self.initial(EFLAGS)

    def set_system_flags(self, value: Word) -> None:
        flags: Any = fit(value, 32)
        self.guard((flags & self.context(PENDING, "i32", 32)) == 0)
        super().set_system_flags((flags & DIRECT_FLAGS) | (IF | FLAGS_ONE))
        self.words[VIRTUAL_STATE + EFLAGS] = flags & VIRTUAL_FLAGS

    def trace(self) -> str:
        token = tracing.set(self)
        try:
            self.before, self.awake = self.save(), 0
            run(ROWS[self.shape.row].define, self, self.insn)
            if self.code.here.end is None:
                self._finish()
        finally:
            tracing.reset(token)
        text = self.text()
        return text.replace("define i32", "define internal i32", 1)

    def head(self) -> list[str]:
        at = f"getelementptr i64, ptr %ctx, i64 {VIRTUAL}"
        return ["entry:", f"%at_virtual = {at}", "%virtual = load ptr, ptr %at_virtual"]

    def tally(self) -> None:
        self.add_context(EXECUTED + self.shape.row, 1)


def virtual_name(shape: Shape) -> str:
    """The symbol of the second handler."""
    return f"{shape.name}_v"


def virtual_ir(shape: Shape) -> str:
    """IR of the second handler of a shape. Raises TraceError."""
    return VirtualHandler(shape).trace()
