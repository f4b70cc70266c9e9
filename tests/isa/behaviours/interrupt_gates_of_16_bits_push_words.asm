; A gate of 16 bits pushes IP, CS, FLAGS as words, SP and SS before them if the stack changes, and an error code as a word.
; SDM 3A 6.11; 2A INT n.
.include "frame.inc"
        gdt_more
        descriptor 0x100000, 0xFFFFF, 0x9A, 0xC ; 38 code of ring 0 from 1 MB
        descriptor 0, 0xFFFFF, 0x9E, 0xC        ; 40 conforming
        descriptor 0, 0xFFFFF, 0x1A, 0xC        ; 48 code, not present
        descriptor 0, 0xFFF, 0x9A, 0x4          ; 50 code of 4 KB
        descriptor 0, 0xFFFFF, 0xBA, 0xC        ; 58 code of ring 1
        descriptor 0, 0xFFFFF, 0xB2, 0xC        ; 60 data of ring 1
gdt_end:

main:
case "16 bits"
        gate21 0x38, entry16 - 0x100000, 0xE6
        sti
        int 0x21
case "16 bits, a trap gate"
        gate21 0x38, entry16 - 0x100000, 0xE7
        sti
        int 0x21
case "16 bits, from ring 3"
        ring3 1f
1:      int 0x21
case "an exception with an error code through 16 bits"
        mov word ptr [idt + 13 * 8], entry16 - 0x100000
        mov dword ptr [idt + 13 * 8 + 2], 0xE6000038
        mov eax, 0x7F8
        mov fs, ax
done

entry16:
        mov eax, DATA0
        mov ds, ax
        mov es, ax
        pushfd
        mov ebp, esp
        print "("
        and ebp, 0xFF
        show ebp
        print ") "
        mov ebp, esp
.set k, 0
.rept 4
        mov eax, ss:[ebp + k]
        call hex32
        .set k, k + 4
.endr
        int END_OF_CASE
