; repstring: the other string instructions: fill, compare, scan, byte-wise copy downwards
;
; round: 21504 elements

.include "lib/bench.inc"

.equ ONE, BENCH_MEMORY
.equ OTHER, BENCH_MEMORY + 0x25000
.equ SIZE, 0x1000
.equ TIMES, 3

prepare:
    ret

round:
    mov ebx, TIMES
.again:
    mov edi, ONE
    mov eax, 0x20202020
    mov ecx, SIZE / 4
    rep stosd                           ; 1024
    mov edi, OTHER
    mov ecx, SIZE / 4
    rep stosd                           ; 1024
    mov esi, ONE
    mov edi, OTHER
    mov ecx, SIZE / 4
    repe cmpsd                          ; 1024: they are equal
    sete dl
    mov edi, ONE
    xor eax, eax
    mov byte ptr [ONE + SIZE - 1024 - 1], al
    mov ecx, SIZE
    repne scasb                         ; 3072: to the byte just cleared
    std
    mov esi, ONE + 1023
    mov edi, OTHER + 1023
    mov ecx, 1024
    rep movsb                           ; 1024
    cld
    movzx edx, dl
    lea eax, [edx + ecx]
    add [checksum], eax
    dec ebx
    jnz .again
    ret
