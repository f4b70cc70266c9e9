; ports: OUT to a port that nobody listens to
;
; round: 1000 port accesses

.include "lib/bench.inc"

.equ TIMES, 1000
.equ DUMMY_PORT, 0x80                   ; where a BIOS reports how far it has got

prepare:
    ret

round:
    mov ecx, TIMES
.next:
    mov eax, ecx
    out DUMMY_PORT, al
    inc dword ptr [checksum]
    dec ecx
    jnz .next
    ret
