; float: the x87: steps of the logistic map x' = 3.75 x (1 - x) in double precision
;
; round: 8010 instructions

.include "lib/bench.inc"

.equ TIMES, 1000

    variable x, 8

prepare:
    fninit
    fld qword ptr [half]
    fstp qword ptr [x]
    ret

round:
    mov ecx, TIMES
.next:
    fld qword ptr [x]
    fld1
    fsub st, st(1)
    fmulp st(1), st
    fmul qword ptr [rate]
    fstp qword ptr [x]
    dec ecx
    jnz .next
    mov eax, [x + 4]
    xor eax, [x]
    mov [checksum], eax
    ret

.align 8
half:   .double 0.4999
rate:   .double 3.75
