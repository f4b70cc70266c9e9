"""Word operations that have no Python operator, as LLVM instructions: `sext`, `smul`, `sdivmod`, …

The compiled counterpart of `intwords.py`, which also computes them where the operands are known.
Division is the only operation that can trap on the host, so everything that would is #DE before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from isa.engine.intwords import IntWords
from isa.engine.ssa import Code
from isa.engine.words import Value, Word, fit, mask, text
from isa.faults import DivideError, Fault

INTS = IntWords()


class NativeWords:
    """What `builder.Native` does with words; `isa.language.Builder` documents each."""

    code: Code

    def fault(self, fault: Fault) -> None:
        """The instruction faults."""
        raise NotImplementedError

    def fault_if(self, wrong: Word, fault: Fault) -> None:
        """`if wrong: raise fault`."""
        raise NotImplementedError

    def zext(self, x: Word, w: int, to: int) -> Word:
        return fit(fit(x, w), to)

    def trunc(self, x: Word, to: int) -> Word:
        return x.fit(to) if isinstance(x, Value) else x & mask(to)

    def sext(self, x: Word, w: int, to: int) -> Word:
        x = fit(x, w)
        if isinstance(x, Value):
            return self.code.value(f"sext i{w} {x.text} to i{to}", to) if w < to else x
        return INTS.sext(x, w, to)

    def _both(self, op: str, x: Word, y: Word, w: int, result: int) -> Value:
        return self.code.value(f"{op} i{w} {text(fit(x, w))}, {text(fit(y, w))}", result)

    def sar(self, x: Word, n: Word, w: int) -> Word:
        if isinstance(x, Value) or isinstance(n, Value):
            n = n.fit(w) if isinstance(n, Value) else n
            return self._both("ashr", x, n, w, w)
        return INTS.sar(x, n, w)

    def slt(self, x: Word, y: Word, w: int) -> Word:
        if isinstance(x, Value) or isinstance(y, Value):
            return self._both("icmp slt", x, y, w, 1)
        return bool(INTS.slt(x, y, w))

    def _halves(self, product: Word, w: int) -> tuple[Word, Word]:
        return self.trunc(product, w), self.trunc(product >> w, w)

    def umul(self, x: Word, y: Word, w: int) -> tuple[Word, Word]:
        if isinstance(x, Value) or isinstance(y, Value):
            return self._halves(self.zext(x, w, 2 * w) * self.zext(y, w, 2 * w), w)
        return INTS.umul(x, y, w)

    def smul(self, x: Word, y: Word, w: int) -> tuple[Word, Word]:
        if isinstance(x, Value) or isinstance(y, Value):
            return self._halves(self.sext(x, w, 2 * w) * self.sext(y, w, 2 * w), w)
        return INTS.smul(x, y, w)

    def udivmod(self, high: Word, low: Word, y: Word, w: int) -> tuple[Word, Word]:
        high, low, y = fit(high, w), fit(low, w), fit(y, w)
        if isinstance(high, int) and isinstance(low, int) and isinstance(y, int):
            return self._divide_constants(INTS.udivmod, high, low, y, w)
        self.fault_if(high >= y, DivideError())
        if w == 64:
            return self._long_division(high, low, y)
        wide = text((self.zext(high, w, 2 * w) << w) | self.zext(low, w, 2 * w))
        divisor = text(self.zext(y, w, 2 * w))
        quotient = self.code.value(f"udiv i{2 * w} {wide}, {divisor}", 2 * w, pure=False)
        remainder = self.code.value(f"urem i{2 * w} {wide}, {divisor}", 2 * w, pure=False)
        return quotient.fit(w), remainder.fit(w)

    def _long_division(self, high: Any, low: Any, y: Any) -> tuple[Word, Word]:
        """128 bits by 64, bit by bit: hosts have an instruction for it, LLVM has none."""
        rest: Any = self.zext(high, 64, 128)
        divisor, quotient = self.zext(y, 64, 128), low
        for _ in range(64):
            bit: Any = quotient >> 63
            rest = (rest << 1) | bit.widen(128)
            more: Any = rest >= divisor
            rest = self._pick(more, rest - divisor, rest)
            quotient = (quotient << 1) | more
        return quotient, rest.fit(64)

    def isqrt(self, x: Word, w: int) -> Word:
        """Bit by bit, from the highest."""
        if not isinstance(x, Value):
            return INTS.isqrt(x, w)
        root: Any = Value(self.code, "0", w)
        rest: Any = x.fit(w)
        for n in reversed(range(w // 2)):
            trial = root | 1 << 2 * n  # what taking bit n adds to the square
            fits: Any = rest >= trial
            rest = self._pick(fits, rest - trial, rest)
            half: Any = root >> 1
            root = self._pick(fits, half | 1 << 2 * n, half)
        return fit(root, w // 2)

    def _pick(self, test: Value, yes: Value, no: Value) -> Any:
        return self.code.value(f"select i1 {test.text}, i{yes.w} {yes.text}, i{no.w} {no.text}", yes.w)

    def sdivmod(self, high: Word, low: Word, y: Word, w: int) -> tuple[Word, Word]:
        high, low, y = fit(high, w), fit(low, w), fit(y, w)
        if isinstance(high, int) and isinstance(low, int) and isinstance(y, int):
            return self._divide_constants(INTS.sdivmod, high, low, y, w)
        least = (high == 1 << (w - 1)) & (low == 0)  # by -1, it would overflow the host's division too
        self.fault_if((y == 0) | (least & (y == mask(w))), DivideError())
        wide = text((self.zext(high, w, 2 * w) << w) | self.zext(low, w, 2 * w))
        divisor = text(self.sext(y, w, 2 * w))
        quotient = self.code.value(f"sdiv i{2 * w} {wide}, {divisor}", 2 * w, pure=False)
        remainder = self.code.value(f"srem i{2 * w} {wide}, {divisor}", 2 * w, pure=False)
        narrow = quotient.fit(w)
        self.fault_if(self.sext(narrow, w, 2 * w) != quotient, DivideError())
        return narrow, remainder.fit(w)

    def ctz(self, x: Word, w: int) -> Word:
        if isinstance(x, Value):
            return self.code.value(f"call i{w} @llvm.cttz.i{w}(i{w} {x.fit(w).text}, i1 true)", w)
        return INTS.ctz(x, w)

    def clz(self, x: Word, w: int) -> Word:
        if isinstance(x, Value):
            return self.code.value(f"call i{w} @llvm.ctlz.i{w}(i{w} {x.fit(w).text}, i1 true)", w)
        return INTS.clz(x, w)

    def _divide_constants(
        self, divide: Callable[[int, int, int, int], tuple[int, int]], high: int, low: int, y: int, w: int
    ) -> tuple[Word, Word]:
        try:
            return divide(high, low, y, w)
        except DivideError as error:
            self.fault(error)
            return 0, 0
