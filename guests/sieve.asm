; sieve: the sieve of Eratosthenes up to 20,000: work that no monitor should notice.
;
; Nothing here is privileged but the printing, so a monitor has next to nothing to do, and the guest runs
; at the speed of the processor. That is the idea of direct execution; `vmsim compare sieve` shows what is
; left of the cost.
;
; Only odd numbers have a place in the sieve: place i stands for 2i + 1. A prime p crosses out its odd
; multiples from p * p on; the smaller ones have been crossed out by smaller primes.
;
;      place    0   1   2   3   4   5   6   7   8   9  10  11  12
;      number   1   3   5   7   9  11  13  15  17  19  21  23  25
;      3 *                      x           x           x            from 9, every third place
;      5 *                                                      x    from 25, every fifth place
;
; expect:
;   | primes up to 20000: 2262
;   | the largest: 19997
;   | their sum: 21171191
;   | twins: 342
;   | the widest gap: 52, after 19609
;   | all as it should be
;
; modes: native full rewrite para
; naive: nothing

.include "lib/boot.inc"

.equ LAST, 20000
.equ PLACES, LAST / 2                   ; 1, 3, ... 19999
.equ ROOT_PLACES, 71                    ; 2 * 70 + 1 = 141 is the last odd number whose square is below LAST

main:
    call cross_out
    call look_at_primes
    mov esi, results
    xor ebx, ebx                        ; wrong results
.result:
    mov edi, esi
    mov esi, [edi]                      ; a text,
    call puts
    mov eax, [edi + 4]                  ; where the number is,
    mov eax, [eax]
    call put_decimal
    cmp eax, [edi + 8]                  ; and what it must be
    je .right
    inc ebx
.right:
    lea esi, [edi + 12]
    cmp esi, results_end
    jb .result
    mov eax, ebx
    print newline_text
    test eax, eax
    jnz .done
    print right_text
.done:
    ret

; cross_out: a place becomes 1 if its number has a divisor. All registers are lost.
cross_out:
    mov byte ptr [sieve], 1             ; 1 is no prime
    mov ebx, 1
.prime:
    cmp byte ptr [sieve + ebx], 0
    jne .next
    lea edx, [ebx + ebx + 1]            ; the prime; one of its multiples is so many places from the next
    mov eax, edx
    imul eax, edx
    shr eax, 1                          ; the place of its square
.multiple:
    mov byte ptr [sieve + eax], 1
    add eax, edx
    cmp eax, PLACES
    jb .multiple
.next:
    inc ebx
    cmp ebx, ROOT_PLACES
    jb .prime
    ret

; look_at_primes: count them, add them up, measure the gaps. All registers are lost.
look_at_primes:
    mov dword ptr [primes], 1           ; 2, which has no place
    mov dword ptr [sum], 2
    mov edi, 2                          ; the prime before
    mov ebx, 1
.place:
    cmp byte ptr [sieve + ebx], 0
    jne .next
    lea eax, [ebx + ebx + 1]
    inc dword ptr [primes]
    add [sum], eax
    mov ecx, eax
    sub ecx, edi
    cmp ecx, 2
    jne .no_twin
    inc dword ptr [twins]
.no_twin:
    cmp ecx, [gap]
    jbe .no_gap
    mov [gap], ecx
    mov [gap_after], edi
.no_gap:
    mov edi, eax
.next:
    inc ebx
    cmp ebx, PLACES
    jb .place
    mov [largest], edi
    ret

    variable primes, 4
    variable largest, 4
    variable sum, 4
    variable twins, 4                   ; pairs of primes with one number between them
    variable gap, 4
    variable gap_after, 4

.align 4
results:
    .long count_text, primes, 2262
    .long largest_text, largest, 19997
    .long sum_text, sum, 21171191
    .long twins_text, twins, 342
    .long gap_text, gap, 52
    .long after_text, gap_after, 19609
results_end:

count_text:         .asciz "primes up to 20000: "
largest_text:       .asciz "\nthe largest: "
sum_text:           .asciz "\ntheir sum: "
twins_text:         .asciz "\ntwins: "
gap_text:           .asciz "\nthe widest gap: "
after_text:         .asciz ", after "
right_text:         .asciz "all as it should be\n"

; Away from the code, because a store beside code looks like code being changed.
.align PAGE_SIZE
sieve:              .space PLACES
.align PAGE_SIZE
