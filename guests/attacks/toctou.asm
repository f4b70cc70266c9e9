; toctou: a kernel that changes an instruction between its trap and its emulation
;
; A privileged instruction that a store just before it, in the same page and in another mapping of it, has
; made of another one; one whose bytes lie in two pages, of which the second is exchanged; one that
; overwrites itself. What executes is what the bytes were when the processor fetched them.
;
; verdict: 0

.include "lib/boot.inc"
.include "lib/trap.inc"
.include "lib/openpages.inc"

.equ DIRECTORY, 0x200000
.equ TABLE, 0x201000

main:
    call traps_init
    call open_pages
    mov dword ptr [DIRECTORY], TABLE + 7
    mov edi, TABLE + 0x3f0 * 4          ; this kernel again, at 3F0000
    mov eax, 0x100007
    mov ecx, 16
again:
    stosd
    add eax, 0x1000
    loop again
    call open_paging
    mov ecx, 100
2:  mov byte ptr [changing], 0xfb       ; STI
    call turn
    mov byte ptr [changing + 0x3f0000 - 0x100000], 0xfa ; CLI, through the other mapping
    call turn
    pushfd
    pop eax
    test eax, 0x200
    jnz wrong
    loop 2b
    mov edi, 0x300ffe                   ; 0F 20 | C0 to D0: MOV EAX, CR0 or CR2, at the end of a page
    mov word ptr [edi], 0x200f
    mov word ptr [0x301000], 0xc3c0
    mov word ptr [0x302000], 0xc3d8     ; MOV EAX, CR3
    mov eax, 0x300ffe
    call eax
    mov ebx, eax
    mov dword ptr [TABLE + 0x301 * 4], 0x302007
    invlpg [0x301000]
    mov eax, 0x300ffe
    call eax
    cmp eax, DIRECTORY
    jne wrong
    mov eax, cr0
    cmp eax, ebx
    jne wrong
    mov eax, 0x1f0000
    mov esp, itself + 5                 ; PUSHFD over what follows it: INC ESI and twice ADD [EAX], AL
itself:
    pushfd
    nop
    nop
    nop
    nop
    .byte 0
    mov esp, 0x1f0000
    mov al, 0
    out 0xf4, al
    hlt
wrong:
    mov al, 1
    out 0xf4, al
    hlt
turn:
changing:
    nop
    ret
trap:
    mov eax, [ebp + FRAME_VECTOR]
    add eax, 100
    jmp finish
