"""Guest code to units of translation.

A unit is a straight run of at most twelve guest instructions, or up to a control transfer (AA 3.5), within
one page of the guest, so that one frame holds all its bytes. Nothing is assumed about what follows: code
is translated when it is reached. An instruction that goes on in the next page is a unit of its own, a
call-out, because two frames can change it. Where a unit's pieces go in the cache is `cache`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from isa import consts as c
from isa.decode import TruncatedCode, decode
from isa.faults import Fault
from isa.insn import Insn
from isa.memory import Ram
from vmm.rewrite import kinds as k
from vmm.rewrite import sequences
from vmm.rewrite.code import INT3, JUMP, NOP, Leave, Piece
from vmm.rewrite.kinds import Treatment

MAX_INSTRUCTIONS = 12


@dataclass(slots=True, eq=False)
class Link:
    """A relative jump in the cache that leads to guest address `target`."""

    at: int  # address of the jump
    length: int
    target: int
    stub: int  # where it leads while it is not chained
    unit: Unit | None = None  # what it is chained to


@dataclass(slots=True)
class Translated:
    """One guest instruction in a unit. `insn` is None where the bytes are none."""

    eip: int
    insn: Insn | None
    treatment: Treatment
    pieces: list[Piece]


@dataclass(slots=True, eq=False)
class Unit:
    """A run of guest instructions and, once `cache` has placed it, its translation."""

    eip: int
    user: bool
    frame: int  # the host frame of the guest's page
    source: bytes
    instructions: list[Translated]
    pieces: list[Piece]
    at: int = 0
    size: int = 0
    links: list[Link] = field(default_factory=list)
    callers: set[Link] = field(default_factory=set)
    positions: dict[int, int] = field(default_factory=dict)  # guest address -> cache address
    landing: int = 0
    alive: bool = True

    @property
    def key(self) -> tuple[int, bool]:
        return self.eip, self.user

    @property
    def offset(self) -> int:
        """Of the first byte in its page."""
        return self.eip & 0xFFF


def read_source(ram: Ram, frame: int, eip: int) -> list[tuple[int, Insn | None]]:
    """The instructions of the unit that starts at `eip`, in the page that `frame` holds.

    The last may be None: no instruction, or one that goes on in the next page.
    """
    found: list[tuple[int, Insn | None]] = []
    offset = eip & 0xFFF
    while len(found) < MAX_INSTRUCTIONS and offset < c.PAGE_SIZE:
        at = (eip & c.PAGE_MASK) | offset
        try:
            insn = decode(ram.read(frame + offset, min(15, c.PAGE_SIZE - offset)))
        except TruncatedCode:
            return found or [(at, None)]
        except Fault:
            return [*found, (at, None)]
        found.append((at, insn))
        offset += insn.length
        if insn.row in k.ENDS_UNIT:
            break
    return found


def translate(ram: Ram, frame: int, eip: int, user: bool, simulated: frozenset[int] | set[int]) -> Unit:
    """The unit at `eip`; instructions whose addresses are `simulated` become call-outs whatever they are."""
    instructions = []
    for at, insn in read_source(ram, frame, eip):
        treatment = k.treatment(insn, user) if insn is not None else Treatment.CALL_OUT
        if at in simulated:
            treatment = Treatment.CALL_OUT
        instructions.append(Translated(at, insn, treatment, _pieces(insn, at, treatment)))
    for one, after in pairwise(instructions):
        if one.insn is not None and one.insn.row == k.STI:
            _mark_after_sti(after)
    last = instructions[-1]
    end = last.eip + (last.insn.length if last.insn is not None else 1)
    pieces = [piece for one in instructions for piece in one.pieces]
    if (
        last.insn is not None
        and last.treatment is not Treatment.CALL_OUT
        and last.insn.row not in k.ENDS_UNIT
    ):
        after_sti = last.insn.row == k.STI
        following = end & c.M32
        pieces.append(Piece(JUMP, following, target=following, after_sti=after_sti))
    source = ram.read(frame + (eip & 0xFFF), min(end, (eip & c.PAGE_MASK) + c.PAGE_SIZE) - eip)
    return Unit(eip, user, frame, source, instructions, pieces)


def _pieces(insn: Insn | None, at: int, treatment: Treatment) -> list[Piece]:
    if insn is None or treatment is Treatment.CALL_OUT:
        return sequences.call_out(at)
    make = {
        Treatment.IDENTICAL: sequences.identical,
        Treatment.REWRITTEN: sequences.rewritten,
        Treatment.CHAINED: sequences.chained,
        Treatment.IN_CACHE: sequences.in_cache,
    }
    return make[treatment](insn, at)


def _mark_after_sti(one: Translated) -> None:
    """The first piece after an STI is reached from there alone; a repeated one is reached from itself too."""
    if one.insn is not None and one.insn.rep:
        one.pieces.insert(0, Piece(NOP, one.eip))
    one.pieces[0].after_sti = True


def stub(target: int) -> Piece:
    """Where a jump to guest address `target` leads until it is chained."""
    return Piece(INT3, target, leave=Leave.EXIT)
