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
.include "lib/crc32.inc"
.include "lib/sha256.inc"

.equ NOISE_SIZE, 1024

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

    variable wrong, 4                   ; how many words were not as they should be
    variable noise, NOISE_SIZE

.align 4
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
