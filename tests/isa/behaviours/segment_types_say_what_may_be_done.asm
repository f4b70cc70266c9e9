; Code is never written, read only if it is readable; data may be read only; what is not present, and what is of an inner
; level, cannot be loaded. SDM 3A 3.4.5.1, 5.5, 5.6; 2B MOV.
.include "frame.inc"
        gdt_more
        descriptor 0, 0xFFFFF, 0x90, 0xC        ; 38 read-only data
        descriptor 0, 0xFFFFF, 0x98, 0xC        ; 40 execute-only code
        descriptor 0, 0xFFFFF, 0x12, 0xC        ; 48 not present
        descriptor 0, 0xFFFFF, 0x9C, 0xC        ; 50 conforming, execute-only
        descriptor 0, 0xFFFFF, 0x9E, 0xC        ; 58 conforming, readable
        descriptor 0, 0xFFFFF, 0xD2, 0xC        ; 60 data of ring 2
        descriptor 0, 0xFFFFF, 0xFA, 0xC        ; 68 code of ring 3
        descriptor 0, 0xFFFFF, 0x00, 0xC        ; 70 a system descriptor of type 0
        descriptor 0, 0xFFFFF, 0x18, 0xC        ; 78 execute-only code, not present
        descriptor 0, 0xFFFFF, 0x5A, 0xC        ; 80 code of ring 2, not present
gdt_end:

.macro load segment, selector
        mov eax, \selector
        mov \segment, ax
        mov eax, \segment
        show eax
.endm

main:
case "read-only data into DS"
        load ds, 0x38
case "a store through it"
        load es, 0x38
        mov es:[area], eax
case "read-only data into SS"
        load ss, 0x38
case "execute-only code into DS"
        load es, 0x40
case "readable code into ES"
        load es, CODE0
case "a store through it"
        load es, CODE0
        mov es:[area], eax
case "a store through CS"
        mov cs:[area], eax
case "code into SS"
        load ss, CODE0
case "not present into FS"
        load fs, 0x48
case "not present into SS"
        load ss, 0x48
case "not present and of the wrong type"
        load fs, 0x78
case "a system descriptor into GS"
        load gs, TSS_MAIN
case "type 0 into GS"
        load gs, 0x70
case "beyond the table"
        load gs, 0xFF8
case "the last byte of the descriptor beyond the limit of the table"
        mov word ptr [gdt_pointer], 0x86
        lgdt [gdt_pointer]
        load gs, 0x80
case "an empty place in the LDT"
        mov word ptr [gdt_pointer], gdt_end - gdt - 1
        lgdt [gdt_pointer]
        load gs, 4
case "beyond the LDT"
        load gs, 0x44
case "RPL 3 and DPL 0"
        load gs, 0x13
case "RPL 2 and DPL 2"
        load gs, 0x62
case "conforming code with any RPL"
        load gs, 0x5B
case "conforming, execute-only"
        load gs, 0x53
case "SS with RPL 3"
        load ss, 0x13
case "SS of ring 3"
        load ss, 0x20
case "ring 3 loads data of ring 0"
        ring3 1f
1:      mov eax, DATA0
        mov fs, ax
case "ring 3 loads data of ring 2"
        ring3 1f
1:      mov eax, 0x60
        mov fs, ax
case "ring 3 loads code of ring 3 with RPL 0"
        ring3 1f
1:      mov eax, 0x68
        mov fs, ax
        int SHOW_REGISTERS
case "ring 3 loads conforming code of ring 0"
        ring3 1f
1:      mov eax, 0x58
        mov fs, ax
        int SHOW_REGISTERS
case "CS cannot be loaded"
        .byte 0x8E, 0xC8
case "nor segment 6"
        .byte 0x8E, 0xF0
case "nor read"
        .byte 0x8C, 0xF0
done
.align 8
area:   .long 0
