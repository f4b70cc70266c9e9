; forge: a kernel, and then its program, with descriptors that would reach everything
;
; A GDT with gates of ring 0 open to ring 3, segments that end above the monitor, around the top of the
; linear space and expand down over it, an LDT that is the GDT, tasks in the middle of code. All of it
; is loaded and used. What bare hardware allows is allowed, and reaches the guest's own memory only.
;
; verdict: 0

.include "lib/boot.inc"
.include "lib/trap.inc"

main:
    call traps_init
    lgdt [forged]
    mov eax, 0x28                       ; flat, to 4 GB
    mov es, ax
    mov eax, es:[0xffc00000]
    cmp eax, -1
    jne wrong
    mov dword ptr es:[0xfffffff0], 0x41414141
    mov eax, es:[0xffffe000]
    cmp eax, -1
    jne wrong
    mov eax, 0x30                       ; base FFF0 0000, limit 4 GB: around the top
    mov fs, ax
    mov dword ptr [0x180000], 1234
    cmp dword ptr fs:[0x280000], 1234
    jne wrong
    mov dword ptr fs:[0x280004], 77
    cmp dword ptr [0x180004], 77
    jne wrong
    cmp dword ptr fs:[0x1000], -1
    jne wrong
    mov eax, 0x38                       ; expand-down: everything above 64 KB
    mov gs, ax
    cmp dword ptr gs:[0xffd00000], -1
    jne wrong
    cmp dword ptr gs:[0x180000], 1234
    jne wrong
    mov eax, 0x40
    lldt ax
    mov eax, 0x2c                       ; the same descriptor through the LDT that is the GDT
    mov es, ax
    cmp dword ptr es:[0x180000], 1234
    jne wrong
    call far 0x48:0                     ; a gate to below
    cmp ebx, 0x600d
    jne wrong
    xor eax, eax
    ret
wrong:
    mov eax, 1
    ret
through:
    mov ebx, 0x600d
    retf
trap:
    mov eax, [ebp + FRAME_VECTOR]
    add eax, 100
    jmp finish

.align 8
table:  .long 0, 0
        .long 0x0000ffff, 0x00cf9a00    ; 08, 10: the kernel's
        .long 0x0000ffff, 0x00cf9200
        .long 0x0000ffff, 0x00cffa00    ; 18, 20: a program's
        .long 0x0000ffff, 0x00cff200
        .long 0x0000ffff, 0x00cf9200    ; 28
        .long 0x0000ffff, 0xffcf92f0    ; 30
        .long 0x0000000f, 0x00c09600    ; 38
        .word 0xffff, table - 0x100000, 0x8210, 0       ; 40
        .word through - 0x100000, 0x08, 0xec00, 0x10    ; 48
forged: .word 10 * 8 - 1
        .long table
