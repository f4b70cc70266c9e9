"""The row of everything that has no row: valid x86 which vmsim does not have.

MMX, SSE and what came later decode to it. Executing it stops the machine honestly, with the name of
the instruction, instead of doing something wrong; a monitor can tell it from #UD.
"""

from __future__ import annotations

from isa import ids
from isa.insn import Insn
from isa.language import Builder
from isa.table import insn


@insn("unmodelled", ids.UNMODELLED, sdm="2A 3.1")
def unmodelled(b: Builder, i: Insn) -> None:
    """An instruction that exists, but not in vmsim."""
    b.not_modelled(i.name)
