; pf: page faults: a page that is not there is touched, the handler maps it, and it is taken away again
;
; round: 1000 page faults

.equ POOL_PAGES, 4

.include "lib/bench.inc"
.include "lib/trap.inc"

.equ TIMES, 1000
.equ PAGE, BENCH_MEMORY + 3 * PAGE_SIZE
.equ FRAME, BENCH_MEMORY
.equ GATE, KERNEL_CS << 16 | (FROM_KERNEL | INTERRUPTS_OFF) << 8

    variable entry, 4                   ; address of the page's entry in its table

prepare:
    call traps_init
    call paging_init
    mov eax, PAGE
    mov edx, FRAME + PTE_P + PTE_W
    call map_page
    mov eax, [page_directory + PAGE / TABLE_SPAN * 4]
    and eax, ~PTE_FLAGS
    add eax, PAGE % TABLE_SPAN / PAGE_SIZE * 4
    mov [entry], eax
    mov edi, VECTOR_PF
    mov eax, on_fault
    mov ecx, GATE
    jmp set_gate

round:
    mov ecx, TIMES
    mov edi, [entry]
    xor edx, edx
    xor eax, eax
.next:
    mov [edi], edx
    invlpg [PAGE]
    inc dword ptr [PAGE]
    dec ecx
    jnz .next
    add [checksum], eax
    mov eax, [PAGE]
    add [checksum], eax
    ret

; on_fault: the whole of this kernel.
on_fault:
    inc eax
    mov dword ptr [edi], FRAME + PTE_P + PTE_W
    add esp, 4                          ; the error code
    iret

trap:
    jmp trap_unexpected

.include "lib/paging.inc"
