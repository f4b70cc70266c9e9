"""What native code finds at fixed places: the context block, the records of instructions, its answers.

The context is one block of 64-bit words for each engine; `%ctx` points to it. A record describes one
instruction at one place in memory and is all that a handler knows of it; `%rec` points to it.

    record   0 handler   8 next record   16 target record   24 offset in the page   28 length
             32 two immediates   40 displacement   44 scale   48 four registers, as offsets into the state
"""

from __future__ import annotations

# Why native code returned, always with EIP at the next instruction and the state as it is before it.
SPENT = 0  # the budget is used up
MISS = 1  # the instruction at EIP has no record yet
GUARD = 2  # the reference engine has to run the instruction at EIP
ATTENTION = 3  # EFLAGS has changed so that something may happen now
FAULTED = 4  # the instruction at EIP page-faults, which a monitor wants to know: ADDRESS, ERROR
ACCESSES = 5  # the instruction at EIP, IN or OUT, may use its port: PORT, VALUE, RETURN

# Words of the context.
LEFT = 0  # instructions left to run
PAGE_EIP = 1  # EIP of the first byte of the page that is executed
ADDRESS, ACCESS = 2, 3  # a translation that is missing: linear address, and what for
ERROR, VECTOR, RETURN, WEIGHT = 4, 5, 6, 7  # a delivery: what goes on the stack, what it counts for
TLB, COUNTS = 8, 9  # addresses of the tables of `isa.tlb`, of how full their logs are
RAM, CODE_NUMBERS, CODE_BITS = 10, 11, 12  # addresses of what `isa.memory.Ram` has
PAGES, POOL = 13, 14  # addresses of the records of each page, of the records
AWAKE = 15  # bits of EFLAGS that need attention when set
POLICY = 16  # exceptions that a monitor wants, a bitmap
QUIET = 17  # 0: every delivery and every flush is told in Python
SEGMENTS, FLUSHED = 18, 19  # set where segments or translations have changed
MODEL_FLAGS = 20  # the bits of EFLAGS that the processor has
RESERVE = 22  # what is left besides LEFT where instructions run by themselves (`kernel`)
TIME = 23  # what the time-stamp counter will be when nothing is left
ORIGINALS = 21  # address of the handlers of records that begin a region, by number; 0 for others
READ_END, WRITE_END = 24, 32  # + segment: one past the last byte, 0 where the quick check may not decide
FLAT = 1 << 32  # what the ends are of a segment that is all of the linear space
TRAPS = 40  # bytes: 1 for a row that a monitor wants at CPL > 0, 2 where compiled code may emulate it
INTERCEPTS = TRAPS + 64  # bytes: 1 for a software interrupt that it wants
EXECUTED = INTERCEPTS + 32  # by row: how often the kernel executed it (sensitive rows)
INTERRUPTS = EXECUTED + 512  # by vector: how often INT n was delivered
FAULTS = INTERRUPTS + 256  # by vector: how often an exception was delivered
VIRTUAL = FAULTS + 32  # address of the virtual processor's state, 0 where its monitor wants every trap
PENDING = VIRTUAL + 1  # IF where an interrupt waits for the virtual one
SPLIT = PENDING + 1  # address of a byte for each code page: 1 where a segment has begun or ended in it
PORT = SPLIT + 1  # an access to a port: its number, width in bits << PORT_WIDTH, PORT_OUT if it writes VALUE
VALUE = PORT + 1
VECTORS = VIRTUAL - FAULTS
DELIVERIES = VALUE + 1  # by vector, CPL < 3 and CPL 3: address of what delivers such a fault, 0 for any
CONTEXT_WORDS = DELIVERIES + 2 * VECTORS

PORT_WIDTH, PORT_OUT = 16, 1 << 24

NO_ERROR = (1 << 64) - 1

# Bits of ACCESS.
STORE, AS_CPL, NESTED = 1, 2, 4  # NESTED: a fault here is not delivered natively

# The record.
RECORD_SIZE = 64
R_HANDLER, R_NEXT, R_TARGET, R_OFFSET, R_LENGTH, R_IMM, R_DISP, R_SCALE, R_REGS = (
    0,
    8,
    16,
    24,
    28,
    32,
    40,
    44,
    48,
)

PAGE_ENTRIES = 8192  # of PAGES: 4096 offsets of 32-bit code, then of 16-bit code
MAX_PAGES = 1 << 14  # pages of code that may have records
MAX_RECORDS = 1 << 21

ARGUMENTS = "ptr %state, ptr %rec, i64 %left, ptr %ctx, ptr %tlb, ptr %ram"
PARAMETERS = (
    "ptr noundef %state, ptr noundef %rec, i64 %left, ptr noundef %ctx, ptr noundef %tlb, ptr noundef %ram"
)
