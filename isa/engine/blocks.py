"""A straight line of instructions as one native function.

    i32 block(ptr state, ptr context)

runs it and returns why it stopped (`builder.DONE`, `BUDGET`, …), with EIP, the registers and the flags
record stored and the context's LEFT counted down by the instructions that are complete. Nothing is run
if LEFT is less than the block's length, so a count is exact without a look at each instruction. A block
whose last jump goes back to its head may stay inside: the budget is checked on that edge.

    entry   read the state words that the code touches, the RAM's address and size, the budget
    head    phis of the same, if the block can loop
    …       the instructions; each doubtful case branches to a cold block that remembers the variables
    exit    phis over all ways out, then the stores: one copy of them, however many exits there are

A routine of `isa` becomes a function of the same form (`routine_ir`), so that delivering a fault need not
leave native code. The form also serves a region of several heads, and a handler of an instruction shape,
which is a block of one instruction whose operands come from a record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from isa.consts import M32
from isa.engine.builder import BUDGET, DONE, HEAD_RECORD, LEFT, RAM, RAM_SIZE, Exit, Native
from isa.engine.frames import tracing
from isa.engine.records import WORDS as RECORD_WORDS
from isa.engine.ssa import LIKELY
from isa.engine.trace import run
from isa.engine.words import TraceError, text
from isa.insn import Insn
from isa.state import EIP
from isa.table import ROWS


@dataclass(slots=True)
class _Function:
    """A function's text in the making."""

    name: str
    builder: Native
    weight: int
    back: Exit | None = None  # the edge to the head, if there is one
    left: str = ""  # the budget on that edge


def block_ir(name: str, instructions: Sequence[Insn], eip: int, *, loop: bool = True) -> str:
    """IR of the function `name` for instructions that lie one after the other from `eip` on.

    Only the last may jump. With `loop`, a jump of the last to the first stays in the function.
    """
    builder = Native()
    token = tracing.set(builder)
    try:
        here = eip
        for i in instructions:
            if builder.eip is not None and builder.eip is not builder.next:
                raise TraceError("an instruction within a block jumps")
            builder.start(here, i.length)
            run(ROWS[i.row].define, builder, i)
            builder.finish(i.weight)
            here = (here + i.length) & M32
    finally:
        tracing.reset(token)
    function = _Function(name, builder, builder.done)
    _end(function, eip, loop)
    return _text(function)


def routine_ir(name: str, routine: Callable[[Native], Any]) -> str:
    """IR of the function `name` that runs a routine of `isa`, such as the delivery of a fault, at EIP."""
    builder = Native()
    token = tracing.set(builder)
    try:
        builder.start(builder.initial(EIP), 0)
        run(routine, builder)
    finally:
        tracing.reset(token)
    if builder.code.here.end is None:
        eip = builder.here if builder.eip is None else builder.eip
        builder.exit(builder.code.here, DONE, eip, builder.words, builder.record)
    return _text(_Function(name, builder, 0))


def _end(f: _Function, head: int, loop: bool) -> None:
    """Leave after the last instruction, or go back to the head."""
    b, code = f.builder, f.builder.code
    if code.here.end is not None:
        return
    assert b.eip is not None
    edge, taken, target = b.memo.get("branch", (None, None, None))
    conditional = edge is not None and edge is b.eip
    goal = target if conditional else b.eip
    if not loop or f.weight == 0 or not isinstance(goal, int) or goal != head:
        b.exit(code.here, DONE, b.eip, b.words, b.record)
        return
    if conditional:
        origin, out = code.here, code.open()
        b.exit(out, DONE, b.next, b.words, b.record)
        back = code.open()
        origin.end = f"br i1 {taken.text}, label %{back.label}, label %{out.label}"
    f.left = code.value(f"sub i64 %left, {f.weight}", 64).text
    enough = code.value(f"icmp sge i64 {f.left}, {f.weight}", 1)
    edge_block, spent = code.here, code.open()
    b.exit(spent, BUDGET, head, b.words, b.record)
    f.back = b.exit(edge_block, DONE, head, b.words, b.record, "head")
    edge_block.end = f"br i1 {enough.text}, label %head, label %{spent.label}{LIKELY}"


def _text(f: _Function) -> str:
    """The function, with its entry, head and exit around the code."""
    b = f.builder
    changed = sorted({n for way in b.exits for n in way.words})
    b.touched.update(n for n in changed if n not in b.known)
    initial = {n: text(b.initial(n)) for n in changed}
    first = b.code.blocks[0].label
    exits = _exit(f, changed, initial)
    return "\n".join(
        [
            f"define i32 @{f.name}(ptr noalias nocapture %state, ptr noalias nocapture %context) nounwind {{",
            *_entry(f),
            *_head(f),
            f"br label %{first}",
            b.code.text(),
            *exits,
            "}",
            "",
        ]
    )


def _entry(f: _Function) -> list[str]:
    lines = ["entry:"]
    for name, type_, n in (("ram", "ptr", RAM), ("ram_size", "i64", RAM_SIZE), ("left0", "i64", LEFT)):
        lines += [
            f"%{name}_at = getelementptr i64, ptr %context, i64 {n}",
            f"%{name} = load {type_}, ptr %{name}_at",
        ]
    for name, n in _inputs(f):
        at = f"%at{n}"
        lines += [f"{at} = getelementptr i32, ptr %state, i64 {n}", f"{name}in = load i32, ptr {at}"]
    lines += [
        f"%enough = icmp sge i64 %left0, {f.weight}",
        f"br i1 %enough, label %head, label %short{LIKELY}",
        "short:",
        f"ret i32 {BUDGET}",
    ]
    return lines


def _inputs(f: _Function) -> list[tuple[str, int]]:
    """What the code calls its inputs, and the words of the state they are."""
    return [
        *((f"%w{n}", n) for n in sorted(f.builder.touched)),
        *zip(HEAD_RECORD, RECORD_WORDS, strict=True),
    ]


def _head(f: _Function) -> list[str]:
    """The phis of the head; with one predecessor they only rename."""
    b, back = f.builder, f.back
    lines = ["head:"]
    brought: dict[str, str] = {}
    if back is not None:
        brought = {name: text(x) for name, x in zip(HEAD_RECORD, back.record.words(), strict=True)}
        brought |= {f"%w{n}": text(back.words.get(n, b.initial(n))) for n in sorted(b.touched)}
    for name, _ in _inputs(f):
        way = f", [ {brought[name]}, %{back.block.label} ]" if back is not None else ""
        lines.append(f"{name} = phi i32 [ {name}in, %entry ]{way}")
    way = f", [ {f.left}, %{back.block.label} ]" if back is not None else ""
    lines.append(f"%left = phi i64 [ %left0, %entry ]{way}")
    return lines


def _exit(f: _Function, changed: Sequence[int], initial: dict[int, str]) -> list[str]:
    """Phis over the exits, and the stores.

    Exits that find the state as it was at the head, such as all faults of a first instruction, have a
    block of their own: phis that keep every word alive until each of them are what costs compile time.
    """
    b = f.builder
    clean: list[Exit] = []
    rest: list[Exit] = []
    for way in b.exits:
        untouched = not way.words and way.record is b.head_record and f.back is None
        (clean if untouched else rest).append(way)
    lines = []
    if clean:
        for way in clean:
            way.block.end = "br label %untouched"
        lines += _phis("untouched", "u", {way.block.label: _common(way) for way in clean})
        lines += [*_stores("u", [(EIP, "%eipu")]), *_count("u")]
    if rest:
        ways = {}
        for way in rest:
            words = {f"w{n}": text(way.words[n]) if n in way.words else initial[n] for n in changed}
            record = zip(HEAD_RECORD, way.record.words(), strict=True)
            ways[way.block.label] = _common(way) | words | {name[1:]: text(x) for name, x in record}
        lines += _phis("exit", "out", ways)
        stores = [(EIP, "%eipout"), *((n, f"%w{n}out") for n in changed)]
        if any(way.record is not b.head_record for way in rest):
            stores += [(n, f"{name}out") for name, n in zip(HEAD_RECORD, RECORD_WORDS, strict=True)]
        lines += [*_stores("out", stores), *_count("out")]
    return lines


def _common(way: Exit) -> dict[str, str]:
    """What every exit brings: values by the name they get."""
    return {"reason": str(way.reason), "eip": text(way.eip), "done": str(way.done)}


def _phis(label: str, suffix: str, ways: dict[str, dict[str, str]]) -> list[str]:
    """A block that begins with a phi for each name, over all ways to it."""
    lines = [f"{label}:"]
    for name in next(iter(ways.values())):
        sources = ", ".join(f"[ {values[name]}, %{source} ]" for source, values in ways.items())
        lines.append(f"%{name}{suffix} = phi i{64 if name == 'done' else 32} {sources}")
    return lines


def _stores(suffix: str, stores: Sequence[tuple[int, str]]) -> list[str]:
    """Store values into words of the state."""
    lines = []
    for n, value in stores:
        at = f"%to{n}{suffix}"
        lines += [f"{at} = getelementptr i32, ptr %state, i64 {n}", f"store i32 {value}, ptr {at}"]
    return lines


def _count(suffix: str) -> list[str]:
    """Count the budget down and return."""
    return [
        f"%left_now{suffix} = sub i64 %left, %done{suffix}",
        f"store i64 %left_now{suffix}, ptr %left0_at",
        f"ret i32 %reason{suffix}",
    ]
