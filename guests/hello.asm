; hello: the smallest kernel that shows it is alive.
;
; It takes over the processor, loads its own segments, finds a stack, prints two lines and hands in its
; verdict. No interrupt, no paging, no ring 3. Read it together with lib/boot.inc and lib/console.inc.
;
; expect:
;   | Hello, world!
;   | 6 * 7 = 42
;
; modes: native full rewrite para
; naive: nothing

.include "lib/boot.inc"

main:
    print hello_text
    print product_text
    mov eax, 6
    mov edx, 7
    mul edx
    call put_decimal
    print newline_text
    sub eax, 42                 ; the verdict: 0 if the processor can multiply
    ret

hello_text:     .asciz "Hello, world!\n"
product_text:   .asciz "6 * 7 = "
