; hash: CRC-32 and SHA-256, two ways of getting a short number from a long text.
;
; Pure computation like sieve, but on words instead of bytes, with rotations and carries: the instructions
; that a translator gets wrong first. Two texts with known answers come first, then a kibibyte of noise.
;
;      CRC-32     the text is a polynomial over two elements; the hash is what remains of it after
;                 division by another one. A table holds what each byte does to the remainder.
;      SHA-256    the text, padded, in blocks of 16 words; each is stretched to 64 words and stirred into
;                 a state of 8 words in 64 rounds. FIPS 180-4; the names below are its names.
;
; expect:
;   | CRC-32 of "123456789": 0xcbf43926
;   | CRC-32 of 1024 bytes of noise: 0x9095e70c
;   | SHA-256 of "abc":
;   |   0xba7816bf 0x8f01cfea 0x414140de 0x5dae2223
;   |   0xb00361a3 0x96177a9c 0xb410ff61 0xf20015ad
;   | SHA-256 of 1024 bytes of noise:
;   |   0xc52da3e1 0x169c8425 0x8b112620 0x7c45426f
;   |   0x115d5bb6 0x2243ceb3 0x8f501763 0x31cdc8d6
;   | all as it should be
;
; modes: native full rewrite para
; naive: nothing

.include "lib/boot.inc"

.equ NOISE_SIZE, 1024
.equ BLOCK, 64                          ; bytes of text to one block of SHA-256
.equ STATE_SIZE, 32

main:
    call make_noise
    call make_crc_table

    print crc_digits_text
    mov esi, digits
    mov ecx, digits_end - digits
    mov ebx, 0xcbf43926
    call show_crc
    print crc_noise_text
    mov esi, noise
    mov ecx, NOISE_SIZE
    mov ebx, 0x9095e70c
    call show_crc

    print sha_abc_text
    mov esi, abc
    mov ecx, abc_end - abc
    mov edi, abc_hash
    call show_sha
    print sha_noise_text
    mov esi, noise
    mov ecx, NOISE_SIZE
    mov edi, noise_hash
    call show_sha

    mov eax, [wrong]
    test eax, eax
    jnz .done
    print right_text
.done:
    ret

; show_crc: of ECX bytes from ESI, which must be EBX.
show_crc:
    call crc32
    call put_hex
    print newline_text
    cmp eax, ebx
    je .right
    inc dword ptr [wrong]
.right:
    ret

; show_sha: of ECX bytes from ESI, which must be the eight words at EDI.
show_sha:
    push edi
    call sha256
    pop edi
    mov ebx, 0
.word:
    mov esi, space_text
    test ebx, 3
    jnz .separate
    mov esi, indent_text                ; four words to a line
.separate:
    call puts
    mov eax, [state + ebx*4]
    call put_hex
    cmp eax, [edi + ebx*4]
    je .right
    inc dword ptr [wrong]
.right:
    mov edx, ebx
    and edx, 3
    cmp edx, 3
    jne .next
    print newline_text
.next:
    inc ebx
    cmp ebx, STATE_SIZE / 4
    jb .word
    ret

; make_noise: the top bytes of a linear congruential generator, x := 1664525 x + 1013904223.
make_noise:
    mov edi, noise
    mov ecx, NOISE_SIZE
    mov eax, 1
.byte:
    imul eax, eax, 1664525
    add eax, 1013904223
    mov edx, eax
    shr edx, 24
    mov [edi], dl
    inc edi
    loop .byte
    ret

; ---- CRC-32, as Ethernet has it: bits in reverse order, so the polynomial is, too.
.equ CRC_POLYNOMIAL, 0xedb88320

; make_crc_table: what each of the 256 bytes does. Registers are lost.
make_crc_table:
    xor ebx, ebx
.entry:
    mov eax, ebx
    mov ecx, 8
.bit:
    shr eax, 1                          ; the bit that falls out
    jnc .next
    xor eax, CRC_POLYNOMIAL             ; takes the polynomial with it
.next:
    loop .bit
    mov [crc_table + ebx*4], eax
    inc ebx
    cmp ebx, 256
    jb .entry
    ret

; crc32: of ECX bytes from ESI -> EAX. ECX, EDX, ESI are lost.
crc32:
    mov eax, -1
.byte:
    movzx edx, byte ptr [esi]
    inc esi
    xor dl, al
    shr eax, 8
    xor eax, [crc_table + edx*4]
    loop .byte
    not eax
    ret

; ---- SHA-256

; sha256: of ECX bytes from ESI -> `state`. Registers are lost. The padding is a 1 bit, zeros to the end
; of a block but for eight bytes, and in these the length in bits:
;
;      | text ........ | text ... 80 | 00 ......... length |
sha256:
    push ecx
    push esi
    mov esi, initial_state
    mov edi, state
    mov ecx, STATE_SIZE / 4
    rep movsd
    pop esi
    mov ecx, [esp]
.whole:
    cmp ecx, BLOCK
    jb .rest
    push ecx
    call stir_block
    pop ecx
    sub ecx, BLOCK
    jmp .whole
.rest:
    ; What remains goes into one block of its own. (No text here leaves more than 55 bytes, which would
    ; need two.)
    mov edi, last_block
    mov edx, BLOCK - 8
    sub edx, ecx                        ; bytes from the end of the text to the length
    rep movsb
    mov ecx, edx
    xor eax, eax
    rep stosb
    sub edi, edx
    mov byte ptr [edi], 0x80
    pop eax
    shl eax, 3                          ; bits
    bswap eax                           ; numbers in the text have their highest byte first
    mov dword ptr [last_block + BLOCK - 8], 0
    mov [last_block + BLOCK - 4], eax
    mov esi, last_block
    ; and on with this block

; stir_block: the block at ESI goes into the state. -> ESI after it. The other registers are lost.
stir_block:
    mov edi, schedule
    mov ecx, BLOCK / 4
.load:
    lodsd
    bswap eax
    stosd
    loop .load
    push esi

    ; W[t] = s1(W[t-2]) + W[t-7] + s0(W[t-15]) + W[t-16]
    mov ecx, 64 - 16
.stretch:
    mov eax, [edi - 15*4]
    mov edx, eax
    mov ebx, eax
    ror eax, 7
    ror edx, 18
    shr ebx, 3
    xor eax, edx
    xor eax, ebx                        ; s0
    mov esi, [edi - 2*4]
    mov edx, esi
    mov ebx, esi
    ror esi, 17
    ror edx, 19
    shr ebx, 10
    xor esi, edx
    xor esi, ebx                        ; s1
    add eax, esi
    add eax, [edi - 7*4]
    add eax, [edi - 16*4]
    stosd
    loop .stretch

    ; The working variables a ... h are eight words of a window that slides down by one word each round, so
    ; that b becomes a's old value without being moved.
    ;
    ;      round t      EBP -> | a | b | c | d | e | f | g | h |
    ;      round t + 1  EBP -> | a'| b | c | d | e'| f | g | h | dropped |
    mov ebp, window + 64 * 4
    mov esi, state
    mov edi, ebp
    mov ecx, STATE_SIZE / 4
    rep movsd
    xor ecx, ecx
.round:
    ; T1 = h + S1(e) + Ch(e, f, g) + K[t] + W[t]
    mov eax, [ebp + 4*4]                ; e
    mov edx, eax
    mov ebx, eax
    ror edx, 6
    ror ebx, 11
    xor edx, ebx
    ror ebx, 25 - 11
    xor edx, ebx                        ; S1
    mov ebx, [ebp + 5*4]
    xor ebx, [ebp + 6*4]
    and ebx, eax
    xor ebx, [ebp + 6*4]                ; Ch: where e has a 1, f, and else g
    add edx, ebx
    add edx, [ebp + 7*4]
    add edx, [round_constants + ecx*4]
    add edx, [schedule + ecx*4]
    ; T2 = S0(a) + Maj(a, b, c)
    mov eax, [ebp]
    mov esi, eax
    mov ebx, eax
    ror esi, 2
    ror ebx, 13
    xor esi, ebx
    ror ebx, 22 - 13
    xor esi, ebx                        ; S0
    mov ebx, eax
    or ebx, [ebp + 1*4]
    and ebx, [ebp + 2*4]
    and eax, [ebp + 1*4]
    or ebx, eax                         ; Maj: what two of the three say
    add esi, ebx
    ; The window slides: a' = T1 + T2, e' = d + T1
    add [ebp + 3*4], edx
    add esi, edx
    sub ebp, 4
    mov [ebp], esi
    inc ecx
    cmp ecx, 64
    jb .round

    xor ecx, ecx
.add:
    mov eax, [ebp + ecx*4]
    add [state + ecx*4], eax
    inc ecx
    cmp ecx, STATE_SIZE / 4
    jb .add
    pop esi
    ret

    variable wrong, 4                   ; how many words were not as they should be
    variable state, STATE_SIZE
    variable last_block, BLOCK
    variable schedule, 64 * 4
    variable window, 64 * 4 + STATE_SIZE
    variable crc_table, 256 * 4
    variable noise, NOISE_SIZE

.align 4
initial_state:
    .long 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a
    .long 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19
round_constants:                        ; 32 bits of the cube roots of the first 64 primes
    .long 0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5
    .long 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5
    .long 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3
    .long 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174
    .long 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc
    .long 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da
    .long 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7
    .long 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967
    .long 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13
    .long 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85
    .long 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3
    .long 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070
    .long 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5
    .long 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3
    .long 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208
    .long 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
abc_hash:
    .long 0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223
    .long 0xb00361a3, 0x96177a9c, 0xb410ff61, 0xf20015ad
noise_hash:
    .long 0xc52da3e1, 0x169c8425, 0x8b112620, 0x7c45426f
    .long 0x115d5bb6, 0x2243ceb3, 0x8f501763, 0x31cdc8d6

digits:             .ascii "123456789"
digits_end:
abc:                .ascii "abc"
abc_end:
crc_digits_text:    .asciz "CRC-32 of \"123456789\": "
crc_noise_text:     .asciz "CRC-32 of 1024 bytes of noise: "
sha_abc_text:       .asciz "SHA-256 of \"abc\":\n"
sha_noise_text:     .asciz "SHA-256 of 1024 bytes of noise:\n"
space_text:         .asciz " "
indent_text:        .asciz "  "
right_text:         .asciz "all as it should be\n"
.align PAGE_SIZE
