"""System registers: descriptor tables, control and debug registers, MSRs, HLT, CPUID, RDTSC.

Loading one is privileged and traps at CPL > 0. Storing one, SGDT SIDT SLDT STR SMSW, is not: it shows a
program the real machine's registers, group 3B of Robin and Irvine. SDM 3A, chapter 2.
"""

from __future__ import annotations

from isa.capstone_ids import X
from isa import ids
from isa.consts import (
    ATTR_P, CR0_AM, CR0_BITS, CR0_CD, CR0_EM, CR0_ET, CR0_MP, CR0_NW, CR0_PE, CR0_PG, CR0_TS, CR0_WP, CR4_DE,
    CR4_PAE, CR4_PGE, CR4_PSE, CR4_TSD, DR6_BD, DR6_BITS, DR6_ONES, DR7_BITS, DR7_GD, DR7_ONES, EAX, EBX, ECX, EDX,
    LDTR, M32, MASK, TR, TSS_BUSY, TYPE_LDT, TYPE_TSS16, TYPE_TSS32,
)  # fmt: skip
from isa.faults import DebugException, GeneralProtection, InvalidOpcode, SegmentNotPresent
from isa.insn import Insn, Kind
from isa.language import Builder, Word
from isa.mmu import reload_pointers
from isa.ops.segops import protected_only
from isa.segment import attr_of, base_of, descriptor, limit_of, selector_error
from isa.state import (
    BASE,
    CPL,
    CR0,
    CR2,
    CR3,
    CR4,
    CR_WORD,
    DR,
    GDT_BASE,
    GDT_LIMIT,
    IDT_BASE,
    IDT_LIMIT,
    SEL,
)
from isa.table import Privilege, Sensitive, insn

RULE = "#GP(0) at CPL > 0"
SHOWS = "shows the real register at any privilege level, without a trap"


def require_cpl0(b: Builder) -> None:
    """#GP(0) at any level but 0."""
    if b.s[CPL] != 0:
        raise GeneralProtection(0)


# -- descriptor tables ----------------------------------------------------------------------------


def _load_table(b: Builder, i: Insn, base: int, limit: int) -> None:
    require_cpl0(b)
    at = b.offset(i.dst)
    size = b.load(i.dst.n, at, 16)
    address = b.load(i.dst.n, (at + 2) & MASK[i.dst.aw], 32)
    b.s[limit] = b.zext(size, 16, 32)
    b.s[base] = address & 0x00FF_FFFF if i.w == 16 else address


def _store_table(b: Builder, i: Insn, base: int, limit: int) -> None:
    at = b.offset(i.dst)
    b.probe(i.dst.n, at, 6)
    b.store(i.dst.n, at, b.trunc(b.s[limit], 16), 16)
    b.store(i.dst.n, (at + 2) & MASK[i.dst.aw], b.s[base], 32)


@insn(
    "lgdt",
    X.X86_INS_LGDT,
    sdm="2A LGDT/LIDT",
    privilege=Privilege.CPL0,
    sensitive=Sensitive.PRIVILEGED,
    touches="GDTR",
    rule=RULE,
)
def lgdt(b: Builder, i: Insn) -> None:
    """GDTR from a 16-bit limit and a 32-bit base (24 bits of it with a 16-bit operand size)."""
    _load_table(b, i, GDT_BASE, GDT_LIMIT)


@insn(
    "lidt",
    X.X86_INS_LIDT,
    sdm="2A LGDT/LIDT",
    privilege=Privilege.CPL0,
    sensitive=Sensitive.PRIVILEGED,
    touches="IDTR",
    rule=RULE,
)
def lidt(b: Builder, i: Insn) -> None:
    _load_table(b, i, IDT_BASE, IDT_LIMIT)


@insn("sgdt", X.X86_INS_SGDT, sdm="2B SGDT", sensitive=Sensitive.SILENT, touches="GDTR", rule=SHOWS)
def sgdt(b: Builder, i: Insn) -> None:
    """Stores limit and base of the GDT."""
    _store_table(b, i, GDT_BASE, GDT_LIMIT)


@insn("sidt", X.X86_INS_SIDT, sdm="2B SIDT", sensitive=Sensitive.SILENT, touches="IDTR", rule=SHOWS)
def sidt(b: Builder, i: Insn) -> None:
    """Stores limit and base of the IDT: the "red pill"."""
    _store_table(b, i, IDT_BASE, IDT_LIMIT)


def _system_descriptor(b: Builder, selector: Word) -> tuple[Word, Word, Word]:
    """Address and words of the GDT descriptor for LLDT and LTR; #GP(selector) if it is in an LDT."""
    if selector & 4:
        raise GeneralProtection(selector_error(selector))
    return descriptor(b, selector)


@insn(
    "lldt",
    X.X86_INS_LLDT,
    sdm="2A LLDT",
    privilege=Privilege.CPL0,
    sensitive=Sensitive.PRIVILEGED,
    touches="LDTR",
    rule=RULE,
)
def lldt(b: Builder, i: Insn) -> None:
    """LDTR from a GDT descriptor of type LDT; a null selector leaves no LDT."""
    protected_only(b)
    require_cpl0(b)
    selector = b.zext(b.trunc(b.read(i.dst), 16), 16, 32)
    if not selector & 0xFFFC:
        b.set_segment(LDTR, selector, 0, 0, 0)
        return
    _at, low, high = _system_descriptor(b, selector)
    attr = attr_of(high)
    if (attr & 0x1F) != TYPE_LDT:
        raise GeneralProtection(selector_error(selector))
    if not attr & ATTR_P:
        raise SegmentNotPresent(selector_error(selector))
    b.set_segment(LDTR, selector, base_of(low, high), limit_of(low, high), attr)


@insn(
    "ltr",
    X.X86_INS_LTR,
    sdm="2A LTR",
    privilege=Privilege.CPL0,
    sensitive=Sensitive.PRIVILEGED,
    touches="TR",
    rule=RULE,
)
def ltr(b: Builder, i: Insn) -> None:
    """TR from an available TSS descriptor, which becomes busy."""
    protected_only(b)
    require_cpl0(b)
    selector = b.zext(b.trunc(b.read(i.dst), 16), 16, 32)
    if not selector & 0xFFFC:
        raise GeneralProtection(0)
    at, low, high = _system_descriptor(b, selector)
    attr = attr_of(high)
    if ((attr & 0x1F) != TYPE_TSS32) and ((attr & 0x1F) != TYPE_TSS16):
        raise GeneralProtection(selector_error(selector))
    if not attr & ATTR_P:
        raise SegmentNotPresent(selector_error(selector))
    b.store_system((at + 4) & M32, high | (TSS_BUSY << 8), 32)
    b.set_segment(TR, selector, base_of(low, high), limit_of(low, high), attr | TSS_BUSY)


@insn("sldt", X.X86_INS_SLDT, sdm="2B SLDT", sensitive=Sensitive.SILENT, touches="LDTR", rule=SHOWS)
def sldt(b: Builder, i: Insn) -> None:
    protected_only(b)
    b.write(i.dst, b.trunc(b.s[SEL + LDTR], i.dst.w))


@insn("str", X.X86_INS_STR, sdm="2B STR", sensitive=Sensitive.SILENT, touches="TR", rule=SHOWS)
def str_(b: Builder, i: Insn) -> None:
    """Stores the selector of the current task."""
    protected_only(b)
    b.write(i.dst, b.trunc(b.s[SEL + TR], i.dst.w))


# -- control registers ----------------------------------------------------------------------------


def set_cr0(b: Builder, value: Word) -> None:
    """CR0 with its rules: PG needs PE, NW needs CD; a change of paging flushes the TLB (SDM 2.5)."""
    if (value & CR0_PG) and not value & CR0_PE:
        raise GeneralProtection(0)
    if (value & CR0_NW) and not value & CR0_CD:
        raise GeneralProtection(0)
    reload_pointers(b, value, b.s[CR3], b.s[CR4])
    old = b.s[CR0]
    b.s[CR0] = (value & CR0_BITS) | CR0_ET
    if (old ^ value) & (CR0_PG | CR0_WP | CR0_PE):
        b.flush_tlb()
    if (old ^ value) & CR0_AM:
        b.set_system_flags(b.system_flags())  # AC begins, or ceases, to count


def set_cr4(b: Builder, value: Word) -> None:
    """CR4: only bits of features that exist (CPUID) may be set."""
    if value & (b.model_cr4 ^ M32):
        raise GeneralProtection(0)
    reload_pointers(b, b.s[CR0], b.s[CR3], value)
    old = b.s[CR4]
    b.s[CR4] = value
    if (old ^ value) & (CR4_PSE | CR4_PGE | CR4_PAE):
        b.flush_tlb()


@insn(
    "mov cr",
    ids.MOV_CR,
    sdm="2B MOV—Move to/from Control Registers",
    privilege=Privilege.CPL0,
    sensitive=Sensitive.PRIVILEGED,
    touches="CR0 CR2 CR3 CR4",
    rule=RULE,
)
def mov_cr(b: Builder, i: Insn) -> None:
    """MOV to or from CR0, CR2, CR3, CR4. A load of CR3 flushes the TLB."""
    require_cpl0(b)
    if i.dst.kind == Kind.CONTROL:
        value = b.read(i.src)
        if i.dst.n == 0:
            set_cr0(b, value)
        elif i.dst.n == 4:
            set_cr4(b, value)
        elif i.dst.n == 3:
            reload_pointers(b, b.s[CR0], value, b.s[CR4])
            b.s[CR3] = value
            b.flush_tlb(keep_global=True)
        else:
            b.s[CR2] = value
    else:
        b.write(i.dst, b.s[CR_WORD[i.src.n]])


@insn(
    "clts",
    X.X86_INS_CLTS,
    sdm="2A CLTS",
    privilege=Privilege.CPL0,
    sensitive=Sensitive.PRIVILEGED,
    touches="CR0.TS",
    rule=RULE,
)
def clts(b: Builder, i: Insn) -> None:
    require_cpl0(b)
    b.s[CR0] = b.s[CR0] & ~CR0_TS & M32


@insn(
    "lmsw",
    X.X86_INS_LMSW,
    sdm="2A LMSW",
    privilege=Privilege.CPL0,
    sensitive=Sensitive.PRIVILEGED,
    touches="CR0",
    rule=RULE,
)
def lmsw(b: Builder, i: Insn) -> None:
    """CR0's PE, MP, EM, TS; PE can be set but not cleared."""
    require_cpl0(b)
    value = b.zext(b.trunc(b.read(i.dst), 16), 16, 32) & (CR0_PE | CR0_MP | CR0_EM | CR0_TS)
    keep = b.s[CR0] & ~(CR0_MP | CR0_EM | CR0_TS) & M32
    set_cr0(b, keep | value)


@insn("smsw", X.X86_INS_SMSW, sdm="2B SMSW", sensitive=Sensitive.SILENT, touches="CR0", rule=SHOWS)
def smsw(b: Builder, i: Insn) -> None:
    """Stores CR0: 16 bits to memory, as many as the register has otherwise."""
    b.write(i.dst, b.trunc(b.s[CR0], i.dst.w))


@insn(
    "invlpg",
    X.X86_INS_INVLPG,
    sdm="2A INVLPG",
    privilege=Privilege.CPL0,
    sensitive=Sensitive.PRIVILEGED,
    touches="TLB",
    rule=RULE,
    feature="486",
)
def invlpg(b: Builder, i: Insn) -> None:
    """Forgets the translation of one page."""
    require_cpl0(b)
    b.flush_page((b.offset(i.dst) + b.s[BASE + i.dst.n]) & M32)


@insn(
    "invd",
    X.X86_INS_INVD,
    sdm="2A INVD",
    privilege=Privilege.CPL0,
    sensitive=Sensitive.PRIVILEGED,
    touches="caches",
    rule=RULE,
    feature="486",
)
def invd(b: Builder, i: Insn) -> None:
    """There are no caches to lose."""
    require_cpl0(b)


@insn(
    "wbinvd",
    X.X86_INS_WBINVD,
    X.X86_INS_WBNOINVD,
    sdm="2D WBINVD",
    privilege=Privilege.CPL0,
    sensitive=Sensitive.PRIVILEGED,
    touches="caches",
    rule=RULE,
    feature="486",
)
def wbinvd(b: Builder, i: Insn) -> None:
    require_cpl0(b)


_DEBUG_BITS = {6: (DR6_ONES, DR6_BITS), 7: (DR7_ONES, DR7_BITS)}


@insn(
    "mov dr",
    ids.MOV_DR,
    sdm="2B MOV—Move to/from Debug Registers",
    privilege=Privilege.CPL0,
    sensitive=Sensitive.PRIVILEGED,
    touches="DR0-DR7",
    rule=RULE,
)
def mov_dr(b: Builder, i: Insn) -> None:
    """MOV to or from a debug register. DR4 and DR5 mean DR6 and DR7, or with CR4.DE nothing; DR7.GD
    makes every use a #DB, once."""
    debug = i.dst if i.dst.kind == Kind.DEBUG else i.src
    n = debug.n
    if n in (4, 5):
        if b.s[CR4] & CR4_DE:
            raise InvalidOpcode()
        n = n + 2
    require_cpl0(b)
    if b.s[DR + 7] & DR7_GD:
        raise DebugException(DR6_BD, trap=False)
    if i.dst.kind == Kind.DEBUG:
        ones, bits = _DEBUG_BITS.get(n, (0, M32))
        b.s[DR + n] = (b.read(i.src) & bits) | ones
        b.debug_registers_changed()
    else:
        b.write(i.dst, b.s[DR + n])


# -- the rest -------------------------------------------------------------------------------------


@insn(
    "hlt",
    X.X86_INS_HLT,
    sdm="2A HLT",
    privilege=Privilege.CPL0,
    sensitive=Sensitive.PRIVILEGED,
    touches="the processor",
    rule=RULE,
)
def hlt(b: Builder, i: Insn) -> None:
    """Stops until an interrupt."""
    require_cpl0(b)
    b.halt()


@insn(
    "cpuid",
    X.X86_INS_CPUID,
    sdm="2A CPUID",
    sensitive=Sensitive.SILENT,
    touches="identity of the real processor",
    rule=SHOWS,
    feature="CPUID",
)
def cpuid(b: Builder, i: Insn) -> None:
    """Says who the processor is and what it can."""
    a, bx, cx, dx = b.cpuid(b.s[EAX], b.s[ECX])
    b.s[EAX] = a
    b.s[EBX] = bx
    b.s[ECX] = cx
    b.s[EDX] = dx


@insn(
    "rdtsc",
    X.X86_INS_RDTSC,
    sdm="2B RDTSC",
    privilege=Privilege.TSD,
    sensitive=Sensitive.SILENT,
    touches="real time",
    rule="shows real time, unless CR4.TSD",
    feature="TSC",
)
def rdtsc(b: Builder, i: Insn) -> None:
    """EDX:EAX gets the time-stamp counter."""
    if (b.s[CR4] & CR4_TSD) and (b.s[CPL] != 0):
        raise GeneralProtection(0)
    low, high = b.timestamp()
    b.s[EAX] = low
    b.s[EDX] = high


@insn(
    "rdmsr",
    X.X86_INS_RDMSR,
    sdm="2B RDMSR",
    privilege=Privilege.CPL0,
    sensitive=Sensitive.PRIVILEGED,
    touches="MSRs",
    rule=RULE,
    feature="MSR",
)
def rdmsr(b: Builder, i: Insn) -> None:
    require_cpl0(b)
    low, high = b.read_msr(b.s[ECX])
    b.s[EAX] = low
    b.s[EDX] = high


@insn(
    "wrmsr",
    X.X86_INS_WRMSR,
    sdm="2D WRMSR",
    privilege=Privilege.CPL0,
    sensitive=Sensitive.PRIVILEGED,
    touches="MSRs",
    rule=RULE,
    feature="MSR",
)
def wrmsr(b: Builder, i: Insn) -> None:
    require_cpl0(b)
    b.write_msr(b.s[ECX], b.s[EAX], b.s[EDX])


@insn("ud2", X.X86_INS_UD2, sdm="2B UD", rule="always #UD")
def ud2(b: Builder, i: Insn) -> None:
    """Always #UD: what a kernel puts where it must never come."""
    raise InvalidOpcode()
