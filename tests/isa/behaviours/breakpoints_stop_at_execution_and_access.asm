; Breakpoints of DR0 to DR3: execution is a fault before the instruction, an access a trap after it. SDM 3B 17.2, 17.3.1.
.include "frame.inc"
        gdt_more
gdt_end:

main:
case "an instruction breakpoint comes before the instruction, and leaves RF clear"
        arm 0, here1, 0x401
        mov ebx, 1
here1:  mov ebx, 2
        show ebx

case "back with RF, the instruction is executed, and met again the next time"
        mov eax, stub_rf
        mov [idt + 8], ax
        arm 0, here2, 0x401
        mov ecx, 2
again:  xor ebx, ebx
here2:  inc ebx
        loop again
        xor eax, eax
        mov dr7, eax
        show ebx
        show [count]
        mov eax, stubs + 16
        mov [idt + 8], ax

case "a store of four bytes meets a breakpoint of one byte, after it"
        mov dword ptr [returns], 2
        arm 1, word1 + 2, 0x00100404
        mov dword ptr [word1], 0x12345678
        nop
        show [word1]

case "a load does not meet a breakpoint on writes"
        mov dword ptr [returns], 2
        arm 1, word1, 0x00D00404
        mov eax, [word1]
        nop
        print "-"

case "a load meets a breakpoint on accesses"
        mov dword ptr [returns], 2
        arm 2, word1, 0x0F000410
        mov al, [word1 + 3]
        nop
        print "-"

case "the byte after the four is not watched"
        mov dword ptr [returns], 2
        arm 2, word1, 0x0F000410
        mov al, [word1 + 4]
        nop
        print "-"

case "two bytes watch an even address"
        mov dword ptr [returns], 2
        arm 2, word1 + 1, 0x07000410
        mov al, [word1]
        nop
        print "-"

case "a push meets it"
        mov dword ptr [returns], 2
        arm 3, stack0 - 4, 0xD0000440
        push 5
        nop
        pop eax
        show eax

case "G without L"
        mov dword ptr [returns], 2
        arm 0, word1, 0x000D0402
        mov [word1], eax
        nop
        print "-"

case "an access that faults meets none"
        mov dword ptr [returns], 2
        arm 0, word1, 0x000D0402
        mov eax, -1
        mov ds, eax
        mov [word1], eax

case "the end: DR6 is not cleared by itself"
        xor eax, eax
        mov dr7, eax
        mov eax, dr6
        show eax
        mov eax, dr7
        show eax
case "a read and a write by one instruction meet two, and a disabled one that matches is told, too"
        mov dword ptr [returns], 2
        arm 0, word1, 0x400
        mov dword ptr [returns], 2
        arm 1, word1, 0x400
        mov dword ptr [returns], 2
        arm 2, word1, 0x0F1D0404
        add dword ptr [word1], 1
        nop
        show [word1]

done
stub_rf: inc dword ptr [count]
        or dword ptr [esp + 8], 0x10000
        iretd
count:  .long 0
.align 8
word1:  .long 0, 0, 0, 0
