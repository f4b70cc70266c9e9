"""Hot transfers: INT n, IRET and the delivery of faults, compiled for the tables that they meet.

A gate, the descriptors that it leads to and the segments of both levels are data, but they hardly ever
change. So where a transfer is hot, its definition is traced once more with all of that taken for known:
the system words of the state and the descriptors in memory, as they are at this moment. Of the checks of
SDM 3A, 6.12 nothing remains but comparisons of what was read with what was expected, and the new segments
are constants. Whatever is not as expected goes on where it would have gone: in the handler of the
instruction, by `@redo`, or in the routine that delivers any fault.

A `Transfer` stands in the record of its instruction, as a region does; a `Delivery` in the context, by its
vector and the level that faults. `regions` decides what is hot.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

from isa.consts import CR0_PE, ESP, M32, NT, SEL_RPL, SS, VM
from isa.engine.arrival import arrive
from isa.engine.builder import Exit
from isa.engine.context import ARGUMENTS, AS_CPL, INTERRUPTS, PAGE_EIP, QUIET, R_OFFSET, READ_END
from isa.engine.frames import tracing
from isa.engine.handler import Handler
from isa.engine.kernel import DECLARATIONS, deliver_error, deliver_plain
from isa.engine.nativememory import linear_of, pointer
from isa.engine.records import Record
from isa.engine.routine import Routine
from isa.engine.shapes import EVERYTHING, shape_of
from isa.engine.ssa import LIKELY, METADATA, Block
from isa.engine.threadedbuilder import Threaded
from isa.engine.trace import run
from isa.engine.words import TraceError, Value, Word
from isa.faults import WITH_ERROR
from isa.insn import Insn
from isa.ops.farflow import _return_stack, return_far
from isa.state import ATTR, BASE, CPL, CR0, DR, EFLAGS, EIP, GDT_BASE, IDT_LIMIT, LIMIT, NMI, SEL
from isa.table import ROWS

# The state words that hardly ever change between two executions of a transfer.
STEADY = (
    *(place + n for place in (SEL, BASE, LIMIT, ATTR) for n in range(8)),
    *range(GDT_BASE, IDT_LIMIT + 1), CPL, DR + 7, NMI,
)  # fmt: skip
STEADY_BITS = {CR0: CR0_PE}  # a kernel may set and clear TS as often as it changes tasks
UNUSUAL = VM | NT  # of EFLAGS; with one of them set everything is otherwise
NAME = "transfer"  # until the text is there
Look = Callable[[int, int], bytes | None]
"""(linear address, bytes) → what is there, for one who must not be noticed; None if nothing is."""


class Partly(Value):
    """A word of which some bits, a mask, are known."""

    __slots__ = ("bits", "known")

    def __init__(self, word: Any, known: int, bits: int) -> None:
        super().__init__(word.code, word.text, word.w, word.root)
        self.known, self.bits = known, bits

    def __and__(self, other: Word) -> Word:
        if isinstance(other, int) and not other & ~self.known:
            return other & self.bits
        return super().__and__(other)

    __rand__ = __and__


class Expecting(Threaded, ABC):
    """Code for one state of the tables, and what it does where they are in another: `_unexpected`."""

    refuses_certain_faults = True
    known: dict[int, int]
    look: Look
    assumed: set[int]

    def expect(self, state: Sequence[int], look: Look) -> None:
        """Take this state for known."""
        self.known, self.look, self.assumed = {n: state[n] for n in (*STEADY, *STEADY_BITS)}, look, set()
        self.wide_stack = True
        self.intrinsics.pop("isa.segment.null_if_too_privileged")

    @abstractmethod
    def whole(self) -> str:
        """The text of the function."""

    @abstractmethod
    def _unexpected(self) -> None:
        """End the block by going where anything can be dealt with."""

    def module(self) -> tuple[str, str]:
        """The function's name, a hash of its text, and the module.

        Raises TraceError where it cannot be expected to do the same the next time.
        """
        text = self.whole()
        name = "r_" + blake2b(text.encode(), digest_size=16).hexdigest()
        return name, DECLARATIONS + text.replace(f"@{NAME}(", f"@{name}(") + METADATA

    def holds(self, state: Sequence[int]) -> bool:
        """Whether a state is as expected."""
        return all((state[n] ^ self.known[n]) & STEADY_BITS.get(n, M32) == 0 for n in self.assumed)

    def initial(self, n: int) -> Word:
        known = self.known.get(n)
        if known is None:
            return super().initial(n)
        self.assumed.add(n)
        bits = STEADY_BITS.get(n)
        return known if bits is None else Partly(super().initial(n), bits, known)

    def at_head(self, n: int) -> Word:
        return self.initial(n) if n in self.known else super().at_head(n)

    def system_flags(self) -> Word:
        return Partly(super().system_flags(), UNUSUAL, 0)

    def eflags(self) -> Word:
        return Partly(super().eflags(), UNUSUAL, 0)

    def begin(self) -> None:
        """What `system_flags` takes for granted."""
        flags: Any = self.s[EFLAGS]
        self.guard((flags & UNUSUAL) == 0)

    def load_system(self, linear: Word, w: int) -> Word:
        """Descriptors and selectors at known addresses are expected to be what they are now."""
        found = super().load_system(linear, w)
        if isinstance(linear, Value) or w == 32:  # a stack pointer of the TSS changes with the task
            return found
        return self.same(found, self.now(linear, w // 8))

    def now(self, linear: int, size: int) -> int:
        """What is in memory."""
        found = self.look(linear, size)
        if found is None:
            raise TraceError(f"nothing is mapped at {linear:#x}")
        return int.from_bytes(found, "little")

    def same(self, word: Any, value: int) -> int:
        """Go on only if a word has the value that it would have now."""
        self.guard(word == value)
        return value

    def dispatch(self, eip: Word, left: str) -> None:
        """The level and the code segment are known now."""
        self.store_eip(eip)
        arrive(self, eip, left)

    def exit(
        self, block: Block, reason: int, eip: Word, words: dict[int, Word], record: Record, end: str = "exit"
    ) -> Exit:
        """All that is not as expected."""
        going_on, self.code.here = self.code.here, block
        self._unexpected()
        self.code.here = going_on
        return Exit(block, reason, 0, {}, record, 0)

    def head(self) -> list[str]:
        """Compare the state with what is assumed; go `%short` where it is another."""
        lines = super().head()
        for n in sorted(self.assumed):
            bits = STEADY_BITS.get(n, M32)
            lines += [
                f"%k{n}_at = getelementptr i32, ptr %state, i64 {n}",
                f"%k{n}_all = load i32, ptr %k{n}_at",
                f"%k{n} = and i32 %k{n}_all, {bits}",
                f"%same{n} = icmp eq i32 %k{n}, {self.known[n] & bits}",
                f"br i1 %same{n}, label %on{n}, label %short{LIKELY}",
                f"on{n}:",
            ]
        return lines


class Transfer(Expecting, Handler):
    """INT n or IRET, about to be executed in `state`."""

    def __init__(self, insn: Insn, state: Sequence[int], look: Look) -> None:
        super().__init__(shape_of(insn, False, EVERYTHING)[0])
        self.expect(state, look)
        self.name = NAME
        self.software = ROWS[insn.row].name == "int"
        self.stack = state[ESP]
        del self.intrinsics["isa.deliver.interrupt"]
        self.intrinsics |= {
            "isa.ops.farflow.return_far": self._return_far,
            "isa.ops.farflow._return_stack": self._return_stack,
        }

    def _trapping(self, wanted: Any) -> str:
        if self.initial(CPL) != 0:
            self.guard(wanted == 0)
        self.begin()
        if self.software:
            self.guard(self.context(QUIET) != 0)
        else:
            self._find_frame()
        return ""

    def _find_frame(self) -> None:
        """Look all of IRET's frame up at once."""
        size = self.shape.w // 8
        outwards = self._on_stack(size) & SEL_RPL != self.known[CPL]
        whole = size * (5 if outwards else 3)
        pointer(self, linear_of(self, SS, self.s[ESP], whole, READ_END), whole, AS_CPL)

    def _on_stack(self, displacement: int) -> int:
        """The selector that far from the top of the stack."""
        return self.now((self.known[BASE + SS] + self.stack + displacement) & M32, 2)

    def _return_far(self, b: Any, selector: Word, target: Word, w: int, frame: int, release: Word) -> None:
        """`farflow.return_far`, to the code segment to which it would return now."""
        run(return_far, b, self.same(selector, self._on_stack(w // 8)), target, w, frame, release)

    def _return_stack(self, b: Any, selector: Word, rpl: Word) -> Any:
        """`farflow._return_stack`, likewise."""
        return run(_return_stack, b, self.same(selector, self._on_stack(self.shape.w // 2)), rpl)

    def tally(self) -> None:
        if self.software:
            self.add_context(INTERRUPTS + self.insn.dst.value, 1)
        else:
            super().tally()

    def _unexpected(self) -> None:
        self.store_eip(self.here)
        self.tail("@redo")

    def whole(self) -> str:
        end = [
            "short:",
            f"%s_offset_at = getelementptr i8, ptr %rec, i64 {R_OFFSET}",
            "%s_offset = load i32, ptr %s_offset_at",
            f"%s_page_at = getelementptr i64, ptr %ctx, i64 {PAGE_EIP}",
            "%s_page = load i32, ptr %s_page_at",
            "%s_eip = add i32 %s_page, %s_offset",
            f"%s_eip_at = getelementptr i32, ptr %state, i64 {EIP}",
            "store i32 %s_eip, ptr %s_eip_at",
        ]
        return _ended(self.trace(), [*end, *_gone("@redo")])


class Delivery(Expecting, Routine):
    """A fault on its way to its handler, from the level of `state`."""

    def __init__(self, vector: int, state: Sequence[int], look: Look) -> None:
        super().__init__(NAME, nested=True)
        self.expect(state, look)
        self.vector = vector
        self.any = "@deliver_error" if vector in WITH_ERROR else "@deliver_plain"

    def whole(self) -> str:
        token = tracing.set(self)
        try:
            self.begin()
            (deliver_error if self.vector in WITH_ERROR else deliver_plain)(self, self.vector)
        finally:
            tracing.reset(token)
        return _ended(self.text(), ["short:", *_gone(self.any)])

    def _unexpected(self) -> None:
        self.tail(self.any)


def _gone(function: str) -> list[str]:
    return [f"%s_went = musttail call i32 {function}({ARGUMENTS})", "ret i32 %s_went"]


def _ended(text: str, lines: list[str]) -> str:
    """A function with more lines at its end."""
    body = text.rstrip().removesuffix("}")
    return "\n".join((body.rstrip(), *lines, "}", ""))
