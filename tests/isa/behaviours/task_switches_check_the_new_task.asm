; What is wrong with a TSS is a fault of the old task; what is wrong with the segments it names, one of the new task.
; Busy bits, NT and back links follow the cause. SDM 3A 7.2, 7.3, table 7-1.
.include "frame.inc"
        gdt_more
        descriptor tss_b, 0x67, 0x89            ; 38 a task
        descriptor tss_b, 0x66, 0x89            ; 40 too short
        descriptor tss_b, 0x67, 0x09            ; 48 not present
        descriptor tss_b, 0x67, 0x8B            ; 50 busy
        gate 0x38, 0, 0xE5                      ; 58 task gate for all
        gate 0x38, 0, 0x85                      ; 60 task gate of DPL 0
        gate 0x38, 0, 0x65                      ; 68 not present
        gate 0, 0, 0xE5                         ; 70 to null
        gate DATA0, 0, 0xE5                     ; 78 to data
        gate 0x3C, 0, 0xE5                      ; 80 to the LDT
        gate 0xFFF8, 0, 0xE5                    ; 88 beyond the table
        gate 0x50, 0, 0xE5                      ; 90 to a busy task
        descriptor 0, 0xFFFFF, 0x12, 0xC        ; 98 data, not present
        descriptor 0, 0xFFFFF, 0x1A, 0xC        ; A0 code, not present
        descriptor 0, 0xFFFFF, 0xFE, 0xC        ; A8 conforming code of ring 3
        descriptor 0, 0xFFF, 0x9A, 0x4          ; B0 code of 4 KB
gdt_end:
.align 16
tss_b:  .space 104
        .space 512
stack_b: .space 512
stack_b0: .long 0

.macro task                                     ; the new task is good, and not busy; this one is TSS_MAIN
        call make_task
.endm
make_task:
        mov edi, tss_b
        mov ecx, 26
        xor eax, eax
        rep stosd
        mov dword ptr [tss_b + 4], stack_b0     ; where a fault goes while there is no SS yet
        mov dword ptr [tss_b + 8], DATA0
        mov dword ptr [tss_b + 0x20], in_task
        mov dword ptr [tss_b + 0x24], 2
        mov dword ptr [tss_b + 0x38], stack_b
        mov dword ptr [tss_b + 0x48], DATA0
        mov dword ptr [tss_b + 0x4C], CODE0
        mov dword ptr [tss_b + 0x50], DATA0
        mov dword ptr [tss_b + 0x54], DATA0
        mov dword ptr [tss_b + 0x58], DATA0
        mov dword ptr [tss_b + 0x5C], DATA0
        mov dword ptr [tss_b + 0x64], 0x680000
        mov byte ptr [gdt + 0x38 + 5], 0x89
        mov byte ptr [gdt + TSS_MAIN + 5], 0x89
        mov eax, TSS_MAIN
        ltr ax
        push 2
        popfd
        ret

.macro state                                    ; who is running, and busy bits
        str eax
        show eax
        movzx eax, byte ptr [gdt + TSS_MAIN + 5]
        show eax
        movzx eax, byte ptr [gdt + 0x38 + 5]
        show eax
        pushfd
        pop eax
        show eax
.endm

.macro after                                    ; the next case: where it has come to
case "state after"
        state
.endm

in_task: state
        show [tss_b]
        show [tss + 0x20]
        mov eax, cr0
        and eax, 0x9FFFFFFF                     ; but CD and NW
        show eax
        int END_OF_CASE

main:
case "JMP"
        task
        jmp far 0x38:0
case "CALL"
        task
        call far 0x38:0
case "CALL through a gate"
        task
        call far 0x58:0
case "JMP through a gate"
        task
        jmp far 0x58:0
case "an interrupt"
        task
        mov dword ptr [idt + 0x21 * 8 + 2], 0xE5000038
        sti
        int 0x21
case "an exception with an error code"
        task
        mov dword ptr [tss_b + 0x20], with_code
        mov dword ptr [idt + 13 * 8 + 2], 0x85000038
        mov eax, 0x7F8
        mov fs, ax
case "CALL and IRET"
        mov dword ptr [idt + 13 * 8 + 2], 0xEE000008
        mov eax, stubs + 16 * 13
        mov [idt + 13 * 8], ax
        shr eax, 16
        mov [idt + 13 * 8 + 6], ax
        task
        mov dword ptr [tss_b + 0x20], back
        call far 0x38:0
        state
        show [tss_b + 0x20]
        show [tss_b + 0x24]
case "IRET without a back link"
        task
        mov dword ptr [tss], 0
        push 0x4002
        popfd
        iretd
case "IRET to a task that is not busy"
        task
        mov dword ptr [tss], 0x38
        push 0x4002
        popfd
        iretd
case "IRET to the LDT"
        task
        mov dword ptr [tss], 0x3C
        push 0x4002
        popfd
        iretd
case "to itself"
        task
        jmp far TSS_MAIN:0
case "busy"
        task
        call far 0x50:0
case "busy, through a gate"
        task
        call far 0x90:0
case "too short"
        task
        call far 0x40:0
after
case "not present"
        task
        call far 0x48:0
case "from ring 3 directly"
        task
        ring3 1f
1:      call far 0x38:0
case "from ring 3 through a gate of DPL 0"
        task
        ring3 1f
1:      call far 0x60:0
case "from ring 3 through a gate"
        task
        ring3 1f
1:      call far 0x58:0
case "a gate with RPL 3 above its DPL"
        task
        call far 0x63:0
case "a gate that is not present"
        task
        call far 0x68:0
case "a gate to null"
        task
        call far 0x70:0
case "a gate to data"
        task
        call far 0x78:0
case "a gate into the LDT"
        task
        call far 0x80:0
case "a gate beyond the table"
        task
        call far 0x88:0
case "CS null"
        task
        mov dword ptr [tss_b + 0x4C], 0
        call far 0x38:0
after
case "CS is data"
        task
        mov dword ptr [tss_b + 0x4C], DATA0
        call far 0x38:0
case "CS with RPL 3 and DPL 0"
        task
        mov dword ptr [tss_b + 0x4C], 0x0B
        call far 0x38:0
case "CS not present"
        task
        mov dword ptr [tss_b + 0x4C], 0xA0
        call far 0x38:0
after
case "CS conforming of ring 3 with RPL 0"
        task
        mov dword ptr [tss_b + 0x4C], 0xA8
        call far 0x38:0
case "EIP beyond CS"
        task
        mov dword ptr [tss_b + 0x4C], 0xB0
        call far 0x38:0
case "SS null"
        task
        mov dword ptr [tss_b + 0x50], 0
        call far 0x38:0
case "SS with RPL 3"
        task
        mov dword ptr [tss_b + 0x50], 0x13
        call far 0x38:0
case "SS not present"
        task
        mov dword ptr [tss_b + 0x50], 0x98
        call far 0x38:0
case "DS not present"
        task
        mov dword ptr [tss_b + 0x54], 0x98
        call far 0x38:0
case "ES beyond the table"
        task
        mov dword ptr [tss_b + 0x48], 0xFFF8
        call far 0x38:0
case "FS is a system descriptor"
        task
        mov dword ptr [tss_b + 0x58], LDT_MAIN
        call far 0x38:0
case "data segments null"
        task
        mov dword ptr [tss_b + 0x58], 0
        mov dword ptr [tss_b + 0x5C], 3
        call far 0x38:0
case "an LDT that is none"
        task
        mov dword ptr [tss_b + 0x60], DATA0
        call far 0x38:0
case "an LDT in the LDT"
        task
        mov dword ptr [tss_b + 0x60], 4
        call far 0x38:0
case "an LDT"
        task
        mov dword ptr [tss_b + 0x60], LDT_MAIN
        mov dword ptr [tss_b + 0x20], shows_ldt
        call far 0x38:0
case "flags: NT in a task that is jumped to stays"
        task
        mov dword ptr [tss_b + 0x24], 0x4202
        jmp far 0x38:0
done
with_code: pop eax
        show eax
        int END_OF_CASE
shows_ldt: sldt eax
        show eax
        int END_OF_CASE
back:   iretd
