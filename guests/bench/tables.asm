; tables: page tables that change all the time: entries moved to other frames, address spaces switched
;
; 64 pages show one of two frames each; a round moves every page to its other frame and looks at it, and
; switches eight times between two address spaces that differ in these pages only.
;
; round: 72 changes

.equ POOL_PAGES, 8

.include "lib/bench.inc"

.equ WINDOW, BENCH_MEMORY
.equ PAGES, 64
.equ FRAMES, BENCH_MEMORY + 0x100000    ; two for each page, the second PAGES further
.equ SWITCHES, 8
.equ OTHER_FRAME, PAGES * PAGE_SIZE

    variable window_table, 4
    variable other_directory, 4

prepare:
    mov edi, FRAMES                     ; a frame is known by its number
    mov ecx, 2 * PAGES
.frame:
    mov [edi], ecx
    add edi, PAGE_SIZE
    dec ecx
    jnz .frame
    call paging_init
    mov eax, WINDOW
    mov edx, FRAMES + PTE_P + PTE_W
    mov ecx, PAGES
.page:
    call map_page
    add eax, PAGE_SIZE
    add edx, PAGE_SIZE
    dec ecx
    jnz .page
    mov eax, [page_directory + WINDOW / TABLE_SPAN * 4]
    and eax, ~PTE_FLAGS
    mov [window_table], eax

    call new_page                       ; the other address space: the frames the other way round
    mov ebx, eax
    mov esi, [window_table]
    mov edi, eax
    mov ecx, PAGES
.entry:
    lodsd
    add eax, OTHER_FRAME
    stosd
    dec ecx
    jnz .entry
    call new_page
    mov [other_directory], eax
    mov edx, [page_directory]
    mov [eax], edx
    lea edx, [ebx + (PTE_P | PTE_W)]
    mov [eax + WINDOW / TABLE_SPAN * 4], edx
    ret

round:
    mov edi, [window_table]
    mov esi, WINDOW
    mov ecx, PAGES
    xor edx, edx
.page:
    mov eax, [edi]
    sub eax, FRAMES
    xor eax, OTHER_FRAME                ; the frames lie at a multiple of twice that
    add eax, FRAMES
    and eax, ~0x60                      ; accessed, dirty
    mov [edi], eax
    invlpg [esi]
    add edx, [esi]
    rol edx, 1
    add edi, 4
    add esi, PAGE_SIZE
    dec ecx
    jnz .page

    mov ecx, SWITCHES / 2
.switch:
    mov eax, [other_directory]
    call .look
    mov eax, [directory]
    call .look
    dec ecx
    jnz .switch
    add [checksum], edx
    ret
.look:
    mov cr3, eax
    add edx, [WINDOW]
    rol edx, 1
    add edx, [WINDOW + 9 * PAGE_SIZE]
    rol edx, 1
    ret

.include "lib/paging.inc"
