; minos: a small but whole operating system, with a shell and a script that tries everything it promises.
;
; Processes in ring 3, each in its own address space; a scheduler driven by the timer; fork that copies nothing
; until it must, wait, exit, yield, sbrk; memory on demand; a disk, if there is one, read by interrupt while
; others run. It is kernel grown up, and read file by file, in the order in which they are included:
;
;      minos.asm             start and end
;      minos/frames.inc      page frames and their owners
;      minos/memory.inc      the memory of a process: on demand, copy on write
;      minos/process.inc     the process table, the scheduler, fork to wait
;      minos/calls.inc       traps and system calls
;      minos/disk.inc        the disk
;      minos/shell.inc       init and the shell, in ring 3
;      minos/programs.inc    programs that try what the system promises,
;      minos/trials.inc      and programs that are hard on it
;      minos/script.inc      the script
;
;      ring 3     init      shell      program ...       each: text, heap, stack
;               ----|---------|-----------|------------------- INT 80h --------
;      ring 0     calls  ->  process  ->  memory  ->  frames
;                   |           ^
;                 console     timer, disk
;
; The first process ends the system; its status is the verdict.
;
; expect:
;   | minos: room for 10 processes and 48 pages of theirs
;   | minos: no disk
;   | $ echo a small but whole system
;   | a small but whole system
;   | $ ids
;   | ids: I am process 4, and my child was 5
;   | $ heap
;   | heap: frames used by asking for 16 pages: 0, by touching 3: 3, after giving them back: 0
;   | $ cow
;   | cow: pages copied for the child: 1, and the parent still reads 1
;   | $ tree
;   | tree: processes: 7
;   | $ spin
;   | spin: children from which the timer took the processor: 2
;   | $ many
;   | many: children at once: 7
;   | $ crash
;   | minos: process 28 ended by trap 13, error code 0
;   | minos: process 29 ended by trap 0, error code 0
;   | minos: process 30 ended by trap 14, error code 7
;   | minos: process 31 ended by trap 14, error code 4
;   | $ greedy
;   | minos: process 33 ended by trap 14, error code 7
;   | $ xyzzy
;   | sh: no such program
;   | $ disk
;   | disk: there is none
;   | $ orphan
;   | init: orphans: 1
;   | init: no memory was lost
;   | minos: init ended with status 0
;
; modes: native full rewrite para
; naive: IRET at trap_iret

.include "lib/boot.inc"
.equ POOL_PAGES, 2 * PROCESSES          ; a directory and a table for each process
.include "lib/trap.inc"
.include "lib/paging.inc"
.include "lib/timer.inc"
.include "lib/user.inc"
.include "minos/frames.inc"
.include "minos/memory.inc"
.include "minos/process.inc"
.include "minos/calls.inc"
.include "minos/disk.inc"

main:
    call traps_init
    call paging_init
    mov eax, user_begin                 ; the programs: ring 3 may read and execute them, no one may write
    mov ecx, user_end
    mov edx, PTE_P | PTE_U
    call map_range
    call frames_init
    call processes_init
    call timer_init
    print start_text
    mov eax, PROCESSES
    call put_decimal
    print processes_text
    mov eax, [frames_free]
    call put_decimal
    print frames_text
    call disk_init
    mov eax, init
    jmp processes_start

; shutdown: the first process has ended with the status EBX.
shutdown:
    print end_text
    mov eax, ebx
    call put_decimal
    print newline_text
    jmp finish

start_text:         .asciz "minos: room for "
processes_text:     .asciz " processes and "
frames_text:        .asciz " pages of theirs\n"
end_text:           .asciz "minos: init ended with status "

; ---- Everything from here to user_end can be read in ring 3, by all processes.
.align PAGE_SIZE
user_begin:
.include "minos/shell.inc"
.include "minos/programs.inc"
.include "minos/trials.inc"
.include "minos/script.inc"
.align PAGE_SIZE
user_end:

; ---- What the kernel writes to, away from its code. A trap frame lies at the top of each kernel stack.
processes:          .space PROCESSES * PROC_SIZE
processes_end:
.align PAGE_SIZE
kernel_stacks:      .space PROCESSES * KERNEL_STACK_SIZE
.align PAGE_SIZE
frames:             .space FRAMES * PAGE_SIZE
