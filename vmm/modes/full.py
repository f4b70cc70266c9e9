"""`full`: trap-and-emulate on an x86 as Popek and Goldberg would have it.

The processor is real in all but one thing: every sensitive instruction of the table traps at CPL > 0,
also those that a real x86 lets through silently. Their first theorem then holds, and a monitor in the
manner of VM/370 is enough: direct execution, a trap, the interpreter, direct execution again.
"""

from __future__ import annotations

from isa.exits import ALL_VECTORS, TrapPolicy
from isa.table import Sensitive, rows
from vmm.modes.deprivileged import EVERY_FAULT, Deprivileged
from vmm.monitor.world import SHOW_X87_CS


class Full(Deprivileged):
    """Full virtualization: nothing sensitive runs unseen."""

    name = "full"
    title = "trap-and-emulate in ring 1, on a processor whose sensitive instructions all trap"
    heeds_breakpoints = True
    corner_is_empty = True  # what shows the real tables traps: nobody needs them there
    policy = TrapPolicy(
        exceptions=EVERY_FAULT,
        software_interrupts=ALL_VECTORS,
        instructions=rows((Sensitive.PRIVILEGED, Sensitive.SILENT)) | SHOW_X87_CS,
    )
