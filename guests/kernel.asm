; kernel: a whole small kernel: console, traps, paging, clock, processes, and a check of it all.
;
; Four processes run in ring 3, each in its own address space, pre-empted by the timer each millisecond.
; Their heap and stack lie at the same addresses, and each finds its own memory there, on demand. The
; last one breaks the rules. What a process writes is spooled and printed when all have gone, as a time
; sharing system of 1970 did it, so that the console does not depend on when the timer ticks.
;
;      0x00000000  +------------------+
;      0x00100000  | kernel, programs |   the same in all address spaces; ring 3 may read the programs
;      0x00400000  +------------------+
;                  | heap, 8 pages    |   on demand, its own for each process
;                  +------------------+
;      0x00600000  | clock, 1 page    |   the kernel's count of ticks, read-only
;                  +------------------+
;      0x007ff000  | stack, 1 page    |   on demand
;      0x00800000  +------------------+
;
; Read hello, syscall, pagefault and timer first; nothing in here is new but the sum.
;
; expect:
;   | kernel: traps and paging are ready
;   | kernel: a critical section has ended and the clock ticks
;   | kernel: 4 processes, each in its own address space
;   | primes: there are 95 primes below 500
;   | primes: my page of memory is as I left it
;   | fibonacci: number 30 is 832040
;   | fibonacci: my page of memory is as I left it
;   | pages: the sum over 8 pages of heap is 36
;   | vandal: CLI raised trap 13
;   | vandal: now for the memory of the kernel
;   | kernel: process 1 ended with status 0 and 2 pages
;   | kernel: process 2 ended with status 0 and 2 pages
;   | kernel: process 3 ended with status 0 and 9 pages
;   | kernel: process 4 was ended by trap 14, error code 7
;   | kernel: processes 1 and 2 were pre-empted
;   | kernel: all is well
;
; modes: native full rewrite para
; naive: POPF at popf_here

.equ PROCESSES, 4
.equ OWN_ADDRESS_SPACES, 1
.equ POOL_PAGES, 24                     ; 4 directories, 4 tables, 13 pages for processes, 3 to spare

.include "lib/boot.inc"
.include "lib/trap.inc"
.include "lib/paging.inc"
.include "lib/timer.inc"
.include "lib/user.inc"
.include "lib/process.inc"

.equ HEAP, 0x00400000
.equ HEAP_PAGES, 8
.equ HEAP_END, HEAP + HEAP_PAGES * PAGE_SIZE
.equ CLOCK, 0x00600000
.equ STACK_TOP, 0x00800000
.equ STACK, STACK_TOP - PAGE_SIZE

.equ SPOOL_SIZE, 256                    ; room for what one process writes
.equ STATUS_KILLED, 0x100               ; the status of a process that was ended: this plus the vector
.equ OPCODE_CLI, 0xfa
.equ REFUSED, -1

main:
    call traps_init
    call paging_init
    mov eax, user_begin                 ; the programs: ring 3 may read and execute them, no one may write
    mov ecx, user_end
    mov edx, PTE_P | PTE_U
    call map_range
    print ready_text

    call timer_init
    interrupts_on
    call enter_critical                 ; as a kernel does before it touches what a handler may touch
    mov ebx, [ticks]
    call leave_critical
    call await_tick                     ; ... and interrupts must be on again
    interrupts_off
    print clock_text

    mov esi, programs
.create:
    lodsd
    test eax, eax
    jz .created
    push esi
    mov edx, STACK_TOP
    call process_create
    call new_address_space
    call new_spool
    pop esi
    jmp .create
.created:
    print processes_text
    jmp processes_start

; enter_critical: interrupts off, after noting what they were. leave_critical: as they were before.
enter_critical:
.ifdef PARA
    mov al, [shared_info + UPCALL_MASK]
    mov [saved_mask], al
.else
    pushf
    pop dword ptr [saved_flags]
.endif
    interrupts_off
    ret

leave_critical:
.ifdef PARA
    cmp byte ptr [saved_mask], 0
    jne .masked
    interrupts_on
.masked:
.else
    push dword ptr [saved_flags]
popf_here:
    popf                                ; the only instruction here that turns interrupts on
.endif
    ret

; await_tick: until [ticks] is no longer EBX. If the interrupt controller holds a tick and the processor
; leaves it there for a hundred looks, interrupts are off, and no waiting will help.
await_tick:
    mov edi, 100
.look:
    mov ecx, 100
    loop $
    cmp [ticks], ebx
    jne .ticked
    call timer_waiting
    test eax, eax
    jz await_tick
    dec edi
    jnz .look
    jmp timer_lost
.ticked:
    ret

; new_address_space: for the process EDI: the kernel, the clock, and nothing else yet. EDI is kept.
new_address_space:
    call new_directory
    mov [edi + PROC_DIRECTORY], eax
    mov esi, [directory]
    call use_directory
    mov eax, CLOCK
    mov edx, ticks + (PTE_P | PTE_U)
    call map_page
    mov eax, esi
    jmp use_directory

; new_spool: for the process EDI.
new_spool:
    mov eax, edi
    sub eax, processes
    imul eax, eax, SPOOL_SIZE / PROC_SIZE
    add eax, spools
    mov [edi + PROC_SPOOL], eax
    ret

; ---- Traps. See lib/trap.inc. EBP = the frame.
trap:
    mov eax, [ebp + FRAME_VECTOR]
    cmp eax, VECTOR_TIMER
    je process_tick
    cmp eax, VECTOR_SPURIOUS
    je .ignore
    mov ecx, [ebp + FRAME_CS]
    and ecx, 3
    cmp ecx, 3
    jne trap_unexpected                 ; the kernel itself causes no traps
    mov edi, [current]
    cmp eax, VECTOR_SYSCALL
    je system_call_trap
    cmp eax, VECTOR_PF
    je page_fault_trap
    cmp eax, VECTOR_GP
    je protection_trap
    jmp kill
.ignore:
    ret

; The heap and the stack exist as soon as they are touched. Anything else is not the program's.
page_fault_trap:
    test dword ptr [ebp + FRAME_ERROR], PF_PROTECTION
    jnz kill
    fault_address
    and eax, ~PTE_FLAGS
    cmp eax, STACK
    je .give
    cmp eax, HEAP
    jb kill
    cmp eax, HEAP_END
    jae kill
.give:
    inc dword ptr [edi + PROC_PAGES]
    mov ebx, eax
    call new_page
    lea edx, [eax + (PTE_P | PTE_W | PTE_U)]
    mov eax, ebx
    jmp map_page

; CLI in ring 3 is skipped, and the program is told the vector in EAX.
protection_trap:
    mov ebx, [ebp + FRAME_EIP]
    cmp byte ptr [ebx], OPCODE_CLI
    jne kill
    inc dword ptr [ebp + FRAME_EIP]
    mov dword ptr [ebp + FRAME_EAX], VECTOR_GP
    ret

kill:
    mov ebx, [ebp + FRAME_ERROR]
    mov [fatal_error], ebx
    mov ebx, [ebp + FRAME_VECTOR]
    add ebx, STATUS_KILLED
    jmp process_exit

system_call_trap:
    mov eax, [ebp + FRAME_EAX]
    mov ebx, [ebp + FRAME_EBX]
    mov ecx, [ebp + FRAME_ECX]
    cmp eax, SYS_EXIT
    je process_exit
    cmp eax, SYS_STALLED
    je timer_stalled
    cmp eax, SYS_WRITE
    je sys_write
    cmp eax, SYS_NUMBER
    je sys_number
    mov dword ptr [ebp + FRAME_EAX], REFUSED
    ret

; Programs may write only texts that are part of the programs.
sys_write:
    mov dword ptr [ebp + FRAME_EAX], REFUSED
    cmp ebx, user_begin
    jb .refused
    mov edx, user_end
    sub edx, ebx
    jb .refused
    cmp ecx, edx
    ja .refused
    mov esi, ebx
    jmp spool
.refused:
    ret

sys_number:
    mov eax, ebx
    call decimal_text

; spool: append ECX bytes from ESI to what the process EDI has written, if there is room.
spool:
    mov eax, [edi + PROC_SPOOLED]
    lea edx, [eax + ecx]
    cmp edx, SPOOL_SIZE
    ja .full
    mov [edi + PROC_SPOOLED], edx
    mov [ebp + FRAME_EAX], ecx
    add eax, [edi + PROC_SPOOL]
    mov edi, eax
    rep movsb
    ret
.full:
    mov dword ptr [ebp + FRAME_EAX], REFUSED
    ret

; ---- all_exited: no process lives. Print what they wrote, then how they ended, then judge.
all_exited:
    mov edi, processes
.spool:
    mov esi, [edi + PROC_SPOOL]
    mov ecx, [edi + PROC_SPOOLED]
    call put_bytes
    add edi, PROC_SIZE
    cmp edi, processes_end
    jb .spool

    mov edi, processes
    mov ecx, 1
    mov ebx, wanted
.report:
    print process_text
    mov eax, ecx
    call put_decimal
    mov eax, [edi + PROC_STATUS]
    cmp eax, [ebx]
    jne failed
    test eax, STATUS_KILLED
    jnz .killed
    print ended_text
    call put_decimal
    print and_text
    mov eax, [edi + PROC_PAGES]
    cmp eax, [ebx + 4]
    jne failed
    call put_decimal
    print pages_text
    jmp .next
.killed:
    print killed_text
    sub eax, STATUS_KILLED
    call put_decimal
    print error_text
    mov eax, [fatal_error]
    call put_decimal
    print newline_text
.next:
    add ebx, 8
    add edi, PROC_SIZE
    inc ecx
    cmp ecx, PROCESSES
    jbe .report

    cmp dword ptr [processes + PROC_PREEMPTED], 0
    je failed
    cmp dword ptr [processes + PROC_SIZE + PROC_PREEMPTED], 0
    je failed
    print preempted_text
    print well_text
    xor eax, eax
    jmp finish

failed:
    print failed_text
    mov eax, 1
    jmp finish

.align 4
programs:           .long primes, fibonacci, pages, vandal, 0
; The status and the number of pages that each process must end with.
wanted:             .long 0, 2,  0, 2,  0, 9,  STATUS_KILLED + VECTOR_PF, 0
    variable saved_flags, 4             ; of the critical section
    variable saved_mask, 4
    variable fatal_error, 4             ; the error code of the trap that ended a process
    variable spools, PROCESSES * SPOOL_SIZE

ready_text:         .asciz "kernel: traps and paging are ready\n"
clock_text:         .asciz "kernel: a critical section has ended and the clock ticks\n"
processes_text:     .asciz "kernel: 4 processes, each in its own address space\n"
process_text:       .asciz "kernel: process "
ended_text:         .asciz " ended with status "
and_text:           .asciz " and "
pages_text:         .asciz " pages\n"
killed_text:        .asciz " was ended by trap "
error_text:         .asciz ", error code "
preempted_text:     .asciz "kernel: processes 1 and 2 were pre-empted\n"
well_text:          .asciz "kernel: all is well\n"
failed_text:        .asciz "\nkernel: this is not as it should be\n"

; ---- The programs. Everything from here to user_end can be read in ring 3, by all of them.
.align PAGE_SIZE
user_begin:
.include "lib/program.inc"

.equ PRIMES_BELOW, 500
.equ FIBONACCI_NUMBER, 30
.equ FIBONACCI_TIMES, 150
.equ WAIT_TICKS, 2

; primes: count them by dividing each number by every smaller one up to its root.
primes:
    mov dword ptr [HEAP], 'PRIM'        ; page fault: my own page
    xor edi, edi                        ; how many there are
    mov esi, 2                          ; the candidate
.candidate:
    mov ecx, 2                          ; the divisor
.divide:
    mov eax, ecx
    mul ecx
    cmp eax, esi
    ja .prime                           ; no divisor up to the root
    mov eax, esi
    xor edx, edx
    div ecx
    test edx, edx
    jz .composite
    inc ecx
    jmp .divide
.prime:
    inc edi
.composite:
    inc esi
    cmp esi, PRIMES_BELOW
    jb .candidate

    mov eax, WAIT_TICKS
    call wait_for_ticks                 ; page fault: my stack
    say primes_count
    mov ebx, edi
    system_call SYS_NUMBER
    say primes_below
    mov ebx, 1                          ; my status if the page is not as I left it
    cmp dword ptr [HEAP], 'PRIM'
    jne exit
    say primes_page
    jmp succeed

; fibonacci: the same number over and over.
fibonacci:
    mov dword ptr [HEAP], 'FIBO'        ; the same address as in primes, another page
    mov edx, FIBONACCI_TIMES
.again:
    xor eax, eax
    mov ebx, 1
    mov ecx, FIBONACCI_NUMBER
.next:
    xadd eax, ebx                       ; EAX, EBX = EAX + EBX, EAX
    loop .next
    dec edx
    jnz .again

    mov edi, eax
    mov eax, WAIT_TICKS
    call wait_for_ticks
    say fibonacci_number
    mov ebx, edi
    system_call SYS_NUMBER
    say newline
    mov ebx, 1
    cmp dword ptr [HEAP], 'FIBO'
    jne exit
    say fibonacci_page
    jmp succeed

; pages: write a number to each page of the heap, then add them up.
pages:
    mov esi, HEAP
    mov eax, 1
.write:
    mov [esi], eax
    inc eax
    add esi, PAGE_SIZE
    cmp esi, HEAP_END
    jb .write
    call add_up
    mov edi, eax
    say pages_sum
    mov ebx, edi
    system_call SYS_NUMBER
    say newline
    jmp succeed

add_up:
    xor eax, eax
    mov esi, HEAP
.page:
    add eax, [esi]
    add esi, PAGE_SIZE
    cmp esi, HEAP_END
    jb .page
    ret

; vandal: what ring 3 must not do.
vandal:
    cli                                 ; #GP; the kernel skips it and tells
    mov edi, eax
    say vandal_cli
    mov ebx, edi
    system_call SYS_NUMBER
    say newline
    say vandal_memory
    mov dword ptr [image_start], 0      ; page fault, and no way back
    mov ebx, 1
    jmp exit

succeed:
    xor ebx, ebx
exit:
    system_call SYS_EXIT

primes_count:       .ascii "primes: there are "
primes_count_end:
primes_below:       .ascii " primes below 500\n"
primes_below_end:
primes_page:        .ascii "primes: my page of memory is as I left it\n"
primes_page_end:
fibonacci_number:   .ascii "fibonacci: number 30 is "
fibonacci_number_end:
fibonacci_page:     .ascii "fibonacci: my page of memory is as I left it\n"
fibonacci_page_end:
pages_sum:          .ascii "pages: the sum over 8 pages of heap is "
pages_sum_end:
vandal_cli:         .ascii "vandal: CLI raised trap "
vandal_cli_end:
vandal_memory:      .ascii "vandal: now for the memory of the kernel\n"
vandal_memory_end:
newline:            .ascii "\n"
newline_end:
.align PAGE_SIZE
user_end:
