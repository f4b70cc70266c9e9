; A contributory fault while a contributory one is delivered, or any but a benign one while a page fault is, becomes #DF;
; other pairs come one after the other. SDM 3A 6.15, table 6-5.
.include "frame.inc"
        gdt_more
        descriptor 0, 0xFFFFF, 0x12, 0xC        ; 38 not present
gdt_end:

.macro breaks vector                            ; its gate is not present: #NP while it is delivered
        mov byte ptr [idt + 8 * \vector + 5], 0x6E
.endm
.macro mends vector
        mov byte ptr [idt + 8 * \vector + 5], 0xEE
.endm
.macro kind vector                              ; its gate is no gate: #GP
        mov byte ptr [idt + 8 * \vector + 5], 0xF2
.endm

main:
case "#DE, then #NP: double"
        breaks 0
        xor ecx, ecx
        div ecx
case "#DE, then #GP: double"
        kind 0
        xor ecx, ecx
        div ecx
case "#UD, then #NP: serial"
        mends 0
        breaks 6
        ud2
case "#BP, then #NP: serial"
        mends 6
        breaks 3
        int3
case "INT n, then #NP: serial"
        mends 3
        breaks 33
        int 33
case "#NM, then #GP: serial"
        kind 7
        mov eax, cr0
        or eax, 8
        mov cr0, eax
        fnop
case "#GP, then #NP: double"
        clts
        mends 7
        breaks 13
        mov eax, 0x7F8
        mov fs, ax
case "#NP, then #GP: double"
        mends 13
        kind 11
        mov word ptr [gdt + LDT_MAIN], 7
        mov eax, LDT_MAIN
        lldt ax
        and byte ptr [gdt + LDT_MAIN + 5], 0x7F
        lldt ax
case "#SS, then #NP: double"
        mends 11
        or byte ptr [gdt + LDT_MAIN + 5], 0x80
        breaks 12
        mov eax, 0x38
        mov ss, ax
case "#BR, then #GP: serial"
        mends 12
        kind 5
        mov eax, 5
        bound eax, [bounds]
case "#UD, then #NP, whose gate is broken, too: double"
        mends 5
        breaks 6
        kind 11
        ud2
done
bounds: .long 0, 1
