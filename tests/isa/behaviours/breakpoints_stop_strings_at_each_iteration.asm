; The debug trap of a repeated instruction comes after the iteration that meets the breakpoint. SDM 3B 17.3.1.2.
.include "frame.inc"
        gdt_more
gdt_end:

main:
case "a string of stores, each iteration"
        mov dword ptr [returns], 2
        arm 0, word1 + 4, 0x000D0401
        mov edi, word1
        mov ecx, 3
        mov eax, 0
        rep stosd
        nop
        show ecx

case "a breakpoint at the source"
        mov dword ptr [returns], 2
        arm 0, word1 + 4, 0x000F0401
        mov esi, word1 + 8
        mov edi, word1 + 24
        mov ecx, 3
        std
        rep movsd
        cld
        show ecx
case "REPNE SCASB that ends at it"
        mov dword ptr [returns], 2
        arm 0, word1, 0x00030401
        mov byte ptr [word1], 1
        mov edi, word1
        mov al, 1
        mov ecx, 5
        repne scasb
        nop
        show ecx
        xor eax, eax
        mov dr7, eax
done
.align 8
word1:  .space 32
