; R/W = 10b watches ports, if CR4.DE is set; the trap follows the instruction. SDM 3B 17.2.4.
.include "frame.inc"
        gdt_more
gdt_end:
.macro watch port, control
        mov dword ptr [returns], 2
        mov eax, \port
        mov dr0, eax
        xor eax, eax
        mov dr6, eax
        mov eax, \control
        mov dr7, eax
.endm
main:
case "without DE nothing"
        watch 0x80, 0x00020401
        out 0x80, al
        nop
case "OUT"
        mov eax, 8
        mov cr4, eax
        watch 0x80, 0x00020401
        out 0x80, al
        nop
case "IN"
        watch 0x80, 0x00020401
        in al, 0x80
        nop
case "a word that reaches it"
        watch 0x81, 0x00020401
        out 0x80, ax
        nop
case "another port"
        watch 0x82, 0x00020401
        out 0x80, ax
        nop
case "a string of ports, each iteration"
        watch 0x80, 0x00060401
        mov esi, area
        mov ecx, 2
        mov edx, 0x80
        rep outsb
        nop
        show ecx
case "memory of that address is not watched"
        watch area, 0x000E0401
        mov [area], eax
        nop
        xor eax, eax
        mov dr7, eax
done
.align 8
area:   .long 0, 0
