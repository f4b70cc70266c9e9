"""Hostile kernels: random code over random tables, made to find what a monitor forgot.

A frame that may or may not hold: descriptor tables with sound, broken and random descriptors, gates to
handlers, to garbage and to tasks, page tables that map themselves, the monitor's space or nothing. The code
is sensitive instructions with wild operands, stores into all those tables and into the code itself, jumps
to anywhere, and bytes that are no code at all. Many kernels die soon, which is an end to compare like any other.
"""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path

from isa.asm import AsmError, encode
from vmm.image import Image

ORIGIN = 0x1_0000
CODE, HANDLERS, GDT, LDT, IDT, TSS, STACK, TABLES = (
    ORIGIN + at for at in (0x0, 0x1000, 0x2000, 0x2200, 0x2400, 0x3000, 0x5000, 0x6000)
)
SIZE = 0xA000
MEMORY = 0x8_0000
SLOT = 24
SLOTS = 60
VECTORS = 32
TASKS = 3  # descriptors of TSSs, from selector 0x60 on

REGISTERS = "eax ebx ecx edx esi edi ebp".split()
INTERESTING = (
    0, 1, 2, 7, 0x10, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFC0_0000, 0xFFBF_FFFC, 0xFFBF_FFFF, 0xFFFF_FFF0,
    CODE, HANDLERS, GDT, GDT + 8, LDT, IDT, IDT + 8 * 13, TSS, TSS + 0x80, STACK, TABLES, TABLES + 0x1000,
    TABLES + 0x40, ORIGIN + SIZE, MEMORY, MEMORY - 4, 0xA_0000, 0xB_8000, 0xF_FFF0, 0xFEE0_0000, 0x40_0000,
)  # fmt: skip
SELECTORS = (
    *range(0, 0x90, 8),
    4,
    0xC,
    0x14,
    0x0B,
    0x13,
    0x1B,
    0x23,
    0x2B,
    0x11,
    0x19,
    0xFFF8,
    0xFFF0,
    0xFFE0,
)
CR0 = (
    0x11,
    0x8000_0011,
    0x8001_0011,
    0x10,
    0x8000_0010,
    0x8000_0013,
    0x1B,
    0x15,
    0x2000_0011,
    0xE000_0011,
    0x31,
)
CR4 = (0, 0x10, 0x20, 0x30, 0x90, 4, 8, 0x600, 0x80)
FLAGS = (0x2, 0x202, 0x3202, 0x3002, 0x102, 0x302, 0x4002, 0x2_0202, 0x2_3202, 0x1_0202, 0x4_0202, 0x20_0046)
FORMS = """
pushfd|popfd|cli|sti|pushfd; popfd|hlt|clts|cpuid|rdtsc|invd|wbinvd|iretd|iret|retf|retf 8|int3|into|nop|leave
push cs|push ss|push ds|push es|push fs|push gs|pop ds|pop es|pop fs|pop gs|pop ss|pushad|popad|cld|std
mov {r}, cs|mov {r}, ss|mov {r}, ds|mov word ptr {m}, cs|mov ds, {r16}|mov ss, {r16}|mov es, word ptr {m}
push {sel}; pop ds|push {sel}; pop es|push {sel}; pop fs|push {sel}; pop ss|push {sel}; pop gs
mov {r}, {sel}; mov ds, {r16}|mov {r}, {sel}; mov ss, {r16}|mov {r}, {sel}; lldt {r16}|mov {r}, {sel}; ltr {r16}
mov {r}, {sel}; lar {r2}, {r}|mov {r}, {sel}; lsl {r2}, {r}|mov {r}, {sel}; verr {r16}|mov {r}, {sel}; verw {r16}
sldt {r}|str {r}|smsw {r}|sgdt {m}|sidt {m}|sldt word ptr {m}|str word ptr {m}|smsw word ptr {m}|arpl {r16}, {r16}
lgdt {m}|lidt {m}|mov {r}, {imm}; lgdt [{r}]|mov {r}, {imm}; lidt [{r}]
mov {r}, cr0|mov {r}, cr2|mov {r}, cr3|mov {r}, cr4|mov {r}, dr7|mov {r}, dr6|mov cr2, {r}|lmsw {r16}
mov {r}, {cr0}; mov cr0, {r}|mov {r}, {cr0}; mov cr0, {r}|mov {r}, {cr4}; mov cr4, {r}
mov {r}, {tables}; mov cr3, {r}
mov {r}, cr3; mov cr3, {r}|invlpg {m}|mov {r}, {tables}; mov cr3, {r}; mov {r}, {cr0}; mov cr0, {r}
in al, 0x60|in al, 0x21|in eax, dx|out 0x80, al|out 0x21, al|out 0x20, al|out 0x43, al|out 0x40, al|out dx, ax
insb|outsb|rep insb|rep outsb|rep stosb|rep stosd|rep movsd|rep movsb|lodsd|scasb|cmpsd|xlatb
int {vector}|int {vector}|int 13|int 8|call far {sel}:{imm}|jmp far {sel}:{imm}|jmp far {sel}:{code}
call far {sel}:{code}
push {eflags}; popfd|push {eflags}; push {sel}; push {code}; iretd|push {sel}; push {code}; retf
push {sel}; push {stack}; push {eflags}; push {sel}; push {code}; iretd
push 0; push 0; push 0; push 0; push 0x1000; push 0xf00; push {v86}; push 0x1000; push 0x30; iretd
mov {r}, 0x10; mov ds, {r16}; mov es, {r16}; mov ss, {r16}; mov esp, {stack}|mov ebx, {imm}|mov esi, {imm}
mov edi, {imm}
jmp {r}|call {r}|mov {r}, {imm}; jmp {r}|mov {r}, {imm}; call {r}|mov {r}, {code}; jmp {r}|jmp dword ptr {m}
mov esp, {stack}|mov esp, {imm}|mov {r}, {imm}|mov {r}, {imm}|add {r}, {r2}|mov ecx, {small}
mov {r}, {imm}; mov eax, [{r}]|mov {r}, {imm}; mov [{r}], eax|mov {r}, {imm}; inc dword ptr [{r}]
mov {r}, {imm}; mov {r2}, {imm}; mov [{r}], {r2}|mov {r}, {entry}; mov dword ptr [{r}], {pte}
mov {r}, {gate}; xor dword ptr [{r}], {imm}|mov {r}, {gate}; mov byte ptr [{r}], {small}
mov {r}, {gate}; dec word ptr [{r}]
mov {r}, {code}; mov dword ptr [{r}], {imm}|mov {r}, {code}; mov byte ptr [{r}], {byte}
mov {r}, {code}; inc byte ptr [{r}]
push {imm}|pop {r}|pop {m}|push {m}|xchg {r}, {m}|add {r}, {m}|xor {m}, {r}|div {r}|bound {r}, {m}|enter 8, 2|aam 0
les {r}, {m}|lds {r}, {m}|lfs {r}, {m}|lss {r}, {m}|mov eax, fs:[ebx]|mov gs:[ebx], eax|mov cs:[ebx], eax
fninit|fld1|fnstenv {m}|fnsave {m}|fwait|fldz|sysenter|sysexit|rdmsr|wrmsr|mov ecx, 0x174; wrmsr|ud2
"""
ALL_FORMS = tuple(form for line in FORMS.split("\n") for form in line.split("|") if form)


WITH_ERROR = (8, 10, 11, 12, 13, 14, 17)
DF_TASK = 0x68


@lru_cache(maxsize=1 << 13)
def code_of(text: str) -> bytes | None:
    """The bytes of one or more instructions, or None if they cannot be had."""
    try:
        return b"".join(encode(part.strip(), CODE) for part in text.split(";"))
    except AsmError:
        return None


RESUME = (
    code_of(
        f"mov eax, [esp]; sub eax, {CODE}; xor edx, edx; mov ebx, {SLOT * SLOTS}; div ebx; mov eax, edx;"
        f"xor edx, edx; mov ebx, {SLOT}; div ebx; inc eax; mul ebx; add eax, {CODE}; mov [esp], eax; iretd"
    )
    or b""
)


def instructions(rng: random.Random) -> bytes:
    """A form with its holes filled, or garbage."""
    if rng.random() < 0.03:
        return rng.randbytes(rng.randrange(1, 12))
    while True:
        form = rng.choice(ALL_FORMS)
        r, r2 = rng.choice(REGISTERS), rng.choice(REGISTERS)
        text = form.format(
            r=r,
            r2=r2,
            r16=r[1:],
            m=rng.choice(("[ebx]", "[esi]", "[edi]", "[esp]", "[ebp]", "[ebx+ecx]", "[esi+64]")),
            sel=hex(rng.choice(SELECTORS)),
            imm=hex(rng.choice(INTERESTING)),
            small=rng.choice((0, 1, 2, 5, 64)),
            byte=rng.choice((0x90, 0xCC, 0xF4, 0x9D, 0xFA, 0x0F, 0xEA)),
            eflags=hex(rng.choice(FLAGS)),
            v86=hex(rng.choice((0x2_0202, 0x2_3202, 0x2_3002, 0x2_0102))),
            cr0=hex(rng.choice(CR0)),
            cr4=hex(rng.choice(CR4)),
            tables=hex(TABLES + rng.choice((0, 0x20, 0x1000, 0x3000))),
            vector=rng.randrange(VECTORS + 2),
            code=hex(CODE + SLOT * rng.randrange(SLOTS) + rng.choice((0, 0, 0, 1, 3))),
            stack=hex(STACK + rng.choice((0, 4, 0x200, 0xFFC, 0xFFE, 0x1000))),
            entry=hex(TABLES + 4 * rng.randrange(0x1000)),
            pte=hex(rng.choice((0, 1, 3, 5, 7, 0x87, 0xE7)) | rng.randrange(0, 0x90) << 12),
            gate=hex(rng.choice((GDT, LDT, IDT, TSS)) + rng.randrange(0x80)),
        )
        code = code_of(text)
        if code is not None and len(code) <= SLOT:
            return code


def descriptor(base: int, limit: int, access: int, flags: int = 0xC) -> bytes:
    low = (limit & 0xFFFF) | (base & 0xFFFF) << 16
    high = (base >> 16 & 0xFF) | access << 8 | (limit & 0xF_0000) | flags << 20 | (base & 0xFF00_0000)
    return low.to_bytes(4, "little") + high.to_bytes(4, "little")


def gate(rng: random.Random, target: int, selector: int = 0x08, access: int = 0x8E) -> bytes:
    if rng.random() < 0.04:
        return rng.randbytes(8)
    selector = selector if rng.random() < 0.98 else rng.choice(SELECTORS)
    access = (
        access
        if rng.random() < 0.9
        else rng.choice((0x8F, 0xEE, 0xEF, 0x86, 0x85, 0xE5, 0x0E, 0xAE, 0x8C, 0xEC))
    )
    word = target & 0xFFFF | selector << 16
    return word.to_bytes(4, "little") + (target & 0xFFFF_0000 | access << 8).to_bytes(4, "little")


def global_table(rng: random.Random) -> bytes:
    """Flat segments at 08 to 28 as everybody has them, stranger ones behind."""
    entries = [bytes(8)]
    entries += [descriptor(0, 0xF_FFFF, access) for access in (0x9A, 0x92, 0xFA, 0xF2, 0x9E)]
    for _ in range(6):
        base = rng.choice((0, ORIGIN, 0xFFC0_0000, 0xFFFF_F000, 0x4000_0000, rng.getrandbits(32)))
        access = rng.choice(
            (0x92, 0x96, 0x9A, 0xB2, 0xD6, 0x12, 0x90, 0x98, 0xBE, 0x82, 0x00, rng.getrandbits(8))
        )
        entries.append(
            descriptor(
                base, rng.choice((0, 0xFFF, 0xF_FFFF, rng.getrandbits(20))), access, rng.getrandbits(4)
            )
        )
    for n in range(TASKS):
        entries.append(
            descriptor(
                TSS + 0x100 * n,
                rng.choice((*[0x67] * 9, 0xFF, 0x2B)),
                rng.choice((*[0x89] * 9, 0xE9, 0x81, 0x8B)),
                0,
            )
        )
    entries.append(descriptor(LDT, 0x3F, 0x82, 0))
    entries.append(gate(rng, CODE + SLOT * rng.randrange(SLOTS), access=0xEC))
    return b"".join(entries)


def task(rng: random.Random) -> bytes:
    words = [rng.choice(INTERESTING) for _ in range(26)]
    words[0] = rng.choice((0, 0x60, DF_TASK, 0x70))
    for level, selector in ((0, 0x10), (1, 0x11), (2, 0x12)):
        words[1 + 2 * level], words[2 + 2 * level] = STACK + 0xF00, selector
    words[7] = rng.choice((TABLES, TABLES, TABLES + 0x1000, 0))
    words[8], words[9] = CODE + SLOT * rng.randrange(SLOTS), rng.choice(FLAGS)
    words[14] = STACK + 0x800
    words[18:24] = [0x10, 0x08, 0x10, 0x10, 0x10, 0x10]
    if rng.random() < 0.3:
        words[rng.randrange(26)] = rng.getrandbits(32)
    words[24], words[25] = rng.choice((0, 0x78)), 0x68_0000 | rng.randrange(2)
    return b"".join(word.to_bytes(4, "little") for word in words).ljust(0x100, b"\0")


def page_tables(rng: random.Random) -> bytes:
    """A directory, two tables, and a page of PAE pointers and entries."""
    directory = [0] * 1024
    directory[0] = TABLES + 0x1000 | rng.choice((7, 7, 3, 0x27))
    for _ in range(8):
        n = rng.choice((1, 2, 3, 0x3FF, 0x3FE, 0x3FD, 0x3FB, rng.randrange(1024)))
        directory[n] = rng.choice(
            (TABLES, TABLES + 0x1000, TABLES + 0x2000, 0x80, 0, rng.getrandbits(19))
        ) | rng.getrandbits(8)
    table = [n << 12 | 7 for n in range(1024)]
    for _ in range(rng.randrange(12)):
        table[rng.randrange(0x90)] = rng.randrange(0x90) << 12 | rng.choice((0, 1, 3, 5, 7, 0x67))
    other = [rng.randrange(0x90) << 12 | rng.choice((0, 1, 3, 5, 7)) for _ in range(1024)]
    wide = [0] * 1024
    wide[0:8] = [
        TABLES + 0x3000 | 1,
        0,
        TABLES + 0x3000 | 1,
        0,
        0,
        0,
        rng.choice((0, TABLES | 1)),
        rng.choice((0, 0, 1 << 20)),
    ]
    wide[8:16] = [TABLES + 0x3000 | 1, 0, TABLES + 0x3000 | 1, 0, 0, 0, TABLES + 0x3000 | 1, 0]
    wide[0] = wide[0] if rng.random() < 0.7 else wide[0] | 2
    for n in range(0, 16, 2):
        wide[16 + n] = rng.choice((0x87, 0x87, 0x20_0087, 0))
    return b"".join(word.to_bytes(4, "little") for part in (directory, table, other, wide) for word in part)


def setup(rng: random.Random) -> bytes:
    """The first instructions: tables loaded, more often than not."""
    steps = [f"lgdt [{GDT - 16:#x}]", f"lidt [{IDT - 16:#x}]"]
    steps += [f"mov esp, {STACK + 0xF80:#x}", "mov eax, 0x10", "mov ds, ax", "mov ss, ax", "mov es, ax"]
    if rng.random() < 0.8:
        steps += ["mov eax, 0x60", "ltr ax"]
    if rng.random() < 0.5:
        steps += ["mov eax, 0x78", "lldt ax"]
    if rng.random() < 0.5:
        steps += [
            f"mov eax, {TABLES:#x}",
            "mov cr3, eax",
            f"mov eax, {rng.choice(CR0[1:3]):#x}",
            "mov cr0, eax",
        ]
    steps += [f"mov {r}, {rng.choice(INTERESTING):#x}" for r in REGISTERS[:6]]
    if rng.random() < 0.3:
        steps += [
            "push 0x23",
            f"push {STACK + 0x700:#x}",
            f"push {rng.choice(FLAGS):#x}",
            "push 0x1b",
            f"push {CODE:#x}",
            "iretd",
        ]
    else:
        steps += [f"mov ebp, {CODE:#x}", "jmp ebp"]
    return b"".join(code_of(step) or b"" for step in steps)


def handler(rng: random.Random, vector: int) -> bytes:
    """What most gates lead to: now and then something hostile, then on with the slot after the one that
    faulted, wherever that was, and perhaps without the flags that would come back at once."""
    parts = [instructions(rng)] if rng.random() < 0.15 else []
    if (vector in WITH_ERROR) == (rng.random() < 0.95):
        parts.append(b"\x83\xc4\x04")  # ADD ESP, 4
    if rng.random() < 0.8:
        parts.append(b"\x81\x64\x24\x08\xff\xbe\xfc\xff")  # AND DWORD PTR [ESP + 8], ~(VM | RF | NT | TF)
    return b"".join((*parts, RESUME))


def hostile_kernel(seed: int) -> Image:
    """The kernel of that seed."""
    rng = random.Random(seed)
    data = bytearray(SIZE)

    def put(at: int, part: bytes) -> None:
        data[at - ORIGIN : at - ORIGIN + len(part)] = part

    for n in range(SLOTS):
        put(CODE + SLOT * n, instructions(rng).ljust(SLOT, b"\x90"))
    put(CODE + SLOT * SLOTS, b"\xe6\xf4\xf4")
    handlers = HANDLERS
    idt = b""
    for vector in range(VECTORS):
        code = handler(rng, vector)
        if handlers + len(code) > HANDLERS + 0xE00:
            handlers = HANDLERS
        put(handlers, code)
        by_task = rng.random() < (0.7 if vector == 8 else 0.04)
        idt += gate(rng, 0, DF_TASK, 0x85) if by_task else gate(rng, handlers)
        handlers += len(code)
    put(GDT, global_table(rng))
    put(LDT, descriptor(0, 0xF_FFFF, 0xF2) + descriptor(0, 0xF_FFFF, 0x92) + rng.randbytes(48))
    put(IDT, idt)
    put(GDT - 16, (0x8F).to_bytes(2, "little") + GDT.to_bytes(4, "little"))
    put(IDT - 16, (8 * VECTORS - 1).to_bytes(2, "little") + IDT.to_bytes(4, "little"))
    for n in range(TASKS):
        put(TSS + 0x100 * n, task(rng))
    put(TABLES, page_tables(rng))
    entry = STACK - 0x400
    put(entry, setup(rng))
    return Image(f"hostile-{seed}", Path(f"hostile-{seed}"), ORIGIN, entry, bytes(data))
