; With CR0.NE clear a pending x87 exception raises IRQ 13 at the next x87 instruction that waits; its handler writes to port
; F0h. With NE it is #MF. SDM 1 8.7, appendix D.
.include "frame.inc"
        gdt_more
gdt_end:

.macro pending                                  ; 1 / 0, not masked
        fninit
        fldcw [unmasked]
        fldz
        fld1
        fdiv st0, st1
.endm

main:   mov al, 0x11                            ; IRQ 8 to 15 are vectors 28h to 2Fh, IRQ 0 to 7 20h to 27h
        out 0x20, al
        out 0xA0, al
        mov al, 0x20
        out 0x21, al
        mov al, 0x28
        out 0xA1, al
        mov al, 4
        out 0x21, al
        mov al, 2
        out 0xA1, al
        mov al, 1
        out 0x21, al
        out 0xA1, al
        mov al, 0xFB
        out 0x21, al
        mov al, 0xDF
        out 0xA1, al
        mov eax, irq13
        mov [idt + 0x2D * 8], ax
        shr eax, 16
        mov [idt + 0x2D * 8 + 6], ax
        mov eax, cr0
        and eax, 0xFFFFFFC1                     ; NE, TS, EM, MP
        mov cr0, eax
case "without NE: the interrupt comes, clears the exception, and the program goes on"
        sti
        pending
        fwait
        cli
        print "on "
        fnstsw ax
        and eax, 0xFFFF
        show eax
        show [count]
case "an instruction that does not wait raises none"
        mov dword ptr [count], 0
        sti
        pending
        fnstsw ax
        fnclex
        fwait
        cli
        show [count]
case "with NE: #MF"
        mov eax, cr0
        or eax, 0x20
        mov cr0, eax
        pending
        fwait
case "and none where it was cleared"
        fnclex
        fwait
        print "none"
done
irq13:  push eax
        inc dword ptr [count]
        print "IRQ 13 "
        xor eax, eax
        out 0xF0, al
        fnclex
        mov al, 0x20
        out 0xA0, al
        out 0x20, al
        pop eax
        iretd
count:  .long 0
unmasked: .word 0x0372
