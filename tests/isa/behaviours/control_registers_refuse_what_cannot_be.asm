; PG needs PE, NW needs CD, bits of CR4 that do not exist stay clear: else #GP, and nothing changes. ET and bits of CR0 that do not
; exist read as they are wired. SDM 3A 2.5; 2B MOV.
.include "frame.inc"
        gdt_more
gdt_end:

main:
case "PG without PE"
        mov eax, cr0
        and eax, 0xFFFFFFFE
        or eax, 0x80000000
        mov cr0, eax
case "NW without CD"
        mov eax, cr0
        and eax, 0xBFFFFFFF
        or eax, 0x20000000
        mov cr0, eax
case "bits of CR0 that do not exist"
        mov eax, cr0
        or eax, 0x0002FFC0
        mov cr0, eax
        mov eax, cr0
        and eax, 0x9FFFFFFF
        show eax
case "ET is always set"
        mov eax, cr0
        and eax, 0xFFFFFFEF
        mov cr0, eax
        mov eax, cr0
        and eax, 0x9FFFFFFF
        show eax
case "bit 13 of CR4"
        mov eax, 0x2000
        mov cr4, eax
case "bit 31 of CR4"
        mov eax, 0x80000000
        mov cr4, eax
case "bits of CR4 that exist: TSD, DE, PSE, PAE, PGE"
        mov eax, 0xBC
        mov cr4, eax
        mov eax, cr4
        show eax
        xor eax, eax
        mov cr4, eax
done
