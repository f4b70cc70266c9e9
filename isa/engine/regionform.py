"""Forming a region: from a place that is hot to the pieces of code that are compiled together.

The control flow around the place is followed as far as it is known without running it: direct jumps, both
ways of a branch, calls, and from a return to whatever the region itself calls from. What can be reached
and leads back is the region: an inner loop with the loops around it, functions that are called in it,
recursion. Where nothing leads back, it is what lies ahead.

Places are offsets from the first byte of the page. Only instructions that execution has met have records,
and only those are followed, so code that never runs is not compiled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from isa.consts import PAGE_SIZE
from isa.engine.shapes import goal_of, has_handler
from isa.insn import Insn, Kind
from isa.table import ROWS, Sensitive

LIMIT = 160  # instructions of a region: compile time grows faster than what is compiled
WORTH = 16  # instructions ahead, where nothing leads back: fewer do not pay for coming in and going out
AROUND = 3  # times as many are looked at, for a loop around what is hot

_MODULES = frozenset(
    f"isa.ops.{name}" for name in "arith bcd bits flow logic move muldiv shift stack string".split()
)
_FLAG_ROWS = frozenset("lahf sahf clc stc cmc cld std".split())
JUMPS = frozenset("jmp jcc call ret loop loope loopne jcxz".split())

Look = Callable[[int], Insn | None]


@dataclass(slots=True)
class Piece:
    """Instructions one after the other: only the first is jumped to, only the last jumps."""

    place: int
    insns: list[tuple[int, Insn]]
    goals: tuple[int, ...] = ()  # pieces of the region that it may go on at
    weight: int = 0  # instructions that it counts for
    bound: int = 0  # the budget with which it may begin: it lasts until it is looked at again


@dataclass(slots=True)
class Plan:
    """A region: its pieces in the order in which they are compiled, and where it may be entered."""

    pieces: dict[int, Piece]
    heads: tuple[int, ...]
    order: dict[int, int]
    returns: tuple[int, ...]  # places that follow a call
    sources: dict[int, list[int]] = field(default_factory=dict)  # of a piece: those that go on there

    def goes_back(self, piece: int, goal: int) -> bool:
        """Whether a way closes a cycle; the budget is looked at there."""
        return self.order[goal] <= self.order[piece]


def compilable(insn: Insn) -> bool:
    """Whether an instruction may be in a region: all that only calculates, moves and jumps."""
    row = ROWS[insn.row]
    known = row.define.__module__ in _MODULES or row.name in _FLAG_ROWS
    if insn.operands and insn.dst.kind is Kind.REL and goal_of(0, insn) is None:
        return False  # EIP is cut to 16 bits
    return known and row.sensitive is Sensitive.INNOCUOUS and has_handler(insn)


def goals_of(place: int, insn: Insn) -> list[int]:
    """Where execution may go on after an instruction, as far as it says itself."""
    name, after = ROWS[insn.row].name, place + insn.length
    if name not in JUMPS:
        return [place, after] if insn.rep else [after]
    goal = goal_of(place, insn)
    goals = [] if goal is None else [goal]
    return goals if name in ("jmp", "call", "ret") else [*goals, after]


class _Flow:
    """The instructions around a place, and how control flows between them."""

    def __init__(self, start: int, look: Look, limit: int) -> None:
        self.insns: dict[int, Insn] = {}
        self.onward: dict[int, list[int]] = {}
        self.returns: list[int] = []
        self.holes: set[int] = set()  # instructions that are left to their handlers
        returning: list[int] = []
        queue = deque([start])
        while queue and len(self.insns) < limit:
            place = queue.popleft()
            insn = look(place) if place not in self.insns and 0 <= place < PAGE_SIZE else None
            if insn is None:
                continue
            self.insns[place] = insn
            name, goals = ROWS[insn.row].name, goals_of(place, insn)
            if not compilable(insn):
                self.holes.add(place)
                goals = [place + insn.length]
            elif name == "call":
                self.returns.append(place + insn.length)
                queue.append(place + insn.length)
            elif name == "ret":
                returning.append(place)
            self.onward[place] = goals
            queue.extendleft(reversed(goals))
        for place in returning:
            self.onward[place] = self.returns
        for place, insn in self.insns.items():
            if ROWS[insn.row].name == "call" and not any(g in self.insns for g in self.onward[place]):
                self.onward[place] = [place + insn.length]  # comes back from outside

    def cycle(self, start: int) -> set[int]:
        """What `start` leads to and what leads to it."""
        back: dict[int, list[int]] = {}
        for place, goals in self.onward.items():
            for goal in goals:
                back.setdefault(goal, []).append(place)
        return _reach(start, self.onward) & _reach(start, back) & self.insns.keys()


def _reach(start: int, onward: Mapping[int, Iterable[int]]) -> set[int]:
    """Everything that can be reached by one step or more."""
    seen: set[int] = set()
    todo = list(onward.get(start, ()))
    while todo:
        place = todo.pop()
        if place not in seen:
            seen.add(place)
            todo += onward.get(place, ())
    return seen


def form(start: int, look: Look, limit: int = LIMIT, worth: int = WORTH) -> Plan | None:
    """The region around a place; `look` gives the instruction at a place, None where it has no record.

    None where there is none, or it would be left again at once, after less than `worth`: a loop around a system
    call.
    """
    flow = _Flow(start, look, AROUND * limit)
    inside = flow.cycle(start)
    if not inside or len(inside) > limit:
        flow = _Flow(start, look, limit)
        inside = flow.cycle(start)
    looping = bool(inside)
    if not looping:
        inside = set(flow.insns)
    inside -= flow.holes
    if len(inside) < worth and not (looping and _cyclic(flow, inside)):
        return None
    heads = _heads(flow, inside)
    if not looping or not heads:
        heads.add(start if start in inside else min(inside))
    leaders = heads | _leaders(flow, inside)
    return _plan(flow, inside, heads, leaders)


def _cyclic(flow: _Flow, inside: set[int]) -> bool:
    """Whether something leads back without leaving."""
    onward = {place: [g for g in flow.onward[place] if g in inside] for place in inside}
    return any(place in _reach(place, onward) for place in inside)


def _heads(flow: _Flow, inside: set[int]) -> set[int]:
    """Where a region is worth entering: where loops begin, functions, and what comes back from outside."""
    heads = set()
    for place in flow.insns.keys() & (inside | flow.holes):
        insn = flow.insns[place]
        after = place + insn.length
        call = ROWS[insn.row].name == "call"
        goals = flow.onward[place]
        heads |= {g for g in goals if g <= place or call}
        if place in flow.holes or (call and goals == [after]):
            heads.add(after)
    return heads & inside


def _leaders(flow: _Flow, inside: set[int]) -> set[int]:
    """Where pieces begin."""
    leaders = set(flow.returns)
    for place in inside:
        goals = flow.onward[place]
        after = place + flow.insns[place].length
        if goals != [after] or ROWS[flow.insns[place].row].name in JUMPS:
            leaders |= {*goals, after}
    leaders |= {p for p in inside if flow.insns[p].rep and ROWS[flow.insns[p].row].name not in JUMPS}
    return leaders & inside


def _plan(flow: _Flow, inside: set[int], heads: set[int], leaders: set[int]) -> Plan:
    reached = {g for p in inside for g in flow.onward[p]}
    leaders |= {p for p in inside if p not in reached}
    pieces = {place: _piece(flow, inside, leaders, place) for place in sorted(leaders)}
    order = _order(pieces, sorted(heads))
    returns = tuple(sorted(p for p in set(flow.returns) if p in order))
    plan = Plan({p: pieces[p] for p in order}, tuple(sorted(heads)), order, returns)
    for place in reversed(order):
        piece = pieces[place]
        ahead = [pieces[g].bound for g in piece.goals if not plan.goes_back(place, g)]
        until_last = piece.weight - piece.insns[-1][1].weight + 1  # it too begins only with budget left
        piece.bound = max(until_last, piece.weight + max(ahead, default=0))
    for place in order:
        for goal in pieces[place].goals:
            plan.sources.setdefault(goal, []).append(place)
    return plan


def _piece(flow: _Flow, inside: set[int], leaders: set[int], place: int) -> Piece:
    piece = Piece(place, [])
    at = place
    while True:
        insn = flow.insns[at]
        piece.insns.append((at, insn))
        piece.weight += insn.weight
        goals, after = flow.onward[at], at + insn.length
        if goals != [after] or ROWS[insn.row].name in JUMPS or after not in inside or after in leaders:
            break
        at = after
    name = ROWS[insn.row].name
    if (name == "call" and goal_of(at, insn) is None) or (name == "call" and goal_of(at, insn) not in inside):
        goals = []
    piece.goals = tuple(dict.fromkeys(g for g in goals if g in leaders))
    return piece


def _order(pieces: dict[int, Piece], heads: list[int]) -> dict[int, int]:
    """Reverse postorder from the heads."""
    done: list[int] = []
    seen: set[int] = set()
    for head in heads:
        if head in seen:
            continue
        seen.add(head)
        stack = [(head, iter(pieces[head].goals))]
        while stack:
            place, goals = stack[-1]
            goal = next((g for g in goals if g not in seen), None)
            if goal is None:
                done.append(place)
                stack.pop()
            else:
                seen.add(goal)
                stack.append((goal, iter(pieces[goal].goals)))
    return {place: n for n, place in enumerate(reversed(done))}
