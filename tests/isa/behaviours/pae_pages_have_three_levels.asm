; PAE: four pointers loaded with CR3, 64-bit entries, 2 MB pages, reserved bits fault: #GP in a pointer that is loaded,
; #PF with RSVD in other entries. SDM 3A 4.4.
.include "frame.inc"
        gdt_more
gdt_end:
.set POINTERS, 0x300020
.set DIRECTORY, 0x301000
.set TABLE, 0x302000
.set PAGE, 0xC00000                             ; entry 6 of the directory

.macro pde low, high=0
        mov dword ptr [DIRECTORY + 48], \low
        mov dword ptr [DIRECTORY + 52], \high
        mov eax, POINTERS
        mov cr3, eax
.endm
.macro pte low, high=0
        mov dword ptr [TABLE], \low
        mov dword ptr [TABLE + 4], \high
        mov eax, POINTERS
        mov cr3, eax
.endm

main:   mov edi, 0x300000
        mov ecx, 0xC00
        xor eax, eax
        rep stosd
        mov dword ptr [POINTERS], DIRECTORY + 1
        mov dword ptr [DIRECTORY], 0x000087     ; 0 to 4 MB, as two large pages
        mov dword ptr [DIRECTORY + 8], 0x200087
        mov dword ptr [0x212344], 0xCAFE
        mov eax, POINTERS
        mov cr3, eax
        mov eax, 0x20
        mov cr4, eax
        mov eax, cr0
        or eax, 0x80010000
        mov cr0, eax
case "a page of 2 MB"
        pde 0x200087
        mov eax, [PAGE + 0x12344]
        show eax
        show [DIRECTORY + 48]
case "a write"
        mov dword ptr [PAGE + 0x12344], 0xBEEF
        show [0x212344]
        show [DIRECTORY + 48]
case "a page of 4 KB"
        pde TABLE + 7
        pte 0x212007
        mov eax, [PAGE + 0x344]
        show eax
        show [DIRECTORY + 48]
        show [TABLE]
case "read only, with WP"
        pte 0x212005
        mov [PAGE], eax
case "a reserved bit in the table"
        pte 0x212007, 0x100
        mov eax, [PAGE]
case "in the table of what is not present"
        pte 0x212006, 0x100
        mov eax, [PAGE]
case "in the directory"
        pte 0x212007
        pde TABLE + 7, 0x80000000
        mov [PAGE], eax
case "in the directory, a large page, ring 3"
        pde 0x200087, 0x100
        ring3 1f
1:      mov eax, [PAGE]
case "bits 13 to 20 of a large page"
        pde 0x202087
        mov eax, [PAGE]
case "the directory is not there"
        pde 0
        mov eax, [0x40000000]
case "a pointer with a reserved bit is #GP"
        mov dword ptr [POINTERS + 8], 3
        mov eax, POINTERS
        mov cr3, eax
case "bits 1, 2 and 5 to 8 of a pointer"
        mov dword ptr [POINTERS + 8], 0x21
        mov eax, POINTERS
        mov cr3, eax
case "the high half"
        mov dword ptr [POINTERS + 8], 1
        mov dword ptr [POINTERS + 12], 0x100
        mov eax, POINTERS
        mov cr3, eax
case "in one that is not present it is good"
        mov dword ptr [POINTERS + 8], 0x1E6
        mov eax, POINTERS
        mov cr3, eax
        print "loaded"
case "PWT and PCD of a pointer"
        mov dword ptr [POINTERS + 8], 0xE18
        mov dword ptr [POINTERS + 12], 0
        mov eax, POINTERS
        mov cr3, eax
        print "loaded"
case "a change in memory counts from the next load of CR3 on"
        pde 0x200087
        mov eax, [PAGE + 0x12344]
        mov dword ptr [POINTERS], 0
        invlpg [PAGE]
        mov eax, [PAGE + 0x12344]
        show eax
        mov dword ptr [POINTERS], DIRECTORY + 1
case "loading CR0.CD loads them, too"
        mov dword ptr [POINTERS + 8], 3
        mov eax, cr0
        xor eax, 0x40000000
        mov cr0, eax
done
