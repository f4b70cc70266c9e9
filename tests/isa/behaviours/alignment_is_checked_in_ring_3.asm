; With CR0.AM and EFLAGS.AC an operand of 2, 4 or 8 bytes that ring 3 finds at no multiple of its size is #AC(0); ring 0 is not
; asked, nor are the tables that the processor itself reads. SDM 3A 6.15 (interrupt 17).
.include "frame.inc"
        gdt_more
gdt_end:

main:
case "without AM nothing"
        user 0x40000
        mov eax, [area + 1]
        int SHOW_REGISTERS
case "a doubleword"
        mov eax, cr0
        or eax, 0x40000
        mov cr0, eax
        user 0x40000
        mov eax, [area + 1]
case "at an even address"
        user 0x40000
        mov eax, [area + 2]
case "a word at an even address"
        user 0x40000
        mov ax, [area + 2]
        int SHOW_REGISTERS
case "a word at an odd one"
        user 0x40000
        mov ax, [area + 3]
case "a store"
        user 0x40000
        mov [area + 1], eax
case "a read-modify-write"
        user 0x40000
        inc dword ptr [area + 3]
case "a byte"
        user 0x40000
        mov al, [area + 3]
        int SHOW_REGISTERS
case "a push"
        user 0x40000
        mov esp, stack3 - 2
        push eax
case "a string of doublewords stops where it is"
        user 0x40000
        mov esi, area
        mov edi, area + 9
        mov ecx, 2
        rep movsd
case "eight bytes"
        user 0x40000
        cmpxchg8b [area + 4]
case "beyond the limit it is #GP"
        user 0x40000
        mov eax, 3
        mov fs, ax
        mov eax, fs:[1]
case "a descriptor that the processor reads is not asked"
        mov eax, gdt
        user 0x40000
        push CODE3
        pop eax
        lar ebx, eax
        and ebx, 0xFFF0FFFF
        int SHOW_REGISTERS
case "AC off"
        ring3 1f
1:      mov eax, [area + 1]
        int SHOW_REGISTERS
case "AC switched on by POPF in ring 3"
        ring3 1f
1:      push 0x40002
        popfd
        mov eax, [area + 1]
case "ring 0 with AC"
        push 0x40002
        popfd
        mov eax, [area + 1]
        show eax
done
.align 8
area:   .space 64
