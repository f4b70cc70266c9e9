"""Code under construction: basic blocks, and how alternatives meet again.

The IR is in SSA form from the start: registers, flags and locals are Python variables that hold `Value`s,
so nothing is stored before it must be and no pass has to find that out. Where two ways meet, everything
that changed on either of them (`State`, and the locals of the definition) is merged: by `select` if both
ways only calculated, so that CMOV and a shift by CL have no branches, else by `phi`.

The alternatives themselves come from `trace.py`; what a processor's state is, from `builder.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from isa.engine.words import TraceError, Value, Word, fit, text, width_of

LIKELY = ", !prof !0"
METADATA = '!0 = !{!"branch_weights", i32 100000, i32 1}\n'
SELECT_AT_MOST = 24  # instructions on both sides together; longer ones are worth a branch

Pick = Callable[[Sequence[Any]], Any]


class State(Protocol):
    """What alternatives may change besides locals."""

    def save(self) -> Any:
        """All of it, as a value that later changes do not touch."""

    def restore(self, saved: Any) -> None:
        """Make it what it was."""

    def merge(self, saved: Sequence[Any], pick: Pick) -> None:
        """Make it what it is where ways with these states meet."""


@dataclass(slots=True, eq=False)
class Block:
    """A basic block; `end` is its terminator, `pure` says that it only calculates."""

    label: str
    lines: list[str] = field(default_factory=list)
    end: str | None = None
    pure: bool = True


@dataclass(slots=True, frozen=True, eq=False)
class Path:
    """One way to a meeting point: the block it comes from, the state and the values it brings."""

    block: Block
    state: Any
    values: Any


class Unset:
    """What a local is where not every way has given it a value that can be merged."""

    def __init__(self, name: str, why: str = "has no value on every way to here") -> None:
        self.name, self.why = name, why

    def __getattr__(self, attribute: str) -> Any:
        raise TraceError(f"{self.name} {self.why}")

    def __repr__(self) -> str:
        return f"{self.name}, which {self.why}"


class Code:
    """The blocks of one function and the place where the next instruction goes."""

    state: State

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._names = 0
        self.here = self.open()

    def name(self, prefix: str = "v") -> str:
        """A fresh name."""
        self._names += 1
        return f"{prefix}{self._names}"

    def open(self) -> Block:
        """Go on in a new block."""
        self.here = Block(self.name("b"))
        self.blocks.append(self.here)
        return self.here

    def value(self, instruction: str, w: int, *, pure: bool = True) -> Value:
        """Emit an instruction with a result. Pure: it may run although its result is not wanted."""
        name = "%" + self.name()
        self.effect(f"{name} = {instruction}", pure=pure)
        return Value(self, name, w)

    def effect(self, instruction: str, *, pure: bool = False) -> None:
        """Emit an instruction for what it does. After a block's end, what follows is never reached."""
        self.current().lines.append(instruction)
        if not pure:
            self.here.pure = False

    def current(self) -> Block:
        """The block that is being written: a new one, which nothing leads to, after the end of another."""
        return self.here if self.here.end is None else self.open()

    def require(self, condition: Value) -> Block:
        """Go on where `condition` holds; the block returned, for the other case, is still empty."""
        origin, cold = self.current(), Block(self.name("cold"))
        going_on = self.open()
        origin.end = f"br i1 {condition.text}, label %{going_on.label}, label %{cold.label}{LIKELY}"
        origin.pure = going_on.pure = False
        self.blocks.append(cold)
        return cold

    # -- meeting ----------------------------------------------------------------------------------
    def meet(self, paths: Sequence[Path]) -> Any:
        """Join ways that are still open; the merged values."""
        if len(paths) == 1:
            self.here = paths[0].block
            self.state.restore(paths[0].state)
            return paths[0].values
        join = Block(self.name("b"), pure=False)
        self.blocks.append(join)

        def pick(values: Sequence[Any]) -> Any:
            return merge(values, lambda words: self._phi(join, [p.block for p in paths], words))

        self.state.merge([p.state for p in paths], pick)
        merged = pick([p.values for p in paths])
        for path in paths:
            path.block.end = f"br label %{join.label}"
        self.here = join
        return merged

    def _phi(self, join: Block, sources: Sequence[Block], words: Sequence[Word]) -> Value:
        w = common_width(words)
        inputs = []
        for block, word in zip(sources, words, strict=True):
            self.here = block
            inputs.append(f"[ {text(fit(word, w))}, %{block.label} ]")
        name = "%" + self.name()
        join.lines.append(f"{name} = phi i{w} {', '.join(inputs)}")
        return Value(self, name, w)

    def choose(self, test: Value, origin: Block, arms: tuple[Block, Block], paths: Sequence[Path]) -> Any:
        """Join two arms by `select`, or None if they did more than calculate."""
        lines = arms[0].lines + arms[1].lines
        ways = [p.block for p in paths]
        if ways != list(arms) or len(lines) > SELECT_AT_MOST or not (arms[0].pure and arms[1].pure):
            return None
        origin.lines += lines
        for arm in arms:
            self.blocks.remove(arm)
        self.here = origin

        def pick(values: Sequence[Any]) -> Any:
            return merge(values, select)

        def select(words: Sequence[Word]) -> Value:
            w = common_width(words)
            yes, no = (text(fit(word, w)) for word in words)
            return self.value(f"select i1 {test.text}, i{w} {yes}, i{w} {no}", w)

        self.state.merge([p.state for p in paths], pick)
        return (pick([p.values for p in paths]),)

    def text(self) -> str:
        """The blocks, as the body of a function."""
        parts = []
        for block in self.blocks:
            parts.append(f"{block.label}:")
            parts += block.lines
            parts.append(block.end or "unreachable")
        return "\n".join(parts)


def common_width(words: Sequence[Word]) -> int:
    """The width at which words meet: that of the widest value; plain numbers count as 32 bits."""
    widths = [x.w for x in words if isinstance(x, Value)]
    for x in words:
        if isinstance(x, Value):
            continue
        if x < 0:
            raise TraceError(f"{x} meets a word; mask it first")
        widths.append(1 if isinstance(x, bool) or (widths and x in (0, 1)) else width_of(x))
    return max(widths) if any(isinstance(x, Value) for x in words) else max(32, *widths)


def same(a: Any, b: Any) -> bool:
    """Whether nothing has to be merged. (`==` on words would emit code.)"""
    if a is b:
        return True
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Value | Unset | tuple) or isinstance(b, Value | Unset | tuple):
        return False
    return type(a) is type(b) and bool(a == b)


def merge(values: Sequence[Any], words: Callable[[Sequence[Word]], Value]) -> Any:
    """One value for what differs between ways: words by `words`, tuples by their elements."""
    first = values[0]
    if all(same(first, other) for other in values[1:]):
        return first
    if all(isinstance(x, int | Value) for x in values):
        return words(values)
    if all(isinstance(x, tuple) and len(x) == len(first) for x in values):
        return tuple(merge(column, words) for column in zip(*values, strict=True))
    unset = next((x for x in values if isinstance(x, Unset)), None)
    return unset or Unset("a local", "is a different kind of thing on different ways to here")
