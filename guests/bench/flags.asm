; flags: CLI, STI and POPF, the sensitive instructions of every lock in a kernel
;
; round: 4000 sensitive instructions

.include "lib/bench.inc"
.include "lib/trap.inc"

.equ TIMES, 1000

prepare:
    jmp traps_init

round:
    mov ecx, TIMES
.next:
    pushfd
    cli
    inc dword ptr [checksum]
    sti
    popfd
    dec ecx
    jnz .next
    ret

trap:
    jmp trap_unexpected
