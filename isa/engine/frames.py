"""What a rewritten definition asks while it is traced: one `Frame` for each call.

A decision on something known is made at once. A decision on a word compiles both sides, each starting
from the same state and locals, and merges those that are still going (`ssa.Code`). A side may also end:
by `return`, whose ways meet at the end of the function, or by a fault, which leaves the compiled code.
`trace.py` explains what the rewritten text looks like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Protocol

from isa.engine.ssa import Code, Path, Unset
from isa.engine.words import TraceError, Value, Word, truth

__all__ = ["BREAK", "CONTINUE", "ENDED", "Frame", "Return", "Unset", "tracing"]


class Target(Protocol):
    """The builder that is being traced into."""

    code: Code
    intrinsics: dict[str, Callable[..., Any]]
    """Routines of `isa`, by their full names, that the builder has its own way for."""
    refuses_certain_faults: bool
    """Whether a routine that never returns is none to compile: TraceError."""

    def fault(self, fault: Any) -> None:
        """Leave: the instruction faults."""


tracing: ContextVar[Target] = ContextVar("tracing")


@dataclass(slots=True, frozen=True)
class Return:
    """Signal: the function returns `value` on this way."""

    value: Any


class _Mark:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


ENDED = _Mark("every way has ended")
CONTINUE = _Mark("continue")
BREAK = _Mark("break")


class Frame:
    """The decisions of one call of a rewritten function."""

    __slots__ = ("module", "returns", "target")

    def __init__(self, module: str) -> None:
        self.module = module
        self.target = tracing.get()
        self.returns: list[Path] = []

    # -- decisions --------------------------------------------------------------------------------
    def branch(
        self,
        test: Word,
        then: Callable[[], Any],
        otherwise: Callable[[], Any],
        get: Callable[[], Any],
        put: Callable[[Any], None],
    ) -> Any:
        """`if`: run the side that is taken, or compile both. None if execution goes on, else a signal."""
        test = truth(test)
        if not isinstance(test, Value):
            return then() if test else otherwise()
        code = self.target.code
        before, state = get(), code.state.save()
        origin = code.current()
        starts, paths = [], []
        for arm in (then, otherwise):
            put(before)
            code.state.restore(state)
            starts.append(code.open())
            signal = arm()
            if code.here.end is not None or signal is ENDED:
                continue
            if isinstance(signal, Return):
                self.returns.append(Path(code.here, code.state.save(), signal.value))
            elif signal is None:
                paths.append(Path(code.here, code.state.save(), get()))
            else:
                raise TraceError(f"{signal!r} depends on a word")
        merged = code.choose(test, origin, (starts[0], starts[1]), paths) if len(paths) == 2 else None
        if merged is not None:
            put(merged[0])
            return None
        origin.pure = False
        origin.end = f"br i1 {test.text}, label %{starts[0].label}, label %{starts[1].label}"
        if not paths:
            return ENDED
        put(code.meet(paths))
        return None

    def choose(self, test: Word, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
        """`yes() if test else no()`."""
        result: Any = None

        def then() -> None:
            nonlocal result
            result = yes()

        def otherwise() -> None:
            nonlocal result
            result = no()

        def put(values: Any) -> None:
            nonlocal result
            (result,) = values

        self.branch(test, then, otherwise, lambda: (result,), put)
        return result

    def both(self, x: Word, y: Callable[[], Word]) -> Word:
        """`x and y`, as a truth word if x is not known."""
        return self.choose(x, lambda: truth(y()), lambda: False) if isinstance(x, Value) else x and y()

    def either(self, x: Word, y: Callable[[], Word]) -> Word:
        """`x or y`, as a truth word if x is not known."""
        return self.choose(x, lambda: True, lambda: truth(y())) if isinstance(x, Value) else x or y()

    def negate(self, x: Word) -> Word:
        """`not x`."""
        result: Word = truth(x) == 0 if isinstance(x, Value) else not x
        return result

    def among(self, x: Any, values: Iterable[Any]) -> Any:
        """`x in values`."""
        if not isinstance(x, Value):
            return x in values
        found: Word = False
        for value in values:
            found = (x == value) | found
        return found

    def constants(self, values: Iterable[Any]) -> Iterable[Any]:
        """What a `for` runs over must be known."""
        if isinstance(values, Value):
            raise TraceError("a loop over a word")
        return values

    # -- calls and ends ---------------------------------------------------------------------------
    def call(self, fn: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call a routine of the definitions rewritten, anything else as it is."""
        if isinstance(fn, FunctionType):
            name = fn.__module__
            own = self.target.intrinsics.get(f"{name}.{fn.__name__}")
            if own is not None:
                return own(*arguments, **named)
            if name == self.module or (name.startswith("isa.") and not name.startswith("isa.engine")):
                from isa.engine.trace import rewritten

                return rewritten(fn)(*arguments, **named)
        elif fn in (int, bool) and arguments and isinstance(arguments[0], Value):
            return truth(arguments[0]) if fn is bool else arguments[0]
        return fn(*arguments, **named)

    def fail(self, fault: Any) -> Any:
        """`raise fault`."""
        self.target.fault(fault() if isinstance(fault, type) else fault)
        return ENDED

    def finish(self, signal: Any) -> Any:
        """The end of the function: its value, merged from all ways that returned."""
        if not self.returns:
            if signal is ENDED and self.target.refuses_certain_faults:
                raise TraceError("it faults whatever happens")
            return signal.value if isinstance(signal, Return) else None
        code = self.target.code
        if signal is not ENDED and code.here.end is None:
            value = signal.value if isinstance(signal, Return) else None
            self.returns.append(Path(code.here, code.state.save(), value))
        return code.meet(self.returns)
