; copy: 64 KB, a double word at a time, paging on
;
; round: 98320 instructions

.include "lib/copy.inc"

copy:
.next:
    mov eax, [esi]
    mov [edi], eax
    add esi, 4
    add edi, 4
    dec ecx
    jnz .next
    ret
