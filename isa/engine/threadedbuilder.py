"""What handlers, the routines of `kernel` and regions share: the builder of threaded code.

    i32 function(ptr state, ptr rec, i64 left, ptr ctx, ptr tlb, ptr ram)

Such a function ends in a tail call of another one. Nothing is stored into the state before its end, except
memory, which the definitions check first; whatever it cannot do leaves by a tail call of `@guard`, and the
reference engine runs the instruction. A missing translation leaves by `@fill`, which provides it and starts
the instruction again. Words of the state are loaded where they are used.

Registers that the record names are loaded and stored through it. Since a definition also names registers
itself (ESP, ECX), both kinds may mean the same one; where the order of reading and writing could then
matter, `Alias` asks for a handler that knows its registers. Next: `handler`, `kernel`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from isa import flags
from isa.consts import ATTR_DB, ATTR_P, ATTR_S, CS, M16, M32, SS, TYPE_CODE, TYPE_EXPAND_DOWN
from isa.engine.builder import FAULT, Exit, Saved
from isa.engine.builder import Words as KnownWords
from isa.engine.context import (
    ADDRESS,
    ARGUMENTS,
    AWAKE,
    ERROR,
    INTERCEPTS,
    MODEL_FLAGS,
    NO_ERROR,
    PAGE_EIP,
    PARAMETERS,
    QUIET,
    R_DISP,
    R_IMM,
    R_LENGTH,
    R_OFFSET,
    R_REGS,
    R_SCALE,
    READ_END,
    RESERVE,
    RETURN,
    SEGMENTS,
    TIME,
    VECTOR,
    WRITE_END,
)  # fmt: skip
from isa.engine.nativeflags import DynamicFlags
from isa.engine.nativememory import Memory
from isa.engine.nativex87 import NativeX87
from isa.engine.records import TAKES_OPERANDS, WORDS, Record
from isa.engine.shapes import DYNAMIC
from isa.engine.ssa import Block, Pick
from isa.engine.trace import run
from isa.engine.words import TraceError, Value, Word, fit, text, truth
from isa.faults import Fault, GeneralProtection, NotModelled, PageFault
from isa.segment import dpl_of, is_conforming, is_readable, is_writable_data
from isa.state import ATTR, BASE, EIP, LIMIT, SHADOW

SEGMENTS_OF_STATE = 8
AFTER_STI, AFTER_MOV_SS = 2, 3  # SHADOW
GENERAL = 8  # the general registers are the words below
VIRTUAL_STATE = 500  # word numbers from here on, up to DYNAMIC, are words of the virtual processor's state
_NAME = re.compile(r"%(w\d+|f[0-3]|r\d+|here|next|imm[01]|disp|scale|page_eip)\b")


class Alias(TraceError):
    """A register from the record and one that the definition names may be the same, and it matters."""


def _kinds(allowed: Callable[[int], int]) -> int:
    """The kinds of segments, S and type as a number, through which the quick check decides: a bitmap."""
    down = TYPE_CODE | TYPE_EXPAND_DOWN
    return sum(1 << n for n in range(32) if n & ATTR_S and allowed(n) and n & down != TYPE_EXPAND_DOWN)


READABLE, WRITABLE = _kinds(is_readable), _kinds(is_writable_data)


def segment_ends(b: Any, attr: Any, limit: Any) -> tuple[Any, Any]:
    """Traced: one past the last byte that may be read and written; see `Reference._mirror`."""
    end = b.zext(limit, 32, 64) + 1
    kind, present = attr & 31, attr >> ATTR_P.bit_length() - 1
    return (end if READABLE >> kind & present & 1 else 0), (end if WRITABLE >> kind & present & 1 else 0)


class Words(KnownWords):
    """`b.s`: words of the state, those above DYNAMIC meaning registers of the record."""

    _builder: Threaded

    def __getitem__(self, n: Word) -> Word:
        b = self._builder
        if isinstance(n, Value):
            at = b.code.value(f"getelementptr i32, ptr %state, i64 {n.widen(64).text}", 64)
            return b.code.value(f"load i32, ptr {at.text}", 32, pure=False)
        b.check_alias(n, writes=False)
        return super().__getitem__(n)

    def __setitem__(self, n: int, value: Word) -> None:
        self._builder.check_alias(n, writes=True)
        super().__setitem__(n, value)


class Threaded(Memory, DynamicFlags, NativeX87):
    """What handlers and the routines of `kernel.py` share: exits, the state, memory, flags, control."""

    sensitive = False
    direct = False  # a direct jump that stays in its page
    wide_stack = False  # the stack is addressed by ESP
    nested = False  # on the way to the handler of a fault: another fault is not for native code

    def __init__(self, name: str) -> None:
        super().__init__({})
        self.name = name
        self.s = Words(self)
        self.prologue: list[str] = []
        self.flushed = False
        self.repeats = False
        self.here, self.next = Value(self.code, "%here", 32), Value(self.code, "%next", 32)
        self.intrinsics |= {
            "isa.deliver.interrupt": self._deliver,
            "isa.ops.flow.check_target": lambda b, target: self.check_target(target),
            "isa.ops.farflow.return_to_v86": self._elsewhere,
            "isa.ops.system.set_cr0": self._elsewhere,
            "isa.ops.system.set_cr4": self._elsewhere,
            "isa.segment.null_if_too_privileged": self._keep_segment,
            "isa.ops.stack.stack_mask": self._stack_mask,
            "isa.ops.stack.push_apart": self._elsewhere,
            "isa.deliver.store_apart": self._elsewhere,
            "isa.x87_forms.opcode_of": lambda raw: self.field("imm1"),
        }

    @property
    def model_flags(self) -> Any:
        """The bits of EFLAGS that the processor has; which one it is, the context says."""
        return self.context(MODEL_FLAGS, "i32", 32)

    # -- registers --------------------------------------------------------------------------------
    def check_alias(self, n: int, *, writes: bool) -> None:
        """Refuse what depends on whether two registers are the same: what the record names is stored last."""
        if n >= DYNAMIC:
            if not writes and n not in self.words and any(other < GENERAL for other in self.words):
                raise Alias(f"word {n} may have changed")
        elif n < GENERAL and any(other >= DYNAMIC for other in self.words):
            raise Alias(f"word {n} may have changed")

    def initial(self, n: int) -> Word:
        """A word of the state as it was at first, loaded where it is used: few values wait in registers."""
        known = self.memo.get(("word", n))
        if known is None:
            at = (
                f"%ra{n}"
                if n >= DYNAMIC
                else self.code.value(f"getelementptr i32, ptr {_block(n)}, i64 {n % VIRTUAL_STATE}", 64).text
            )
            known = self.memo["word", n] = self.code.value(f"load i32, ptr {at}", 32)
        word: Word = known
        return word

    def at_head(self, n: int) -> Word:
        return Value(self.code, f"%w{n}", 32)

    def merge(self, saved: Sequence[Saved], pick: Pick) -> None:
        keys = {n for s in saved for n in s.words if n < GENERAL or n >= DYNAMIC}
        both = min(keys, default=GENERAL) < GENERAL and max(keys) >= DYNAMIC
        if both and any(keys - s.words.keys() for s in saved):
            raise Alias("registers that may be the same have changed on different ways")
        super().merge(saved, pick)

    def field(self, name: str) -> Value:
        """A word of the record."""
        return Value(self.code, f"%{name}", 32)

    # -- the context ------------------------------------------------------------------------------
    def context(self, n: int, type_: str = "i64", w: int = 64) -> Value:
        """Load a word of the context."""
        at = self.code.value(f"getelementptr i64, ptr %ctx, i64 {n}", 64)
        return self.code.value(f"load {type_}, ptr {at.text}", w, pure=False)

    def _context_store(self, n: int, value: Word) -> None:
        at = self.code.value(f"getelementptr i64, ptr %ctx, i64 {n}", 64)
        self.code.effect(f"store i64 {text(fit(value, 64))}, ptr {at.text}")

    def context_byte(self, n: int, index: Word) -> Value:
        """Load a byte of a table in the context."""
        wide = text(fit(index, 64))
        at = self.code.value(f"getelementptr i64, ptr %ctx, i64 {n}", 64)
        at = self.code.value(f"getelementptr i8, ptr {at.text}, i64 {wide}", 64)
        return self.code.value(f"load i8, ptr {at.text}", 8, pure=False)

    def add_context(self, n: int, by: Word) -> None:
        """Count."""
        self._context_store(n, self.context(n) + fit(by, 64))

    # -- leaving ----------------------------------------------------------------------------------
    def tail(
        self,
        function: str,
        block: Block | None = None,
        *,
        rec: str = "%rec",
        left: str = "%left",
        tlb: str = "%tlb",
    ) -> None:
        """End a block by going on in another function, with these arguments where they change."""
        block = block or self.code.current()
        name = self.code.name("t")
        arguments = ARGUMENTS.replace("%rec", rec).replace("%left", left).replace("%tlb", tlb)
        block.lines.append(f"%{name} = musttail call i32 {function}({arguments})")
        block.pure = False
        block.end = f"ret i32 %{name}"

    def exit(
        self, block: Block, reason: int, eip: Word, words: dict[int, Word], record: Record, end: str = "exit"
    ) -> Exit:
        """All exits find the state untouched."""
        self.tail("@fault" if reason >= FAULT else "@guard", block)
        return Exit(block, reason, 0, {}, record, 0)

    def fault(self, fault: Fault | NotModelled) -> None:
        if self.sensitive or self.nested or not isinstance(fault, Fault):
            self._guarded()
            return
        error: Any = fault.error
        self._context_store(ERROR, NO_ERROR if error is None else error)
        if isinstance(fault, PageFault):
            self._context_store(ADDRESS, fault.address)
        self._context_store(VECTOR, fault.vector)
        self.leave(FAULT)

    def if_(self, test: Word, then: Callable[[], None]) -> None:
        """Go another way, which does not come back, if `test` holds."""
        if not isinstance(test, Value):
            if test:
                raise TraceError("there is no other way")
            return
        otherwise: Any = test == 0
        cold = self.code.require(otherwise)
        going_on, self.code.here = self.code.here, cold
        then()
        self.code.here = going_on

    # -- flags ------------------------------------------------------------------------------------
    def set_system_flags(self, value: Word) -> None:
        super().set_system_flags(value)
        self.awake = fit(value, 32) & self.context(AWAKE, "i32", 32)

    # -- control ----------------------------------------------------------------------------------
    def check_target(self, target: Word) -> None:
        """#GP(0) unless the target lies within CS; a page that is executed does."""
        if not self.direct:
            self.fault_if(target > self.s[LIMIT + CS], GeneralProtection(0))

    def jump(self, target: Word) -> None:
        self.check_target(target)
        self.go(target)
        if self.direct:
            self.memo["branch"] = (self.eip, True, target)

    def branch(self, taken: Word, target: Word) -> None:
        taken = truth(taken)
        if not self.direct:
            self.fault_if(taken & (target > self.s[LIMIT + CS]), GeneralProtection(0))
        if not isinstance(taken, Value):
            if taken:
                self.jump(target)
            return
        self.eip = Value(self.code, "%branch", 32)  # stands for what `finish` does with it
        self.memo["branch"] = (self.eip, taken, target)

    def repeat(self) -> None:
        self.eip, self.repeats = self.here, True

    def _keep_segment(self, b: Any, segment: int, cpl: Word) -> None:
        """`segment.null_if_too_privileged`, which is the last thing that a return does.

        Where there is something to be done, it is done at once, and the return starts again.
        """
        attr: Any = self.s[ATTR + segment]
        inner = ((attr & ATTR_S) != 0) & (truth(is_conforming(attr)) == 0) & (dpl_of(attr) < cpl)
        kept: Any = truth(inner == 0)
        cold = self.code.require(kept)
        going_on, self.code.here = self.code.here, cold
        self.code.effect(f"call void @drop_segments(ptr %state, ptr %ctx, i32 {text(fit(cpl, 32))})")
        self.tail(f"@{self.name}")
        self.code.here = going_on

    def _stack_mask(self, b: Any) -> Word:
        """`stack.stack_mask`: where ESP is expected, code that uses SP is left to the reference engine."""
        big = (self.s[ATTR + SS] & ATTR_DB) != 0
        if self.wide_stack:
            self.guard(big)
            return M32
        return self.code.value(f"select i1 {text(truth(big))}, i32 {M32}, i32 {M16}", 32)

    def inhibit_interrupts(self, *, debug: bool = False) -> None:
        self.s[SHADOW] = AFTER_MOV_SS if debug else AFTER_STI

    def timestamp(self) -> tuple[Word, Word]:
        left: Any = Value(self.code, "%left", 64) + self.context(RESERVE)
        now: Any = self.context(TIME) - left
        return now.fit(32), (now >> 32).fit(32)

    def flush_tlb(self, *, keep_global: bool = False) -> None:
        self.guard(self.context(QUIET) != 0)
        self.code.effect("call void @flush(ptr %ctx)")
        self.flushed = True

    def flush_page(self, linear: Word) -> None:
        self.guard(self.context(QUIET) != 0)
        self.code.effect(f"call void @flush_page(ptr %state, ptr %ctx, i32 {text(fit(linear, 32))})")
        self.flushed = True

    def intercepts(self, vector: Word, software: bool) -> None:
        if software:
            self.guard(self.context_byte(INTERCEPTS, vector) == 0)

    def _deliver(
        self, b: Any, vector: Word, error: Word | None, return_eip: Word, source: int, resume: int = 0
    ) -> None:
        """`deliver.interrupt`: a software interrupt goes on in the routine that all of them share."""
        self.guard(self.context(QUIET) != 0)
        self._context_store(VECTOR, vector)
        self._context_store(RETURN, return_eip)
        self.tail("@deliver_software")

    # -- the text ---------------------------------------------------------------------------------
    def store_state(self, words: dict[int, Word], record: Record) -> None:
        """Write the variables back; registers of the record last."""
        for n in sorted(words):
            if n < DYNAMIC:
                at = self.code.value(f"getelementptr i32, ptr {_block(n)}, i64 {n % VIRTUAL_STATE}", 64).text
            else:
                at = f"%ra{n}"
            self.code.effect(f"store i32 {text(words[n])}, ptr {at}")
        if record is not self.head_record:
            operands = record.kind is None or record.kind in (*TAKES_OPERANDS, flags.RESULT)
            wanted = (True, operands, operands or record.kind in (flags.INC, flags.DEC), True)
            for n, word, want in zip(WORDS, record.words(), wanted, strict=True):
                if want:
                    at = self.code.value(f"getelementptr i32, ptr %state, i64 {n}", 64).text
                    self.code.effect(f"store i32 {text(fit(word, 32))}, ptr {at}")

    def store_eip(self, eip: Word) -> None:
        at = self.code.value(f"getelementptr i32, ptr %state, i64 {EIP}", 64).text
        self.code.effect(f"store i32 {text(fit(eip, 32))}, ptr {at}")

    def mirror_segments(self) -> None:
        """Bring the context's view of changed segments up to date."""
        changed = self.changed_segments()
        for n in changed:
            ends = run(segment_ends, self, self.s[ATTR + n], self.s[LIMIT + n])
            for place, end in zip((READ_END, WRITE_END), ends, strict=True):
                self._context_store(place + n, end)
        if changed:
            self._context_store(SEGMENTS, 1)

    def changed_segments(self) -> list[int]:
        """The segment registers that have been loaded on some way to here."""
        return [n for n in range(SEGMENTS_OF_STATE) if self.words.keys() & {ATTR + n, LIMIT + n, BASE + n}]

    def look_around(self, eip: Word, left: str) -> None:
        """Come back after this instruction if EFLAGS say so."""

        def attend() -> None:
            self.store_eip(eip)
            self.tail("@attention", left=left)

        self.if_(self.awake != 0, attend)

    def dispatch(self, eip: Word, left: str) -> None:
        """Go on at any EIP."""
        self.store_eip(eip)
        self.tail("@dispatch", left=left)

    def follow(self, field: int, left: str) -> None:
        """Go on at the record that this one points to."""
        at = self.code.value(f"getelementptr i8, ptr %rec, i64 {field}", 64).text
        rec = self.code.value(f"load ptr, ptr {at}", 64, pure=False).text
        handler = self.code.value(f"load ptr, ptr {rec}", 64, pure=False).text
        self.tail(handler, rec=rec, left=left)

    def text(self, head: str = "") -> str:
        """The function; `head` is how it begins if not as a handler."""
        body = self.code.text()
        used = {m.group(1) for m in _NAME.finditer(body)}
        return "\n".join(
            [
                head or f"define i32 @{self.name}({PARAMETERS}) nounwind {{",
                *self.head(),
                *_loads(used, set(re.findall(r"%ra(\d+)", body))),
                f"br label %{self.code.blocks[0].label}",
                body,
                "}",
                "",
            ]
        )

    def head(self) -> list[str]:
        return ["entry:"]


def _block(n: int) -> str:
    """Which state a word is in."""
    return "%virtual" if VIRTUAL_STATE <= n < DYNAMIC else "%state"


def _loads(used: set[str], stored: set[str]) -> list[str]:
    """Loads of what the body names."""
    lines: list[str] = []

    def load(name: str, of: str, offset: int, unit: str) -> None:
        lines.append(f"%at_{name} = getelementptr {unit}, ptr {of}, i64 {offset}")
        lines.append(f"%{name} = load i32, ptr %at_{name}")

    fields = {"imm0": R_IMM, "imm1": R_IMM + 4, "disp": R_DISP, "scale": R_SCALE}
    for name, offset in fields.items():
        if name in used:
            load(name, "%rec", offset, "i8")
    if used & {"here", "next", "page_eip"}:
        load("page_eip", "%ctx", PAGE_EIP, "i64")
    if used & {"here", "next"}:
        load("offset", "%rec", R_OFFSET, "i8")
        lines.append("%here = add i32 %page_eip, %offset")
    if "next" in used:
        load("length", "%rec", R_LENGTH, "i8")
        lines.append("%next = add i32 %here, %length")
    for n, name in enumerate(("f0", "f1", "f2", "f3")):
        if name in used:
            load(name, "%state", WORDS[n], "i32")
    words = {int(name[1:]) for name in used if re.fullmatch(r"w\d+", name)} | {int(n) for n in stored}
    for n in sorted(words):
        if n < DYNAMIC:
            load(f"w{n}", _block(n), n % VIRTUAL_STATE, "i32")
            continue
        load(f"ro{n}", "%rec", R_REGS + 4 * (n - DYNAMIC), "i8")
        lines.append(f"%rw{n} = zext i32 %ro{n} to i64")
        lines.append(f"%ra{n} = getelementptr i8, ptr %state, i64 %rw{n}")
        lines.append(f"%w{n} = load i32, ptr %ra{n}")
    return lines
