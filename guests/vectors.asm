; vectors: every exception that can be raised on purpose, first in ring 0, then in ring 3.
;
; Each short piece of code at the end of this file does one thing wrong. A table says what must come of it in
; either ring: which vector, which error code, and whether EIP then points at the guilty instruction (a
; fault: mend the matter, and it can be executed again) or behind it (a trap: it is done). The same code
; runs in both rings; where ring 3 has fewer rights, there are two answers.
;
;                               +-------------+
;      ring 0: call piece --->  |   a piece   |  ---> exception ---> `trap` notes vector, error code, EIP
;      ring 3: IRET       --->  +-------------+                      and drops the stack: back to the table
;
; An error code names the descriptor that was not to the processor's liking: a selector without its RPL, or
; for a gate of the IDT eight times its vector, and 2. For a page fault it is a set of bits instead: 1 the
; page is there, 2 a write, 4 from ring 3.
;
; A double fault is what comes when an exception finds no gate to go through. It is an abort: EIP may be
; anything, and nothing can be executed again.
;
; expect:
;   | in ring 0
;   |   DIV by zero: #DE, fault
;   |   IDIV with too large a quotient: #DE, fault
;   |   NOP with TF set: #DB, trap
;   |   INT 1: #DB, trap
;   |   INT3: #BP, trap
;   |   INTO with OF set: #OF, trap
;   |   BOUND, index too large: #BR, fault
;   |   UD2: #UD, fault
;   |   MOV to CS: #UD, fault
;   |   FLD1 without an FPU: #NM, fault
;   |   WAIT after a task switch: #NM, fault
;   |   #GP with its gate closed: #DF, abort, error code 0x00000000
;   |   IRET to a task that is none: #TS, fault, error code 0x00000010
;   |   an absent segment into ES: #NP, fault, error code 0x00000038
;   |   INT through a closed gate: #NP, fault, error code 0x00000182
;   |   an absent segment into SS: #SS, fault, error code 0x00000038
;   |   a null selector into SS: #GP, fault, error code 0x00000000
;   |   a selector beyond the GDT into ES: #GP, fault, error code 0x00000200
;   |   JMP to ring 0 code: allowed
;   |   CLI: allowed
;   |   IN: allowed
;   |   MOV from CR0: allowed
;   |   read where no page is: #PF, fault, error code 0x00000000
;   |   write where no page is: #PF, fault, error code 0x00000002
;   |   JMP to where no page is: #PF, fault, error code 0x00000000
;   |   write to a read-only page: #PF, fault, error code 0x00000003
;   |   read of the kernel's page: allowed
;   | in ring 3
;   |   DIV by zero: #DE, fault
;   |   IDIV with too large a quotient: #DE, fault
;   |   NOP with TF set: #DB, trap
;   |   INT 1: #GP, fault, error code 0x0000000a
;   |   INT3: #BP, trap
;   |   INTO with OF set: #OF, trap
;   |   BOUND, index too large: #BR, fault
;   |   UD2: #UD, fault
;   |   MOV to CS: #UD, fault
;   |   FLD1 without an FPU: #NM, fault
;   |   WAIT after a task switch: #NM, fault
;   |   #GP with its gate closed: #DF, abort, error code 0x00000000
;   |   IRET to a task that is none: #TS, fault, error code 0x00000010
;   |   an absent segment into ES: #NP, fault, error code 0x00000040
;   |   INT through a closed gate: #NP, fault, error code 0x00000182
;   |   an absent segment into SS: #SS, fault, error code 0x00000040
;   |   a null selector into SS: #GP, fault, error code 0x00000000
;   |   a selector beyond the GDT into ES: #GP, fault, error code 0x00000200
;   |   JMP to ring 0 code: #GP, fault, error code 0x00000008
;   |   CLI: #GP, fault, error code 0x00000000
;   |   IN: #GP, fault, error code 0x00000000
;   |   MOV from CR0: #GP, fault, error code 0x00000000
;   |   read where no page is: #PF, fault, error code 0x00000004
;   |   write where no page is: #PF, fault, error code 0x00000006
;   |   JMP to where no page is: #PF, fault, error code 0x00000004
;   |   write to a read-only page: #PF, fault, error code 0x00000007
;   |   read of the kernel's page: #PF, fault, error code 0x00000005
;   | all as it should be
;
; modes: native full rewrite
; naive: nothing

.equ POOL_PAGES, 2

.include "lib/boot.inc"
.include "lib/trap.inc"
.include "lib/paging.inc"
.include "lib/user.inc"

; What can come of a piece.
.equ FAULT, 0
.equ TRAP, 1
.equ ABORT, 2
.equ NO_CODE, 0                         ; an exception without an error code: lib/trap.inc notes 0
.equ NOTHING, VECTOR_SYSCALL            ; no exception: the piece came to its end, which is an INT
.equ SEALED, PF_WRITE | PF_PROTECTION   ; a write to a page that is there
.equ HAVE_ERROR_CODE, 1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14  ; vectors

.equ EFLAGS_TF, 0x00000100              ; a debug exception after each instruction
.equ EFLAGS_NT, 0x00004000              ; IRET goes back to the task that the TSS names
.equ CR0_EM, 0x00000004                 ; there is no FPU
.equ GATE_PRESENT, 0x8000               ; in the upper half of a gate
.equ GATE_RING_3, 0x6000

.equ VECTOR_CLOSED, 0x30                ; its gate is not present
.equ NOWHERE, 0x00800000                ; no page here

; Selectors: after the library's descriptors come two of data segments that are not present, one for each
; ring, and after these there is nothing.
.equ ABSENT_0, 0x38
.equ ABSENT_3, 0x40 | 3
.equ BEYOND, 0x200
.equ OWN_GDT_SIZE, ABSENT_0 + 16

; ---- The table. A row: the text, the piece, the guilty instruction, the one behind it, what to prepare;
; then vector, kind and error code in ring 0, and the same in ring 3.
.equ ROW_TEXT, 0
.equ ROW_PIECE, 4
.equ ROW_GUILTY, 8
.equ ROW_BEHIND, 12
.equ ROW_PREPARE, 16
.equ ROW_RING_0, 20
.equ ROW_RING_3, 32
.equ ROW_SIZE, 44

; row: PIECE has labels PIECE_guilty and PIECE_behind, and a text PIECE_text.
.macro row piece, prepare, vector0, kind0, error0, vector3, kind3, error3
    .long \piece\()_text, \piece, \piece\()_guilty, \piece\()_behind, \prepare
    .long \vector0, \kind0, \error0, \vector3, \kind3, \error3
.endm

; both: a row whose answer is the same in both rings.
.macro both piece, prepare, vector, kind, error
    row \piece, \prepare, \vector, \kind, \error, \vector, \kind, \error
.endm

.align 4
table:
    both divide,      no_fpu_trap, 0,  FAULT, NO_CODE
    both overflow,    no_fpu_trap, 0,  FAULT, NO_CODE
    both step,        no_fpu_trap, 1,  TRAP,  NO_CODE
    row  int1,        no_fpu_trap, 1,  TRAP,  NO_CODE,  13, FAULT, 1*8 + 2
    both int3,        no_fpu_trap, 3,  TRAP,  NO_CODE
    both into,        no_fpu_trap, 4,  TRAP,  NO_CODE
    both bound,       no_fpu_trap, 5,  FAULT, NO_CODE
    both undefined,   no_fpu_trap, 6,  FAULT, NO_CODE
    both load_cs,     no_fpu_trap, 6,  FAULT, NO_CODE
    both fpu_absent,  set_em,      7,  FAULT, NO_CODE
    both fpu_foreign, set_ts,      7,  FAULT, NO_CODE
    both double,      close_gp,    8,  ABORT, 0
    both no_task,     no_fpu_trap, 10, FAULT, KERNEL_DS
    row  absent_es,   no_fpu_trap, 11, FAULT, ABSENT_0, 11, FAULT, ABSENT_3 & ~3
    both closed_gate, no_fpu_trap, 11, FAULT, VECTOR_CLOSED*8 + 2
    row  absent_ss,   no_fpu_trap, 12, FAULT, ABSENT_0, 12, FAULT, ABSENT_3 & ~3
    both null_ss,     no_fpu_trap, 13, FAULT, 0
    both beyond,      no_fpu_trap, 13, FAULT, BEYOND
    row  kernel_code, no_fpu_trap, NOTHING, TRAP, 0,    13, FAULT, KERNEL_CS
    row  disable,     no_fpu_trap, NOTHING, TRAP, 0,    13, FAULT, 0
    row  port,        no_fpu_trap, NOTHING, TRAP, 0,    13, FAULT, 0
    row  control,     no_fpu_trap, NOTHING, TRAP, 0,    13, FAULT, 0
    row  read,        no_fpu_trap, 14, FAULT, 0,        14, FAULT, PF_USER
    row  write,       no_fpu_trap, 14, FAULT, PF_WRITE, 14, FAULT, PF_USER | PF_WRITE
    row  execute,     no_fpu_trap, 14, FAULT, 0,        14, FAULT, PF_USER
    row  sealed,      no_fpu_trap, 14, FAULT, SEALED,   14, FAULT, PF_USER | SEALED
    row  kernel_page, no_fpu_trap, NOTHING, TRAP, 0,    14, FAULT, PF_USER | PF_PROTECTION
table_end:

main:
    call traps_init
    call paging_init
    mov eax, user_begin
    mov ecx, user_end
    mov edx, PTE_P | PTE_W | PTE_U
    call map_range
    mov eax, sealed_page
    mov edx, sealed_page + (PTE_P | PTE_U)
    call map_page                       ; ring 3 may look, and nobody may write
    mov eax, trap_stack_top
    call set_kernel_stack
    mov esi, gdt                        ; the library's descriptors, and two more
    mov edi, own_gdt
    mov ecx, gdt_end - gdt
    rep movsb
    mov esi, absent_segments
    mov ecx, absent_segments_end - absent_segments
    rep movsb
    lgdt [own_gdt_register]
    mov word ptr [tss], KERNEL_DS       ; the task to go back to is none
    or dword ptr [idt + 3*8 + 4], GATE_RING_3   ; INT3 and INTO are for ring 3, too; INT 1 is not
    or dword ptr [idt + 4*8 + 4], GATE_RING_3
    mov dword ptr [idt + VECTOR_CLOSED*8], KERNEL_CS << 16
    mov dword ptr [idt + VECTOR_CLOSED*8 + 4], 0xee00 & ~GATE_PRESENT

    print ring_0_text
    mov dword ptr [enter], enter_ring_0
    mov dword ptr [answer], ROW_RING_0
    call all_pieces
    print ring_3_text
    mov dword ptr [enter], enter_ring_3
    mov dword ptr [answer], ROW_RING_3
    call all_pieces
    mov eax, [wrong]
    test eax, eax
    jnz .done
    print right_text
.done:
    ret

; all_pieces: of the table, in one ring.
all_pieces:
    mov ebx, table
.piece:
    call [ebx + ROW_PREPARE]
    push ebx
    mov [kernel_stack], esp
    jmp [enter]
.back:                                  ; from `trap`
    pop ebx
    call no_fpu_trap                    ; CR0 as it was,
    or dword ptr [idt + 13*8 + 4], GATE_PRESENT     ; and the IDT
    call report
    add ebx, ROW_SIZE
    cmp ebx, table_end
    jb .piece
    ret

; enter_ring_0, enter_ring_3: execute the piece of the row EBX. EAX is the ring's own absent segment.
enter_ring_0:
    mov eax, ABSENT_0
    jmp [ebx + ROW_PIECE]

enter_ring_3:
    mov edi, trap_stack_top
    mov eax, [ebx + ROW_PIECE]
    mov edx, user_stack_top
    mov ecx, EFLAGS_ONE
    call user_frame
    mov dword ptr [ebp + FRAME_EAX], ABSENT_3
    jmp trap_return

; trap: see lib/trap.inc. EBP = the frame. It is not returned to; `all_pieces` goes on.
trap:
    mov eax, [ebp + FRAME_VECTOR]
    mov [seen_vector], eax
    mov eax, [ebp + FRAME_ERROR]
    mov [seen_error], eax
    mov eax, [ebp + FRAME_EIP]
    mov [seen_eip], eax
    mov esp, [kernel_stack]
    jmp all_pieces.back

; ---- Preparations, done in ring 0. EAX is lost.
no_fpu_trap:
    mov eax, cr0
    and eax, ~(CR0_EM | CR0_TS | CR0_MP)
    mov cr0, eax
    ret

set_em:
    mov eax, cr0
    or eax, CR0_EM
    mov cr0, eax
    ret

set_ts:
    mov eax, cr0
    or eax, CR0_TS | CR0_MP
    mov cr0, eax
    ret

close_gp:
    and dword ptr [idt + 13*8 + 4], ~GATE_PRESENT
    ret

; report: what came of the piece of the row EBX, and whether that is right. EBX is kept.
report:
    print indent_text
    mov esi, [ebx + ROW_TEXT]
    call puts
    print colon_text
    mov edi, ebx
    add edi, [answer]                   ; vector, kind, error code
    mov eax, [seen_vector]
    cmp eax, [edi]
    jne .wrong
    cmp eax, NOTHING
    je .nothing
    lea esi, [names + eax*4]
    call puts

    mov ecx, [edi + 4]                  ; the kind
    cmp ecx, ABORT
    je .kind                            ; wherever EIP is
    mov edx, [ebx + ROW_GUILTY + ecx*4]
    cmp edx, [seen_eip]
    jne .wrong
.kind:
    mov esi, [kinds + ecx*4]
    call puts

    mov edx, [seen_error]
    cmp edx, [edi + 8]
    jne .wrong
    mov ecx, HAVE_ERROR_CODE
    bt ecx, eax
    jnc .end
    print error_text
    mov eax, edx
    call put_hex
.end:
    print newline_text
    ret
.nothing:
    print nothing_text
    ret

.wrong:
    inc dword ptr [wrong]
    print wrong_text
    mov eax, [seen_vector]
    call put_decimal
    print error_text
    mov eax, [seen_error]
    call put_hex
    print at_text
    mov eax, [seen_eip]
    call put_hex
    print newline_text
    ret

.align 8
absent_segments:
    descriptor 0, 0xfffff, 0 << SEG_RING_SHIFT | SEG_DATA, SEG_4K_32
    descriptor 0, 0xfffff, 3 << SEG_RING_SHIFT | SEG_DATA, SEG_4K_32
absent_segments_end:
    variable own_gdt, OWN_GDT_SIZE
own_gdt_register:
    .word OWN_GDT_SIZE - 1
    .long own_gdt

    variable enter, 4                   ; how to enter the ring
    variable answer, 4                  ; where a row has its answer
    variable kernel_stack, 4
    variable seen_vector, 4
    variable seen_error, 4
    variable seen_eip, 4
    variable wrong, 4
    variable trap_stack, 512            ; for exceptions in ring 3
.equ trap_stack_top, trap_stack + 512

.align 4
kinds:              .long fault_text, trapped_text, abort_text
names:                                  ; four bytes each
    .asciz "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM"
    .asciz "#DF", "   ", "#TS", "#NP", "#SS", "#GP", "#PF"

ring_0_text:        .asciz "in ring 0\n"
ring_3_text:        .asciz "in ring 3\n"
indent_text:        .asciz "  "
colon_text:         .asciz ": "
fault_text:         .asciz ", fault"
trapped_text:       .asciz ", trap"
abort_text:         .asciz ", abort"
error_text:         .asciz ", error code "
nothing_text:       .asciz "allowed\n"
wrong_text:         .asciz " WRONG: vector "
at_text:            .asciz ", at "
right_text:         .asciz "all as it should be\n"

divide_text:        .asciz "DIV by zero"
overflow_text:      .asciz "IDIV with too large a quotient"
step_text:          .asciz "NOP with TF set"
int1_text:          .asciz "INT 1"
int3_text:          .asciz "INT3"
into_text:          .asciz "INTO with OF set"
bound_text:         .asciz "BOUND, index too large"
undefined_text:     .asciz "UD2"
load_cs_text:       .asciz "MOV to CS"
fpu_absent_text:    .asciz "FLD1 without an FPU"
fpu_foreign_text:   .asciz "WAIT after a task switch"
double_text:        .asciz "#GP with its gate closed"
no_task_text:       .asciz "IRET to a task that is none"
absent_es_text:     .asciz "an absent segment into ES"
closed_gate_text:   .asciz "INT through a closed gate"
absent_ss_text:     .asciz "an absent segment into SS"
null_ss_text:       .asciz "a null selector into SS"
beyond_text:        .asciz "a selector beyond the GDT into ES"
kernel_code_text:   .asciz "JMP to ring 0 code"
disable_text:       .asciz "CLI"
port_text:          .asciz "IN"
control_text:       .asciz "MOV from CR0"
read_text:          .asciz "read where no page is"
write_text:         .asciz "write where no page is"
execute_text:       .asciz "JMP to where no page is"
sealed_text:        .asciz "write to a read-only page"
kernel_page_text:   .asciz "read of the kernel's page"

; ---- The pieces. Everything from here to user_end is open to ring 3.
.align PAGE_SIZE
user_begin:

; guilty: the instruction of PIECE that is to blame, in one line of this file.
.macro guilty piece, instruction:vararg
\piece\()_guilty:
    \instruction
\piece\()_behind:
    int VECTOR_SYSCALL                  ; it was not
.endm

divide:
    xor ecx, ecx
    guilty divide, div ecx
overflow:
    mov eax, 0x80000000
    cdq
    mov ecx, -1
    guilty overflow, idiv ecx           ; 2^31 is one too many
step:
    push EFLAGS_ONE | EFLAGS_TF
    popf                                ; not after this instruction, but after the next
    guilty step, nop
int1:
    guilty int1, int 1
int3:
    guilty int3, int3
into:
    mov al, 127
    inc al
    guilty into, into
bound:
    mov eax, 4
    guilty bound, bound eax, [limits]
undefined:
    guilty undefined, ud2
load_cs:
    guilty load_cs, .byte 0x8e, 0xc8    ; MOV CS, AX, which no assembler takes
fpu_absent:
    guilty fpu_absent, fld1
fpu_foreign:
    guilty fpu_foreign, wait
double:
    mov eax, BEYOND
    guilty double, mov es, ax
no_task:
    push EFLAGS_ONE | EFLAGS_NT
    popf
    guilty no_task, iret
absent_es:
    guilty absent_es, mov es, ax
closed_gate:
    guilty closed_gate, int VECTOR_CLOSED
absent_ss:
    guilty absent_ss, mov ss, ax
null_ss:
    xor eax, eax
    guilty null_ss, mov ss, ax
beyond:
    mov eax, BEYOND
    guilty beyond, mov es, ax
kernel_code:
    guilty kernel_code, jmp KERNEL_CS:kernel_code_behind
disable:
    guilty disable, cli
port:
    guilty port, in al, PIC1_DATA
control:
    guilty control, mov eax, cr0
read:
    guilty read, mov eax, [NOWHERE]
write:
    guilty write, mov [NOWHERE], eax
execute:
    jmp NOWHERE                         ; JMP is innocent: it is done when the page is missed
.equ execute_guilty, NOWHERE
.equ execute_behind, NOWHERE
sealed:
    guilty sealed, mov [sealed_page], eax
kernel_page:
    guilty kernel_page, mov eax, [image_start]

.align 4
limits:             .long 0, 3          ; for BOUND
    .space 256
user_stack_top:
.align PAGE_SIZE
sealed_page:        .space PAGE_SIZE
user_end:
