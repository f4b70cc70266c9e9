; Instructions that read entries of page tables which their own accesses mark, accessed or dirty: each begins again
; once an entry was marked, so it reads the mark. EBX counts what was read without one.
.include "ring0.inc"
on:
.include "paging.inc"
.equ PAGE, 0x40000                      ; its entry is read and, by that, marked
.equ ENTRY, TABLE + PAGE / 0x1000 * 4
        xor ebx, ebx
        mov ebp, 20
again:  call unmark                     ; MOVS from the entry to its page: dirty, when the page is written
        mov esi, ENTRY
        mov edi, PAGE
        movsd
        mov eax, [PAGE]
        call look
        call unmark                     ; POP of the entry into its page
        mov edx, esp
        mov esp, ENTRY
        pop dword ptr [PAGE]
        mov esp, edx
        mov eax, [PAGE]
        call look
        call unmark                     ; PUSH of the entry onto a stack in its page
        mov esp, PAGE + 0x100
        push dword ptr [ENTRY]
        pop eax
        mov esp, edx
        call look
        call unmark                     ; CMPS: accessed is enough
        mov esi, ENTRY
        mov edi, PAGE
        mov dword ptr [PAGE], PAGE + 0x23
        call unmark
        cmpsd
        je equal
        inc ebx
equal:  dec ebp
        jnz again
        mov eax, ebx
        out 0xf4, al
        hlt

; unmark: the entry of PAGE is as it was at first, and forgotten.
unmark: mov dword ptr [ENTRY], PAGE + 3
        invlpg [PAGE]
        ret

; look: whether EAX is the entry with its marks.
look:   and eax, 0x60
        cmp eax, 0x60
        je marked
        inc ebx
marked: ret

.align 8
gdt:    .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0, 0
        tables 0x68, 1
idt:    .quad 0
tss:    .long 0, 0x1E000, 0x10
        .fill 92, 1, 0
