; selfmod: a loop that writes the constants of the instructions it is about to execute
;
; round: 1000 stores into code

.include "lib/bench.inc"

.equ TIMES, 500

prepare:
    ret

round:
    mov eax, [checksum]
    mov ecx, TIMES
.next:
    mov [first + 1], ecx
    call first
    mov [second + 2], cl
    call second
    dec ecx
    jnz .next
    mov [checksum], eax
    ret

.align PAGE_SIZE
first:
    add eax, 0x12345678                 ; the constant follows one byte of opcode
    ret
second:
    rol eax, 2                          ; and here two
    ret
