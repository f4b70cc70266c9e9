; cold: much code that runs once: 48 KB of it, all different, copied to a fresh place in each round
;
; What an engine has learned of one round is of no use in the next. When memory is at its end the place
; is used again, as a kernel does that loads one program after another.
;
; round: 26250 instructions

.include "lib/bench.inc"

.equ PLACES, 200
.equ PIECES, 1000
.equ DATA, BENCH_MEMORY - 0x10000

    variable place, 4

prepare:
    mov dword ptr [place], BENCH_MEMORY
    ret

round:
    mov esi, program
    mov edi, [place]
    mov ecx, (program_end - program) / 4
    rep movsd
    mov ebx, [checksum]
    add [edi - 4], ebx                  ; an instruction's constant, never the same
    mov edx, [place]
    mov [place], edi
    cmp edi, BENCH_MEMORY + PLACES * PLACE_SIZE
    jb .fits
    mov dword ptr [place], BENCH_MEMORY
.fits:
    mov eax, ebx
    mov ebp, DATA
    xor ecx, ecx
    call edx
    add [checksum], eax
    ret

.align 16
program:
.equ n, 0
.rept PIECES
    .equ n, n + 1
    mov ebx, [ebp + n % 0x3f * 4]
    lea ecx, [ebx + ecx*2 + n]
    add eax, n * 0x10203
    xor ebx, eax
    cmp eax, n * 0x165431
    adc edx, ebx
    mov [ebp + n % 0x7f * 4], edx
    test eax, 1 << n % 32
    jz 1f                               ; three instructions on either way
    rol eax, n % 31 + 1
    push ecx
    jmp 2f
1:  sub ecx, edx
    imul esi, ebx, n
    push esi
2:  pop edi
.endr
    ret
.align 4
    add eax, 0x1000                     ; not reached; the last constant changes
program_end:
.equ PLACE_SIZE, program_end - program
