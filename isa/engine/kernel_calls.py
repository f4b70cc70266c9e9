"""What native code calls and comes back from: flushes, segments to drop, flags of a record, the entry.

Next: `kernel`, the routines that handlers go on in.
"""

from __future__ import annotations

from typing import Any

from isa.consts import ARITHMETIC, CPL_SEGMENTS, CR4_PSE, M32, PAGE_SIZE
from isa.engine.context import CODE_BITS, COUNTS, FLUSHED, LEFT, POOL, RAM, TLB
from isa.engine.frames import tracing
from isa.engine.records import TAKES_OPERANDS, Record, bit, one_flag, op_word
from isa.engine.ssa import Code
from isa.engine.threadedbuilder import Threaded
from isa.engine.trace import run
from isa.engine.words import Value, fit, text
from isa.flags import KIND_NAMES, PACKED
from isa.segment import null_if_too_privileged
from isa.state import CR4, EFLAGS, FLAG_OP, FLAG_R, FLAG_X, FLAG_Y
from isa.tlb import CODE, FETCH, FETCH_LOG, FETCH_LOGGED, LOG, LOGGED, WRITE
from isa.tlb import PAGES as LINEAR_PAGES

FLUSH = f"""
define void @clear_log(ptr %tables, ptr %count_at, i64 %log, i64 %first, i64 %second) nounwind {{
entry:
  %count = load i32, ptr %count_at
  br label %head
head:
  %n = phi i32 [ 0, %entry ], [ %more, %body ]
  %go = icmp ult i32 %n, %count
  br i1 %go, label %body, label %done
body:
  %n64 = zext i32 %n to i64
  %log_at = getelementptr i32, ptr %tables, i64 %log
  %at = getelementptr i32, ptr %log_at, i64 %n64
  %entry_32 = load i32, ptr %at
  %entry_64 = zext i32 %entry_32 to i64
  %page = getelementptr i32, ptr %tables, i64 %entry_64
  %first_at = getelementptr i32, ptr %page, i64 %first
  store i32 0, ptr %first_at
  %second_at = getelementptr i32, ptr %page, i64 %second
  store i32 0, ptr %second_at
  %more = add i32 %n, 1
  br label %head
done:
  store i32 0, ptr %count_at
  ret void
}}
define void @flush_data(ptr %ctx) nounwind {{
  %tables_at = getelementptr i64, ptr %ctx, i64 {TLB}
  %tables = load ptr, ptr %tables_at
  %counts_at = getelementptr i64, ptr %ctx, i64 {COUNTS}
  %counts = load ptr, ptr %counts_at
  %logged = getelementptr i32, ptr %counts, i64 {LOGGED}
  call void @clear_log(ptr %tables, ptr %logged, i64 {LOG}, i64 0, i64 {WRITE})
  ret void
}}
define void @flush_fetch(ptr %ctx) nounwind {{
  %tables_at = getelementptr i64, ptr %ctx, i64 {TLB}
  %tables = load ptr, ptr %tables_at
  %counts_at = getelementptr i64, ptr %ctx, i64 {COUNTS}
  %counts = load ptr, ptr %counts_at
  %fetched = getelementptr i32, ptr %counts, i64 {FETCH_LOGGED}
  call void @clear_log(ptr %tables, ptr %fetched, i64 {FETCH_LOG}, i64 {FETCH}, i64 {FETCH})
  ret void
}}
define void @flush(ptr %ctx) nounwind {{
  call void @flush_data(ptr %ctx)
  call void @flush_fetch(ptr %ctx)
  %flushed = getelementptr i64, ptr %ctx, i64 {FLUSHED}
  store i64 1, ptr %flushed
  ret void
}}
define void @flush_page(ptr %state, ptr %ctx, i32 %linear) nounwind {{
entry:
  %cr4_at = getelementptr i32, ptr %state, i64 {CR4}
  %cr4 = load i32, ptr %cr4_at
  %pse = and i32 %cr4, {CR4_PSE}
  %large = icmp ne i32 %pse, 0
  br i1 %large, label %all, label %one
all:
  call void @flush(ptr %ctx)
  br label %one
one:
  %tables_at = getelementptr i64, ptr %ctx, i64 {TLB}
  %tables = load ptr, ptr %tables_at
  %page_32 = lshr i32 %linear, 12
  %page = zext i32 %page_32 to i64
  %at = getelementptr i32, ptr %tables, i64 %page
{
    "".join(
        f'''  %at{n} = getelementptr i32, ptr %at, i64 {n * LINEAR_PAGES}
  store i32 0, ptr %at{n}
'''
        for n in range(6)
    )
}  %flushed = getelementptr i64, ptr %ctx, i64 {FLUSHED}
  store i64 1, ptr %flushed
  ret void
}}
"""


def drop_segments_ir() -> str:
    """`@drop_segments(state, ctx, level)`: what a return to an outer level leaves of the data segments."""
    b = Threaded("drop_segments")
    del b.intrinsics["isa.segment.null_if_too_privileged"]
    token = tracing.set(b)
    try:
        for segment in CPL_SEGMENTS:
            run(null_if_too_privileged, b, segment, Value(b.code, "%level", 32))
        b.store_state(b.words, b.record)
        b.mirror_segments()
        b.code.current().end = "ret void"
    finally:
        tracing.reset(token)
    return b.text("define void @drop_segments(ptr %state, ptr %ctx, i32 %level) nounwind {")


BESIDE = f"""
define preserve_mostcc i1 @h_beside(ptr %ctx, i32 %entry, i32 %linear, i32 %size) nounwind readonly {{
start:
  %marks = and i32 %entry, {CODE}
  %marked = icmp eq i32 %marks, {CODE}
  %low = and i32 %linear, {PAGE_SIZE - 1}
  %room = sub i32 {PAGE_SIZE}, %size
  %within = icmp ule i32 %low, %room
  %begin = and i1 %marked, %within
  br i1 %begin, label %go, label %no
go:
  %bits_at = getelementptr i64, ptr %ctx, i64 {CODE_BITS}
  %bits = load ptr, ptr %bits_at
  %page = and i32 %entry, -{PAGE_SIZE}
  %at = or i32 %page, %low
  %index = lshr i32 %at, 3
  %index_64 = zext i32 %index to i64
  %word_at = getelementptr i8, ptr %bits, i64 %index_64
  %word = load i64, ptr %word_at, align 1
  %shift_32 = and i32 %at, 7
  %shift = zext i32 %shift_32 to i64
  %moved = lshr i64 %word, %shift
  %size_64 = zext i32 %size to i64
  %others = shl i64 -1, %size_64
  %asked = xor i64 %others, -1
  %held = and i64 %moved, %asked
  %free = icmp eq i64 %held, 0
  ret i1 %free
no:
  ret i1 false
}}
"""
"""`@h_beside`: whether a store goes to a page with code, but to bytes that are none; not to more than
`CODE_BITS_AT_ONCE` of them."""


def flag_ir(name: str) -> str:
    """`@h_cf`, `@h_of`: one flag of a record that is known only at run time."""
    cases, bodies = [], []
    for kind in range(len(KIND_NAMES)):
        for w in (8, 16, 32):
            code = Code()
            inputs = [Value(code, word, 32) for word in ("%x", "%y", "%r")]
            narrow: list[Any] = [x.fit(w) for x in inputs]
            if kind not in TAKES_OPERANDS:
                narrow = [*(x.fit(1) for x in inputs[:2]), inputs[2] if kind == PACKED else narrow[2]]
            result = bit(one_flag(Record(op_word(kind, w), *narrow), name))
            label = f"k{kind}w{w}"
            cases.append(f"i32 {op_word(kind, w)}, label %{label}")
            lines = "\n".join([*code.here.lines, f"ret i1 {text(fit(result, 1))}"])
            bodies.append(f"{label}:\n" + lines.replace("%v", f"%{label}.v"))
    return (
        f"define preserve_mostcc i1 @h_{name}(i32 %op, i32 %x, i32 %y, i32 %r) nounwind readnone {{\n"
        f"switch i32 %op, label %k{PACKED}w32 [ {' '.join(cases)} ]\n" + "\n".join(bodies) + "\n}\n"
    )


_FLAG_WORDS = "".join(
    f"  %{name}_at = getelementptr i32, ptr %state, i64 {n}\n  %{name} = load i32, ptr %{name}_at\n"
    for name, n in (("op", FLAG_OP), ("x", FLAG_X), ("y", FLAG_Y), ("r", FLAG_R), ("eflags", EFLAGS))
)


def _entry(name: str, first: str, rec: str) -> str:
    """A function that Python calls: it begins in the routine `first`, and leaves EFLAGS complete."""
    return f"""
define i32 @{name}(ptr %state, ptr %ctx) nounwind {{
  %left_at = getelementptr i64, ptr %ctx, i64 {LEFT}
  %left = load i64, ptr %left_at
  %tlb_at = getelementptr i64, ptr %ctx, i64 {TLB}
  %tlb = load ptr, ptr %tlb_at
  %ram_at = getelementptr i64, ptr %ctx, i64 {RAM}
  %ram = load ptr, ptr %ram_at
  %pool_at = getelementptr i64, ptr %ctx, i64 {POOL}
  %pool = load ptr, ptr %pool_at
  %why = call i32 @{first}(ptr %state, ptr {rec}, i64 %left, ptr %ctx, ptr %tlb, ptr %ram)
{_FLAG_WORDS}  %arithmetic = call preserve_mostcc i32 @h_flags(i32 %op, i32 %x, i32 %y, i32 %r)
  %system = and i32 %eflags, {M32 ^ ARITHMETIC}
  %whole = or i32 %system, %arithmetic
  store i32 %whole, ptr %eflags_at
  ret i32 %why
}}
"""


# The record before the first leads to @deliver_hardware (`pool`): what @fill starts again.
ENTRIES = (_entry("enter", "dispatch", "null"), _entry("interrupt", "deliver_hardware", "%pool"))
