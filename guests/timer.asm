; timer: two processes that never give way, and a timer that makes them.
;
; The kernel programs the interrupt controller and the interval timer for a tick each millisecond and
; starts two processes in ring 3. Each counts to 5000 and then waits, without a system call that would
; yield, until three more ticks have passed. Neither could end if the timer did not take the processor
; from the other; the kernel counts how often it did.
;
;      process 1   ====|            |====|            |=...
;      process 2       |====|            |====|
;                      tick tick         tick         (each switch is a tick)
;
; When ticks come depends on the machine, so nothing is printed while the processes run.
;
; expect:
;   | two processes, one processor
;   | process 1 counted to 5000 and was pre-empted
;   | process 2 counted to 5000 and was pre-empted
;   | at least 4 ticks were counted
;
; modes: native full rewrite para
; naive: IRET at trap_iret

.equ PROCESSES, 2

.include "lib/boot.inc"
.include "lib/trap.inc"
.include "lib/timer.inc"
.include "lib/user.inc"
.include "lib/process.inc"
.ifdef PARA
.equ POOL_PAGES, 0
.include "lib/paging.inc"
.endif

.equ COUNT, 5000
.equ WAIT_TICKS, 3
.equ FEWEST_TICKS, 4                ; the second process starts after a tick and waits for three more

main:
    call traps_init
.ifdef PARA
    call paging_init
    mov eax, user_begin
    mov ecx, user_end
    mov edx, PTE_P | PTE_W | PTE_U
    call map_range
    mov eax, ticks
    lea ecx, [eax + PAGE_SIZE]
    call map_range
.endif
    print start_text
    mov eax, worker
    mov edx, user_stack_1_top
    call process_create
    mov eax, worker
    mov edx, user_stack_2_top
    call process_create
    call timer_init
    jmp processes_start             ; into ring 3, where interrupts are on

; trap: see lib/trap.inc. EBP = the frame.
trap:
    mov eax, [ebp + FRAME_VECTOR]
    cmp eax, VECTOR_TIMER
    je process_tick
    cmp eax, VECTOR_SPURIOUS
    je .done
    cmp eax, VECTOR_SYSCALL
    jne trap_unexpected
    mov ebx, [ebp + FRAME_EBX]
    cmp dword ptr [ebp + FRAME_EAX], SYS_EXIT
    je process_exit
    cmp dword ptr [ebp + FRAME_EAX], SYS_STALLED
    je timer_stalled
    jmp trap_unexpected
.done:
    ret

; all_exited: both processes have gone; their status is how far they counted.
all_exited:
    mov edi, processes
    mov ecx, 1
.report:
    print process_text
    mov eax, ecx
    call put_decimal
    print counted_text
    mov eax, [edi + PROC_STATUS]
    call put_decimal
    cmp eax, COUNT
    jne failed
    cmp dword ptr [edi + PROC_PREEMPTED], 0
    je failed
    print preempted_text
    add edi, PROC_SIZE
    inc ecx
    cmp ecx, PROCESSES
    jbe .report

    cmp dword ptr [ticks], FEWEST_TICKS
    jb failed
    print ticks_text
    xor eax, eax
    jmp finish

failed:
    print failed_text
    mov eax, 1
    jmp finish

start_text:         .asciz "two processes, one processor\n"
process_text:       .asciz "process "
counted_text:       .asciz " counted to "
preempted_text:     .asciz " and was pre-empted\n"
ticks_text:         .asciz "at least 4 ticks were counted\n"
failed_text:        .asciz ", which is not as it should be\n"

; ---- The program, run twice. Everything from here to user_end is open to ring 3.
.align PAGE_SIZE
user_begin:
.equ CLOCK, ticks
.include "lib/program.inc"

worker:
    xor edx, edx
.count:
    inc edx
    cmp edx, COUNT
    jb .count
    mov eax, WAIT_TICKS
    call wait_for_ticks
    mov ebx, edx
    system_call SYS_EXIT

.align PAGE_SIZE
    .space 256
user_stack_1_top:
    .space 256
user_stack_2_top:
.align PAGE_SIZE
user_end:
