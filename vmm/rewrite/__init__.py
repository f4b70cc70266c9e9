"""The binary translator: guest code in, safe code out, at run time, on an x86 that does not trap.

Binary, dynamic, on demand, system level, subsetting and adaptive, as Adams and Agesen list it (ASPLOS
2006, section 3): what comes in is the whole of x86, what goes out is code that is harmless in ring 1 or 3.

    kinds       what becomes of each instruction: identical, rewritten, chained, in the cache, call-out
    code        the pieces a translation is made of: bytes, weight, how to find the guest's state at each
    sequences   the helper sequences: IF without a trap, indirect jumps without a trap
    translator  guest bytes to a `Unit` of pieces
    cache       the translation cache: frames in the monitor's corner, and what each address in it means
    directory   units by guest address, chaining, the table of indirect targets, invalidation
    cells       the monitor's data page, which translated code reaches through GS
    world       the virtual state into the real processor for translated code, and back
    traced      pages whose stores are noticed
    listing     a unit for people, guest code beside its translation

Guest state is exact at every instruction. A translation weighs as much as what it stands for: its
last instruction counts, the others are weightless (`CodePage.uncounted`), so virtual time is the guest's.
Read `kinds` first, then `translator`; who runs it all is the mode.
"""
