; fills: an address space loaded anew, then 64 of its pages touched: TLB misses on the processor, hidden
; page faults where a monitor fills a shadow of the tables
;
; round: 64 pages touched

.equ POOL_PAGES, 4

.include "lib/bench.inc"

.equ WINDOW, BENCH_MEMORY
.equ PAGES, 64

prepare:
    call paging_init
    mov eax, WINDOW
    mov ecx, WINDOW + PAGES * PAGE_SIZE
    mov edx, PTE_P | PTE_W
    jmp map_range

round:
    mov eax, cr3
    mov cr3, eax
    mov esi, WINDOW
    mov ecx, PAGES
.page:
    inc dword ptr [esi]
    add esi, PAGE_SIZE
    dec ecx
    jnz .page
    mov eax, [WINDOW + (PAGES - 1) * PAGE_SIZE]
    mov [checksum], eax
    ret

.include "lib/paging.inc"
