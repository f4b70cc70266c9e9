; sysc: system calls: from ring 3 by INT 80h into the kernel, and back by IRET; paging on
;
; round: 1000 system calls

.equ POOL_PAGES, 4

.include "lib/bench.inc"
.include "lib/trap.inc"

.equ TIMES, 1000
.equ USER_STACK_TOP, BENCH_MEMORY + PAGE_SIZE
.equ VECTOR_DONE, 0x40
.equ GATE_FROM_USER, KERNEL_CS << 16 | (FROM_USER | INTERRUPTS_OFF) << 8

    variable round_stack, 4
    variable calls, 4

prepare:
    call traps_init
    call paging_init
    mov dword ptr [page_directory], kernel_table + (PTE_P | PTE_W | PTE_U)
    mov eax, user_code
    mov edx, user_code + (PTE_P | PTE_U)
    call map_page
    mov eax, BENCH_MEMORY
    mov edx, BENCH_MEMORY + (PTE_P | PTE_W | PTE_U)
    call map_page
    mov eax, trap_stack_top
    call set_kernel_stack
    mov edi, VECTOR_SYSCALL
    mov eax, on_call
    mov ecx, GATE_FROM_USER
    call set_gate
    mov edi, VECTOR_DONE
    mov eax, on_done
    mov ecx, GATE_FROM_USER
    jmp set_gate

; round: ring 3 does its calls, then asks for the other way out, which leads back here.
round:
    mov [round_stack], esp
    xor eax, eax
    mov ecx, TIMES
    push USER_DS
    push USER_STACK_TOP
    push EFLAGS_ONE
    push USER_CS
    push user_code
    iret
on_done:
    mov esp, [cs:round_stack]
    mov edx, KERNEL_DS
    mov ds, dx
    mov es, dx
    add [checksum], eax
    ret

; on_call: the whole of this kernel.
on_call:
    inc eax
    iret

trap:
    jmp trap_unexpected

.align PAGE_SIZE
user_code:
    int VECTOR_SYSCALL
    dec ecx
    jnz user_code
    int VECTOR_DONE

.align PAGE_SIZE
trap_stack:
    .space PAGE_SIZE
trap_stack_top:
.include "lib/paging.inc"
