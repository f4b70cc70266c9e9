; Page tables say that nothing is mapped, but no translation was dropped: all that was used before goes on working.
; Exceptions, probes of several words, reads that are written back, stores beside code.
.include "ring0.inc"
on:
.include "paging.inc"
        mov ecx, 60                     ; some rounds with true tables, then with none
again:  cmp ecx, 40
        jne both
        mov dword ptr [DIRECTORY], 0
both:   int3
        int 0x30
        pushad
        popad
        enter 16, 1
        leave
        inc dword ptr [cell]
        xchg [cell + 4], ebx
        lock cmpxchg [cell + 8], ecx
        bts dword ptr [cell + 12], ecx
        mov esi, cell
        mov edi, cell + 32
        push ecx
        mov ecx, 4
        rep movsd
        pop ecx
        push dword ptr [cell]
        pop dword ptr [cell + 48]
        sgdt [cell + 52]
        str word ptr [DIRECTORY + 64]
        fnsave [DIRECTORY + 128]
        mov ax, 0x10
        mov ds, ax
        pushfd
        popfd
        dec ecx
        jnz again
        mov dword ptr [DIRECTORY], TABLE + 3
        xor eax, eax
        out 0xf4, al
        hlt
back:   inc ebp
        iretd

.align 8
cell:   .fill 64, 1, 0
gdt:    .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0, 0
        tables 0x68, 0x31
idt:    .fill 3, 8, 0
        gate back, 0x8E
        .fill 44, 8, 0
        gate back, 0x8E
tss:    .long 0, 0x1E000, 0x10
        .fill 92, 1, 0
