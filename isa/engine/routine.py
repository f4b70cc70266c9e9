"""A routine of the kernel in the making: like a handler, but it may start where no instruction does.

Next: `kernel`, the routines themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from isa.deliver import enter, push_inner
from isa.engine.builder import Exit
from isa.engine.context import (
    COUNTS,
    LEFT,
    TLB,
)  # fmt: skip
from isa.engine.frames import tracing
from isa.engine.nativememory import entry
from isa.engine.ssa import Block
from isa.engine.threadedbuilder import Threaded
from isa.engine.trace import run
from isa.engine.words import Value
from isa.tlb import (
    LOG_SIZE,
)


class Routine(Threaded):
    """A routine in the making: like a handler, but it may start where no instruction does."""

    def __init__(self, name: str, *, nested: bool = False) -> None:
        super().__init__(name)
        self.nested = nested
        self.quiet: Any = True  # a word: whether faults may be delivered from here
        del self.intrinsics["isa.deliver.interrupt"]
        self.intrinsics |= {"isa.deliver.enter": self._enter, "isa.deliver.push_inner": self._push_inner}
        self.before = self.save()

    def fault(self, fault: Any) -> None:
        if isinstance(self.quiet, Value):
            self.guard(self.quiet)
        super().fault(fault)

    def _enter(self, b: Any, *arguments: Any) -> None:
        """16-bit gates are left to the reference engine."""
        if arguments[-1] == 16:
            self._guarded()
        else:
            self.wide_stack = True
            run(enter, b, *arguments)

    def _push_inner(self, b: Any, level: Any, ext: int, frame: list[Any], w: int) -> None:
        """So is the way out of virtual-8086 mode."""
        if len(frame) > 6:
            self._guarded()
        else:
            run(push_inner, b, level, ext, frame, w)

    def build(self, body: Callable[[Routine], None]) -> str:
        token = tracing.set(self)
        try:
            body(self)
        finally:
            tracing.reset(token)
        return self.text()

    def leave_for(self, reason: int, *, at_record: bool = True) -> None:
        """Go back to Python; EIP is that of the record, or stored already."""
        if at_record:
            self.store_eip(self.here)
        self._context_store(LEFT, Value(self.code, "%left", 64))
        self.code.current().end = f"ret i32 {reason}"

    def state_word(self, n: int) -> Any:
        """A word of the state as it is now."""
        at = self.code.value(f"getelementptr i32, ptr %state, i64 {n}", 64).text
        return self.code.value(f"load i32, ptr {at}", 32, pure=False)

    def log(self, log: int, count: int, entry_: Any, flush: str) -> None:
        """Note an entry that is made, as `isa.tlb.Tlb` does; a full log is the end of all entries."""
        code = self.code
        counts = self.context(COUNTS, "ptr").text
        at = code.value(f"getelementptr i32, ptr {counts}, i64 {count}", 64).text
        n = code.value(f"load i32, ptr {at}", 32, pure=False)
        full: Any = n == LOG_SIZE
        origin, emptied = code.current(), code.open()
        code.effect(f"call void @{flush}(ptr %ctx)")
        emptied, going_on = code.here, code.open()
        origin.end = f"br i1 {full.text}, label %{emptied.label}, label %{going_on.label}"
        emptied.end = f"br label %{going_on.label}"
        n = code.value(f"phi i32 [ {n.text}, %{origin.label} ], [ 0, %{emptied.label} ]", 32, pure=False)
        more: Any = n + 1
        code.effect(f"store i32 {more.text}, ptr {at}")
        base = self.context(TLB, "ptr").text
        _, place = entry(self, base, log, n)
        code.effect(f"store i32 {entry_.text}, ptr {place}")


class Arrival(Routine):
    """A routine on the way to an instruction: EIP is stored, and what it cannot do Python does."""

    def exit(self, block: Block, reason: int, eip: Any, words: Any, record: Any, end: str = "exit") -> Exit:
        self.tail("@lost", block)
        return Exit(block, reason, 0, {}, record, 0)
