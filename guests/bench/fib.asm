; fib: the twentieth Fibonacci number the slow way: calls, returns and the stack
;
; round: 175132 instructions

.include "lib/bench.inc"

.equ WHICH, 20

prepare:
    ret

round:
    mov eax, WHICH
    call fib
    add [checksum], eax
    ret

; fib: EAX = n -> EAX = the n-th Fibonacci number. EDX is lost.
fib:
    cmp eax, 2
    jb .itself
    push ebx
    mov ebx, eax
    dec eax
    call fib
    push eax
    lea eax, [ebx - 2]
    call fib
    pop edx
    add eax, edx
    pop ebx
.itself:
    ret
