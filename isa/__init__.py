"""What an x86 is: its state, its instructions, its memory management, its assembler.

Nothing here knows of monitors or machines; the one way out is `isa.cpu.Cpu.run`, which returns an `Exit`.
Reading order: `consts` (names), `state` (the registers), `insn` (an instruction as data), `table` and
`ops/arith.py` (how an instruction is defined), `language` (what definitions are written in), `segment`,
`mmu`, `deliver` (protection, paging, exceptions), `engine/reference.py` (running it), `cpu` (the whole).
"""
