"""The debugger: stops a guest at any instruction, shows both sides of the monitor, and goes back.

    engine       `Debugger`: step, run, break, watch, go back; an API without a terminal
    breakpoints  what stops a guest: addresses, changed memory, events
    expression   what people type for a number: registers, symbols, memory, arithmetic
    places       places in the guest as people name them, and back from address to place
    views        registers and descriptor and page tables as data, the guest's and the processor's
    screens      all of it as text, with `paint` for colour; `steps` tells one instruction's monitor work
    commands     the commands of the interpreter;  `shell`  the interpreter itself

Read `engine`, then `shell`.
"""

from vmm.debug.engine import DebugError, Debugger, Stopped

__all__ = ["DebugError", "Debugger", "Stopped"]
