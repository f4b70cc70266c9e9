; The trap that follows HLT under TF ends it; EIP is behind it. SDM 3B 17.3.1.4; 2A HLT.
.include "frame.inc"
        gdt_more
gdt_end:

.macro step
        mov dword ptr [returns], 2
        xor eax, eax
        mov dr6, eax
        push 0x102
        popfd
.endm
.macro unstep
        push 2
        popfd
.endm

main:
case "HLT is left by the trap"
        step
        hlt
        unstep
        print "on"
done
