; A far return goes to the level of the RPL of its CS, never inwards; SS is checked, data segments of inner levels
; become null. SDM 2B RET, 2A IRET; 3A 5.8.6.
.include "frame.inc"
        gdt_more
        descriptor 0, 0xFFFFF, 0x9E, 0xC        ; 38 conforming
        descriptor 0, 0xFFFFF, 0xBA, 0xC        ; 40 code of ring 1
        descriptor 0, 0xFFFFF, 0xB2, 0xC        ; 48 data of ring 1
        descriptor 0, 0xFFFFF, 0x7A, 0xC        ; 50 code of ring 3, not present
        descriptor 0, 0xFFFFF, 0x72, 0xC        ; 58 data of ring 3, not present
        descriptor 0, 0xFFFFF, 0xF0, 0xC        ; 60 data of ring 3, read only
        descriptor 0, 0xFF, 0xFA, 0x4           ; 68 code of ring 3, 256 bytes
        descriptor 0, 0xFFFFF, 0xFE, 0xC        ; 70 conforming code of ring 3
gdt_end:

.macro return cs_selector, ss_selector          ; RETF to ring 3
        push \ss_selector
        push stack3
        push \cs_selector
        push user
        retf
.endm

main:
case "to ring 3: DS of ring 0 becomes null, ES of ring 3 stays, conforming FS stays, GS of ring 1 becomes null"
        mov eax, 0x38
        mov fs, ax
        mov eax, 0x48
        mov gs, ax
        mov eax, DATA3
        mov es, ax
        return CODE3, DATA3
case "RPL 3 with a code segment of ring 0"
        return 0x0B, DATA3
case "RPL 3 with conforming code of ring 0"
        return 0x3B, DATA3
case "RPL 0 with conforming code of ring 3"
        return 0x70, DATA0
case "data instead of code"
        return DATA3, DATA3
case "code that is not present"
        return 0x53, DATA3
case "beyond the limit of code"
        return 0x6B, DATA3
case "beyond the table"
        return 0xFFFB, DATA3
case "SS of ring 0"
        return CODE3, DATA0
case "SS with another RPL"
        return CODE3, 0x20
case "SS null"
        return CODE3, 0
case "SS not present"
        return CODE3, 0x5B
case "SS read only"
        return CODE3, 0x63
case "SS beyond the table"
        return CODE3, 0xFFFB
case "inwards"
        ring3 1f
1:      push DATA0
        push stack0
        push CODE0
        push user
        retf
case "IRET inwards"
        ring3 1f
1:      push DATA0
        push stack0
        push 2
        push CODE0
        push user
        iretd
case "IRET to ring 1"
        push 0x49
        push stack3
        push 2
        push 0x41
        push user
        iretd
case "IRET at ring 3 leaves IF and IOPL alone"
        ring3 1f
1:      push 0x3202
        push CODE3
        push user
        iretd
done

user:   mov eax, cs
        mov ebx, ds
        mov ecx, es
        mov edx, fs
        mov esi, gs
        mov edi, ss
        int SHOW_REGISTERS
