; outside: a kernel that reads and writes where it has no memory
;
; Guest-physical memory ends; the host's does not. Without paging, through page tables and by string
; instructions it touches what lies beyond its own, and looks whether anything was there or stayed there:
; reads give ones, writes are lost. Its own memory keeps what it had.
;
; verdict: 0

.include "lib/boot.inc"
.include "lib/trap.inc"
.include "lib/openpages.inc"

.equ BEYOND, 0x40000000
.equ DIRECTORY, 0x200000
.equ TABLE, 0x201000

main:
    call traps_init
    mov dword ptr [0x180000], 0x5a5a5a5a
    mov esi, BEYOND
    mov ecx, 64
1:  mov dword ptr [esi], 0x12345678     ; one word in each megabyte
    cmp dword ptr [esi], -1
    jne wrong
    add esi, 0x100000
    loop 1b
    mov edi, BEYOND
    mov ecx, 4096
    xor eax, eax
    rep stosd
    mov esi, BEYOND
    mov ecx, 4096
2:  lodsd
    inc eax
    jnz wrong
    loop 2b
    call open_pages                     ; the first 4 MB as they are, the next page far beyond
    mov dword ptr [DIRECTORY], TABLE + 7
    mov dword ptr [DIRECTORY + 4], TABLE + 0x1000 + 7
    mov dword ptr [TABLE + 0x1000], BEYOND + 7
    mov dword ptr [DIRECTORY + 8], BEYOND + 7       ; a table where nothing is: entries of ones
    call open_paging
    mov dword ptr [0x400000], 99
    cmp dword ptr [0x400000], -1
    jne wrong
    mov dword ptr [0x800000], 99
    lock inc dword ptr [0x400ffc]
    cmp dword ptr [0x180000], 0x5a5a5a5a
    jne wrong
    xor eax, eax
    ret
wrong:
    mov eax, 1
    ret
trap:
    add dword ptr [ebp + FRAME_EIP], 10     ; over the store of 99
    ret
