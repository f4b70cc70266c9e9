; LAR, LSL, VERR and VERW answer in ZF whether a selector is good at this level, and fault for none. SDM 2A LAR, LSL; 2B VERR.
.include "frame.inc"
        gdt_more
        descriptor 0, 0xFFFFF, 0x90, 0xC        ; 38 read-only data
        descriptor 0x123456, 0xABCDE, 0x98, 0x5 ; 40 execute-only code, AVL
        descriptor 0, 0xFFFFF, 0x12, 0xC        ; 48 not present
        descriptor 0, 0xFFFFF, 0x9C, 0xC        ; 50 conforming, execute-only
        descriptor 0, 0xFFFFF, 0x9F, 0xC        ; 58 conforming, readable
        descriptor 0, 0x12345, 0x82, 0x8        ; 60 LDT by pages
        gate CODE0, 0x12345678, 0xEC, 5         ; 68 call gate
        gate CODE0, 0x12345678, 0xE4, 5         ; 70 call gate of 16 bits
        gate CODE0, 0x12345678, 0xEE, 0         ; 78 interrupt gate
        gate TSS_MAIN, 0, 0xE5, 0               ; 80 task gate
        descriptor 0, 0x2B, 0x81, 0             ; 88 TSS of 16 bits
        descriptor 0, 0x2B, 0x83, 0             ; 90 busy
        descriptor 0, 0xFFFFF, 0xE0, 0          ; 98 type 0
        descriptor 0, 0xFFFFF, 0xE8, 0          ; A0 type 8
        descriptor 0, 0xFFFFF, 0xF6, 0x4        ; A8 expand-down data of ring 3
gdt_end:

ask:    mov ebp, ebx                            ; all four about selector BX: ZF LAR ZF LSL ZF ZF
        mov eax, 0x55555555
        lar eax, ebx
        call defined
        mov eax, 0x55555555
        lsl eax, ebx
        call answer
        mov eax, 0x55555555
        lar ax, bx
        call answer
        mov eax, 0
        verr bx
        call answer
        mov eax, 0
        verw bx
        jmp answer
defined:                                        ; bits 16 to 19 of LAR's answer are undefined
        push eax
        setz al
        add al, '0'
        out 0xE9, al
        mov al, ' '
        out 0xE9, al
        pop eax
        and eax, 0xFFF0FFFF
        jmp hex32
answer: mov edx, eax
        setz al
        add al, '0'
        out 0xE9, al
        mov al, ' '
        out 0xE9, al
        mov eax, edx
        jmp hex32

.macro all_of_them
.irp sel, 0, 3, 8, 0x10, 0x13, 0x18, 0x1B, 0x20, 0x28, 0x30, 0x38, 0x40, 0x48, 0x50, 0x53, 0x58, 0x60, 0x68, 0x6B, 0x70, 0x78, 0x80, 0x88, 0x90, 0x98, 0xA0, 0xA8, 0xAB, 4, 0x44, 0xB0, 0xFFF8
        mov eax, 13
        out 0xE9, al
        mov eax, 10
        out 0xE9, al
        mov ebx, \sel
        mov eax, ebx
        call hex32
        call ask
.endr
.endm

main:
case "ring 0"
        all_of_them
case "ring 3"
        push DATA3
        push stack3
        push 0x3002                             ; IOPL 3: it prints
        push CODE3
        push 1f
        iretd
1:      all_of_them
        mov ebx, 0xFFFF0008                     ; the upper half counts for nothing
        call ask
        int END_OF_CASE
case "in memory"
        lar eax, [selector]
        and eax, 0xFFF0FFFF
        show eax
        lsl eax, [selector]
        show eax
        verr word ptr [selector]
case "the upper half of a register stays without ZF"
        mov eax, 0x12345678
        mov ebx, 0
        lar ax, bx
        show eax
done
selector: .long 0x40
