"""The x87 of an engine that runs on ints: registers in the state block, numbers by `isa.fpu`."""

from __future__ import annotations

from array import array

from isa import fpu
from isa.consts import M32
from isa.state import FPU_R


class X87Ints:
    """The x87 operations of the language over a state block `s`."""

    s: array[int]

    def r80(self, n: int) -> int:
        at = FPU_R + 3 * n
        return self.s[at] | self.s[at + 1] << 32 | self.s[at + 2] << 64

    def set_r80(self, n: int, value: int) -> None:
        at = FPU_R + 3 * n
        self.s[at], self.s[at + 1], self.s[at + 2] = value & M32, value >> 32 & M32, value >> 64

    def f80(self, operation: str, form: str, control: int, x: int, y: int) -> tuple[int, int]:
        return fpu.operate(operation, form, control, x, y)
