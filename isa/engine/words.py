"""The compiled word: a value of known width whose Python operators emit LLVM instructions.

Definitions are written over Python ints; run over `Value`s, the same text leaves code behind. What is
known while compiling stays a Python int, so constants fold by themselves. An int takes the width of the
value it meets, unless it does not fit: then the value is widened, zeros above, which is what it would
have meant on ints. Two values meet at the wider width. A comparison gives a truth word (width 1); truth
words count as 32 bits as soon as one calculates with them.

Emitting goes through `Code` (`ssa.py`). What Python would decide here and now, `if` and `and`, is
`trace.py`'s affair: a Value has no truth while compiling, and says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from isa.engine.ssa import Code

WIDTHS = (1, 8, 16, 32, 64, 80, 128)


class TraceError(Exception):
    """A definition does what cannot be compiled; `where` is its file:line once known."""

    where: str | None = None

    def __str__(self) -> str:
        text = super().__str__()
        return f"{self.where}: {text}" if self.where else text


def mask(w: int) -> int:
    """The largest word of w bits."""
    return (1 << w) - 1


def width_of(k: int) -> int:
    """The narrowest width that holds the constant k."""
    for w in WIDTHS:
        if k <= mask(w):
            return w
    raise TraceError(f"{k:#x} does not fit 128 bits")


class Value:
    """A word of w bits that exists only when the code runs; `text` is its name in the IR."""

    __slots__ = ("code", "root", "text", "w")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, code: Code, text: str, w: int, root: tuple[str, int] | None = None) -> None:
        self.code = code
        self.text = text
        self.w = w
        self.root = root or (text, 0)  # another word and a constant whose sum it is, modulo 2**w

    def __repr__(self) -> str:
        return f"i{self.w} {self.text}"

    def now(self) -> Value:
        """The word as calculated here; for one that calculates itself where it is used."""
        return self

    # -- widths -----------------------------------------------------------------------------------
    def widen(self, w: int) -> Value:
        """The same number in w bits or more."""
        return self if self.w >= w else self.code.value(f"zext i{self.w} {self.text} to i{w}", w)

    def fit(self, w: int) -> Value:
        """The same number in exactly w bits, which the definition promises it fits."""
        return self.widen(w) if self.w <= w else self.code.value(f"trunc i{self.w} {self.text} to i{w}", w)

    def _calculating(self) -> Value:
        return self.widen(32) if self.w == 1 else self

    def _meet(self, other: Word) -> tuple[Value, str, int]:
        """Self and the other's text, at their common width."""
        if isinstance(other, Value):
            w = max(self.w, other.w)
            return self.widen(w), other.widen(w).text, w
        if not isinstance(other, int):
            raise TraceError(f"a word meets {other!r}")
        k = int(other)
        if k < 0:
            a = self._calculating()
            return a, str(k & mask(a.w)), a.w
        a = self.widen(width_of(k))
        return a, str(k), a.w

    def _binary(self, op: str, other: Word) -> Value:
        a, text, w = self._meet(other)
        return self.code.value(f"{op} i{w} {a.text}, {text}", w)

    def _moved(self, sum: Value, by: Word) -> Value:
        """A sum that remembers how far from `self` it is."""
        if isinstance(by, int) and sum.w == self.w:
            word, offset = self.root
            sum.root = word, (offset + by) & mask(self.w)
        return sum

    # -- arithmetic modulo 2**w -------------------------------------------------------------------
    def __add__(self, other: Word) -> Word:
        if isinstance(other, int) and other == 0:
            return self
        a = (self if isinstance(other, Value) and other.w > 1 else self._calculating()).now()
        return a._moved(a._binary("add", other), other)

    __radd__ = __add__

    def __sub__(self, other: Word) -> Word:
        if isinstance(other, int) and other == 0:
            return self
        a = (self if isinstance(other, Value) and other.w > 1 else self._calculating()).now()
        return a._moved(a._binary("sub", other), -other if isinstance(other, int) else other)

    def __rsub__(self, other: int) -> Word:
        a, text, w = self._calculating()._meet(other)
        return self.code.value(f"sub i{w} {text}, {a.text}", w)

    def __neg__(self) -> Word:
        return self.__rsub__(0)

    def __mul__(self, other: Word) -> Word:
        if isinstance(other, int):
            if other in (0, 1):
                return self if other else 0
            if other & (other - 1) == 0:
                a = self._calculating().widen(width_of(other))
                return a << (other.bit_length() - 1)
        a = self if isinstance(other, Value) and other.w > 1 else self._calculating()
        return a._binary("mul", other)

    __rmul__ = __mul__

    def _by_constant(self, op: str, other: Word) -> Value:
        if not isinstance(other, int) or other <= 0:
            raise TraceError("// and % need a positive constant; b.udivmod divides words")
        return self._calculating()._binary(op, other)

    def __floordiv__(self, other: Word) -> Word:
        return self._by_constant("udiv", other)

    def __mod__(self, other: Word) -> Word:
        return self._by_constant("urem", other)

    # -- bits -------------------------------------------------------------------------------------
    def __and__(self, other: Word) -> Word:
        if isinstance(other, int):
            other &= mask(self.w)
            if other == mask(self.w):
                return self
            if other == 0:
                return 0
        return self._binary("and", other)

    __rand__ = __and__

    def __or__(self, other: Word) -> Word:
        return self if isinstance(other, int) and other == 0 else self._binary("or", other)

    __ror__ = __or__

    def __xor__(self, other: Word) -> Word:
        return self if isinstance(other, int) and other == 0 else self._binary("xor", other)

    __rxor__ = __xor__

    def __invert__(self) -> Word:
        return self._calculating()._binary("xor", -1)

    def _shift(self, op: str, n: Word) -> Word:
        a = self._calculating()
        if isinstance(n, Value):
            return a.code.value(f"{op} i{a.w} {a.text}, {n.fit(a.w).text}", a.w)
        if not 0 <= n < a.w:
            raise TraceError(f"a word of {a.w} bits is shifted by {n}")
        return a.code.value(f"{op} i{a.w} {a.text}, {n}", a.w) if n else a

    def __lshift__(self, n: Word) -> Word:
        return self._shift("shl", n)

    def __rshift__(self, n: Word) -> Word:
        return self._shift("lshr", n)

    def __rlshift__(self, k: int) -> Word:
        """A constant shifted by a word: it is the count's width, at least 32."""
        n = self.widen(max(32, width_of(k)))
        return self.code.value(f"shl i{n.w} {k}, {n.text}", n.w)

    def __rrshift__(self, k: int) -> Word:
        n = self.widen(max(32, width_of(k)))
        return self.code.value(f"lshr i{n.w} {k}, {n.text}", n.w)

    # -- comparisons ------------------------------------------------------------------------------
    def _compare(self, op: str, other: Word) -> Value:
        if isinstance(other, int) and other < 0:
            raise TraceError(f"an unsigned word is compared with {other}")
        a, text, w = self._meet(other)
        return self.code.value(f"icmp {op} i{w} {a.text}, {text}", 1)

    def __eq__(self, other: Word) -> Any:  # type: ignore[override]
        if self.w == 1 and isinstance(other, int) and other in (0, 1):
            return self if other else self._binary("xor", 1)
        return self._compare("eq", other)

    def __ne__(self, other: Word) -> Any:  # type: ignore[override]
        if self.w == 1 and isinstance(other, int) and other in (0, 1):
            return self._binary("xor", 1) if other else self
        return self._compare("ne", other)

    def __lt__(self, other: Word) -> Any:
        return self._compare("ult", other)

    def __le__(self, other: Word) -> Any:
        return self._compare("ule", other)

    def __gt__(self, other: Word) -> Any:
        return self._compare("ugt", other)

    def __ge__(self, other: Word) -> Any:
        return self._compare("uge", other)

    # -- what has no meaning while compiling ------------------------------------------------------
    def __bool__(self) -> bool:
        raise TraceError("a word is decided on outside of if, and, or, not and conditional expressions")

    def __index__(self) -> int:
        raise TraceError("a word is used where a constant must stand")

    __int__ = __index__


Word: TypeAlias = int | Value


def fit(x: Word, w: int) -> Word:
    """x in exactly w bits; a constant must fit."""
    if isinstance(x, Value):
        return x.fit(w)
    if not isinstance(x, int):
        raise TraceError(f"not a word: {x!r}")
    if not 0 <= x <= mask(w):
        raise TraceError(f"{int(x):#x} is not a word of {w} bits")
    return int(x)


def text(x: Word) -> str:
    """x as an operand in the IR."""
    return x.text if isinstance(x, Value) else str(int(x))


def truth(x: Word) -> Word:
    """x as a truth word, or a Python bool if it is known."""
    if isinstance(x, Value):
        return x.now() if x.w == 1 else x._compare("ne", 0)
    return bool(x)
