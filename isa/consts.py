"""Names and bits as the Intel SDM has them; the only place where they are numbers.

Here are register numbers, bits of EFLAGS, CR0, CR4, page-table entries, page-fault error codes, segment
attributes, descriptor types and exception vectors. The layout of the state block is in `state`, what the
bits do is in `segment`, `mmu`, `deliver` and `ops`. SDM numbers refer to volume 3A unless said otherwise.
"""

# General registers, in encoding order (SDM 2A, table 2-2).
EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI = range(8)
REGISTER_NAMES = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
REGISTER16_NAMES = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di")
REGISTER8_NAMES = ("al", "cl", "dl", "bl", "ah", "ch", "dh", "bh")

# Segment registers in encoding order, then the two system segments that have hidden parts too.
ES, CS, SS, DS, FS, GS, LDTR, TR = range(8)
CPL_SEGMENTS = (ES, DS, FS, GS)  # those that a return to an outer level may null
SEGMENT_NAMES = ("es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr")

# EFLAGS (SDM 1, 3.4.3).
CF, PF, AF, ZF, SF = 1 << 0, 1 << 2, 1 << 4, 1 << 6, 1 << 7
TF, IF, DF, OF = 1 << 8, 1 << 9, 1 << 10, 1 << 11
IOPL = 3 << 12
IOPL_SHIFT = 12
NT, RF, VM, AC, VIF, VIP, ID = (1 << n for n in (14, 16, 17, 18, 19, 20, 21))
FLAGS_ONE = 1 << 1  # bit 1 always reads as one
ARITHMETIC = CF | PF | AF | ZF | SF | OF
FLAG_BITS = {
    "CF": CF, "PF": PF, "AF": AF, "ZF": ZF, "SF": SF, "TF": TF, "IF": IF, "DF": DF, "OF": OF,
    "NT": NT, "RF": RF, "VM": VM, "AC": AC, "VIF": VIF, "VIP": VIP, "ID": ID,
}  # fmt: skip

# Control registers (SDM 2.5).
CR0_PE, CR0_MP, CR0_EM, CR0_TS, CR0_ET, CR0_NE = (1 << n for n in range(6))
CR0_WP, CR0_AM, CR0_NW, CR0_CD, CR0_PG = (1 << n for n in (16, 18, 29, 30, 31))
CR0_BITS = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG
CR4_VME, CR4_PVI, CR4_TSD, CR4_DE, CR4_PSE, CR4_PAE, CR4_MCE, CR4_PGE, CR4_PCE = (1 << n for n in range(9))
CR4_OSFXSR = 1 << 9
CR4_UMIP = 1 << 11

# Debug registers (SDM 3B, 17.2). DR6 says why a debug exception came, DR7 what it may come for.
DR6_B, DR6_BD, DR6_BS, DR6_BT = 0xF, 1 << 13, 1 << 14, 1 << 15
DR6_ONES, DR6_BITS = 0xFFFF_0FF0, 0xE00F  # always one; those that can be written
DR7_ENABLED = 0xFF  # L0 G0 … L3 G3
DR7_LOCAL = 0x155  # L0 to L3 and LE, which a task switch clears
DR7_GD = 1 << 13
DR7_ONES, DR7_BITS = 0x400, 0xFFFF_23FF

# Page-table entries (SDM 4.3) and the error code of a page fault (SDM 4.7).
PTE_P, PTE_W, PTE_U, PTE_PWT, PTE_PCD, PTE_A, PTE_D, PDE_PS, PTE_G = (1 << n for n in range(9))
PAGE_SIZE = 4096
PAGE_MASK = 0xFFFF_F000
LARGE_PAGE_MASK = 0xFFC0_0000
PAE_LARGE_PAGE_MASK = 0xFFE0_0000  # of the low half of a PAE entry: 2 MB
LARGE_PAGE_RESERVED = 0x003F_F000  # bits of its entry that must be zero: there is neither PAT nor PSE-36
PAE_LARGE_PAGE_RESERVED = 0x001F_F000
PDPTE_RESERVED = 0x1E6  # bits of a PAE page-directory pointer that must be zero
PAE_HIGH_RESERVED = 0xFFFF_FFF0  # of the high half of an entry: 36 physical address bits, no NX
PF_P, PF_W, PF_U, PF_RSVD = (1 << n for n in range(4))

# Hidden part of a segment register: the descriptor's bytes 5 and 6 as one word (SDM 3.4.5).
ATTR_TYPE = 0x000F
ATTR_S = 0x0010  # code or data, not system
ATTR_DPL = 0x0060
ATTR_DPL_SHIFT = 5
ATTR_P = 0x0080
ATTR_DB = 0x4000  # default operand size / big stack
ATTR_G = 0x8000
# Type field of code and data segments.
TYPE_CODE = 8
TYPE_EXPAND_DOWN = 4  # of data
TYPE_CONFORMING = 4  # of code
TYPE_WRITABLE = 2  # of data
TYPE_READABLE = 2  # of code
TYPE_ACCESSED = 1
# System descriptor types (SDM 3.5, table 3-2).
TYPE_TSS16, TYPE_LDT, TYPE_TSS16_BUSY, TYPE_CALL_GATE16, TYPE_TASK_GATE = 1, 2, 3, 4, 5
TYPE_INT_GATE16, TYPE_TRAP_GATE16 = 6, 7
TYPE_TSS32, TYPE_TSS32_BUSY, TYPE_CALL_GATE32, TYPE_INT_GATE32, TYPE_TRAP_GATE32 = 9, 11, 12, 14, 15
TSS_BUSY = 2  # the bit that turns an available TSS type into a busy one

SEL_RPL = 3
SEL_TI = 4
SEL_INDEX = 0xFFF8

# Error code of segment faults (SDM 6.13).
ERR_EXT, ERR_IDT, ERR_TI = 1, 2, 4

# x87: exceptions in status and control word at the same places; the rest of the status word, the fields of
# the control word (SDM 1, 8.1.3 and 8.1.5).
FSW_IE, FSW_DE, FSW_ZE, FSW_OE, FSW_UE, FSW_PE, FSW_SF, FSW_ES = (1 << n for n in range(8))
FSW_C0, FSW_C1, FSW_C2, FSW_C3, FSW_B = (1 << n for n in (8, 9, 10, 14, 15))
FSW_TOP_SHIFT = 11
FSW_TOP = 7 << FSW_TOP_SHIFT
FSW_EXCEPTIONS = 0x3F
FSW_CODES = FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3
FCW_IM, FCW_DM, FCW_ZM, FCW_OM, FCW_UM, FCW_PM, FCW_ONE = (1 << n for n in range(7))
FCW_PC_SHIFT, FCW_RC_SHIFT = 8, 10
FCW_BITS = 0x1F3F  # those that can be written; FCW_ONE always reads as one
FCW_INIT = 0x037F  # after FNINIT: everything masked, 64 bits, to the nearest

# Exception vectors (SDM 6.3.1).
VEC_DE, VEC_DB, VEC_NMI, VEC_BP, VEC_OF, VEC_BR, VEC_UD, VEC_NM, VEC_DF = range(9)
VEC_TS, VEC_NP, VEC_SS, VEC_GP, VEC_PF = 10, 11, 12, 13, 14
VEC_MF, VEC_AC, VEC_MC, VEC_XM = 16, 17, 18, 19
VECTOR_NAMES = {
    VEC_DE: "#DE", VEC_DB: "#DB", VEC_NMI: "NMI", VEC_BP: "#BP", VEC_OF: "#OF", VEC_BR: "#BR", VEC_UD: "#UD",
    VEC_NM: "#NM", VEC_DF: "#DF", VEC_TS: "#TS", VEC_NP: "#NP", VEC_SS: "#SS", VEC_GP: "#GP", VEC_PF: "#PF",
    VEC_MF: "#MF", VEC_AC: "#AC", VEC_MC: "#MC", VEC_XM: "#XM",
}  # fmt: skip

M8, M16, M32 = 0xFF, 0xFFFF, 0xFFFF_FFFF
MASK = {8: M8, 16: M16, 32: M32, 64: 0xFFFF_FFFF_FFFF_FFFF, 80: (1 << 80) - 1, 128: (1 << 128) - 1}
SIGN = {8: 0x80, 16: 0x8000, 32: 0x8000_0000, 64: 1 << 63}
