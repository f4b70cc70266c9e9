"""The builder of regions: what definitions do becomes code over variables of the host function.

Registers and the flags record of the moment are Python variables, as in every compiled engine; between the
pieces of a region they lie in variables of the function (`%a…`). Flags that are carried along are `Lazy`,
calculated only where they are wanted: mostly nowhere, or in a cold exit. Accesses through flat segments
are looked up with as few comparisons as there can be. Next: `regioncode`, the pieces and the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isa import flags
from isa.consts import ARITHMETIC, ATTR_DB, CS, ESP, M16, M32, PAGE_SIZE, SS
from isa.engine.builder import Exit, Native, Saved
from isa.engine.context import PAGE_EIP, STORE
from isa.engine.nativememory import entry
from isa.engine.records import WORDS, Record, one_flag, op_word
from isa.engine.shapes import goal_of
from isa.engine.ssa import LIKELY, Block, Code, Pick
from isa.engine.threadedbuilder import Threaded
from isa.engine.words import Value, Word, fit, mask, text, truth
from isa.faults import Fault, NotModelled
from isa.insn import Insn, Kind, Operand
from isa.memory import CODE_BITS_AT_ONCE
from isa.state import ATTR, BASE, EFLAGS, LIMIT
from isa.tlb import CODE, VALID, WRITE

VARIABLES = (*range(8), EFLAGS)
WINDOW = CODE_BITS_AT_ONCE  # bytes; accesses further from each other are looked up by themselves
NOWHERE = 1 << 40  # no linear address: no page is kept
REPEAT = 1  # what `eip` is on the ways on which an instruction repeats itself


class Lazy(Value):
    """A word that is calculated where it is wanted, each time: mostly nowhere, or in a cold exit."""

    __slots__ = ("_emit",)

    def __init__(self, code: Code, w: int, emit: Callable[[], Word]) -> None:
        self.code, self.w, self._emit = code, w, emit
        self.root = code.name("lazy"), 0

    @property
    def text(self) -> str:  # type: ignore[override]
        return text(fit(self._emit(), self.w))

    def now(self) -> Value:
        return Value(self.code, self.text, self.w)


class Address(Lazy):
    """EIP of a place in the page."""

    __slots__ = ("_builder", "_place")

    def __init__(self, builder: RegionBuilder, place: int) -> None:
        super().__init__(builder.code, 32, lambda: builder.context(PAGE_EIP, "i32", 32) + place)
        self._builder, self._place = builder, place

    def __add__(self, other: Word) -> Word:
        if isinstance(other, int):
            return Address(self._builder, (self._place + other) & M32)
        return super().__add__(other)


@dataclass(slots=True)
class _Window:
    """Bytes around an access that are known to lie in the same page.

    It grows with the accesses that follow, as far as `WINDOW`, and with it what is asked at the first one:
    where the answer is no, it is the first one's handler that goes on.
    """

    at: int  # the first access, relative to the root of its address
    low: int  # the window, relative to the first access
    high: int
    write: Callable[[int, int], None]  # writes the questions about a window
    pointer: str = ""

    def holds(self, at: int, size: int) -> bool:
        """Whether an access lies in the window, or the window could be made to hold it."""
        distance = self.distance(at)
        low, high = min(self.low, distance), max(self.high, distance + size)
        if high - low > WINDOW:
            return False
        if (low, high) != (self.low, self.high):
            self.low, self.high = low, high
            self.write(low, high - low)
        return True

    def distance(self, at: int) -> int:
        """How far an access is from the first one."""
        return ((at - self.at + (1 << 31)) & M32) - (1 << 31)


class RegionBuilder(Threaded):
    """Compiles one instruction after another. `known` are state words whose values it may take for granted."""

    def __init__(self, name: str, known: Mapping[int, int]) -> None:
        super().__init__(name)
        self.known = known
        self.assumed: set[int] = set()
        self.code.blocks.clear()
        self.changed: set[int] = set()
        self.used: set[int] = set()
        self.prelude = Block("unused")
        self.cached: dict[int, Word] = {}
        self.stored = self.record
        self.place = 0
        self.operands: tuple[Operand, ...] = ()
        self.kept: dict[tuple[int, int, int], int] = {}  # operands whose last page is kept
        self.done = 0
        self.left: Word = 0
        self.cold: str | None = None

    def begin(self, place: int, insn: Insn) -> None:
        """Start compiling the instruction at a place."""
        goal = goal_of(place, insn)
        self.place, self.cold, self.eip, self.operands = place, None, None, insn.operands
        self.direct = goal is not None and 0 <= goal < PAGE_SIZE
        self.here, self.next = Address(self, place), Address(self, place + insn.length)
        self.before = self.save()

    # -- variables --------------------------------------------------------------------------------
    def initial(self, n: int) -> Word:
        """A word as it is at the head of the piece; those that no region changes, from the state."""
        known = self.assume(n)
        if known is not None:
            return known
        if n not in self.cached:
            if n in VARIABLES:
                self.used.add(n)
                self.cached[n] = self._early(f"load i32, ptr %a{n}", 32)
            else:
                at = self._early(f"getelementptr i32, ptr %state, i64 {n}", 64)
                self.cached[n] = self._early(f"load i32, ptr {at.text}", 32)
        return self.cached[n]

    def assume(self, n: int) -> int | None:
        """The value of a word that the region is made for, if it is; from now on it is compared at entry."""
        if n in self.known:
            self.assumed.add(n)
        return self.known.get(n)

    def at_head(self, n: int) -> Word:
        return self.initial(n)

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

    # -- flags ------------------------------------------------------------------------------------
    def cf(self) -> Word:
        record = self.record
        if record.kind is not None and not isinstance(record.x, Value):
            return one_flag(record, "cf")
        return Lazy(self.code, 1, lambda: self._of_record(record, super(RegionBuilder, self).cf))

    def _carry(self) -> Word:
        """Calculated where it is wanted, which may be on the way between two blocks: no place for branches."""
        return self._ask("cf", 1)

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

    def change_flags(self, mask: int, bits: Word) -> None:
        kept = self._packed()
        r = Lazy(self.code, 32, lambda: (bits & mask) | (kept & (ARITHMETIC & ~mask)))
        self.record = Record(op_word(flags.PACKED, 32), 0, 0, r)

    def set_system_flags(self, value: Word) -> None:
        """CLD and STD: nothing else sets EFLAGS in a region, so nothing awakes."""
        Native.set_system_flags(self, value)
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
        return self.assume(BASE + segment) == 0

    def _flat_load(self, offset: Word, w: int) -> Word:
        at = self._look_up(offset, w >> 3, 0)
        return self.code.value(f"load i{w}, ptr {at}, align 1", w, pure=False)

    def _look_up(self, linear: Word, size: int, access: int) -> str:
        """Where `size` bytes lie in the host; all that is not plain goes out by the cold exit."""
        code = self.code
        if not isinstance(linear, Value):
            constant, linear = linear, code.value(f"or i32 {linear}, 0", 32)
            linear.root = "", constant
        linear = linear.fit(32).now()
        root, at = linear.root
        window = self.memo.get(("window", root, access))
        if window is None or not window.holds(at, size):
            window = self.memo["window", root, access] = self._window(linear, at, size, access)
        offset = window.distance(at) - VALID
        return code.value(f"getelementptr i8, ptr {window.pointer}, i64 {offset}", 64).text

    def _window(self, linear: Value, at: int, size: int, access: int) -> _Window:
        """Where an address lies in the host: in the page of the last time, as a rule, else it is looked up.

        Nothing takes a translation away while a region runs.
        """
        code, kept = self.code, self._kept_page(access)
        wide: Any = linear.widen(64)
        inside: Any = wide - code.value(f"load i64, ptr %page{kept}", 64, pure=False)
        near, same = (Value(code, "%" + code.name(), w) for w in (64, 1))
        origin, line = code.current(), len(code.current().lines)
        origin.lines += ["", ""]
        miss = code.require(same)
        hit = code.here
        host = code.value(f"load ptr, ptr %host{kept}", 64, pure=False).text
        known = code.value(f"getelementptr i8, ptr {host}, i64 {inside.text}", 64).text
        code.here = miss
        frame, keep, ask = self._translate(linear, access)
        page: Any = wide & (mask(64) ^ mask(12))
        first = code.value(f"select i1 {keep.text}, i64 {page.text}, i64 {NOWHERE}", 64).text
        code.effect(f"store i64 {first}, ptr %page{kept}")
        start = code.value(f"getelementptr i8, ptr %ram, i64 {frame.widen(64).text}", 64).text
        code.effect(f"store ptr {start}, ptr %host{kept}")
        low: Any = wide & mask(12)
        found = code.value(f"getelementptr i8, ptr {start}, i64 {low.text}", 64).text
        looked_up, join = code.current(), code.open()
        hit.end = looked_up.end = f"br label %{join.label}"
        pointer = code.value(
            f"phi ptr [ {known}, %{hit.label} ], [ {found}, %{looked_up.label} ]", 64, pure=False
        )

        def write(first: int, count: int) -> None:
            origin.lines[line] = f"{near.text} = add i64 {inside.text}, {first}"
            origin.lines[line + 1] = f"{same.text} = icmp ule i64 {near.text}, {PAGE_SIZE - count}"
            ask(first, count)

        write(0, size)
        return _Window(at, 0, size, write, pointer.text)

    def _kept_page(self, access: int) -> int:
        """The number of the variables that keep the page in which an operand was the last time."""
        memory = next((o for o in self.operands if o.kind is Kind.MEM), None)
        key = (access, ESP, -1) if memory is None else (access, memory.base, memory.index)
        return self.kept.setdefault(key, len(self.kept))

    def _translate(self, linear: Value, access: int) -> tuple[Value, Value, Callable[[int, int], None]]:
        """Look an address up: the entry, whether the next access may take it for granted, and what writes the
        questions about a window into the code."""
        code = self.code
        found, _ = entry(self, "%tlb", WRITE if access else 0, linear >> 12)
        good: Any = (found & CODE) == VALID if access else found != 0
        low: Any = linear & mask(12)
        moved, fits = (Value(code, "%" + code.name(), w) for w in (32, 1))
        block, line = code.current(), len(code.current().lines)
        block.lines += ["", ""]
        plain = good & fits
        beside, frame = self._beside(block, plain, found) if access else (None, found)
        if beside is None:
            self.guard(plain)

        def ask(first: int, count: int) -> None:
            block.lines[line] = f"{moved.text} = add i32 {low.text}, {first}"
            block.lines[line + 1] = f"{fits.text} = icmp ule i32 {moved.text}, {PAGE_SIZE - count}"
            if beside is not None:
                near = f"%near_{beside.label}"
                beside.lines[0] = f"{near} = add i32 {linear.text}, {first}"
                asked = f"ptr %ctx, i32 {found.text}, i32 {near}, i32 {count}"
                beside.lines[1] = f"%ok_{beside.label} = call preserve_mostcc i1 @h_beside({asked})"

        return frame, plain, ask

    def _beside(self, origin: Block, plain: Value, found: Value) -> tuple[Block, Value]:
        """A store into a page with code is like any other if there is no code where it goes.

        The block where that is asked, its first two lines still to be written, and the entry to go on with.
        """
        code = self.code
        beside = code.require(plain)
        going_on = code.here
        refuse = Block(code.name("refuse"), pure=False)
        code.blocks.append(refuse)
        same = f"%same_{beside.label}"
        beside.lines += ["", "", f"{same} = sub i32 {found.text}, {CODE - VALID}"]
        beside.end = f"br i1 %ok_{beside.label}, label %{going_on.label}, label %{refuse.label}{LIKELY}"
        self.leave(0, refuse)
        phi = f"phi i32 [ {found.text}, %{origin.label} ], [ {same}, %{beside.label} ]"
        return beside, code.value(phi, 32, pure=False)

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

    def tail(self, function: str, block: Block | None = None, **arguments: str) -> None:
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

    def _out(self, place: int, done: int, *, again: bool = False) -> None:
        """Leave for a place; `done` is what the piece has counted, `again` asks for `@redo`."""
        self._leave_for("again" if again else "out", place, done)

    def _away(self, eip: Word) -> None:
        """Leave for an EIP, which may be a constant too: of a register that was just loaded."""
        self._leave_for("away", eip, 0)

    def _leave_for(self, label: str, where: Word, done: int) -> None:
        code = self.code
        left = code.value(f"sub i64 {text(self.left)}, {done}", 64).text if done else text(self.left)
        code.effect(f"store i64 {left}, ptr %aleft")
        code.effect(f"store i32 {text(fit(where, 32))}, ptr %aplace")
        code.current().end = f"br label %{label}"

    # -- control ----------------------------------------------------------------------------------
    def _stack_mask(self, b: Any) -> Word:
        known = self.assume(ATTR + SS)
        return super()._stack_mask(b) if known is None else M32 if known & ATTR_DB else M16

    def check_target(self, target: Word) -> None:
        if not self.direct and self.assume(LIMIT + CS) != M32:
            super().check_target(target)

    def branch(self, taken: Word, target: Word) -> None:
        taken = truth(taken)
        if isinstance(taken, Value) and not self.direct and self.assume(LIMIT + CS) != M32:
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
