; A call through a gate to an inner level pushes SS, ESP, so many words from the old stack, CS, EIP on the stack that the
; TSS names; RET n drops them on both stacks. SDM 3A 5.8.4 to 5.8.6; 2A CALL, 2B RET.
.include "frame.inc"
        gdt_more
        gate CODE0, entry, 0xEC, 0              ; 38
        gate CODE0, entry, 0xEC, 3              ; 40
        gate 0x80, entry16 - 0x100000, 0xE4, 2  ; 48 a gate of 16 bits
        gate CODE0, entry, 0xEC, 31             ; 50
        gate 0x70, entry1, 0xEC, 1              ; 58 to ring 1
        descriptor 0, 0xFFFFF, 0x9E, 0xC        ; 60 conforming
        gate 0x60, conforming, 0xEC, 4          ; 68
        descriptor 0, 0xFFFFF, 0xBA, 0xC        ; 70 code of ring 1
        descriptor 0, 0xFFFFF, 0xB2, 0xC        ; 78 data of ring 1
        descriptor 0x100000, 0xFFFFF, 0x9A, 0xC ; 80 code of ring 0, from 1 MB
        descriptor stack3 - 0x40, 0x3F, 0xF2, 4 ; 88 a small stack of ring 3
gdt_end:

.macro frame_words count                        ; what lies on the stack, all registers stay
        mov ebp, esp
.set k, 0
.rept \count
        .byte 0x36
        mov eax, [ebp + 4 * k]
        call hex32
        .set k, k + 1
.endr
.endm

main:
case "no parameters"
        ring3 1f
1:      push 0x11111111
        call far 0x3B:0

case "three parameters"
        ring3 1f
1:      push 0x33333333
        push 0x22222222
        push 0x11111111
        call far 0x43:0x12345678

case "two words of 16 bits"
        ring3 1f
1:      push 0x33333333
        push 0x22222222
        call far 0x48:0

case "31 parameters"
        ring3 1f
1:      mov ecx, 31
2:      push ecx
        loop 2b
        call far 0x53:0

case "to ring 1"
        mov dword ptr [tss + 12], stack1
        mov dword ptr [tss + 16], 0x79
        ring3 1f
1:      push 0x11111111
        call far 0x5B:0

case "from ring 0 nothing is copied"
        push 0x33333333
        push 0x22222222
        call far 0x40:0

case "to conforming code nothing is copied, and the level stays"
        ring3 1f
1:      push 0x22222222
        call far 0x6B:0

case "RET releases the parameters on both stacks"
        ring3 1f
1:      push 0x44444444
        push 0x33333333
        push 0x22222222
        push 0x11111111
        mov dword ptr [goes_back], 1
        call far 0x43:0
        mov edx, esp
        pop ebx
        int SHOW_REGISTERS

case "parameters below a stack limit fault in the caller"
        mov dword ptr [goes_back], 0
        ring3 1f
1:      mov eax, 0x8B
        mov ss, ax
        mov esp, 0x38
        call far 0x43:0
done

entry:  mov eax, DATA0
        mov ds, ax
        cmp dword ptr [goes_back], 0
        jne 1f
        mov ebx, esp
        show ebx
        mov eax, ss
        show eax
        frame_words 8
        int END_OF_CASE
1:      mov dword ptr [goes_back], 0
        retf 12

entry16: mov eax, DATA0
        mov ds, ax
        mov ebx, esp
        show ebx
        frame_words 4
        int END_OF_CASE

entry1: mov ebx, esp
        mov eax, 0x79
        mov ds, ax
        mov ecx, ss
        mov edx, cs
        int SHOW_REGISTERS

conforming:
        mov ebx, esp
        mov edx, cs
        int SHOW_REGISTERS

        .space 256
stack1: .long 0
goes_back: .long 0
