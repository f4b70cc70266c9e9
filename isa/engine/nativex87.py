"""The x87 in native code: registers in the state block, numbers by what of `isa.fpu` is in the language."""

from __future__ import annotations

from typing import Any

from isa import fpu
from isa.engine.builder import Native
from isa.engine.ssa import Block
from isa.engine.trace import run
from isa.engine.words import TraceError, Word, fit, text
from isa.state import FPU_R


class NativeX87(Native):
    """The x87 operations of `isa.language.Builder`.

    Which register is meant turns out when the code runs, so they are not variables: a new value is stored at
    once, and nothing after that may leave the instruction to another engine.
    """

    changed_registers = False

    def r80(self, n: Word) -> Word:
        at = self._register(n)
        low = self.code.value(f"load i64, ptr {at}, align 4", 64, pure=False)
        at = self.code.value(f"getelementptr i64, ptr {at}, i64 1", 64).text
        high = self.code.value(f"load i16, ptr {at}, align 4", 16, pure=False)
        return (self.zext(high, 16, 80) << 64) | self.zext(low, 64, 80)

    def set_r80(self, n: Word, value: Word) -> None:
        self.changed_registers = True
        at = self._register(n)
        self.code.effect(f"store i64 {text(self.trunc(value, 64))}, ptr {at}, align 4")
        at = self.code.value(f"getelementptr i64, ptr {at}, i64 1", 64).text
        high: Any = fit(value, 80)
        self.code.effect(f"store i32 {text(self.trunc(high >> 64, 32))}, ptr {at}")

    def _register(self, n: Any) -> str:
        """Where Rn is: three words of the state."""
        word: Any = self.zext(n, 8, 64) * 3 + FPU_R
        return self.code.value(f"getelementptr i32, ptr %state, i64 {text(word)}", 64).text

    def f80(self, operation: str, form: str, control: Word, x: Word, y: Word) -> tuple[Word, Word]:
        if operation not in fpu.COMPUTED:
            raise TraceError(f"{operation} calculates with ints of any length")
        result: tuple[Word, Word] = run(fpu.compute, self, operation, form, control, x, y)
        return result

    def leave(self, reason: int, block: Block | None = None) -> None:
        if self.changed_registers:
            raise TraceError("a register has changed before the last exit")
        super().leave(reason, block)
