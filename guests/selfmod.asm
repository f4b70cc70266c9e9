; selfmod: code that changes code: itself, its neighbours, and code that was data a moment ago.
;
; On the x86 a store to code takes effect at once, without a word to the processor. Whoever keeps a copy of
; code, be it a cache, a decoder or a translator, must notice each such store, through whatever address it
; is made. Each test below hands its result over in EAX.
;
;   operand    a loop adds up the operand of its own MOV, which it changes in each round
;   next       a store rewrites the very next instruction
;   itself     a store rewrites itself; the second time round it is another instruction
;   block      a routine that has run is overwritten with another by REP MOVSB
;   boundary   the changed instruction lies in two pages, and both halves change
;   compiler   sums in postfix notation are turned into code in a data page, one after the other
;   alias      the page with the code is written to by another linear address
;   exchange   one linear address shows first one page of code, then another
;
; The manual (SDM 3A, self-modifying code) wants a jump between a store and the code it has changed, for the
; sake of the processors before the Pentium Pro; the later ones do without, and so do `next` and `itself`.
;
; expect:
;   | operand: 45
;   | next: 2
;   | itself: 14
;   | block: 34
;   | boundary: 579
;   | compiler: 230, 80, 3
;   | alias: 77
;   | exchange: 12
;   | all as it should be
;
; modes: native full rewrite para
; naive: nothing

.equ POOL_PAGES, 4

.include "lib/boot.inc"
.include "lib/trap.inc"
.include "lib/paging.inc"

.equ ALIAS, 0x00400000                  ; the first page beyond those that are mapped one to one
.equ WINDOW, ALIAS + PAGE_SIZE

; Opcodes, for the tests that write code. SDM 2A and 2B.
.equ OP_INC_EAX, 0x40
.equ OP_JMP_SHORT, 0xeb
.equ OP_PUSH_IMM32, 0x68
.equ OP_POP_EAX, 0x58
.equ OP_RET, 0xc3

main:
    call traps_init
    call paging_init
    mov edi, tests
.test:
    mov esi, [edi]
    call puts
    push edi
    call [edi + 4]
    pop edi
    call put_decimal
    cmp eax, [edi + 8]
    je .right
    inc dword ptr [wrong]
.right:
    add edi, 12
    cmp edi, tests_end
    jb .test
    print newline_text
    mov eax, [wrong]
    test eax, eax
    jnz .done
    print right_text
.done:
    ret

trap:
    jmp trap_unexpected

.align 4
tests:
    .long operand_text, test_operand, 45        ; 0 + 1 + ... + 9
    .long next_text, test_next, 2
    .long itself_text, test_itself, 14
    .long block_text, test_block, 34
    .long boundary_text, test_boundary, 579     ; 123 + 456
    .long compiler_text, test_sum, 230          ; (12 + 34) * 5
    .long comma_text, test_product, 80          ; 9 * 9 - 1
    .long comma_text, test_number, 3
    .long alias_text, test_alias, 77
    .long exchange_text, test_exchange, 12
tests_end:

; ---- Stores to code near by

test_operand:
    xor ebx, ebx
.again:
    mov eax, 0                          ; the operand is the last four of five bytes
.operand_end:
    add ebx, eax
    inc eax
    mov [.operand_end - 4], eax
    cmp eax, 10
    jb .again
    mov eax, ebx
    mov dword ptr [.operand_end - 4], 0
    ret

test_next:
    mov eax, 1
    mov byte ptr [.next], OP_INC_EAX
.next:
    nop                                 ; no longer when it is its turn
    mov byte ptr [.next], 0x90
    ret

; The store is ten bytes long and writes the first four of them: INC EAX; INC EAX; JMP over the other six.
test_itself:
    mov eax, 10
    mov ecx, 3
.again:
.store:
    mov dword ptr [.store], OP_INC_EAX | OP_INC_EAX << 8 | OP_JMP_SHORT << 16 | 6 << 24
    loop .again
    ret                                 ; 10, and two rounds of + 2

test_block:
    call .routine
    mov ebx, eax
    mov esi, .other
    mov edi, .routine
    mov ecx, .other_end - .other
    rep movsb
    call .routine
    add eax, ebx
    ret
.routine:
    mov eax, 11
    ret
.other:
    mov eax, 23
    ret
.other_end:

test_boundary:
    mov dword ptr [straddler_end - 4], 123
    call straddler
    mov ebx, eax
    mov dword ptr [straddler_end - 4], 0xffff0000
    call straddler                      ; has been seen with another second half
    mov word ptr [straddler_end - 4], 456
    mov word ptr [straddler_end - 2], 0 ; one page at a time
    call straddler
    add eax, ebx
    ret

; ---- A compiler, for sums like "9 9 * 1 -": digits make numbers, and operators take two.

test_sum:
    mov esi, sum_text
    jmp compile_and_run
test_product:
    mov esi, product_text
    jmp compile_and_run
test_number:
    mov esi, number_alone_text

; Every number becomes `push number`, every operator three instructions on the two topmost.
compile_and_run:
    mov edi, code_buffer
.item:
    lodsb
    cmp al, ' '
    je .item
    test al, al
    jz .end
    cmp al, '0'
    jb .operator
    movzx eax, al
    sub eax, '0'
.digit:
    movzx edx, byte ptr [esi]
    sub edx, '0'
    jb .number                          ; nothing below '0' is a digit, and nothing above '9' occurs
    inc esi
    imul eax, eax, 10
    add eax, edx
    jmp .digit
.number:
    mov byte ptr [edi], OP_PUSH_IMM32
    mov [edi + 1], eax
    add edi, 5
    jmp .item
.operator:
    mov ebx, operators
.look:
    cmp al, [ebx]
    je .emit
    add ebx, 8
    jmp .look
.emit:
    push esi
    lea esi, [ebx + 1]
    mov ecx, 7
    rep movsb
    pop esi
    jmp .item
.end:
    mov byte ptr [edi], OP_POP_EAX
    mov byte ptr [edi + 1], OP_RET
    call code_buffer
    ret

; One row of eight bytes: the character, and seven bytes of code.
operators:
    .byte '+'
    pop edx
    pop eax
    add eax, edx
    push eax
    nop
    nop
    .byte '-'
    pop edx
    pop eax
    sub eax, edx
    push eax
    nop
    nop
    .byte '*'
    pop edx
    pop eax
    imul eax, edx
    push eax
    nop

; ---- Code behind more than one address

test_alias:
    mov eax, ALIAS
    mov edx, patched_page + (PTE_P | PTE_W)
    call map_page
    call patched_page                   ; 7
    mov ebx, eax
    mov dword ptr [ALIAS + 1], 70       ; the operand of its MOV
    call patched_page
    add eax, ebx
    ret

test_exchange:
    mov eax, WINDOW
    mov edx, one_page + PTE_P
    call map_page
    call eax                            ; 1
    imul ebx, eax, 10
    mov eax, WINDOW
    mov edx, two_page + PTE_P
    call map_page
    call eax                            ; 2
    add eax, ebx
    ret

    variable wrong, 4                   ; how many tests went wrong

operand_text:       .asciz "operand: "
next_text:          .asciz "\nnext: "
itself_text:        .asciz "\nitself: "
block_text:         .asciz "\nblock: "
boundary_text:      .asciz "\nboundary: "
compiler_text:      .asciz "\ncompiler: "
comma_text:         .asciz ", "
alias_text:         .asciz "\nalias: "
exchange_text:      .asciz "\nexchange: "
right_text:         .asciz "all as it should be\n"
sum_text:           .asciz "12 34 + 5 *"
product_text:       .asciz "9 9 * 1 -"
number_alone_text:  .asciz "3"

; ---- Pages of their own

.align PAGE_SIZE
    .space PAGE_SIZE - 3                ; so that the boundary is after two bytes of the operand:
straddler:                              ;   b8 LL LL | LL LL
    mov eax, 0
straddler_end:
    ret
.align PAGE_SIZE
code_buffer:        .space PAGE_SIZE
patched_page:
    mov eax, 7
    ret
.align PAGE_SIZE
one_page:
    mov eax, 1
    ret
.align PAGE_SIZE
two_page:
    mov eax, 2
    ret
.align PAGE_SIZE
