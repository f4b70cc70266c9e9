; PUSHA, ENTER, far calls and interrupts check each word that they push: a stack may wrap between them, and a fault in
; the middle leaves everything as it was. SDM 2B PUSHA, 2A ENTER.
.include "frame.inc"
        gdt_more
        descriptor bottom, 0xFF, 0xF2, 0x0      ; 38 256 bytes, SP
        descriptor bottom, 0xFFFF, 0xF2, 0x0    ; 40 64 KB, SP
        descriptor bottom, 0xFFFFF, 0xF6, 0x0   ; 48 expand-down of nothing
        descriptor bottom - 0x1000, 0x103F, 0xF6, 0x4   ; 50 expand-down, from 1040h on
        descriptor bottom, 0x7F, 0xF2, 0x4      ; 58 128 bytes, ESP
gdt_end:

.macro on_stack selector, at                    ; in ring 3
        ring3 6f
6:      mov eax, \selector
        mov ss, ax
        mov esp, \at
        mov ebp, 0
.endm

main:
case "PUSHAD that reaches below 0"
        on_stack 0x5B, 0x10
        pushad
case "PUSHAD on SP that wraps at 0, 256 bytes"
        on_stack 0x3B, 0x10
        pushad
case "PUSHAD on SP that wraps at 0, 64 KB"
        on_stack 0x43, 0x10
        mov ecx, 0x33333333
        pushad
        int SHOW_REGISTERS
case "what it wrote"
        show [bottom]
        show [bottom + 0x0C]
        show [bottom + 0xFFFC]
case "PUSHAD with an odd SP, 64 KB"
        on_stack 0x43, 0x11
        pushad
case "PUSHA of 16 bits with SP 1"
        on_stack 0x43, 1
        pushaw
case "PUSHAD down to the limit of an expand-down stack"
        on_stack 0x53, 0x1060
        pushad
        int SHOW_REGISTERS
case "PUSHAD below it"
        on_stack 0x53, 0x105C
        pushad
case "POPAD beyond the end"
        on_stack 0x5B, 0x64
        popad
case "POPAD to the end"
        on_stack 0x5B, 0x60
        popad
        int SHOW_REGISTERS
case "ENTER with levels"
        on_stack 0x5B, 0x60
        mov ebp, 0x70
        enter 8, 3
        int SHOW_REGISTERS
case "ENTER whose locals lie below 0"
        on_stack 0x5B, 0x60
        enter 0x60, 0
case "ENTER whose frame pointers lie beyond"
        on_stack 0x5B, 0x60
        mov ebp, 0x84
        enter 0, 3
case "ENTER on SP"
        on_stack 0x43, 0x10
        mov ebp, 0x12340020
        enter 0x20, 1
        int SHOW_REGISTERS
case "LEAVE beyond the limit"
        on_stack 0x5B, 0x60
        mov ebp, 0x80
        leave
case "a far call whose second word does not fit"
        on_stack 0x5B, 4
        call far CODE3:1f
1:      int SHOW_REGISTERS
case "an interrupt from a bad stack goes to a good one"
        on_stack 0x5B, 0x44444444
        int SHOW_REGISTERS
case "PUSH ESP pushes what it was"
        on_stack 0x5B, 0x60
        push esp
        pop eax
        int SHOW_REGISTERS
case "POP ESP"
        on_stack 0x5B, 0x60
        push 0x11
        pop esp
        int SHOW_REGISTERS
case "POP [ESP]"
        on_stack 0x5B, 0x60
        mov ebx, 0x77
        push ebx
        push 0x55
        pop dword ptr [esp]
        pop ebx
        int SHOW_REGISTERS
case "PUSH of a segment of 32 bits"
        on_stack 0x5B, 0x60
        push 0xFFFFFFFF
        pop eax
        push ds
        mov eax, [esp]
        and eax, 0xFFFF
        int SHOW_REGISTERS
done
.align 16
bottom: .space 0x10000
