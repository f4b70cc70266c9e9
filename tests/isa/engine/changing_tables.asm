; INT, IRET and faults between ring 3 and ring 0, many times each, over tables that change in between: one word
; after the other, as the list at `edits` says (address, value; address 0: the end). Where that leads to a fault
; with an error code, the tables become what they were.
.include "ring0.inc"
.macro descriptor limit, access, flags
        .word \limit, 0
        .byte 0, \access, \flags, 0
.endm

on:     mov edi, 0x31000                ; the first 256 pages as they are, but one
        mov eax, 7
        mov ecx, 0x100
map:    stosd
        add eax, 0x1000
        loop map
        mov dword ptr [0x31000 + 4 * 0x50], 0
        mov dword ptr [0x30000], 0x31007
        mov eax, 0x30000
        mov cr3, eax
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
        mov esi, offset tables
        mov edi, offset backup
        mov ecx, (tables_end - tables) / 4
        cld
        rep movsd
        mov ebp, offset edits

enter:  mov esp, 0x20000
        mov eax, 0x23
        mov ds, eax
        mov es, eax
        mov fs, [edi]
        push 0x23
        push 0x1F000
        push 0x202
        push 0x1B
        push user
        iretd

user:   mov ecx, 60
again:  inc ebx
        int 0x80
        ud2
        mov eax, [0x50000]
        dec ecx
        jnz again
        int 0x81

call:   inc edx                         ; INT 80h
        iretd

undefined:                              ; UD2
        add dword ptr [esp], 2
        iretd

missing:                                ; the access to page 50
        add esp, 4
        add dword ptr [esp], 5
        iretd

edit:   mov eax, 0x10                   ; INT 81h
        mov ds, eax
        mov es, eax
        mov eax, [ebp]
        test eax, eax
        jz finish
        mov edi, [ebp + 4]
        mov [eax], edi
        add ebp, 8
        mov edi, offset selectors
        jmp enter

restore:
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov esi, offset backup
        mov edi, offset tables
        mov ecx, (tables_end - tables) / 4
        rep movsd
        mov edi, offset selectors
        jmp enter

finish: xor eax, eax
        out 0xF4, al
        hlt

.align 8
tables:
gdt:    .quad 0
        descriptor 0xFFFF, 0x9B, 0xCF
        descriptor 0xFFFF, 0x93, 0xCF
        descriptor 0xFFFF, 0xFB, 0xCF
        descriptor 0xFFFF, 0xF3, 0xCF
        .word 0x67, tss & 0xFFFF
        .byte tss >> 16, 0x89, 0, 0
        descriptor 0xFFFF, 0xFB, 0xCF
        descriptor 0xFFFF, 0xF3, 0xCF
tss:    .long 0, 0x1E000, 0x10
        .fill 92, 1, 0
idt:    .fill 6, 8, 0
        gate undefined, 0x8E
        .fill 1, 8, 0
        gate restore, 0x8E
        .fill 1, 8, 0
        gate restore, 0x8E
        gate restore, 0x8E
        gate restore, 0x8E
        gate restore, 0x8E
        gate missing, 0x8E
        .fill 0x71, 8, 0
        gate call, 0xEE
        gate edit, 0xEE
selectors:
        .long 0
tables_end:
gdt_at: .word 8 * 8 - 1
        .long gdt
idt_at: .word 8 * 0x82 - 1
        .long idt
.align 8
backup: .fill tables_end - tables, 1, 0
.align 8
edits:  .fill 1024, 1, 0
