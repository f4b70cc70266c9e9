"""The builder of regions: what definitions do becomes code over variables of the host function.

Registers and the flags record of the moment are Python variables, as in every compiled engine; between the
pieces of a region they lie in variables of the function (`%a…`). Flags that are carried along are `Lazy`,
calculated only where they are wanted: mostly nowhere, or in a cold exit. Accesses through flat segments
are looked up with as few comparisons as there can be. Next: `regioncode`, the pieces and the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from isa.consts import ARITHMETIC, CS, M32, PAGE_SIZE
from isa.engine.builder import Exit, Native, Saved
from isa.engine.context import AS_CPL, PAGE_EIP, STORE
from isa.engine.handler import Threaded
from isa.engine.nativememory import entry
from isa.engine.records import WORDS, Record, one_flag
from isa.engine.regionform import goal_of
from isa.engine.ssa import Block, Pick
from isa.engine.words import Value, Word, fit, mask, text, truth
from isa.faults import Fault, NotModelled
from isa.insn import Insn
from isa.state import BASE, EFLAGS, LIMIT
from isa.tlb import CODE, VALID, WRITE

VARIABLES = (*range(8), EFLAGS)
REPEAT = 1  # what `eip` is on the ways on which an instruction repeats itself


class Lazy(Value):
    """A word that is calculated where it is wanted, each time: mostly nowhere, or in a cold exit."""

    __slots__ = ("_emit",)

    def __init__(self, code: Any, w: int, emit: Callable[[], Word]) -> None:
        self.code, self.w, self._emit = code, w, emit

    @property
    def text(self) -> str:  # type: ignore[override]
        return text(fit(self._emit(), self.w))

    def now(self) -> Value:
        return Value(self.code, self.text, self.w)


class Eflags(Lazy):
    """EFLAGS: who wants only DF does not pay for the arithmetic flags."""

    __slots__ = ("_rest",)

    def __init__(self, code: Any, rest: Word, emit: Callable[[], Word]) -> None:
        super().__init__(code, 32, emit)
        self._rest = rest

    def __and__(self, other: Word) -> Word:
        if isinstance(other, int) and not other & ARITHMETIC:
            return self._rest & other
        return super().__and__(other)


class RegionBuilder(Threaded):
    """Compiles one instruction after another. `known` are state words whose values it may take for granted."""

    def __init__(self, name: str, known: Mapping[int, int]) -> None:
        super().__init__(name)
        self.known = known
        self.code.blocks.clear()
        self.changed: set[int] = set()
        self.used: set[int] = set()
        self.prelude = Block("unused")
        self.cached: dict[int, Word] = {}
        self.stored = self.record
        self.place = 0
        self.done = 0
        self.left: Word = 0
        self.cold: str | None = None

    def begin(self, place: int, insn: Insn) -> None:
        """Start compiling the instruction at a place."""
        goal = goal_of(place, insn)
        self.place, self.cold, self.eip = place, None, None
        self.direct = goal is not None and 0 <= goal < PAGE_SIZE
        self.here, self.next = self.address(place), self.address(place + insn.length)
        self.before = self.save()

    # -- variables --------------------------------------------------------------------------------
    def initial(self, n: int) -> Word:
        """A word as it is at the head of the piece; those that no region changes, from the state."""
        if n in self.known:
            return self.known[n]
        if n not in self.cached:
            if n in VARIABLES:
                self.used.add(n)
                self.cached[n] = self._early(f"load i32, ptr %a{n}", 32)
            else:
                at = self._early(f"getelementptr i32, ptr %state, i64 {n}", 64)
                self.cached[n] = self._early(f"load i32, ptr {at.text}", 32)
        return self.cached[n]

    at_head = initial

    def _early(self, instruction: str, w: int) -> Value:
        """Emit before everything else in the piece."""
        name = "%" + self.code.name()
        self.prelude.lines.append(f"{name} = {instruction}")
        return Value(self.code, name, w)

    def check_alias(self, n: int, *, writes: bool) -> None:
        """Registers are known."""

    def merge(self, saved: Sequence[Saved], pick: Pick) -> None:
        repeats = [0 if s.eip is None else s.eip for s in saved]
        Native.merge(self, saved, pick)
        if any(s.eip is not saved[0].eip for s in saved):
            self.eip = pick(repeats)

    def address(self, place: int) -> Lazy:
        """EIP of a place in the page."""
        return Lazy(self.code, 32, lambda: self.context(PAGE_EIP, "i32", 32) + place)

    # -- flags ------------------------------------------------------------------------------------
    def cf(self) -> Word:
        record = self.record
        if record.kind is not None and not isinstance(record.x, Value):
            return one_flag(record, "cf")
        return Lazy(self.code, 1, lambda: self._of_record(record, super(RegionBuilder, self).cf))

    def _packed(self) -> Word:
        record = self.record
        return Lazy(self.code, 32, lambda: self._of_record(record, super(RegionBuilder, self)._packed))

    def _of_record(self, record: Record, flag: Callable[[], Word]) -> Word:
        """A flag of an earlier record."""
        now, memo, self.record, self.memo = self.record, self.memo, record, {}
        try:
            return flag()
        finally:
            self.record, self.memo = now, memo

    def eflags(self) -> Word:
        rest = self.s[EFLAGS]
        arithmetic = self._packed()
        return Eflags(self.code, rest & (M32 ^ ARITHMETIC), lambda: (rest & (M32 ^ ARITHMETIC)) | arithmetic)

    def set_eflags(self, value: Word) -> None:
        """CLD and STD: nothing else sets EFLAGS in a region, so nothing awakes."""
        Native.set_eflags(self, value)
        self.awake = 0

    # -- memory -----------------------------------------------------------------------------------
    def load(self, segment: int, offset: Word, w: int) -> Word:
        return self._flat_load(offset, w) if self._flat(segment) else super().load(segment, offset, w)

    def load_rmw(self, segment: int, offset: Word, w: int) -> Word:
        if not self._flat(segment):
            return super().load_rmw(segment, offset, w)
        self._look_up(offset, w >> 3, STORE)
        return self._flat_load(offset, w)

    def store(self, segment: int, offset: Word, value: Word, w: int) -> None:
        if not self._flat(segment):
            super().store(segment, offset, value, w)
            return
        at = self._look_up(offset, w >> 3, STORE)
        self.code.effect(f"store i{w} {text(fit(value, w))}, ptr {at}, align 1")

    def probe(self, segment: int, offset: Word, size: int) -> None:
        if not self._flat(segment):
            super().probe(segment, offset, size)
            return
        self._look_up(offset, size, STORE)

    def _flat(self, segment: int) -> bool:
        """Whether the region is made for a segment that is the linear space, and allows everything."""
        return self.known.get(BASE + segment) == 0

    def _flat_load(self, offset: Word, w: int) -> Word:
        at = self._look_up(offset, w >> 3, 0)
        return self.code.value(f"load i{w}, ptr {at}, align 1", w, pure=False)

    def _look_up(self, linear: Word, size: int, access: int) -> str:
        """Where `size` bytes lie in the host; all that is not plain goes out by the cold exit."""
        if not isinstance(linear, Value):
            linear = self.code.value(f"or i32 {linear}, 0", 32)
        linear = linear.fit(32)
        key = ("pointer", linear.text, access | AS_CPL)
        known, name = self.memo.get(key, (0, ""))
        if known >= size:
            return str(name)
        found, _ = entry(self, "%tlb", WRITE if access else 0, linear >> 12)  # type: ignore[arg-type]
        good: Any = (found & CODE) == VALID if access else found != 0
        low: Any = linear & mask(12)
        if size > 1:
            good = good & (low <= 4096 - size)
        self.guard(good)
        at: Any = found + low
        name = self.code.value(f"getelementptr i8, ptr %ram, i64 {at.widen(64).text}", 64).text
        name = self.code.value(f"getelementptr i8, ptr {name}, i64 -{VALID}", 64).text
        self.memo[key] = (size, name)
        return name

    # -- leaving ----------------------------------------------------------------------------------
    def exit(
        self, block: Block, reason: int, eip: Word, words: dict[int, Word], record: Record, end: str = "exit"
    ) -> Exit:
        """The handler of the instruction does it instead: one exit for all the reasons it may have."""
        if self.cold is None:
            self.cold = self.code.name("cold")
            cold = Block(self.cold, pure=False)
            self.code.blocks.append(cold)
            going_on, self.code.here = self.code.here, cold
            self._put(self.before.words, self.before.record)
            self._out(self.place, self.done, again=True)
            self.code.here = going_on
        block.end, block.pure = f"br label %{self.cold}", False
        return Exit(block, reason, 0, {}, record, 0)

    def fault(self, fault: Fault | NotModelled) -> None:
        self._guarded()

    def tail(self, function: str, block: Block | None = None, rec: str = "%rec", left: str = "%left") -> None:
        """What would leave otherwise leaves by the handler."""
        self.leave(0, block or self.code.current())

    def _put(self, words: Mapping[int, Word], record: Record) -> None:
        """Put what was changed into the variables."""
        for n, word in words.items():
            self.changed.add(n)
            self.code.effect(f"store i32 {text(fit(word, 32))}, ptr %a{n}")
        if record is not self.stored:
            for n, word in zip(WORDS, record.words(), strict=True):
                self.changed.add(n)
                self.code.effect(f"store i32 {text(fit(word, 32))}, ptr %a{n}")

    def _out(self, eip: int | Word, done: int, *, again: bool = False) -> None:
        """Leave for a place, or for an EIP; `done` is what the piece has counted, `again` asks for `@redo`."""
        code = self.code
        left = code.value(f"sub i64 {text(self.left)}, {done}", 64).text if done else text(self.left)
        code.effect(f"store i64 {left}, ptr %aleft")
        if isinstance(eip, int):
            code.effect(f"store i32 {eip}, ptr %aplace")
            code.current().end = f"br label %{'again' if again else 'out'}"
        else:
            code.effect(f"store i32 {text(fit(eip, 32))}, ptr %aplace")
            code.current().end = "br label %away"

    # -- control ----------------------------------------------------------------------------------
    def check_target(self, target: Word) -> None:
        if not self.direct and self.known.get(LIMIT + CS) != M32:
            super().check_target(target)

    def branch(self, taken: Word, target: Word) -> None:
        taken = truth(taken)
        if isinstance(taken, Value) and not self.direct and self.known.get(LIMIT + CS) != M32:
            self.leave(0)
            return
        if not isinstance(taken, Value):
            if taken:
                self.jump(target)
            return
        self.eip = Value(self.code, "%branch", 32)
        self.memo["branch"] = (self.eip, taken, target)

    def repeat(self) -> None:
        self.eip = REPEAT
