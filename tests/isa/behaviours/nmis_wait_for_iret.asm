; An NMI comes whatever IF says. While its handler runs others wait, all of them together as one, until the
; next IRET, whoever executes it. They are sent by the local APIC, to itself. SDM 3A 6.7, 11.5.1, 11.6.1.
.include "frame.inc"
        gdt_more
gdt_end:

.set APIC, 0xFEE00000

.macro nmi                              ; one is sent, and has come unless it has to wait
        mov eax, [APIC + 0x20]
        and eax, 0xFF000000
        mov [APIC + 0x310], eax
        mov dword ptr [APIC + 0x300], 0x4400
        jmp 5f
5:      nop
.endm

.macro expect more                      ; in the handler, send so many of them
        mov dword ptr [count], 0
        mov dword ptr [inside], 0
        mov dword ptr [again], \more
.endm

main:   mov word ptr [idt + 2 * 8], on_nmi & 0xFFFF
        mov word ptr [idt + 2 * 8 + 6], on_nmi >> 16
        mov word ptr [idt + 0x21 * 8], on_int & 0xFFFF
        mov word ptr [idt + 0x21 * 8 + 6], on_int >> 16
case "with IF clear"
        expect 0
        cli
        nmi
        show [count]
case "with IF set"
        sti
        nmi
        cli
        show [count]
case "one more in the handler waits"
        expect 1
        nmi
        show [inside]
        show [count]
case "three more are one"
        expect 3
        nmi
        show [inside]
        show [count]
case "any IRET lets the next one in"
        expect 1
        mov dword ptr [through], 1
        nmi
        show [inside]
        show [count]
case "from ring 3"
        expect 0
        user 0
        int 0x21
        int END_OF_CASE
        done

on_nmi: push eax
        push ecx
        inc dword ptr [count]
        mov ecx, [again]
        mov dword ptr [again], 0
        jecxz 2f
1:      nmi
        loop 1b
        cmp dword ptr [through], 0
        je 3f
        mov dword ptr [through], 0
        pushfd                          ; an IRET to here
        push CODE0
        push 3f
        iretd
3:      nop
        mov eax, [count]
        mov [inside], eax
2:      pop ecx
        pop eax
        iretd

on_int: pushad
        push ds
        mov eax, DATA0
        mov ds, ax
        nmi
        show [count]
        pop ds
        popad
        iretd

.align 4
count:  .long 0
inside: .long 0
again:  .long 0
through: .long 0
