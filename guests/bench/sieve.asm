; sieve: the primes below 65,536, one byte per number
;
; round: 890397 instructions

.include "lib/bench.inc"

.equ SIEVE, BENCH_MEMORY
.equ LAST, 0x10000
.equ ROOT, 0x100

prepare:
    ret

round:
    mov edi, SIEVE
    mov ecx, LAST / 4
    xor eax, eax
.clear:
    mov [edi], eax
    add edi, 4
    dec ecx
    jnz .clear

    mov ebx, 2
.prime:
    cmp byte ptr [SIEVE + ebx], 0
    jne .next
    mov eax, ebx
    imul eax, ebx
.multiple:
    mov byte ptr [SIEVE + eax], 1
    add eax, ebx
    cmp eax, LAST
    jb .multiple
.next:
    inc ebx
    cmp ebx, ROOT
    jb .prime

    xor edx, edx                        ; how many are left
    mov ebx, 2
.count:
    cmp byte ptr [SIEVE + ebx], 1
    adc edx, 0
    inc ebx
    cmp ebx, LAST
    jb .count
    mov [checksum], edx
    ret
