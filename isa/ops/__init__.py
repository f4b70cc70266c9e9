"""The definitions: one file per family of instructions, each instruction once.

Importing this package fills `isa.table`. The families carry the SDM's names (volume 1, chapter 7):

    arith logic shift bits muldiv bcd        computing
    move stack string                        moving data
    x87 (move, arith, compare, control)      floating point
    flow farflow sysenter                    control transfer within and between segments
    flagops segops system io                 what a monitor has to care about
"""

from isa.ops import (  # noqa: F401
    arith,
    bcd,
    bits,
    farflow,
    flagops,
    flow,
    io,
    logic,
    move,
    muldiv,
    segops,
    shift,
    stack,
    string,
    sysenter,
    system,
    unmodelled,
    x87arith,
    x87compare,
    x87control,
    x87move,
)
