; Debug registers belong to ring 0; DR7.GD makes their use a #DB, once; with CR4.DE DR4 and DR5 are undefined. Bits that do
; not exist read as they are wired. SDM 3B 17.2, 2B MOV.
.include "frame.inc"
        gdt_more
gdt_end:

main:
case "DR6 takes B0 to B3, BD, BS, BT"
        xor eax, eax
        mov dr6, eax
        mov eax, dr6
        show eax
        mov eax, 0xE00F
        mov dr6, eax
        mov eax, dr6
        show eax
        xor eax, eax
        mov dr6, eax
case "DR7 with nothing"
        xor eax, eax
        mov dr7, eax
        mov eax, dr7
        show eax
case "DR7 with LE, GE and fields"
        mov eax, 0xFFFF0300
        mov dr7, eax
        mov eax, dr7
        show eax
        xor eax, eax
        mov dr7, eax
case "DR4 and DR5 are DR6 and DR7"
        mov eax, 0x300
        .byte 0x0F, 0x23, 0xE8          ; mov dr5, eax
        .byte 0x0F, 0x21, 0xE0          ; mov eax, dr4
        show eax
        mov eax, dr7
        show eax
case "not with CR4.DE"
        mov eax, 8
        mov cr4, eax
        .byte 0x0F, 0x21, 0xE0
case "nor DR5"
        .byte 0x0F, 0x23, 0xE8
case "without DE again"
        xor eax, eax
        mov cr4, eax
        .byte 0x0F, 0x21, 0xE0
        show eax
case "ring 3 reads"
        ring3 1f
1:      mov eax, dr0
case "ring 3 writes"
        ring3 1f
1:      mov dr7, eax
case "GD: a read"
        mov eax, 0x2400
        mov dr7, eax
        mov ebx, dr0
case "GD is clear in the handler"
        show [dr7_was]
case "GD: a write"
        xor eax, eax
        mov dr6, eax
        mov eax, 0x2400
        mov dr7, eax
        mov dr7, eax
case "GD in ring 3: #GP"
        xor eax, eax
        mov dr6, eax
        ring3 1f
1:      mov eax, dr7
case "DR0 to DR3 hold anything"
        mov eax, 0x89ABCDEF
        mov dr0, eax
        not eax
        mov dr3, eax
        mov ebx, dr0
        show ebx
        mov ebx, dr3
        show ebx
done
