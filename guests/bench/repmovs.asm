; repmovs: 64 KB by REP MOVSD, paging on
;
; round: 16384 double words

.equ POOL_PAGES, 4

.include "lib/bench.inc"

.equ FROM, BENCH_MEMORY                 ; as in copy.asm
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
    rep movsd
    mov eax, [TO + SIZE - 4]
    mov [checksum], eax
    ret

.include "lib/paging.inc"
