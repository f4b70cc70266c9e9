; popf: the instructions that make the x86 of 1985 hard to virtualize.
;
; A monitor that runs a kernel outside ring 0 counts on privileged instructions to trap. Thirteen that
; matter do not: in an outer ring they quietly do something else, or show the monitor's state in place
; of the kernel's. (Robin and Irvine, USENIX Security 2000, list them; the others on their list, far
; transfers and segment loads, fail loudly more often than not: rings.asm.)
;
; For each the kernel loads something, asks the instruction what is loaded, and compares. On a bare
; processor every answer is right. The verdict is the number of wrong ones.
;
;   POPF                  IF does not change if CPL > IOPL, and nothing traps: SDM 2B POPF
;   PUSHF                 shows the real IF, which a monitor never clears
;   SGDT SIDT SLDT STR    show the monitor's tables
;   SMSW                  shows the real CR0
;   PUSH CS, MOV r, CS    show the real CPL
;   LAR LSL VERR VERW     look up descriptors in the monitor's tables, and judge by the real CPL
;
; The paravirtual build has no use for the first seven: the kernel keeps its own record of what it asked
; the monitor for, and its interrupt flag is the event mask. It knows that it lives in ring 1, so for
; it the last six are right as they stand.
;
; expect:
;   | POPF: ok
;   | PUSHF: ok
;   | SGDT: ok
;   | SIDT: ok
;   | SLDT: ok
;   | STR: ok
;   | SMSW: ok
;   | PUSH CS: ok
;   | MOV r, CS: ok
;   | LAR: ok
;   | LSL: ok
;   | VERR: ok
;   | VERW: ok
;
; modes: native full rewrite para
; naive: POPF at popf_here
; naive: PUSHF at pushf_here
; naive: SGDT at sgdt_here
; naive: SIDT at sidt_here
; naive: SLDT at sldt_here
; naive: STR at str_here
; naive: SMSW at smsw_here
; naive: PUSH CS at push_cs_here
; naive: MOV r, CS at mov_cs_here
; naive: LAR at lar_here
; naive: LSL at lsl_here
; naive: VERR at verr_here
; naive: VERW at verw_here

.include "lib/boot.inc"
.include "lib/trap.inc"
.include "lib/report.inc"

; The low half of CR0 as this kernel wants it: FPU errors come by the interrupt controller, so no NE.
.equ CR0_WANTED, CR0_PE | CR0_MP | CR0_ET

; Two segments to ask about, and what must come out. PROBE_STRANGER is the same data segment as asked
; for by the next outer ring, and that ring must not have it.
.ifdef PARA
    .equ PROBE_PAGES, 0x10000           ; 256 MiB, well below the monitor
    .equ PROBE_CODE, 0x08 | KERNEL_RING
    .equ PROBE_DATA, 0x10 | KERNEL_RING
.else
    .equ PROBE_PAGES, 0x100000          ; 4 GiB: our own flat segments
    .equ PROBE_CODE, KERNEL_CS
    .equ PROBE_DATA, KERNEL_DS
.endif
.equ PROBE_STRANGER, PROBE_DATA + 1
.equ PROBE_LIMIT, PROBE_PAGES * PAGE_SIZE - 1
.equ PROBE_RIGHTS, (SEG_PRESENT | KERNEL_RING << SEG_RING_SHIFT | SEG_CODE) << 8 | SEG_4K_32 << 20
.equ RIGHTS_DEFINED, 0x00f0ff00         ; the bits of LAR's answer that mean something

main:
    call traps_init
.ifdef PARA
    call load_probe_segments
.else
    mov al, 0xff                        ; no device may use the moments when interrupts are on
    out PIC1_DATA, al
    out PIC2_DATA, al
    mov eax, LDT_SELECTOR
    lldt ax
    mov eax, cr0
    and eax, 0xffff0000
    or eax, CR0_WANTED
    mov cr0, eax
.endif

    ; POPF. PUSHF cannot judge it, being no better. But an interrupt saves EFLAGS with the IF that
    ; counts, so the kernel interrupts itself and looks at the frame.
    interrupts_off
    mov eax, EFLAGS_ONE | EFLAGS_IF
    call write_flags
    int VECTOR_SYSCALL                  ; `trap` puts the frame's EFLAGS into EBX
    mov edi, ebx
    mov eax, EFLAGS_ONE
    call write_flags
    int VECTOR_SYSCALL
    and edi, EFLAGS_IF
    and ebx, EFLAGS_IF
    xor ebx, EFLAGS_IF                  ; on after the first, off after the second
    cmp edi, ebx
    report popf_name

    ; PUSHF, after CLI and after STI.
    interrupts_off
    call read_flags
    mov ebx, eax
    interrupts_on
    call read_flags
    mov ecx, eax
    interrupts_off
    and ebx, EFLAGS_IF
    and ecx, EFLAGS_IF
    xor ecx, EFLAGS_IF
    or ebx, ecx
    report pushf_name

    call read_gdt
    mov esi, gdt_register
    call same_register
    report sgdt_name

    call read_idt
    mov esi, idt_register
    call same_register
    report sidt_name

    call read_ldt
    cmp ax, LDT_SELECTOR
    report sldt_name

    call read_task
    cmp ax, TSS_SELECTOR
    report str_name

    call read_status
    cmp ax, CR0_WANTED
    report smsw_name

push_cs_here:
    push cs
    pop eax
    cmp ax, KERNEL_CS
    report push_cs_name

    xor eax, eax
mov_cs_here:
    mov eax, cs
    cmp ax, KERNEL_CS
    report mov_cs_name

    ; LAR and LSL set ZF if the segment may be seen at all.
    mov ecx, PROBE_CODE
lar_here:
    lar eax, ecx
    jnz lar_judged
    and eax, RIGHTS_DEFINED
    cmp eax, PROBE_RIGHTS
lar_judged:
    report lar_name

    mov ecx, PROBE_DATA
lsl_here:
    lsl eax, ecx
    jnz lsl_judged
    cmp eax, PROBE_LIMIT
lsl_judged:
    report lsl_name

    ; VERR and VERW: may this selector be used to read, to write? This is how a kernel judges selectors
    ; that it was given from an outer ring. Ours may be used; the stranger's may not.
    mov ecx, PROBE_DATA
    verr cx
    jnz verr_judged
    mov ecx, PROBE_STRANGER
verr_here:
    verr cx
    call invert_zero_flag
verr_judged:
    report verr_name

    mov ecx, PROBE_DATA
    verw cx
    jnz verw_judged
    mov ecx, PROBE_STRANGER
verw_here:
    verw cx
    call invert_zero_flag
verw_judged:
    report verw_name

    mov eax, [wrong]
    ret

; ---- The questions. Bare, each is one instruction. In the paravirtual build each is a look into the
; kernel's own records.

; write_flags: EFLAGS becomes EAX.
write_flags:
.ifdef PARA
    test eax, EFLAGS_IF
    setz byte ptr [shared_info + UPCALL_MASK]
.else
    push eax
popf_here:
    popf
.endif
    ret

; read_flags: -> EAX = EFLAGS, as far as IF is concerned.
read_flags:
.ifdef PARA
    xor eax, eax
    cmp byte ptr [shared_info + UPCALL_MASK], 0
    jne .off
    mov eax, EFLAGS_IF
.off:
.else
pushf_here:
    pushf
    pop eax
.endif
    ret

; read_gdt, read_idt: -> `seen` = limit and base.
read_gdt:
.ifdef PARA
    mov esi, gdt_register
    jmp recall
.else
sgdt_here:
    sgdt [seen]
    ret
.endif

read_idt:
.ifdef PARA
    mov esi, idt_register
recall:
    mov edi, seen
    movsw
    movsd
    ret
.else
sidt_here:
    sidt [seen]
    ret
.endif

; read_ldt, read_task, read_status: -> AX.
read_ldt:
.ifdef PARA
    mov ax, [ldt_record]
.else
sldt_here:
    sldt ax
.endif
    ret

read_task:
.ifdef PARA
    mov ax, [task_record]
.else
str_here:
    str ax
.endif
    ret

read_status:
.ifdef PARA
    mov ax, [status_record]
.else
smsw_here:
    smsw ax
.endif
    ret

; ---- The answers.

; same_register: -> ZF set if `seen` is the limit and base at ESI.
same_register:
    mov ax, [esi]
    cmp ax, [seen]
    jne .done
    mov eax, [esi + 2]
    cmp eax, [seen + 2]
.done:
    ret

; invert_zero_flag: ZF becomes its opposite. EAX is lost.
invert_zero_flag:
    mov eax, 0
    setz al
    test eax, eax
    ret

; trap: see lib/trap.inc. EBP = the frame. Only the kernel's own INT is expected.
trap:
    cmp dword ptr [ebp + FRAME_VECTOR], VECTOR_SYSCALL
    jne trap_unexpected
    mov eax, [ebp + FRAME_EFLAGS]
    mov [ebp + FRAME_EBX], eax
    ret

.ifdef PARA
.equ LDT_SELECTOR, 0                    ; no local descriptor table, no task, and of CR0 what we like
.equ TSS_SELECTOR, 0
ldt_record:         .word LDT_SELECTOR
task_record:        .word TSS_SELECTOR
status_record:      .word CR0_WANTED

; load_probe_segments: a page of descriptors, which the monitor checks. It must not be writable then.
load_probe_segments:
    mov eax, gdt
    call machine_address
    lea edx, [eax + PTE_P]
    shr eax, PAGE_SHIFT
    mov [gdt_frame], eax
    mov eax, gdt
    call xen_set_entry
    mov ebx, gdt_frame
    mov ecx, (gdt_end - gdt) / 8
    hypercall_must_succeed HYPERCALL_SET_GDT
    ret

    variable gdt_frame, 4
gdt_register:
    .word gdt_end - gdt - 1
    .long gdt
idt_register:                           ; the table that was given to the monitor
    .word trap_table_end - trap_table - 1
    .long trap_table
.align PAGE_SIZE
gdt:
    descriptor 0, 0, 0, 0
    descriptor 0, PROBE_PAGES - 1, SEG_PRESENT | KERNEL_RING << SEG_RING_SHIFT | SEG_CODE, SEG_4K_32
    descriptor 0, PROBE_PAGES - 1, SEG_PRESENT | KERNEL_RING << SEG_RING_SHIFT | SEG_DATA, SEG_4K_32
gdt_end:
    .space PAGE_SIZE - (gdt_end - gdt)  ; all descriptors of the page are checked: the rest are null
.endif

    variable seen, 8                    ; the answer to SGDT and SIDT

popf_name:          .asciz "POPF"
pushf_name:         .asciz "PUSHF"
sgdt_name:          .asciz "SGDT"
sidt_name:          .asciz "SIDT"
sldt_name:          .asciz "SLDT"
str_name:           .asciz "STR"
smsw_name:          .asciz "SMSW"
push_cs_name:       .asciz "PUSH CS"
mov_cs_name:        .asciz "MOV r, CS"
lar_name:           .asciz "LAR"
lsl_name:           .asciz "LSL"
verr_name:          .asciz "VERR"
verw_name:          .asciz "VERW"
