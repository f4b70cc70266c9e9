"""Instruction ids of our own, where capstone has one id for what a processor, and a monitor, tells apart.

A `MOV` to a control register is privileged, a `MOV` to a segment register loads a descriptor, any other
is harmless; capstone calls them all `X86_INS_MOV`. `decode` replaces its id by one of these (they lie
above all of capstone's), and the rows of `segops`, `system` and `farflow` register under them. Ids that
mean one thing are capstone's: `X86_INS_PUSHF`, `X86_INS_LGDT`, … Next: `decode`.
"""

from __future__ import annotations

FIRST = 100_000

MOV_SEG = FIRST + 0  # 8C, 8E: one operand is SEGMENT, the other r/m16 (or r32 as destination)
MOV_CR = FIRST + 1  # 0F 20, 0F 22: one operand is CONTROL, the other REG32
MOV_DR = FIRST + 2  # 0F 21, 0F 23: one operand is DEBUG, the other REG32
PUSH_SEG = FIRST + 3  # 06 0E 16 1E, 0F A0, 0F A8: operand SEGMENT, `w` the width pushed
POP_SEG = FIRST + 4  # 07 17 1F, 0F A1, 0F A9: operand SEGMENT, `w` the width popped
JMP_FAR = FIRST + 5  # EA: operand FAR; FF /5: operand MEM of w + 16 bits; `w` the width of the offset
CALL_FAR = FIRST + 6  # 9A, FF /3: the same; `w` is also the width of what is pushed
RET_FAR = FIRST + 7  # CB, CA imm16: `w` the width of what is popped
IRET = FIRST + 8  # CF: `w` 16 or 32
UNMODELLED = FIRST + 9  # valid on some processor, without a row here
HINT = FIRST + 10  # 0F 0D, 0F 18 to 0F 1F: NOPs with an operand
X87 = FIRST + 1000  # + n: the n-th name in `x87_forms.NAMES`
