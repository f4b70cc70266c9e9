; corner: a kernel that looks for its monitor at the top of the linear space, and jumps there
;
; It reads every page from FFC0 0000 on, writes to them, calls into them, points its stack and its tables
; there. There is nothing: reads give ones, code is no code, and so its own handlers say.
;
; verdict: 0

.include "lib/boot.inc"
.include "lib/trap.inc"

.equ CORNER, 0xffc00000

main:
    call traps_init
    mov esi, CORNER
1:  cmp dword ptr [esi], -1
    jne wrong
    mov dword ptr [esi], 0x90909090
    cmp dword ptr [esi], -1
    jne wrong
    add esi, 0x1000
    jnz 1b
    mov esi, CORNER + 0x1000
2:  mov [back], esp
    call esi                            ; FF FF: no instruction
after:
    add esi, 0x40000
    jnc 2b
    cmp dword ptr [faults], 15
    jb wrong
    mov ebp, esp
    mov esp, CORNER + 0x800
    push 0x1234                         ; lost
    pop eax
    mov esp, ebp
    inc eax
    jnz wrong
    sgdt [CORNER + 0x2000]
    xor eax, eax
    ret
wrong:
    mov eax, 1
    ret
trap:
    cmp dword ptr [ebp + FRAME_VECTOR], 6
    jne wrong_trap
    inc dword ptr [faults]
    mov dword ptr [ebp + FRAME_EIP], resume
    ret
wrong_trap:
    mov eax, 2
    jmp finish
resume:
    mov esp, [back]
    jmp after

.align 4
faults: .long 0
back:   .long 0
