; segmented: code, data and stack each in a segment of its own, none of them flat
;
; The kernel of this loop lies at 64 KB below where it believes to be; data and stack begin at their own
; zero, and each segment ends where its contents end.
;
; round: 38033 instructions

.include "lib/bench.inc"

.equ TIMES, 2000
.equ CODE_BASE, 0x10000
.equ DATA_BASE, BENCH_MEMORY
.equ OTHER_BASE, BENCH_MEMORY + 0x23000
.equ STACK_BASE, BENCH_MEMORY + 0x45000
.equ DATA_SIZE, 0x2000
.equ STACK_SIZE, 0x1000
.equ CODE, 0x08
.equ DATA, 0x10
.equ OTHER, 0x18
.equ STACK, 0x20
.equ FLAT_CODE, 0x28
.equ FLAT_DATA, 0x30

    variable flat_stack, 4

prepare:
    ret

round:
    mov ebp, [checksum]
    mov [flat_stack], esp
    lgdt [segmented_register]
    mov eax, DATA
    mov ds, ax
    mov eax, OTHER
    mov es, ax
    mov eax, STACK
    mov ss, ax
    mov esp, STACK_SIZE
    jmp CODE:inside - CODE_BASE
inside:
    mov ecx, TIMES
    xor esi, esi
    xor edi, edi
.next:
    mov eax, [esi]
    add eax, ecx
    mov es:[edi + 4], eax
    push eax
    call .twice
    pop edx
    mov [esi + 4], ebx
    xor ebx, es:[edi]
    add ebp, ebx
    rol ebp, 3
    add esi, 4
    and esi, DATA_SIZE - 8
    add edi, 4
    and edi, DATA_SIZE - 8
    dec ecx
    jnz .next
    jmp FLAT_CODE:outside
.twice:
    mov ebx, [esp + 4]
    add ebx, ebx
    ret
outside:
    mov eax, FLAT_DATA
    mov ds, ax
    mov ss, ax
    mov es, ax
    mov esp, [flat_stack]
    lgdt [gdt_register]
    jmp KERNEL_CS:home
home:
    mov eax, KERNEL_DS
    mov ds, ax
    mov ss, ax
    mov es, ax
    mov [checksum], ebp
    ret

.align 8
segmented_table:
    descriptor 0, 0, 0, 0
    descriptor CODE_BASE, outside - CODE_BASE - 1, SEG_PRESENT | SEG_CODE, SEG_BYTES_32
    descriptor DATA_BASE, DATA_SIZE - 1, SEG_PRESENT | SEG_DATA, SEG_BYTES_32
    descriptor OTHER_BASE, DATA_SIZE - 1, SEG_PRESENT | SEG_DATA, SEG_BYTES_32
    descriptor STACK_BASE, STACK_SIZE - 1, SEG_PRESENT | SEG_DATA, SEG_BYTES_32
    descriptor 0, 0xfffff, SEG_PRESENT | SEG_CODE, SEG_4K_32
    descriptor 0, 0xfffff, SEG_PRESENT | SEG_DATA, SEG_4K_32
segmented_end:
segmented_register:
    .word segmented_end - segmented_table - 1
    .long segmented_table
