; A timer that ticks every few instructions, programmed by ports and meeting ports: with IF on and off, behind
; STI, under TF, and in ring 3, to which the TSS's map gives some of them. Ticks are counted in EBP, single steps
; in EDI, what ring 3 is refused in ESI.
.include "ring0.inc"
on:     mov al, 0x11
        out 0x20, al
        mov al, 0x20
        out 0x21, al
        mov al, 4
        out 0x21, al
        mov al, 1
        out 0x21, al
        mov al, 0xfe
        out 0x21, al
        mov al, 0x34
        out 0x43, al
        mov al, 3
        out 0x40, al
        xor eax, eax
        out 0x40, al
        mov ecx, 40
kernel: sti
        out 0x80, al
        in al, 0x40
        add ebx, eax
        mov edx, 0x60
        in eax, dx
        in ax, 0x21
        cli
        out 0x80, ax
        in al, 0x20
        out 0x80, eax
        pushfd
        or dword ptr [esp], 0x100
        popfd
        out 0x80, al
        in al, 0x80
        pushfd
        and dword ptr [esp], 0xfffffeff
        popfd
        dec ecx
        jnz kernel
        push 0x23
        push 0x1f000
        push 0x202
        push 0x1b
        push user
        iretd
user:   mov ecx, 40
again:  in al, 0x40
        out 0x80, al
        in al, 0x21
        out 0x84, al
        dec ecx
        jnz again
        int 0x30
tick:   push eax
        inc ebp
        mov al, 0x20
        out 0x20, al
        pop eax
        iretd
step:   inc edi
        iretd
denied: inc esi
        add esp, 4
        add dword ptr [esp], 2          ; such an instruction has two bytes
        iretd
done:   xor eax, eax
        out 0xf4, al
        hlt

.align 8
gdt:    .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00cffa000000ffff, 0x00cff2000000ffff
        tables 0x89, 0x31
idt:    .quad 0
        gate step, 0x8E
        .fill 11, 8, 0
        gate denied, 0x8E
        .fill 18, 8, 0
        gate tick, 0x8E
        .fill 15, 8, 0
        gate done, 0xEE
tss:    .long 0, 0x1E000, 0x10
        .fill 90, 1, 0
        .word 0x68
        .byte 0xFF, 0xFF, 0xFF, 0xFF, 0xFE      ; port 20 is ring 3's,
        .byte 0xFF, 0xFF, 0xFF, 0xFE            ; 40,
        .byte 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF
        .byte 0xF0, 0xFF                        ; 80 to 83
        .fill 15, 1, 0xFF
