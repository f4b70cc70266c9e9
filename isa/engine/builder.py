"""The builder that compiles: the vocabulary of `isa.language` on words that emit LLVM instructions.

Registers, the flags record and the next EIP are Python variables that hold the values of the moment; they
are read from the state when first needed and written back where the code is left (`blocks.py`). A cold
exit therefore restores the state as it was before the instruction by remembering those variables, and
only memory cannot be taken back: hence `probe`.

Memory is the guest's RAM with segments flat and paging off, an inline comparison with its size; what lies
elsewhere leaves by a cold exit, and the reference engine runs that instruction. The same way goes what
compiled code does not do at all: ports, TLB control, HLT. A handler that serves a whole shape differs
from a block in `read`, `write` and `offset` only: its operands come from a record instead of constants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from isa import flags
from isa.consts import ARITHMETIC, ATTR_P, CS, IF, M16, M32, RF, TF
from isa.engine.nativewords import NativeWords
from isa.engine.records import TAKES_OPERANDS, Record, bit, one_flag, op_word, packed
from isa.engine.ssa import Block, Code, Pick
from isa.engine.words import TraceError, Value, Word, fit, mask, text, truth
from isa.faults import Fault, GeneralProtection, NotModelled, PageFault
from isa.insn import Kind, Operand
from isa.model import DEFAULT
from isa.segment import is_readable, is_writable_data
from isa.state import ATTR, BASE, CPL, CR_WORD, DR, EFLAGS, LIMIT, SEL, new_state

# Why compiled code returned. ATTENTION: done so far, and EFLAGS has changed so that something may happen
# between two instructions now. GUARD, MEMORY: the reference engine has to run the instruction at EIP.
# FAULT + vector is a fault of the instruction at EIP.
DONE, BUDGET, GUARD, MEMORY, ATTENTION, FAULT = 0, 1, 2, 3, 4, 0x100

# The context, 64-bit words beside the state: where the RAM is, its size, instructions left to run, and
# of a fault its error code (-1 if none) and address.
RAM, RAM_SIZE, LEFT, ERROR, ADDRESS = range(5)
CONTEXT_WORDS = 8
NO_ERROR = mask(64)

HEAD_RECORD = ("%f0", "%f1", "%f2", "%f3")

_start = new_state()
FLAT = {place + n: _start[place + n] for place in (BASE, LIMIT, ATTR) for n in range(6)}
"""What is known where paging is off and the segments are flat: the state words that say so."""


@dataclass(slots=True, frozen=True, eq=False)
class Saved:
    """The variables of the builder at one moment."""

    words: dict[int, Word]
    record: Record
    eip: Word | None
    awake: Word
    memo: dict[Any, Any]


@dataclass(slots=True, frozen=True, eq=False)
class Exit:
    """A way out of the code: from `block`, for `reason`, at `eip`, after `done` instructions."""

    block: Block
    reason: int
    eip: Word
    words: dict[int, Word]
    record: Record
    done: int


class Words:
    """`b.s`: the words of the state by number."""

    def __init__(self, builder: Native) -> None:
        self._builder = builder

    def __getitem__(self, n: Word) -> Word:
        b = self._builder
        if isinstance(n, Value):
            raise TraceError("a word of the state is chosen by a word")
        return b.words[n] if n in b.words else b.initial(n)

    def __setitem__(self, n: int, value: Word) -> None:
        if n == EFLAGS:
            raise TraceError("EFLAGS is written by set_eflags")
        self._builder.words[n] = fit(value, 32)


class Native(NativeWords):
    """Compiles one instruction after another; `isa.language.Builder` documents the operations."""

    model_flags: Any = DEFAULT.eflags
    refuses_certain_faults = False
    model_cr4: Any = DEFAULT.cr4  # code is made for the default processor

    def __init__(self, known: Mapping[int, int] = MappingProxyType(FLAT), intercepted: int = 0) -> None:
        self.known = known
        self.intercepted = intercepted  # software interrupts that a monitor wants, a bitmap
        self.code = Code()
        self.code.state = self
        self.s = Words(self)
        self.touched: set[int] = set()  # words of the state that the code needs at its head
        self.exits: list[Exit] = []
        self.words: dict[int, Word] = {}
        op, x, y, r = (Value(self.code, name, 32) for name in HEAD_RECORD)
        self.record = self.head_record = Record(op, x, y, r)
        self.eip: Word | None = None
        self.awake: Word = 0  # not 0: look around before the next instruction
        self.memo: dict[Any, Any] = {}
        self.here: Word = 0
        self.next: Word = 0
        self.done = 0
        self.before = self.save()
        self.intrinsics: dict[str, Callable[..., Any]] = {
            "isa.flags.condition": lambda b, cc: self.condition(cc),
            "isa.ops.farflow.push_parameters": self._elsewhere,
            "isa.task.switch": self._elsewhere,  # too long and too rare to be worth compiling
        }

    def start(self, here: Word, length: int) -> None:
        """Start compiling an instruction of `length` bytes at `here`."""
        self.here, self.next, self.eip = here, (here + length) & M32, None
        self.awake = 0
        self.before = self.save()

    def finish(self, weight: int) -> None:
        """The instruction is complete."""
        self.done += weight
        if self.eip is None:
            self.eip = self.next
        asleep = truth(self.awake == 0)
        if isinstance(asleep, Value):
            cold = self.code.require(asleep)
            going_on, self.code.here = self.code.here, cold
            self.exit(cold, ATTENTION, self.eip, self.words, self.record)
            self.code.here = going_on

    # -- the variables (ssa.State) ----------------------------------------------------------------
    def initial(self, n: int) -> Word:
        """Word n of the state as it is at the head of the code."""
        if n in self.known:
            return self.known[n]
        self.touched.add(n)
        return Value(self.code, f"%w{n}", 32)

    def at_head(self, n: int) -> Word:
        """`initial`, also for a way that does not come from here."""
        return self.initial(n)

    def save(self) -> Saved:
        return Saved(dict(self.words), self.record, self.eip, self.awake, dict(self.memo))

    def restore(self, saved: Saved) -> None:
        self.words, self.record = dict(saved.words), saved.record
        self.eip, self.awake, self.memo = saved.eip, saved.awake, dict(saved.memo)

    def merge(self, saved: Sequence[Saved], pick: Pick) -> None:
        keys = sorted({n for s in saved for n in s.words})
        self.words = {n: pick([s.words[n] if n in s.words else self.at_head(n) for s in saved]) for n in keys}
        records = [s.record for s in saved]
        if any(r is not records[0] for r in records):
            self.record = Record(*pick([r.words() for r in records]))
        else:
            self.record = records[0]
        self.eip = pick([self.next if s.eip is None else s.eip for s in saved])
        self.awake = pick([s.awake for s in saved])
        first, others = saved[0].memo, [s.memo for s in saved[1:]]
        self.memo = {key: v for key, v in first.items() if all(o.get(key) is v for o in others)}

    # -- leaving ----------------------------------------------------------------------------------
    def leave(self, reason: int, block: Block | None = None) -> None:
        """End the current block, or `block`, by leaving with the state as it is before the instruction."""
        saved, going_on = self.before, self.code.here
        self.exit(block or self.code.current(), reason, self.here, saved.words, saved.record)
        if block is not None:
            self.code.here = going_on

    def exit(
        self, block: Block, reason: int, eip: Word, words: dict[int, Word], record: Record, end: str = "exit"
    ) -> Exit:
        """End `block` by going to the exit (or the head) with these values."""
        self.code.here = block
        wide = record if record is self.head_record else Record(*(fit(x, 32) for x in record.words()))
        way = Exit(block, reason, fit(eip, 32), dict(words), wide, self.done)
        block.end = f"br label %{end}"
        if end == "exit":
            self.exits.append(way)
        return way

    def _require(self, condition: Word, reason: int) -> None:
        condition = truth(condition)
        if isinstance(condition, Value):
            self.leave(reason, self.code.require(condition))
        elif not condition:
            self.leave(reason)

    def guard(self, condition: Word) -> None:
        """Go on only if `condition`; the reference engine runs the instruction otherwise."""
        self._require(condition, GUARD)

    def _guarded(self) -> None:
        self.leave(GUARD)

    def fault(self, fault: Fault | NotModelled) -> None:
        """The instruction faults."""
        if not isinstance(fault, Fault):
            self._guarded()
            return
        error: Any = fault.error
        self._context_store(ERROR, NO_ERROR if error is None else error)
        if isinstance(fault, PageFault):
            self._context_store(ADDRESS, fault.address)
        self.leave(FAULT + fault.vector)

    def fault_if(self, wrong: Word, fault: Fault) -> None:
        """`if wrong: raise fault`."""
        wrong = truth(wrong)
        if isinstance(wrong, Value):
            cold = self.code.require(truth(wrong == 0))  # type: ignore[arg-type]
            going_on, self.code.here = self.code.here, cold
            self.fault(fault)
            self.code.here = going_on
        elif wrong:
            self.fault(fault)

    def _context_store(self, n: int, value: Word) -> None:
        at = self.code.value(f"getelementptr i64, ptr %context, i64 {n}", 64)
        self.code.effect(f"store i64 {text(fit(value, 64))}, ptr {at.text}")

    # -- operands ---------------------------------------------------------------------------------
    def read(self, o: Operand) -> Word:
        match o.kind:
            case Kind.REG32:
                return self.s[o.n]
            case Kind.REG16:
                return self.trunc(self.s[o.n], 16)
            case Kind.REG8:
                return self.trunc(self.s[o.n] >> o.shift, 8)
            case Kind.IMM | Kind.REL:
                return o.value
            case Kind.MEM:
                return self.load(o.n, self.offset(o), o.w)
            case Kind.SEGMENT:
                return self.s[SEL + o.n] if o.w == 32 else self.trunc(self.s[SEL + o.n], 16)
            case Kind.CONTROL:
                return self.s[CR_WORD[o.n]]
            case Kind.DEBUG:
                return self.s[DR + o.n]
        raise TraceError(f"an operand of kind {o.kind.name} has no value")

    def modify(self, o: Operand) -> Word:
        return self.load_rmw(o.n, self.offset(o), o.w) if o.kind == Kind.MEM else self.read(o)

    def write(self, o: Operand, value: Word) -> None:
        match o.kind:
            case Kind.REG32:
                self.s[o.n] = value
            case Kind.REG16 | Kind.REG8:
                keep = self.s[o.n] & (M32 ^ (mask(o.w) << o.shift))
                self.s[o.n] = keep | (self.zext(value, o.w, 32) << o.shift)
            case Kind.MEM:
                self.store(o.n, self.offset(o), value, o.w)
            case _:
                raise TraceError(f"an operand of kind {o.kind.name} is not written by write")

    def offset(self, o: Operand) -> Word:
        address: Word = o.value
        if o.base >= 0:
            address = self.s[o.base] + address
        if o.index >= 0:
            address = address + (self.s[o.index] << o.scale)
        return address & M32 if o.aw == 32 else address & M16

    # -- memory -----------------------------------------------------------------------------------
    def _pointer(self, address: Word, size: int) -> str:
        """Where `size` bytes of RAM lie in the host, checked."""
        address = fit(address, 32)
        key = ("pointer", text(address))
        known, name = self.memo.get(key, (0, ""))
        if known < size:
            wide = address.widen(64).text if isinstance(address, Value) else str(address)
            top = self.code.value(f"sub i64 %ram_size, {size}", 64)
            self._require(self.code.value(f"icmp ule i64 {wide}, {top.text}", 1), MEMORY)
            name = self.code.value(f"getelementptr i8, ptr %ram, i64 {wide}", 64).text
            self.memo[key] = (size, name)
        return str(name)

    def load_physical(self, address: Word, w: int) -> Word:
        return self.code.value(f"load i{w}, ptr {self._pointer(address, w >> 3)}, align 1", w, pure=False)

    def store_physical(self, address: Word, value: Word, w: int) -> None:
        at = self._pointer(address, w >> 3)
        self.code.effect(f"store i{w} {text(fit(value, w))}, ptr {at}, align 1")

    load_system, store_system = load_physical, store_physical

    def _through(self, n: int, allowed: Callable[[int], int]) -> None:
        """The quick way is for flat segments that allow the access; the reference engine checks others."""
        attr = self.s[ATTR + n]
        flat = (self.s[BASE + n] == 0) & (self.s[LIMIT + n] == M32)
        if not isinstance(attr, int) or not isinstance(flat, int):
            raise TraceError("memory is reached through a segment that is not known while compiling")
        if not (flat and attr & ATTR_P and allowed(attr)):
            self._guarded()

    def load(self, segment: int, offset: Word, w: int) -> Word:
        self._through(segment, is_readable)
        return self.load_physical(offset, w)

    def load_rmw(self, segment: int, offset: Word, w: int) -> Word:
        self._through(segment, is_writable_data)
        return self.load_physical(offset, w)

    def store(self, segment: int, offset: Word, value: Word, w: int) -> None:
        self._through(segment, is_writable_data)
        self.store_physical(offset, value, w)

    def probe(self, segment: int, offset: Word, size: int) -> None:
        self._through(segment, is_writable_data)
        self._pointer(offset, size)

    def probe_system(self, linear: Word, size: int) -> None:
        self._pointer(linear, size)

    # -- flags ------------------------------------------------------------------------------------
    def set_flags(self, kind: int, w: int, x: Word, y: Word, r: Word) -> None:
        if kind in TAKES_OPERANDS:
            x, y = fit(x, w), fit(y, w)
        else:
            x, y = (0, 0) if kind in (flags.LOGIC, flags.PACKED) else (bit(x), bit(y))
        self.record = Record(op_word(kind, w), x, y, fit(r, 32 if kind == flags.PACKED else w))

    def change_flags(self, mask: int, bits: Word) -> None:
        kept = self._packed() & (ARITHMETIC & ~mask)
        self.record = Record(op_word(flags.PACKED, 32), 0, 0, fit((bits & mask) | kept, 32))

    def _packed(self) -> Word:
        """All six flags as bits of EFLAGS."""
        known, result = self.memo.get("flags", (None, 0))
        if known is not self.record:
            if self.record.kind is None:
                arguments = ", ".join(f"i32 {text(fit(x, 32))}" for x in self.record.words())
                result = self.code.value(f"call i32 @flags({arguments})", 32, pure=False)
            else:
                result = packed(self.record)
            self.memo["flags"] = (self.record, result)
        word: Word = result
        return word

    def _flag(self, name: str, position: int) -> Word:
        if self.record.kind is None:
            return bit(self._packed() >> position)
        return one_flag(self.record, name)

    def cf(self) -> Word:
        return self._flag("cf", 0)

    def pf(self) -> Word:
        return self._flag("pf", 2)

    def af(self) -> Word:
        return self._flag("af", 4)

    def zf(self) -> Word:
        return self._flag("zf", 6)

    def sf(self) -> Word:
        return self._flag("sf", 7)

    def of(self) -> Word:
        return self._flag("of", 11)

    def condition(self, cc: int) -> Word:
        """`flags.condition`: after a comparison, one comparison instead of its flags."""
        record = self.record
        if record.kind in (flags.SUB, flags.LOGIC):
            x, y = (record.x, record.y) if record.kind == flags.SUB else (record.r, 0)
            shortcuts: dict[int, Callable[[], Word]] = {
                1: lambda: x < y,
                2: lambda: x == y,
                3: lambda: x <= y,
                6: lambda: self.slt(x, y, record.w),
                7: lambda: truth(self.slt(y, x, record.w)) == 0,
            }
            if cc >> 1 in shortcuts:
                holds = truth(shortcuts[cc >> 1]())
                return holds == 0 if cc & 1 else holds
        return flags.condition(self, cc)  # type: ignore[arg-type]

    def eflags(self) -> Word:
        return (self.s[EFLAGS] & (M32 ^ ARITHMETIC)) | self._packed()

    def system_flags(self) -> Word:
        return self.s[EFLAGS] & (M32 ^ ARITHMETIC)

    def set_eflags(self, value: Word) -> None:
        value = fit(value, 32)
        self.set_system_flags(value)
        self.record = Record(op_word(flags.PACKED, 32), 0, 0, value & ARITHMETIC)

    def set_system_flags(self, value: Word) -> None:
        value = fit(value, 32)
        self.awake = value & ((TF | RF | IF) & ~(self.s[EFLAGS] & IF))
        self.words[EFLAGS] = value

    # -- control ----------------------------------------------------------------------------------
    def go(self, target: Word) -> None:
        self.eip = fit(target, 32)

    def jump(self, target: Word) -> None:
        if self.known.get(LIMIT + CS) != M32:
            self.fault_if(target > self.s[LIMIT + CS], GeneralProtection(0))
        self.go(target)

    def branch(self, taken: Word, target: Word) -> None:
        taken = truth(taken)
        if self.known.get(LIMIT + CS) != M32:
            self.fault_if(taken & (target > self.s[LIMIT + CS]), GeneralProtection(0))
        if not isinstance(taken, Value):
            self.eip = fit(target, 32) if taken else self.next
            return
        yes, no = text(fit(target, 32)), text(self.next)
        self.eip = self.code.value(f"select i1 {taken.text}, i32 {yes}, i32 {no}", 32)
        self.memo["branch"] = (self.eip, taken, target)

    def repeat(self) -> None:
        self.eip = self.here

    def set_segment(self, segment: int, selector: Word, base: Word, limit: Word, attr: Word) -> None:
        for place, value in ((SEL, selector), (BASE, base), (LIMIT, limit), (ATTR, attr)):
            self.s[place + segment] = value

    def set_cpl(self, cpl: Word) -> None:
        self.s[CPL] = cpl

    # -- what the reference engine does -----------------------------------------------------------
    def _elsewhere(self, *_: Any, **__: Any) -> None:
        self._guarded()

    flush_tlb = flush_page = inhibit_interrupts = halt = port_out = write_msr = not_modelled = _elsewhere
    unblock_nmi = commit = set_r80 = fpu_error = debug_registers_changed = _elsewhere

    def intercepts(self, vector: Word, software: bool) -> None:
        if software and self.intercepted:
            self.guard((self.intercepted >> vector) & 1 == 0 if isinstance(vector, int) else False)

    def port_in(self, port: Word, w: int) -> Word:
        self._guarded()
        return 0

    def cpuid(self, leaf: Word, subleaf: Word) -> tuple[Word, Word, Word, Word]:
        self._guarded()
        return 0, 0, 0, 0

    def timestamp(self) -> tuple[Word, Word]:
        self._guarded()
        return 0, 0

    def r80(self, n: Word) -> Word:
        self._guarded()
        return 0

    def f80(self, operation: str, form: str, control: Word, x: Word, y: Word) -> tuple[Word, Word]:
        self._guarded()
        return 0, 0

    def read_msr(self, index: Word) -> tuple[Word, Word]:
        self._guarded()
        return 0, 0
