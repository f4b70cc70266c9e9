"""A region as one native function: the definitions of its instructions over registers of the host.

    i32 region(ptr state, ptr rec, i64 left, ptr ctx, ptr tlb, ptr ram)

It is entered and left as a handler is, and stands in the record of each of its heads. Registers, the flags
record and the budget are variables of the function (`alloca`; LLVM's `sroa` makes them values). Pieces are
traced one by one; where a piece ends, what it changed is put back into the variables.

    entry   read the variables; leave if segments are not what the region was made for; to the head
    piece   its instructions. Whatever an instruction cannot do here, a translation that is missing, a
            fault, a store into code, branches to the one cold exit that the instruction has
    out     store the variables, then go on at EIP: by `@dispatch`, or by `@redo` where the handler of the
            instruction at EIP has to do it all, even if that is a head of this region

The budget is looked at on the ways that go back and at the entry, against the most that can be counted
before the next look; where it is short the handlers go on, so it ends at exactly the right instruction.
No address is in the text: EIP is PAGE_EIP plus an offset, so the same code serves wherever its page is
mapped, in every process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isa.engine.context import (
    ARGUMENTS,
    FLAT,
    PAGE_EIP,
    PARAMETERS,
    R_OFFSET,
    READ_END,
    WRITE_END,
)  # fmt: skip
from isa.engine.frames import tracing
from isa.engine.records import TAKES_OPERANDS, WORDS, Record
from isa.engine.regionbuilder import NOWHERE, REPEAT, RegionBuilder
from isa.engine.regionform import JUMPS, Piece, Plan
from isa.engine.shapes import goal_of
from isa.engine.ssa import LIKELY, Block
from isa.engine.trace import run
from isa.engine.words import Value, Word, fit, text
from isa.insn import Insn
from isa.state import BASE, EIP
from isa.table import ROWS


@dataclass(slots=True)
class _End:
    """What is known where a piece ends, for one that only it leads to."""

    words: dict[int, Word]
    record: Record
    memo: dict[Any, Any]


class Region(RegionBuilder):
    """A region in the making."""

    def __init__(self, name: str, plan: Plan, known: Mapping[int, int]) -> None:
        super().__init__(name, known)
        self.plan = plan
        self.ends: dict[int, _End] = {}

    # -- pieces -----------------------------------------------------------------------------------
    def trace(self) -> str:
        """The function's text."""
        token = tracing.set(self)
        try:
            for piece in self.plan.pieces.values():
                self._piece(piece)
        finally:
            tracing.reset(token)
        return self._text()

    def _piece(self, piece: Piece) -> None:
        code = self.code
        self.prelude = Block(f"p{piece.place}", pure=False)
        code.blocks.append(self.prelude)
        body = code.open()
        self.prelude.end = f"br label %{body.label}"
        self._begin(piece)
        for place, insn in piece.insns:
            self.begin(place, insn)
            run(ROWS[insn.row].define, self, insn)
            if code.here.end is not None:
                return  # it never goes on from here
            self.done += insn.weight
        self._finish(piece, place, insn)

    def _begin(self, piece: Piece) -> None:
        """The variables, as the piece finds them."""
        self.words, self.cached, self.memo, self.done = {}, {}, {}, 0
        self.left = self._early("load i64, ptr %aleft", 64)
        sources = self.plan.sources.get(piece.place, [])
        ends = [self.ends[p] for p in sources if p in self.ends]
        plain = piece.place not in self.plan.heads and len(ends) == len(sources) > 0
        if plain and len(sources) == 1:
            end = ends[0]
            self.cached, self.memo = dict(end.words), dict(end.memo)
            self.record = end.record
        else:
            ops = {text(end.record.op) for end in ends}
            known = ends[0].record.op if plain and len(ops) == 1 else None
            op: Word = known if isinstance(known, int) else self._early(f"load i32, ptr %a{WORDS[0]}", 32)
            self.record = self._variable_record(op)
        self.stored = self.record

    def _variable_record(self, op: Word) -> Record:
        """The record that the variables hold."""
        x, y, r = (self._early(f"load i32, ptr %a{n}", 32) for n in WORDS[1:])
        self.used.update(WORDS)
        if isinstance(op, Value):
            return Record(op, x, y, r)
        w, kind = op >> 8, op & 0xFF
        narrow = w if kind in TAKES_OPERANDS else 1
        return Record(op, self._cut(x, narrow), self._cut(y, narrow), self._cut(r, w))

    def _cut(self, word: Value, w: int) -> Value:
        return word if w == 32 else self._early(f"trunc i32 {word.text} to i{w}", w)

    def _finish(self, piece: Piece, place: int, insn: Insn) -> None:
        """Go on from the end of a piece."""
        code = self.code
        branch, taken, _ = self.memo.get("branch", (None, None, None))
        conditional = branch is not None and branch is self.eip
        self._put(self.words, self.record)
        left = self.left
        if self.done:
            left = code.value(f"sub i64 {text(left)}, {self.done}", 64)
            code.effect(f"store i64 {left.text}, ptr %aleft")
        self.left = left
        self.stored = self.record
        self.cached |= self.words
        self.words = {}
        self.memo.pop("branch", None)
        self.ends[piece.place] = _End(dict(self.cached), self.record, dict(self.memo))
        after, goal = place + insn.length, goal_of(place, insn)
        if conditional and isinstance(taken, Value):
            self._fork(piece, taken, goal, after)
        elif self.eip is None:
            self._edge(piece, after)
        elif insn.rep and ROWS[insn.row].name not in JUMPS:  # before a jump F2 and F3 mean nothing
            again = self.eip == REPEAT
            if isinstance(again, Value):
                self._fork(piece, again, place, after)
            else:
                self._edge(piece, place if again else after)
        elif goal is not None and ROWS[insn.row].name != "ret":
            self._edge(piece, goal)
        elif ROWS[insn.row].name == "ret" and piece.goals:
            self._return(piece, self.eip)
        else:
            self._away(self.eip)

    def _fork(self, piece: Piece, taken: Value, goal: int | None, after: int) -> None:
        origin = self.code.current()
        yes = self.code.open()
        assert goal is not None  # `compilable` refuses jumps that cut EIP
        self._edge(piece, goal)
        no = self.code.open()
        self._edge(piece, after)
        origin.end = f"br i1 {taken.text}, label %{yes.label}, label %{no.label}"

    def _return(self, piece: Piece, eip: Word) -> None:
        """RET: to one of the region's own calls, or away."""
        code = self.code
        page = self.context(PAGE_EIP, "i32", 32)
        place: Any = eip - page
        origin = code.current()
        cases = []
        for goal in piece.goals:
            way = code.open()
            self._edge(piece, goal)
            cases.append(f"i32 {goal}, label %{way.label}")
        away = code.open()
        self._away(eip)
        origin.end = f"switch i32 {text(fit(place, 32))}, label %{away.label} [ {' '.join(cases)} ]"

    def _edge(self, piece: Piece, goal: int) -> None:
        """Go on at a place: in the region if it is there, and the budget lasts."""
        code = self.code
        if goal not in piece.goals:
            self._out(goal, 0)
            return
        if self.plan.goes_back(piece.place, goal):
            enough = code.value(f"icmp sge i64 {text(self.left)}, {self.plan.pieces[goal].bound}", 1)
            cold = code.require(enough)
            going_on, code.here = code.here, cold
            self._out(goal, 0)
            code.here = going_on
        code.current().end = f"br label %p{goal}"

    # -- the text ---------------------------------------------------------------------------------
    def _text(self) -> str:
        used = sorted(self.used | self.changed)
        lines = [f"define i32 @{self.name}({PARAMETERS}) nounwind {{", "entry:"]
        lines += [f"%a{n} = alloca i32" for n in used]
        lines += ["%aleft = alloca i64", "%aplace = alloca i32", "store i64 %left, ptr %aleft"]
        for n in used:
            lines += [
                f"%s{n} = getelementptr i32, ptr %state, i64 {n}",
                f"%i{n} = load i32, ptr %s{n}",
                f"store i32 %i{n}, ptr %a{n}",
            ]
        for n in self.kept.values():
            lines += [f"%page{n} = alloca i64", f"store i64 {NOWHERE}, ptr %page{n}"]
            lines += [f"%host{n} = alloca ptr", f"store ptr null, ptr %host{n}"]
        lines += [
            f"%offset_at = getelementptr i8, ptr %rec, i64 {R_OFFSET}",
            "%offset = load i32, ptr %offset_at",
        ]
        lines += self._assumptions()
        heads = self.plan.heads
        cases = " ".join(f"i32 {place}, label %h{place}" for place in heads[1:])
        lines.append(
            f"switch i32 %offset, label %h{heads[0]} [ {cases} ]" if cases else f"br label %h{heads[0]}"
        )
        for place in heads:
            lines += [
                f"h{place}:",
                f"%enough{place} = icmp sge i64 %left, {self.plan.pieces[place].bound}",
                f"br i1 %enough{place}, label %p{place}, label %short{LIKELY}",
            ]
        lines += ["short:", *self._go_on("redo", "%offset", "%left", "s")]
        lines.append(self.code.text())
        for label, how in (("out", "dispatch"), ("again", "redo"), ("away", "dispatch")):
            lines += [f"{label}:", *self._stores(label)]
            lines += [f"%left{label} = load i64, ptr %aleft", f"%place{label} = load i32, ptr %aplace"]
            lines += self._go_on(how, f"%place{label}", f"%left{label}", label, add=label != "away")
        lines += ["}", ""]
        return "\n".join(lines)

    def _stores(self, label: str) -> list[str]:
        lines = []
        for n in sorted(self.changed):
            lines += [f"%{label}{n} = load i32, ptr %a{n}", f"store i32 %{label}{n}, ptr %s{n}"]
        return lines

    def _go_on(self, how: str, place: str, left: str, label: str, *, add: bool = True) -> list[str]:
        lines = []
        if add:
            lines += [
                f"%page_at{label} = getelementptr i64, ptr %ctx, i64 {PAGE_EIP}",
                f"%page{label} = load i32, ptr %page_at{label}",
                f"%eip{label} = add i32 %page{label}, {place}",
            ]
            place = f"%eip{label}"
        return [
            *lines,
            f"%eip_at{label} = getelementptr i32, ptr %state, i64 {EIP}",
            f"store i32 {place}, ptr %eip_at{label}",
            f"%went{label} = musttail call i32 @{how}({ARGUMENTS.replace('%left', left)})",
            f"ret i32 %went{label}",
        ]

    def _assumptions(self) -> list[str]:
        """Go on only if the state is what the region was made for."""
        wanted = [("%state", "i32", n, self.known[n]) for n in sorted(self.assumed)]
        flat = [n - BASE for n in sorted(self.assumed) if BASE <= n < BASE + 8]
        wanted += [("%ctx", "i64", ends + n, FLAT) for n in flat for ends in (READ_END, WRITE_END)]
        lines = []
        for k, (block, type_, n, value) in enumerate(wanted):
            lines += [
                f"%k{k}_at = getelementptr {type_}, ptr {block}, i64 {n}",
                f"%k{k} = load {type_}, ptr %k{k}_at",
                f"%same{k} = icmp eq {type_} %k{k}, {value}",
                f"br i1 %same{k}, label %on{k}, label %short{LIKELY}",
                f"on{k}:",
            ]
        return lines
