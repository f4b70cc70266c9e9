; copy: 64 KB, a double word at a time, paging on
;
; round: 98318 instructions

.equ POOL_PAGES, 4

.include "lib/bench.inc"

; The two lie so that they do not meet in a direct-mapped TLB of any usual size.
.equ FROM, BENCH_MEMORY
.equ TO, BENCH_MEMORY + 0x1a5000
.equ SIZE, 0x10000

prepare:
    call paging_init
    mov eax, FROM
    mov ecx, FROM + SIZE
    mov edx, PTE_P | PTE_W
    call map_range
    mov eax, TO
    mov ecx, TO + SIZE
    jmp map_range

round:
    mov eax, [checksum]
    inc eax
    mov [FROM + SIZE - 4], eax          ; arrives at the other end if everything does
    mov esi, FROM
    mov edi, TO
    mov ecx, SIZE / 4
.next:
    mov eax, [esi]
    mov [edi], eax
    add esi, 4
    add edi, 4
    dec ecx
    jnz .next
    mov eax, [TO + SIZE - 4]
    mov [checksum], eax
    ret

.include "lib/paging.inc"
