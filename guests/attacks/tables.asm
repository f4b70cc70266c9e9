; tables: a kernel that makes its monitor build shadow tables without end
;
; A directory that maps every 4 MB of the linear space through the same table, and a hundred address
; spaces of that kind. It touches a page in each: more tables than any monitor has frames for.
;
; verdict: 0

.include "lib/boot.inc"
.include "lib/trap.inc"
.include "lib/openpages.inc"

.equ SPACES, 100
.equ TABLE, 0x200000
.equ DIRECTORY, 0x300000                ; the first of them
.equ LAST, 1000                         ; directory entries used

main:
    call traps_init
    call open_pages
    mov edi, DIRECTORY
    mov ecx, 1024 * SPACES
    mov eax, TABLE + 7
    rep stosd
    mov ebx, DIRECTORY
    call open_paging
    mov dword ptr [0x180000], 0
2:  mov cr3, ebx
    mov esi, 0x180000
    mov ecx, LAST / 20
    mov eax, ebx
    shr eax, 12
    and eax, 15
    shl eax, 22
    add esi, eax
3:  inc dword ptr [esi]
    add esi, 20 << 22
    loop 3b
    add ebx, 0x1000
    cmp ebx, DIRECTORY + 0x1000 * SPACES
    jb 2b
    xor eax, eax
    cmp dword ptr [0x180000], LAST / 20 * SPACES
    je 4f
    inc eax
4:  ret
trap:
    mov eax, 2
    jmp finish
