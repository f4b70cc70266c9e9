"""A unit for people: the guest's code beside what stands for it in the cache."""

from __future__ import annotations

from dataclasses import dataclass

from isa.decode import decode
from isa.disasm import format_insn
from vmm.rewrite.cache import TranslationCache
from vmm.rewrite.translator import Unit, stub

NOT_AN_INSTRUCTION = "(no instruction within this page)"


@dataclass(frozen=True, slots=True)
class Line:
    """One guest instruction: where it is, how it reads, its treatment, and its translation as text.

    The last line of a unit may be none of the guest's: `treatment` is then `way out`, what leads on from here.
    """

    address: int
    text: str
    treatment: str
    code: tuple[tuple[int, str], ...]


def listing(unit: Unit, cache: TranslationCache) -> list[Line]:
    """The lines of a unit, as it stands in the cache now: chained jumps show where they lead."""
    lines: list[Line] = []
    at = unit.at

    def take(sizes: list[int]) -> tuple[tuple[int, str], ...]:
        nonlocal at
        code = []
        for size in sizes:
            code.append((at, format_insn(decode(cache.read(at, size)), at)))
            at += size
        return tuple(code)

    for one in unit.instructions:
        text = format_insn(one.insn, one.eip) if one.insn is not None else NOT_AN_INSTRUCTION
        code = take([len(piece.code) for piece in one.pieces])
        lines.append(Line(one.eip, text, str(one.treatment), code))
    own = sum(len(one.pieces) for one in unit.instructions)
    rest = [*unit.pieces[own:], *(stub(piece.target) for piece in unit.pieces if piece.target is not None)]
    for piece in rest:
        lines.append(Line(piece.eip, "", "way out", take([len(piece.code)])))
    return lines
