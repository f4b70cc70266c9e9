"""Random kernels that use system instructions, for comparing modes.

A fixed frame (GDT, LDT, IDT, TSS, optional paging) runs a body of 16-byte slots, each with one random
instruction; whatever it raises is logged with its error code and frame, and execution goes on at the next slot. So
a program lives through its own faults, unless it ruins its tables: then it dies, under every mode alike.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from isa.asm import AsmError, assemble, encode
from vmm.image import Image

FRAME = """
.org 0x100000
header: .long 0x1BADB002, 0x10000, -(0x1BADB002 + 0x10000)        ; Multiboot, for QEMU
        .long header, header, 0, 0, start
start:  mov esp, stack_top
        mov al, 0xFF                    ; no device interrupts
        out 0x21, al
        out 0xA1, al
        lgdt [gdt_pointer]
        lidt [idt_pointer]
        jmp far 0x08:reload
reload: mov eax, 0x10
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov fs, ax
        mov gs, ax
        mov eax, 0x28
        ltr ax
        mov eax, 0x30
        lldt ax
        mov ecx, 48                     ; an IDT of interrupt gates, the odd ones open to ring 3
        mov edi, idt
        mov eax, stubs
gate:   mov edx, eax
        mov [edi], dx
        mov word ptr [edi + 2], 0x08
        mov word ptr [edi + 4], 0x8E00
        shr edx, 16
        mov [edi + 6], dx
        test ecx, 1
        jz closed
        or byte ptr [edi + 5], 0x60
closed: add eax, 16
        add edi, 8
        dec ecx
        jnz gate
.if PAGING
        mov eax, 0x181000
        mov cr3, eax
        mov eax, cr0
        or eax, 0x80000000 + WRITE_PROTECT * 0x10000      ; the tables lie in the image
        mov cr0, eax
.endif
        mov eax, 0x11223344
        mov ebx, 0x120000
        mov ecx, ECX0
        mov edx, 0x10
        mov esi, 0x120100
        mov edi, 0x120200
        mov ebp, stack_top - 256
.if USER
        push 0x23
        pop ds
        push 0x23
        pop es
        push 0x23
        push stack_top - 512
        push EFLAGS0
        push 0x1B
        push body
        iretd
.endif
        jmp body

trap:   push eax                        ; on the stack: eax, vector, error, eip, cs, eflags [, esp, ss]
        push ebx
        push ds
        mov eax, 0x10
        mov ds, ax
        mov ebx, [log]
.set slot, 0
.rept 5                                 ; log vector, error code, eip, cs, eflags
        mov eax, [esp + 12 + 4 * slot]
        mov [ebx + 4 * slot], eax
        .set slot, slot + 1
.endr
        and dword ptr [ebx + 16], 0xFFFEF72A    ; but not RF and the arithmetic flags
        add dword ptr [log], 20
        cmp dword ptr [log], log_end
        jae over
        mov eax, [esp + 20]
        cmp eax, body
        jb over
        cmp eax, finish
        jae over
        and eax, 0xFFFFFFF0
        add eax, 16
        mov [esp + 20], eax
        and dword ptr [esp + 28], 0xFFFFBEFF     ; no single step, no nested task
        pop ds
        pop ebx
        pop eax
        add esp, 8
        iretd
over:
.if DUMP                                ; the end: everything to the debug console
        mov [registers], ecx
        mov [registers + 4], edx
        mov [registers + 8], esi
        mov [registers + 12], edi
        mov [registers + 16], ebp
        mov ax, 0x10
        mov es, ax
        cld
        mov dx, 0xE9
        mov esi, log_start
        mov ecx, log_end + 20 - log_start
        rep outsb
        mov esi, 0x120000
        mov ecx, 0x400
        rep outsb
.endif
        mov al, 0
        out 0xf4, al
        hlt

.align 16
stubs:  .set n, 0
.rept 48
.if n == 8 || n == 10 || n == 11 || n == 12 || n == 13 || n == 14 || n == 17
        nop
        nop
.else
        push 0
.endif
        push n
        .byte 0xE9
        .long trap - (. + 4)
        .align 16
        .set n, n + 1
.endr

.align 8
gdt:    .long 0, 0
        .long 0x0000FFFF, 0x00CF9A00    ; 08 kernel code
        .long 0x0000FFFF, 0x00CF9200    ; 10 kernel data
        .long 0x0000FFFF, 0x00CFFA00    ; 18 user code
        .long 0x0000FFFF, 0x00CFF200    ; 20 user data
        .word 103, tss & 0xFFFF, 0x8910, 0      ; 28 TSS
        .word 15, ldt & 0xFFFF, 0x8210, 0       ; 30 LDT
        .long 0x0000FFFF, 0x00CF9E00    ; 38 conforming code
        .long 0x1000FFFF, 0x00409612    ; 40 expand-down data
        .long 0x0000FFFF, 0x00CF1200    ; 48 not present
        .long 0x0000FFFF, 0x00CFB200    ; 50 data of ring 1
        .word gated & 0xFFFF, 0x08, 0xEC00, gated >> 16 ; 58 call gate for everybody
ldt:    .long 0x0000FFFF, 0x00CFF200
        .long 0x0000FFFF, 0x00CF9200
gdt_pointer: .word ldt - gdt - 1
        .long gdt
idt_pointer: .word 48 * 8 - 1
        .long idt
log:    .long log_start
gated:  retf
.align 16
tss:    .long 0, trap_stack, 0x10
        .space 92
        .long 0x680000
idt:    .space 48 * 8
        .space 512
stack_top:
        .space 1024
trap_stack:
log_start: .space 20 * 64
log_end:
registers: .space 20
.align 16
body:
.rept SLOTS
        .space 16, 0x90
.endr
finish: ud2                             ; not in the body: the end
"""
SLOTS = 14

REGISTERS = tuple("eax ebx ecx edx esi edi ebp".split())
SELECTORS = tuple(
    "0 3 8 0x0b 0x10 0x13 0x18 0x1b 0x20 0x23 0x28 0x30 0x38 0x3b 0x40 0x48 0x50 0x51 4 7 0xc 0x58 0xfff8".split()
)
ABSOLUTE = tuple("[esp] [0x170010] [0x171010] [0x120100] [0x3ff000] [0x3fefff] [0x120fff]".split())
MEMORY = (*ABSOLUTE, *"[ebx] [ebx+4] [esi] [edi] [ebp-8] [ebx+ecx] fs:[ebx]".split())
FORMS = """
pushfd|popfd|cli|sti|pushfd; popfd|hlt|clts|cpuid|rdtsc|invd|wbinvd|iretd|retf|int3|into|nop|leave|cld|std
push cs|push ss|push ds|push es|push fs|push gs|pop ds|pop es|pop fs|pop gs|pop ss
mov {r}, cs|mov {r}, ss|mov {r}, ds|mov {r}, fs|mov word ptr {m}, ds
push {sel}; pop ds|push {sel}; pop es|push {sel}; pop fs|push {sel}; pop ss
mov {r}, {sel}; mov ds, {r16}|mov {r}, {sel}; mov gs, {r16}|mov {r}, {sel}; mov ss, {r16}
mov {r}, {sel}; lar {r2}, {r}|mov {r}, {sel}; lsl {r2}, {r}|mov {r}, {sel}; verr {r16}|mov {r}, {sel}; verw {r16}
mov {r}, {sel}; arpl word ptr {m}, {r16}|mov {r}, {sel}; lldt {r16}|mov {r}, {sel}; ltr {r16}
sldt {r}|str {r}|smsw {r}|sgdt {m}|sidt {m}|sldt word ptr {m}|str word ptr {m}|smsw word ptr {m}
mov {r}, cr0|mov {r}, cr2|mov {r}, cr3; bswap {r}|mov {r}, cr4|mov {r}, dr6|mov {r}, dr7|mov cr2, {r}|lmsw {r16}
invlpg {m}|mov {r}, cr3; mov cr3, {r}; bswap {r}|in al, 0x60|in eax, dx|out 0x80, al|out dx, ax|insb|outsb
int 0x20|int 0x21|int 0x2f|int 0x80|int 13|les {r}, {m}|lds {r}, {m}|lfs {r}, {m}|lss {r}, {m}
push {eflags}; popfd|push {eflags}; popfd; nop|push {sel}; push 0x100000; retf
call far {sel}:0x100000|jmp far {sel}:0x100000|call far 0x58:0
add {r}, {m}|xor {m}, {r}|mov {r}, {m}|mov {m}, {r}|inc dword ptr {m}|push {m}|pop {m}|xchg {r}, {m}
div {r}|mul {r}|bound {r}, {m}|mov {r}, {imm}|sub {r}, {r2}|rep stosb|rep movsb|lodsd|ud2|rdmsr|wrmsr
"""
ALL_FORMS = tuple(form for line in FORMS.split("\n") for form in line.split("|") if form)


TABLE, DIRECTORY = 0x18_0000, 0x18_1000
READ_ONLY, SUPERVISOR, GUARD = 0x170, 0x171, 0x17F  # pages


def page_tables() -> bytes:
    """One table for the first 4 MB, all but the last page of it, and its directory."""
    entries = [page << 12 | 7 for page in range(1023)] + [0]
    entries[READ_ONLY] &= ~2
    entries[SUPERVISOR] &= ~4
    entries[GUARD] = 0  # a string instruction must not run into the tables: what a TLB then holds is open
    directory = [TABLE | 7] + [0] * 1023
    return b"".join(entry.to_bytes(4, "little") for entry in entries + directory)


@cache
def frame(paging: int, wp: int, user: int, ecx: int, eflags: int, dump: int) -> tuple[bytes, int, int]:
    """The frame's image, its entry, and the address of its body."""
    program = assemble(
        FRAME,
        defines={
            "PAGING": paging, "WRITE_PROTECT": wp, "USER": user, "ECX0": ecx, "EFLAGS0": eflags, "DUMP": dump,
            "SLOTS": SLOTS,
        },
    )  # fmt: skip
    return (
        program.image.ljust(TABLE - 0x100000, b"\0") + page_tables(),
        program.entry,
        program.symbols["body"],
    )


@dataclass(frozen=True)
class Vocabulary:
    """What random instructions are made of."""

    forms: tuple[str, ...] = ALL_FORMS
    selectors: tuple[str, ...] = SELECTORS
    memory: tuple[str, ...] = MEMORY
    dump: bool = False  # print the log, registers and memory to the debug console at the end


EVERYTHING = Vocabulary()


def instruction(rng: random.Random, words: Vocabulary) -> str:
    """One form with its holes filled; two instructions may share a slot."""
    r, r2 = rng.choice(REGISTERS), rng.choice(REGISTERS)
    return rng.choice(words.forms).format(
        r=r,
        r2=r2,
        r16=r[1:],
        m=rng.choice(words.memory),
        sel=rng.choice(words.selectors),
        imm=hex(rng.choice((0, 1, 0x120000, 0x7FFFFFFF, 0x80000000, rng.getrandbits(32)))),
        eflags=hex(rng.choice((0x2, 0x202, 0x3002, 0x3202, 0x1202, 0x102, 0x4002, 0x246, 0x40002))),
    )


def random_kernel(seed: int, words: Vocabulary = EVERYTHING) -> tuple[Image, list[str]]:
    """An image, and its body as text."""
    rng = random.Random(seed)
    paging, user = rng.randrange(2), rng.randrange(3) == 0
    eflags = rng.choice((0x202, 0x2, 0x3202))
    image, entry, body = frame(
        paging, rng.randrange(2), int(user), rng.choice((0, 3)), eflags, int(words.dump)
    )
    data = bytearray(image)
    text = []
    for slot in range(SLOTS):
        while True:
            source = instruction(rng, words)
            try:
                code = b"".join(encode(part.strip(), body + 16 * slot) for part in source.split(";"))
            except AsmError:
                continue
            if len(code) <= 16:
                break
        at = body + 16 * slot - 0x100000
        data[at : at + len(code)] = code
        text.append(source)
    return Image(f"random-{seed}", Path(f"random-{seed}"), 0x100000, entry, bytes(data)), text
