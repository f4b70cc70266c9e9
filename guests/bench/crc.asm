; crc: CRC-32 of 16 KB, a byte at a time by table
;
; round: 98318 instructions

.include "lib/bench.inc"
.include "lib/crc32.inc"

.equ TEXT, BENCH_MEMORY
.equ TEXT_SIZE, 0x4000

; prepare: byte n of the text is n * n + n / 256, modulo 256.
prepare:
    xor ecx, ecx
.byte:
    mov eax, ecx
    imul eax, ecx
    add al, ch
    mov [TEXT + ecx], al
    inc ecx
    cmp ecx, TEXT_SIZE
    jb .byte
    jmp make_crc_table

round:
    mov esi, TEXT
    mov ecx, TEXT_SIZE
    call crc32
    rol dword ptr [checksum], 1
    add [checksum], eax
    ret
