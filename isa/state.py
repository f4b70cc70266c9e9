"""The state of one x86: a flat block of 32-bit words, shared by Python and native code.

Word n of the block is named here and nowhere else: general registers first, in encoding order, so that
`s[EAX]` needs no translation; then EIP, EFLAGS, the privilege level, the visible and hidden parts of the
eight segment registers, the descriptor-table, control and debug registers. `array('I')` gives Python the
fastest indexing and native code a fixed address. Flags are lazy while an engine runs (`flags`); whenever
`Cpu.run` has returned, `s[EFLAGS]` is the whole truth.
"""

from __future__ import annotations

from array import array

from isa import consts as c

EIP = 8
EFLAGS = 9
CPL = 10
SHADOW = 11  # interrupts wait: 2 after STI, 3 after MOV SS, 1 while the next instruction runs
FLAG_OP, FLAG_X, FLAG_Y, FLAG_R = 12, 13, 14, 15  # the lazy record, for native engines

SEL = 16  # + ES..GS, LDTR, TR
BASE = 24
LIMIT = 32
ATTR = 40

GDT_BASE, GDT_LIMIT, IDT_BASE, IDT_LIMIT = 48, 49, 50, 51
CR0, CR2, CR3, CR4 = 52, 53, 54, 55
CR_WORD = {0: CR0, 2: CR2, 3: CR3, 4: CR4}
DR = 56  # + 0..7
SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP = 64, 65, 66
HALTED = 67  # 1 after HLT, until an interrupt
PENDING_DEBUG = 68  # bits of DR6 for the debug trap that comes at the next instruction boundary
TSC_ADJUST = 69  # + 0, 1: what WRMSR has added to the time-stamp counter, low and high half
NMI = 71  # NMI_WAITS once one has come, NMI_BLOCKED from its delivery to the next IRET (SDM 3A, 6.7.1)
PDPTE = 72  # + 2n, 2n+1: low and high half of the four PAE page-directory pointers (SDM 3A, 4.4.1)
NMI_WAITS, NMI_BLOCKED = 1, 2

# The x87 (SDM 1, 8.1): the whole of it from FPU to FPU_END.
FPU = 80
FPU_CONTROL, FPU_STATUS, FPU_TAGS, FPU_OPCODE, FPU_IP, FPU_CS, FPU_DP, FPU_DS = range(FPU, FPU + 8)
FPU_R = 88  # + 3n: register Rn, its significand's low and high half, then sign and exponent
FPU_IGNORED = 112  # IGNNE# is asserted: a pending exception stops nothing (SDM 1, D.2.1.2)
FPU_END = 113
# FPU_TAGS has bit n set where Rn is in use, as FXSAVE stores tags; FPU_STATUS has TOP in it.
WORDS = 113

NAMES: dict[str, int] = {
    **{name: n for n, name in enumerate(c.REGISTER_NAMES)},
    "eip": EIP,
    "eflags": EFLAGS,
    "cpl": CPL,
    **{name: SEL + n for n, name in enumerate(c.SEGMENT_NAMES)},
    **{f"{name}_base": BASE + n for n, name in enumerate(c.SEGMENT_NAMES)},
    **{f"{name}_limit": LIMIT + n for n, name in enumerate(c.SEGMENT_NAMES)},
    **{f"{name}_attr": ATTR + n for n, name in enumerate(c.SEGMENT_NAMES)},
    "gdt_base": GDT_BASE,
    "gdt_limit": GDT_LIMIT,
    "idt_base": IDT_BASE,
    "idt_limit": IDT_LIMIT,
    "cr0": CR0,
    "cr2": CR2,
    "cr3": CR3,
    "cr4": CR4,
    **{f"dr{n}": DR + n for n in range(8)},
    **{name: FPU + n for n, name in enumerate(("fcw", "fsw", "ftags", "fop", "fip", "fcs", "fdp", "fds"))},
    **{f"r{n}_{part}": FPU_R + 3 * n + k for n in range(8) for k, part in enumerate(("low", "high", "exp"))},
}

FLAT_CODE = c.ATTR_G | c.ATTR_DB | c.ATTR_P | c.ATTR_S | c.TYPE_CODE | c.TYPE_READABLE | c.TYPE_ACCESSED
FLAT_DATA = c.ATTR_G | c.ATTR_DB | c.ATTR_P | c.ATTR_S | c.TYPE_WRITABLE | c.TYPE_ACCESSED


def new_state() -> array[int]:
    """The block of a processor in flat 32-bit protected mode, paging and interrupts off.

    This is the state in which a Multiboot loader enters a kernel (Multiboot 0.6.96, 3.2), the state in
    which every guest here starts; the descriptor tables are empty until the guest loads its own.
    """
    s = array("I", bytes(4 * WORDS))
    s[EFLAGS] = c.FLAGS_ONE
    s[CR0] = c.CR0_PE | c.CR0_ET
    s[DR + 6], s[DR + 7] = c.DR6_ONES, c.DR7_ONES
    for segment in (c.ES, c.CS, c.SS, c.DS, c.FS, c.GS):
        code = segment == c.CS
        s[SEL + segment] = 0x08 if code else 0x10
        s[LIMIT + segment] = c.M32
        s[ATTR + segment] = FLAT_CODE if code else FLAT_DATA
    s[LIMIT + c.TR] = 0xFFFF
    s[ATTR + c.TR] = c.ATTR_P | c.TYPE_TSS32_BUSY
    s[LIMIT + c.LDTR] = 0xFFFF
    s[ATTR + c.LDTR] = c.ATTR_P | c.TYPE_LDT
    s[IDT_LIMIT] = s[GDT_LIMIT] = 0
    s[FPU_CONTROL] = c.FCW_INIT
    return s


def reset_state() -> array[int]:
    """The block of a processor after RESET: real mode, CS:IP at FFFF FFF0 (SDM 3A, 9.1.4)."""
    s = new_state()
    s[CR0] = c.CR0_ET
    s[EIP] = 0xFFF0
    s[IDT_LIMIT] = 0x3FF
    s[GDT_LIMIT] = 0xFFFF
    for segment in (c.ES, c.CS, c.SS, c.DS, c.FS, c.GS):
        s[SEL + segment], s[BASE + segment], s[LIMIT + segment] = 0, 0, 0xFFFF
        s[ATTR + segment] = c.ATTR_P | c.ATTR_S | c.TYPE_WRITABLE | c.TYPE_ACCESSED
    s[SEL + c.CS], s[BASE + c.CS] = 0xF000, 0xFFFF_0000
    return s
