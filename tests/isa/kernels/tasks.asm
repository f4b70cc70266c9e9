; Hardware task switches: CALL and JMP to a TSS, through a task gate, IRET back, a double fault by task gate.
.include "frame.inc"
.align 8
gdt:    .long 0, 0
        .long 0x0000FFFF, 0x00CF9A00            ; 08
        .long 0x0000FFFF, 0x00CF9200            ; 10
        .word 103, tss_a & 0xFFFF, 0x8910, tss_a >> 24 << 8     ; 18
        .word 103, tss_b & 0xFFFF, 0x8910, tss_b >> 24 << 8     ; 20
        .word 0, 0x20, 0x8500, 0                ; 28 task gate to b
        .word 103, tss_c & 0xFFFF, 0x8910, tss_c >> 24 << 8     ; 30
gdt_end:
.align 16
tss_a:  .space 104
.macro tss entry, stack
        .long 0, 0, 0, 0, 0, 0, 0
        .long 0, \entry, 2, 1, 2, 3, 4, \stack, 5, 6, 7
        .long 0x10, 0x08, 0x10, 0x10, 0x10, 0x10, 0, 0x680000
.endm
tss_b:  tss task_b, stack_b
tss_c:  tss task_c, stack_c
        .space 256
stack_b:
        .space 256
stack_c:
        .space 256
stack_a:

start:  mov esp, stack_a
        call set_up
        mov eax, 0x18
        ltr ax
        mov ebx, 0x1111
        call far 0x20:0                         ; into b, which comes back by IRET
        say ebx
        str ax
        movzx eax, ax
        say eax
        say [tss_b + 0x20]                      ; where b stopped
        say [tss_b + 0x28]
        say [gdt + 0x20 + 4]                    ; b is not busy any more
        call far 0x28:0                         ; again, through the gate
        mov eax, cr0
        and eax, 8                              ; TS
        say eax
        clts
        mov word ptr [idt + 0x21 * 8 + 2], 0x20 ; an interrupt that is a task
        mov word ptr [idt + 0x21 * 8 + 4], 0xE500
        int 0x21
        jmp far 0x30:0                          ; into c, for good
back:   verdict 9

task_b: pushfd
        pop eax
        and eax, 0x4000                         ; NT
        say eax
        say ebp
        say [tss_b]                             ; the back link
        inc dword ptr [count]
        mov eax, [count]
        say eax
        iretd
        jmp task_b

task_c: say 0xC
        say [gdt + 0x18 + 4]                    ; a is not busy: JMP does not nest
        say [tss_a + 0x20]
        mov eax, 0x1F0
        mov ds, ax                              ; beyond the table: #GP in this task
        verdict 8

trap:   pop eax
        say eax
        pop eax
        say eax
        pop eax
        say eax
        verdict 0
count:  .long 0
