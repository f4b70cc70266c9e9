"""Random kernels of the sort that a translator may get wrong, with a timer that interrupts them.

A loop runs random pieces: direct and indirect calls and jumps, returns with parameters, CLI and STI in
all neighbourhoods, PUSHF and POPF, string instructions, segment overrides, stores into the code itself and
beside it. The timer's handler counts into memory, so an interrupt taken one instruction off is seen.
"""

from __future__ import annotations

import random
from pathlib import Path

from isa.asm import assemble
from vmm.image import Image

FRAME = """
.org 0x100000
start:  mov esp, stack_top
        lgdt [gdt_register]
        lidt [idt_register]
        jmp far 0x08:reload
reload: mov eax, 0x10
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov fs, ax
        mov gs, ax
        mov al, 0x11                    ; both interrupt controllers: vectors from 0x20, only the timer
        out 0x20, al
        out 0xa0, al
        mov al, 0x20
        out 0x21, al
        mov al, 0x28
        out 0xa1, al
        mov al, 4
        out 0x21, al
        mov al, 2
        out 0xa1, al
        mov al, 1
        out 0x21, al
        out 0xa1, al
        mov al, 0xfe
        out 0x21, al
        mov al, 0xff
        out 0xa1, al
        mov al, 0x34                    ; the timer: a tick every DIVISOR periods of its crystal
        out 0x43, al
        mov al, DIVISOR & 0xff
        out 0x40, al
        mov al, DIVISOR >> 8
        out 0x40, al
.if PAGING
        mov edi, table
        mov eax, 7
        mov ecx, 1024
fill:   stosd
        add eax, 0x1000
        loop fill
        mov dword ptr [directory], table + 7
        mov eax, directory
        mov cr3, eax
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
.endif
        mov dword ptr [rounds], ROUNDS
        mov ebx, 0x11111111
        mov ebp, 0x22222222
        sti
again:
body:
@BODY@
        dec dword ptr [rounds]
        jnz again
        cli
        mov al, 0
        out 0xf4, al
        hlt

tick:   push eax
        inc dword ptr [ticks]
        mov eax, [ticks]
        and eax, 255
        push ecx
        mov ecx, [esp + 8]
        mov [where + eax*4], ecx        ; which instruction it came before
        mov ecx, [esp + 16]
        add [flags_seen], ecx
        pop ecx
        mov al, 0x20
        out 0x20, al
        pop eax
        iretd

trap:   add esp, 4                      ; #UD and the like: with an error code of 0, skip two bytes
        add dword ptr [esp], 2
        iretd
undefined:
        add dword ptr [esp], 2
        iretd

f0:     add ebx, 3
        ret
f1:     xor ebp, ebx
        ret 8
f2:     pushfd
        pop edx
        call f0
        push edx
        popfd
        ret
f3:     cli
        add ebp, ebp
        sti
        ret
f4:     mov edx, [esp]                  ; a call with interrupts off, left with them on
        cli
        inc dword ptr [counter]
        pushfd
        or dword ptr [esp], 0x200
        popfd
        ret

.align 8
gdt:    .long 0, 0
        .long 0x0000FFFF, 0x00CF9A00
        .long 0x0000FFFF, 0x00CF9200
gdt_register: .word 23
        .long gdt
idt_register: .word 0x21 * 8 - 1
        .long idt
.align 8
idt:
.rept 6
        .long 0, 0
.endr
        .word undefined - 0x100000, 0x08, 0x8E00, 0x10
.rept 0x20 - 7
        .long 0, 0
.endr
        .word tick - 0x100000, 0x08, 0x8E00, 0x10
.if APART                               ; data on pages without code, as kernels have it, or not
.align 4096
.endif
functions: .long f0, f2, f3, f4
counter:   .long 0
ticks:     .long 0
rounds:    .long 0
flags_seen: .long 0
where:  .space 1024
scratch: .space 256
        .space 512
stack_top:
.align 4096
directory: .space 4096
table:  .space 4096
"""

# Each piece is some instructions; {n} makes its labels its own, {i} is a random number.
PIECES = """
cli; add eax, {i}; sti
sti; sti; inc ecx; cli; sti
cli; cli; nop; sti; nop
sti; rep stosb
cli; mov edi, scratch; mov ecx, 5; sti; rep stosb; inc edx
pushfd; popfd
pushfd; cli; inc dword ptr [counter]; popfd
pushfd; pop edx; and edx, 0x200; add [scratch + 8], edx
cli; pushfd; sti; popfd; nop; sti
push 0x202; popfd; inc eax
push 2; popfd; dec eax; sti
push 0x3202; popfd; pushfd; pop edx; push 0x202; popfd
push 0x8d7; popfd; adc eax, 1; sti
std; mov edi, scratch + 40; mov ecx, 3; rep stosd; cld
mov esi, scratch; mov edi, scratch + 64; mov ecx, 9; rep movsb
call f0
push 1; push 2; call f1
call f2
call f3
call f4
mov eax, {i} & 3; call [functions + eax*4]
mov ecx, {i} & 3; mov ecx, [functions + ecx*4]; call ecx
mov edx, over{n}; jmp edx; ud2; over{n}: add edx, 1
mov ecx, over{n}; push ecx; ret; ud2; over{n}: inc ecx
jmp over{n}; inc eax; over{n}: dec eax
mov ecx, 3; loop{n}: add eax, ecx; loop loop{n}
xor ecx, ecx; jecxz over{n}; inc ebx; over{n}: nop
mov ecx, 4; more{n}: cmp eax, {i}; loopne more{n}
mov ecx, 4; more{n}: test ecx, 1; loope more{n}
cmp eax, {i}; jb over{n}; xor eax, {i}; over{n}: rol eax, 3
cmp ebx, ebp; jns over{n}; call f0; over{n}: stc
mov byte ptr [patch{n} + 1], {i} & 127; patch{n}: add al, 0; add ah, al
inc dword ptr [patch{n} + 1]; patch{n}: mov edx, {i}; add [scratch], edx
inc dword ptr [data{n}]; jmp over{n}; data{n}: .long {i}; over{n}: add eax, [data{n}]
mov eax, cs; add ebx, eax; push cs; pop eax; push ss; pop edx; mov edx, ds
mov edx, cr0; add ebp, edx; mov edx, cr3; push ds; pop es
mov gs:[scratch + 16], eax; add eax, fs:[scratch + 16]; mov edx, cs:[scratch + 16]
mov ax, 0x10; mov ss, ax; inc ecx; mov ds, ax
cli; push ss; sti; pop ss; inc eax; inc ebx
ud2
rdtsc; add ebx, eax; cpuid; mov eax, cr0; mov cr3, ecx; mov ecx, cr3
hlt
out 0x80, al; in al, 0x21; mov dx, 0x80; out dx, al
sub eax, {i}; imul edx, eax, 7; shl eax, 1; setc dl; bt ebx, 5; cmovc ecx, ebx
sahf; lahf; cmc; sbb edx, edx
push eax; push ecx; pop edx; pop eax; xchg [esp - 8], edx
"""
ALL_PIECES = tuple(line for line in PIECES.strip().split("\n"))


def translated_kernel(seed: int, pieces: int = 14, rounds: int = 20) -> tuple[Image, list[str]]:
    """An image, and the pieces it is made of."""
    rng = random.Random(seed)
    paging = rng.randrange(2)
    chosen = [rng.choice(ALL_PIECES) for _ in range(pieces)]
    if not paging:
        chosen = [piece for piece in chosen if "mov cr3" not in piece]
    lines = []
    for n, piece in enumerate(chosen):
        text = piece.format(n=n, i=hex(rng.getrandbits(31)))
        if "mov cr3" in text:
            text = "mov edx, cr3; mov cr3, edx"
        lines += text.replace(": ", ":; ").split("; ")
    source = FRAME.replace("@BODY@", "\n".join(lines))
    divisor = rng.choice((2, 3, 7, 40, 300, 2000))
    defines = {"PAGING": paging, "APART": rng.randrange(2), "DIVISOR": divisor, "ROUNDS": rounds}
    program = assemble(source, defines=defines)
    name = f"translated-{seed}"
    return Image(name, Path(name), program.origin, program.entry, program.image, program), chosen
