; With CR4.PSE an entry of the directory with PS maps 4 MB, A and D in itself; without PSE PS means nothing. SDM 3A 4.3.
.include "frame.inc"
        gdt_more
gdt_end:
.set DIRECTORY, 0x300000
.set TABLE, 0x301000
.set PAGE, 0xC00000

.macro entry value
        mov dword ptr [DIRECTORY + 12], \value
        mov eax, cr3
        mov cr3, eax
.endm

main:   mov edi, DIRECTORY
        mov ecx, 0x800
        xor eax, eax
        rep stosd
        mov edi, TABLE
        mov ecx, 1024
        mov eax, 7
1:      stosd
        add eax, 0x1000
        loop 1b
        mov dword ptr [DIRECTORY], TABLE + 7
        mov dword ptr [0x212344], 0xCAFE
        mov eax, DIRECTORY
        mov cr3, eax
        mov eax, 0x10
        mov cr4, eax
        mov eax, cr0
        or eax, 0x80010000
        mov cr0, eax
case "a read"
        entry 0x87
        mov eax, [PAGE + 0x212344]
        show eax
        show [DIRECTORY + 12]
case "a write"
        mov dword ptr [PAGE + 0x212344], 0xBEEF
        show [0x212344]
        show [DIRECTORY + 12]
case "read only, with WP"
        entry 0x85
        mov [PAGE + 0x212344], eax
case "ring 3, supervisor's"
        entry 0x83
        ring3 1f
1:      mov eax, [PAGE + 0x212344]
case "not present"
        entry 0x86
        mov eax, [PAGE + 0x212344]
case "without PSE it is a table"
        xor eax, eax
        mov cr4, eax
        mov dword ptr [0x200008], 0x00200007
        entry 0x200087
        mov eax, [PAGE + 0x2004]
        show eax
        show [0x200008]
case "reserved bits 12 to 21"
        mov eax, 0x10
        mov cr4, eax
        entry 0x200087
        mov eax, [PAGE + 0x212344]
case "of what is not present they mean nothing"
        entry 0x200086
        mov [PAGE + 0x212344], eax
case "in ring 3"
        entry 0x200083
        ring3 1f
1:      mov [PAGE + 0x212344], eax
case "a global page"
        mov eax, 0x90
        mov cr4, eax
        entry 0x187
        mov eax, [PAGE + 0x212344]
        show eax
        mov dword ptr [DIRECTORY + 12], 0
        invlpg [PAGE + 0x212344]
        mov eax, [PAGE + 0x212344]
done
