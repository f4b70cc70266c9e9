"""The engines that run the definitions.

`reference` runs them on Python ints (`intwords`, `intflags`, `intmemory`, `x87ints`): always right, always
there, about a million instructions a second.
The compiled back ends trace the very same definitions into LLVM and are proven equal to it:

    trace, frames, words, ssa      definitions become code (`rewritten` keeps the first step on disk)
    threadedbuilder, handler       one instruction of a shape, threaded to the next; `virtual`: for a monitor
    nativewords, nativeflags, nativememory, nativex87    what definitions do there, as LLVM instructions
    routine, arrival, kernel       what handlers go on in: dispatch, translations, delivery, ways to Python
    pool, library, store           records of instructions; handlers of this process, and on disk
    threaded                       all of it for one processor
    regions, regionform, regioncode, regionstore    hot code in larger pieces
    transfer                       hot INTs, IRETs and faults, for the tables that they meet
"""
