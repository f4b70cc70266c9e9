"""The row of everything that has no row: instructions of later processors.

MMX, SSE and what came after them decode to it, so that they have a length and a name; to the processors
here they are undefined, as CPUID says, and raise #UD.
"""

from __future__ import annotations

from isa import ids
from isa.faults import InvalidOpcode
from isa.insn import Insn
from isa.language import Builder
from isa.table import insn

LATER = "later"  # a feature of no model


@insn("unmodelled", ids.UNMODELLED, sdm="2A 3.1", feature=LATER)
def unmodelled(b: Builder, i: Insn) -> None:
    """An instruction that exists, but not on this processor."""
    raise InvalidOpcode()
