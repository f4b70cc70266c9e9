; The error code of a page fault says present, write, user; CR2 the address; A and D bits follow use; ring 0 obeys W with CR0.WP
; only. SDM 3A 4.6, 4.7, 4.8.
.include "frame.inc"
        gdt_more
gdt_end:

.set DIRECTORY, 0x300000
.set TABLE, 0x301000                            ; of the first 4 MB
.set TABLE2, 0x302000                           ; of the second
.set PAGE, 0x400000                             ; what is tried

.macro entry flags                              ; PAGE is at 2 MB
        mov dword ptr [TABLE2], 0x200000 + \flags
        mov eax, cr3
        mov cr3, eax
.endm
.macro directory flags
        mov dword ptr [DIRECTORY + 4], TABLE2 + \flags
        mov eax, cr3
        mov cr3, eax
.endm
.macro entries
        mov eax, [TABLE2]
        show eax
        mov eax, [DIRECTORY + 4]
        show eax
.endm
.macro write_protect value
        mov eax, cr0
        and eax, 0xFFFEFFFF
        or eax, \value * 0x10000
        mov cr0, eax
.endm

main:   mov edi, DIRECTORY
        mov ecx, 0xC00
        xor eax, eax
        rep stosd
        mov edi, TABLE
        mov ecx, 1024
        mov eax, 7
1:      stosd
        add eax, 0x1000
        loop 1b
        mov dword ptr [DIRECTORY], TABLE + 7
        mov dword ptr [DIRECTORY + 4], TABLE2 + 7
        mov eax, DIRECTORY
        mov cr3, eax
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
case "a read sets A in both"
        entry 7
        directory 7
        mov eax, [PAGE]
        entries
case "a write sets D in the table only"
        mov [PAGE], eax
        entries
case "not present, read"
        entry 6
        mov eax, [PAGE + 4]
case "not present, write"
        mov [PAGE + 8], eax
case "not present, write, across pages"
        mov [PAGE - 2], eax
case "not present in the directory"
        entry 7
        directory 6
        mov eax, [PAGE]
case "ring 3, not present"
        ring3 1f
1:      mov eax, [PAGE]
case "ring 3, supervisor's page"
        directory 7
        entry 3
        ring3 1f
1:      mov eax, [PAGE]
case "ring 3, supervisor's directory, write"
        directory 3
        entry 7
        ring3 1f
1:      mov [PAGE], eax
case "ring 3, read-only page"
        directory 7
        entry 5
        ring3 1f
1:      mov [PAGE], eax
case "ring 3, read-only directory"
        directory 5
        entry 7
        ring3 1f
1:      mov [PAGE], eax
case "ring 3 reads a read-only page"
        directory 7
        entry 5
        ring3 1f
1:      mov eax, [PAGE]
        int SHOW_REGISTERS
case "ring 0 writes a read-only page without WP"
        entry 5
        mov [PAGE], eax
        entries
case "with WP"
        write_protect 1
        entry 5
        mov [PAGE], eax
case "D stays clear then"
        entries
case "with WP, a read-only directory"
        directory 5
        entry 7
        inc dword ptr [PAGE]
case "a read-modify-write of what is not present is a write"
        directory 7
        entry 6
        inc dword ptr [PAGE]
case "ring 3 fetches"
        ring3 PAGE
case "ring 0 fetches"
        mov eax, PAGE
        jmp eax
case "ring 3 fetches from the supervisor's page"
        entry 3
        ring3 PAGE
case "an instruction across pages"
        entry 6
        mov word ptr [PAGE - 2], 0xB890
        mov eax, PAGE - 2
        jmp eax
case "a string stops where the page is missing"
        mov edi, PAGE - 8
        mov ecx, 5
        rep stosd
case "how far it came"
        mov esi, PAGE - 8
        mov edi, area
        mov ecx, 3
        rep movsd
case "PUSHAD across a missing page writes nothing"
        write_protect 0
        mov eax, 0x11111111
        mov [PAGE - 4], eax
        ring3 1f
1:      mov esp, PAGE + 28
        pushad
case "what it wrote"
        show [PAGE - 4]
case "CR2 after a page fault in ring 3 while the descriptor tables are read"
        ring3 1f
1:      mov eax, [PAGE + 0xFFC]
case "INVLPG forgets"
        entry 7
        mov eax, [PAGE]
        mov dword ptr [TABLE2], 0
        invlpg [PAGE]
        mov eax, [PAGE]
case "paging off"
        mov eax, cr0
        and eax, 0x7FFFFFFF
        mov cr0, eax
        mov eax, [TABLE2]
        show eax
done
.align 16
area:   .space 64
