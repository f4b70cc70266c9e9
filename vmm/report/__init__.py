"""What people and programs are told, as text and plain data; printing it is the command line's job.

    run        one run: a summary in words, and the JSON object
    explain    an instruction, a trap or an ending: what it is, and what each mode does with it
    glossary   the words for `explain` that no definition holds: vectors, trap kinds, endings
    listing    disassembly with source lines and symbols
    doctor     what is installed, and whether it works
    bench      how fast vmsim is, and its peers: `loops`, `contestants`, `race`, `bench_rows`, `bench_table`
    classes    Popek and Goldberg's classes, by experiment
    status     the exit statuses

The comparison of modes has its own room, `vmm.compare`.
"""
