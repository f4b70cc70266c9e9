; rings: transfers that behave as the ring says they run in, and say nothing.
;
; What popf.asm leaves of Robin and Irvine's list are instructions that load segments or go elsewhere. In
; an outer ring most of them fault where a kernel's do not (a code selector of ring 0, a stack of ring 0), and
; a monitor hears of it. Three do not:
;
;   CALL far    pushes the real CS, whose lowest bits are the ring
;   IRET        to the ring it runs in leaves IF alone, as POPF does: SDM 2A IRET
;   RETF        to ring 1, from ring 0: an inner return takes ESP and SS from the stack; for who runs in
;               ring 1 already it is an ordinary one, and they stay there
;
; INT n goes through the monitor's table and always traps. POP and MOV to a segment register and JMP far
; load what a kernel means them to load; that the ring is another, PUSH CS and MOV r, CS show.
; The verdict is the number of wrong answers.
;
; expect:
;   | CALL far: ok
;   | IRET: ok
;   | RETF: ok
;
; modes: native full rewrite
; naive: CALL far at call_far_here
; naive: IRET at iret_here
; naive: RETF at retf_here

.include "lib/boot.inc"
.include "lib/trap.inc"
.include "lib/report.inc"

.equ RING1_CS, 0x30 | 1
.equ RING1_DS, 0x38 | 1

main:
    call traps_init
    mov al, 0xff                        ; no device may use the moments when interrupts are on
    out PIC1_DATA, al
    out PIC2_DATA, al
    lgdt [table_register]
    mov dword ptr [tss + TSS_ESP0], trap_stack + 256

call_far_here:
    call far KERNEL_CS:below
below:
    pop eax
    pop eax
    cmp ax, KERNEL_CS
    report call_far_name

    ; IRET, as a kernel ends a critical section that began in a handler.
    cli
    pushf
    or dword ptr [esp], EFLAGS_IF
    push cs
    push offset after_iret
iret_here:
    iret
after_iret:
    int VECTOR_SYSCALL                  ; `trap` puts the frame's EFLAGS into EBX
    cli
    and ebx, EFLAGS_IF
    cmp ebx, EFLAGS_IF
    report iret_name

    mov [kernel_esp], esp
    push RING1_DS
    push offset ring1_stack + 256
    push RING1_CS
    push offset in_ring1
retf_here:
    retf
in_ring1:
    mov edi, esp
    int VECTOR_SYSCALL                  ; `trap` brings us back
    mov esp, [kernel_esp]
    cmp edi, ring1_stack + 256
    report retf_name

    mov eax, [wrong]
    ret

; trap: see lib/trap.inc. EBP = the frame. Only the kernel's own INT is expected; it goes on in ring 0.
trap:
    cmp dword ptr [ebp + FRAME_VECTOR], VECTOR_SYSCALL
    jne trap_unexpected
    mov eax, [ebp + FRAME_EFLAGS]
    mov [ebp + FRAME_EBX], eax
    mov dword ptr [ebp + FRAME_CS], KERNEL_CS
    mov dword ptr [ebp + FRAME_DS], KERNEL_DS
    mov dword ptr [ebp + FRAME_ES], KERNEL_DS
    ret

table_register:
    .word table_end - table - 1
    .long table
.align 8
table:
    descriptor 0, 0, 0, 0
    descriptor 0, 0xfffff, SEG_PRESENT | SEG_CODE, SEG_4K_32
    descriptor 0, 0xfffff, SEG_PRESENT | SEG_DATA, SEG_4K_32
    descriptor 0, 0, 0, 0
    descriptor 0, 0, 0, 0
    descriptor tss, TSS_SIZE - 1, SEG_PRESENT | SEG_TSS, 0
    descriptor 0, 0xfffff, SEG_PRESENT | 1 << SEG_RING_SHIFT | SEG_CODE, SEG_4K_32
    descriptor 0, 0xfffff, SEG_PRESENT | 1 << SEG_RING_SHIFT | SEG_DATA, SEG_4K_32
table_end:

    variable kernel_esp, 4
    variable trap_stack, 256
    variable ring1_stack, 256

call_far_name:      .asciz "CALL far"
iret_name:          .asciz "IRET"
retf_name:          .asciz "RETF"
