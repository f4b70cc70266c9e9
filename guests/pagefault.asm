; pagefault: memory that comes into being when it is touched, and faults that are really faults.
;
; The kernel turns paging on and sets aside ten pages of addresses, the heap, with no memory behind them.
; The first touch of each raises a page fault; the handler finds a frame, maps it, and returns, and the
; instruction that failed is executed again as if nothing had been. Then two accesses that must not
; succeed: a write to a page made read-only, and a read where there is no heap.
;
;      0x00000000  +------------------+
;                  | kernel           |   mapped one to one, in one 4 MiB page if the processor has them,
;      0x00400000  +------------------+   else through a table of 1024 pages
;                  | nothing          |
;      0x00c00000  +------------------+
;                  | heap, 10 pages   |   on demand
;      0x00c0a000  +------------------+
;                  | nothing          |
;                  +------------------+
;
; expect:
;   | paging is on
;   | first touch of 10 pages: 10 page faults
;   | second touch of 10 pages: 0 page faults, all values kept
;   | write to a read-only page: refused at 0x00c00010, error code 3
;   | read beyond the heap: refused at 0x00c0a000, error code 0
;
; modes: native full rewrite para
; naive: nothing

.equ POOL_PAGES, 16

.include "lib/boot.inc"
.include "lib/trap.inc"
.include "lib/paging.inc"

.equ HEAP, 0x00c00000
.equ HEAP_PAGES, 10
.equ HEAP_END, HEAP + HEAP_PAGES * PAGE_SIZE
.equ PROBE, HEAP + 16
.equ SEED, 0x5eed0000

.equ CPUID_PSE, 0x00000008              ; leaf 1, EDX

main:
    call traps_init
.ifdef PARA
    call paging_init                    ; 4 MiB pages are not for guests
.else
    call has_large_pages
    test eax, eax
    jz .small
    mov dword ptr [page_directory], 0 | PDE_PS | PTE_P | PTE_W
    mov eax, cr4
    or eax, CR4_PSE
    mov cr4, eax
    call paging_on
    jmp .paged
.small:
    call paging_init
.paged:
.endif
    print paging_text

    print first_text
    call touch_all
    call put_faults
    cmp eax, HEAP_PAGES
    jne failed
    print newline_text

    print second_text
    mov dword ptr [faults], 0
    call check_all
    jne failed
    call put_faults
    test eax, eax
    jnz failed
    print kept_text

    ; The first page of the heap stays where it is but loses the right to be written.
    mov eax, HEAP
    mov edx, [first_frame]
    or edx, PTE_P
    call map_page
    print write_text
    mov dword ptr [resume], write_refused
    mov dword ptr [PROBE], 1            ; page fault: a protection violation by a write
    jmp failed                          ; it went through
write_refused:
    call put_refusal
    cmp dword ptr [refused_error], PF_PROTECTION | PF_WRITE
    jne failed
    cmp dword ptr [refused_address], PROBE
    jne failed
    cmp dword ptr [PROBE], 0            ; reading is still allowed, and nothing was written
    jne failed

    print read_text
    mov dword ptr [resume], read_refused
    mov eax, [HEAP_END]                 ; page fault: not present, a read
    jmp failed
read_refused:
    call put_refusal
    cmp dword ptr [refused_error], 0
    jne failed
    cmp dword ptr [refused_address], HEAP_END
    jne failed

    xor eax, eax
    ret

failed:
    print failed_text
    mov eax, 1
    jmp finish

; touch_all: write to each page of the heap.
touch_all:
    mov ebx, HEAP
    mov eax, SEED
.page:
    mov [ebx], eax                      ; the first access to this page
    inc eax
    add ebx, PAGE_SIZE
    cmp ebx, HEAP_END
    jb .page
    ret

; check_all: each page must hold what `touch_all` wrote, and zeros to its end. -> ZF set if so.
check_all:
    mov ebx, HEAP
    mov eax, SEED
.page:
    cmp [ebx], eax
    jne .done
    cmp dword ptr [ebx + PAGE_SIZE - 4], 0
    jne .done
    inc eax
    add ebx, PAGE_SIZE
    cmp ebx, HEAP_END
    jb .page
    cmp eax, eax
.done:
    ret

; put_faults: how many page faults were served. -> EAX = the number.
put_faults:
    mov eax, [faults]
    call put_decimal
    print faults_text
    ret

; put_refusal: where and why an access was refused.
put_refusal:
    mov eax, [refused_address]
    call put_hex
    print error_text
    mov eax, [refused_error]
    call put_decimal
    print newline_text
    ret

; trap: see lib/trap.inc. EBP = the frame.
;
; A page of the heap that is not there is no error but a request. Anything else is an error, and if the
; kernel expects one, `resume` says where to go on.
trap:
    cmp dword ptr [ebp + FRAME_VECTOR], VECTOR_PF
    jne .error
    fault_address
    mov [refused_address], eax
    test dword ptr [ebp + FRAME_ERROR], PF_PROTECTION
    jnz .error
    cmp eax, HEAP
    jb .error
    cmp eax, HEAP_END
    jae .error

    inc dword ptr [faults]
    and eax, ~PTE_FLAGS                 ; the page that holds the address
    mov ebx, eax
    call new_page
    cmp ebx, HEAP
    jne .map
    mov [first_frame], eax
.map:
    lea edx, [eax + (PTE_P | PTE_W)]
    mov eax, ebx
    jmp map_page                        ; and back to the instruction that failed

.error:
    mov eax, [resume]
    test eax, eax
    jz trap_unexpected
    mov dword ptr [resume], 0
    mov [ebp + FRAME_EIP], eax
    mov eax, [ebp + FRAME_ERROR]
    mov [refused_error], eax
    ret

.ifndef PARA
; has_large_pages: -> EAX = not 0 if there are 4 MiB pages. CPUID knows, unless the processor is so old
; that CPUID is an invalid opcode. SDM 2A CPUID. Registers are lost.
has_large_pages:
    mov dword ptr [resume], .unknown
    xor eax, eax
    cpuid                               ; leaf 0: the highest leaf there is
    mov dword ptr [resume], 0
    test eax, eax
    jz .unknown
    mov eax, 1
    cpuid
    mov eax, edx
    and eax, CPUID_PSE
    ret
.unknown:
    xor eax, eax
    ret
.endif

    variable faults, 4                  ; page faults served
    variable first_frame, 4             ; the frame behind the first page of the heap
    variable resume, 4                  ; where to go on after an error, or 0 if none is expected
    variable refused_address, 4
    variable refused_error, 4

paging_text:        .asciz "paging is on\n"
first_text:         .asciz "first touch of 10 pages: "
second_text:        .asciz "second touch of 10 pages: "
faults_text:        .asciz " page faults"
kept_text:          .asciz ", all values kept\n"
write_text:         .asciz "write to a read-only page: refused at "
read_text:          .asciz "read beyond the heap: refused at "
error_text:         .asciz ", error code "
failed_text:        .asciz "\nthis is not as it should be\n"
