"""A handler: the definition of an instruction compiled for a shape, and threaded to the next handler.

A handler first looks whether the budget is spent, does what the definition says and tail-calls the handler
of the next record; so native code goes on until it has a reason to come back. What it is built with is in
`threadedbuilder`.
"""

from __future__ import annotations

from typing import Any

from isa.consts import CS, RF, TF
from isa.engine.context import (
    ARGUMENTS,
    EXECUTED,
    PORT,
    PORT_OUT,
    PORT_WIDTH,
    R_NEXT,
    R_TARGET,
    RESERVE,
    RETURN,
    TRAPS,
    VALUE,
    VIRTUAL,
)  # fmt: skip
from isa.engine.frames import tracing
from isa.engine.nativememory import entry
from isa.engine.shapes import Shape
from isa.engine.ssa import LIKELY
from isa.engine.threadedbuilder import Threaded
from isa.engine.trace import run
from isa.engine.words import Value, Word, text, truth
from isa.state import BASE, CPL, SHADOW
from isa.table import ROWS, Sensitive
from isa.tlb import FETCH

_SINGLE = frozenset({"in", "out"})  # the string forms store besides


class Handler(Threaded):
    """One instruction of a shape."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape.name)
        self.shape = shape
        row = ROWS[shape.row]
        self.sensitive = row.sensitive is not Sensitive.INNOCUOUS
        self.direct = shape.near
        self.wide_stack = shape.aw == 32
        self.insn = shape.instruction(self.field)

    def trace(self) -> str:
        """Compile the definition; the function's text."""
        token = tracing.set(self)
        try:
            self.before = self.save()
            if self.sensitive:
                second = self._trapping(self.context_byte(TRAPS, self.shape.row))
            else:
                second = ""
            run(ROWS[self.shape.row].define, self, self.insn)
            if self.code.here.end is None:
                self._finish()
        finally:
            tracing.reset(token)
        return self.text() + second

    def _trapping(self, wanted: Any) -> str:
        """Below CPL 0 the instruction goes to the monitor if that has `wanted` it. Where the monitor's code is
        compiled too, the text of that."""
        from isa.engine.virtual import is_emulated, virtual_ir, virtual_name

        executes: Any = (self.initial(CPL) == 0) | (wanted == 0)
        if not is_emulated(self.insn):
            self.guard(executes)
            return ""
        text = virtual_ir(self.shape)
        cold = self.code.require(executes)
        going_on, self.code.here = self.code.here, cold
        self.guard((wanted == 2) & (self.context(VIRTUAL) != 0))
        self.tail(f"@{virtual_name(self.shape)}")
        self.code.here = going_on
        return text

    def tally(self) -> None:
        """Count what the kernel executes itself."""
        kernel: Any = self.initial(CPL) == 0
        self.add_context(EXECUTED + self.shape.row, kernel)

    def port_in(self, port: Word, w: int) -> Word:
        self._access(port, w, 0)
        return 0

    def port_out(self, port: Word, value: Word, w: int) -> None:
        self._context_store(VALUE, self.zext(value, w, 64))
        self._access(port, w, PORT_OUT)

    def _access(self, port: Any, w: int, way: int) -> None:
        """All is checked: the device is Python's, and so is the end of the instruction (`threaded`). Where
        something follows on it, the reference engine runs it from the beginning."""
        if ROWS[self.shape.row].name not in _SINGLE or self.shape.weight != 1:
            self._guarded()
            return
        flags: Any = self.system_flags()
        held: Any = self.s[SHADOW]
        self.guard(((flags & (TF | RF)) | held) == 0)
        self._context_store(PORT, port | (w << PORT_WIDTH | way))
        self._context_store(RETURN, self.next)
        self.tally()
        self.tail("@accesses")

    def head(self) -> list[str]:
        return [
            "entry:",
            "%live = icmp sgt i64 %left, 0",
            f"br i1 %live, label %start, label %spent{LIKELY}",
            "spent:",
            f"%stop = musttail call i32 @spent({ARGUMENTS})",
            "ret i32 %stop",
            "start:",
        ]

    def _finish(self) -> None:
        code = self.code
        eip = self.next if self.eip is None else self.eip
        branch, taken, target = self.memo.get("branch", (None, None, None))
        if self.sensitive:
            self.tally()
        self.store_state(self.words, self.record)
        self.mirror_segments()
        left = "%left"
        if self.shape.weight:
            left = code.value(f"sub i64 %left, {self.shape.weight}", 64).text
        self.look_around(eip, left)
        if SHADOW in self.words:
            left = self._hold_back(left)
        if branch is not None and branch is eip:
            self._branch(taken, target, left)
        elif CS in self.changed_segments():
            self.dispatch(eip, left)
        elif eip is self.next:
            if self.flushed:
                self._stay(eip, left)
            self.follow(R_NEXT, left)
        elif self.repeats:
            self._repeat(eip, left)
        else:
            self.dispatch(eip, left)

    def _hold_back(self, left: str) -> str:
        """Let the next instruction run by itself if interrupts wait for it; what is left then."""
        code = self.code
        shadow: Any = self.words[SHADOW]
        held: Any = truth(shadow != 0)
        if not isinstance(held, Value):
            held = Value(code, str(held).lower(), 1)
        back = code.value(f"select i1 {held.text}, i64 {left}, i64 0", 64)
        self.add_context(RESERVE, back)
        return code.value(f"sub i64 {left}, {back.text}", 64).text

    def _branch(self, taken: Any, target: Word, left: str) -> None:
        """The two ways of a branch, each with a jump of its own for the host to predict."""
        if isinstance(taken, Value):
            origin = self.code.current()
            yes = self.code.open()
            self._taken(target, left)
            no = self.code.open()
            self.follow(R_NEXT, left)
            origin.end = f"br i1 {taken.text}, label %{yes.label}, label %{no.label}"
        else:
            self._taken(target, left)

    def _taken(self, target: Word, left: str) -> None:
        if self.direct:
            self.follow(R_TARGET, left)
        else:
            self.dispatch(target, left)

    def _stay(self, eip: Word, left: str) -> None:
        """Look where to go on unless the page that is executed still has its translation: a flush makes none."""
        base: Any = self.s[BASE + CS]
        number, _ = entry(self, "%tlb", FETCH, (self.here + base) >> 12)
        self.if_(number == 0, lambda: self.dispatch(eip, left))

    def _repeat(self, eip: Word, left: str) -> None:
        """Again, or on."""
        if eip is not self.here:
            again = self.code.value(f"icmp eq i32 {text(eip)}, %here", 1)
            origin, on = self.code.current(), self.code.open()
            self.follow(R_NEXT, left)
            here = self.code.open()
            origin.end = f"br i1 {again.text}, label %{here.label}, label %{on.label}"
        self.tail(f"@{self.name}", left=left)


def handler_ir(shape: Shape) -> str:
    """IR of the handler of a shape. Raises TraceError where the shape does not say enough."""
    return Handler(shape).trace()
