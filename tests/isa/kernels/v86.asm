; Virtual-8086 mode: IRET into it, sensitive instructions trap by IOPL, INT and faults leave it, segments.
.include "frame.inc"
.align 8
gdt:    .long 0, 0
        .long 0x0000FFFF, 0x00CF9A00            ; 08
        .long 0x0000FFFF, 0x00CF9200            ; 10
        .word 0x2100, tss & 0xFFFF, 0x8910, tss >> 24 << 8      ; 18
gdt_end:
.align 16
tss:    .long 0, stack, 0x10
        .space 92
        .long 0x680000
        .space 0x2000                           ; every port is open
        .byte 0xFF
        .space 512
stack:
        .space 512
stack0:

start:  mov esp, stack0
        call set_up
        mov eax, 0x18
        ltr ax
        mov esi, code
        mov edi, 0x20000
        mov ecx, code_end - code
        rep movsb
go:     mov esp, stack0
        push 0x2222                             ; gs fs ds es ss esp eflags cs eip
        push 0x3333
        push 0x2000
        push 0x2000
        push 0x3000
        push 0x0100
        push [flags]
        push 0x2000
        push [entry]
        iretd
flags:  .long 0x20002
entry: .long 0

trap:   mov ax, ds                              ; null after leaving V86 mode
        movzx eax, ax
        mov ebx, 0x10
        mov ds, bx
        mov es, bx
        say eax
        pop eax                                 ; vector
        say eax
        mov ebx, eax
        pop eax                                 ; error code
        say eax
.rept 9                                         ; eip cs eflags esp ss es ds fs gs
        pop eax
        and eax, 0xFFFEFFFF                     ; but RF
        say eax
.endr
        cmp ebx, 0x20
        je next
        cmp ebx, 13
        jne over
        movzx eax, word ptr [step]              ; #GP: go on behind the instruction, with IOPL 3 from now on
        mov al, [lengths + eax]
        inc dword ptr [step]
        movzx eax, al
        add [entry], eax
        cmp dword ptr [step], 5
        jb go
        or dword ptr [flags], 0x3000
        cmp dword ptr [step], 7
        jae over
        jmp go
next:   mov dword ptr [entry], last - code
        jmp go
over:   verdict 0
step:   .long 0
lengths: .byte 1, 1, 1, 2, 1, 1

code:   cli                                     ; each #GP with IOPL 0
        sti
        pushfd
        int 0x20
        .byte 0xCF                              ; iret
        .byte 0x9C                              ; pushf, now with IOPL 3
        .byte 0x58                              ; pop ax
        .byte 0xFA                              ; cli
        .byte 0x8C, 0xC8                        ; mov ax, cs
        .byte 0xB0, 0x41, 0xE6, 0xE9            ; out 0xE9, al
        .byte 0xCD, 0x20                        ; int 0x20 goes to the monitor's IDT
last:   .byte 0x90
        hlt                                     ; #GP: CPL is 3
        hlt
code_end:
