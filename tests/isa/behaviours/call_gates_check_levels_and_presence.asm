; A call gate is allowed where CPL and RPL are not above its DPL; then gate and target must be present, the target code
; and not of an outer level; the stack of the inner level comes from the TSS. SDM 3A 5.8.4; 2A CALL, JMP.
.include "frame.inc"
        gdt_more
        gate CODE0, entry, 0x8C, 0              ; 38 of DPL 0
        gate CODE0, entry, 0x6C, 0              ; 40 not present
        gate 0, entry, 0xEC, 0                  ; 48 leads to null
        gate DATA0, entry, 0xEC, 0              ; 50 leads to data
        gate 0x60, entry, 0xEC, 0               ; 58 leads to code that is not present
        descriptor 0, 0xFFFFF, 0x1A, 0xC        ; 60 code, not present
        gate 0x70, 0x1000, 0xEC, 0              ; 68 leads beyond the limit
        descriptor 0, 0xFFF, 0x9A, 0x4          ; 70 code of 4 KB
        gate 0xFFF8, entry, 0xEC, 0             ; 78 leads beyond the table
        gate CODE3, entry, 0xEC, 0              ; 80 leads to ring 3
        gate CODE0, entry, 0xEC, 0              ; 88 good
        gate CODE0, entry, 0xED, 0              ; 90 type D is none
        descriptor 0, 0xFFFFF, 0xB2, 0xC        ; 98 data of ring 1
        descriptor 0, 0xFFFFF, 0x32, 0xC        ; A0 data of ring 1, not present
        descriptor 0, 0xFFFFF, 0xB0, 0xC        ; A8 data of ring 1, read only
        descriptor small, 0x1F, 0xB2, 0x4       ; B0 data of ring 1, 32 bytes
        descriptor 0, 0xFFFFF, 0xBA, 0xC        ; B8 code of ring 1
        gate 0xB8, entry1, 0xEC, 0              ; C0 to ring 1
gdt_end:

.macro inner ss_selector, esp_value             ; to ring 1, with this stack
        mov dword ptr [tss + 12], \esp_value
        mov dword ptr [tss + 16], \ss_selector
        ring3 6f
6:      call far 0xC3:0
.endm

main:
case "CPL above DPL"
        ring3 1f
1:      call far 0x38:0
case "RPL above DPL"
        call far 0x3B:0
case "CPL and RPL 0"
        call far 0x38:0
case "a jump"
        jmp far 0x38:0
case "a jump never goes inwards"
        ring3 1f
1:      jmp far 0x8B:0
case "not present"
        call far 0x40:0
case "not present, and not allowed"
        ring3 1f
1:      call far 0x3B:0
case "to null"
        call far 0x48:0
case "to data"
        call far 0x50:0
case "to code that is not present"
        call far 0x58:0
case "beyond the limit"
        call far 0x68:0
case "beyond the table"
        call far 0x78:0
case "outwards"
        call far 0x80:0
case "type D"
        call far 0x90:0
case "in memory"
        call far [pointer]
case "to the TSS descriptor's own type: busy"
        call far TSS_MAIN:0
case "an LDT descriptor"
        call far LDT_MAIN:0
case "good from ring 3"
        ring3 1f
1:      call far 0x88:0
case "the stack of ring 1 is null"
        inner 0, stack_inner
case "the stack has RPL 0"
        inner 0x98, stack_inner
case "the stack is of ring 0"
        inner DATA0, stack_inner
case "the stack is of ring 0, with RPL 1"
        inner 0x11, stack_inner
case "the stack is not present"
        inner 0xA1, stack_inner
case "the stack is read only"
        inner 0xA9, stack_inner
case "the stack is too small"
        inner 0xB1, 15
case "the stack is above its limit"
        inner 0xB1, 0x24
case "the stack just fits"
        inner 0xB1, 0x20
case "the stack fits to the last byte"
        inner 0xB1, 16
case "the stack lies beyond the table"
        inner 0xFFF9, stack_inner
case "the stack in the TSS lies beyond its limit"
        mov byte ptr [gdt + TSS_MAIN], 15
        and byte ptr [gdt + TSS_MAIN + 5], 0xFD
        mov eax, TSS_MAIN
        ltr ax
        ring3 1f
1:      call far 0xC3:0
done

entry:  mov eax, DATA0
        mov ds, ax
        mov ebx, esp
        mov ecx, ss
        show ebx
        show ecx
        int END_OF_CASE
entry1: mov ebx, esp
        mov ecx, ss
        int SHOW_REGISTERS
pointer: .long 0
        .word 0x88
.align 16
small:  .space 64
