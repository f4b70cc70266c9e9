; alu: arithmetic in registers, a carry handed from one instruction to the next
;
; round: 100010 instructions

.include "lib/bench.inc"

.equ TIMES, 10000

prepare:
    ret

round:
    mov eax, [checksum]
    mov ebx, 0x9e3779b9
    mov ecx, TIMES
.again:
    add eax, ecx
    adc ebx, eax
    rol ebx, 5
    xor eax, ebx
    lea edx, [eax + ebx*4 + 7]
    sub edx, ecx
    shr edx, 3
    add eax, edx
    dec ecx
    jnz .again
    mov [checksum], eax
    ret
