; recursion: a kernel whose page-fault handler faults, on a stack that goes on for ever
;
; Each fault is delivered, the handler's first instruction faults again, and the stack grows down into
; the table that delivers it. It ends as a real processor ends: with a triple fault.
;
; ends: triple fault

.include "lib/boot.inc"

main:
    mov word ptr [gate], handler_low
    lidt [pointer]
    mov esp, idt + 0x4000
handler:
    ud2

.equ handler_low, handler - 0x100000    ; the kernel lies at 1 MB: the upper half is in the gate already
.align 8
idt:    .space 6 * 8
gate:   .word 0, 0x08, 0x8e00, 0x10
        .space 9 * 8
pointer:
        .word 16 * 8 - 1
        .long idt
