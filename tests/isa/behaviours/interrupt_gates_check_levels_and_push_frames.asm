; INT n needs CPL <= DPL of the gate; an interrupt gate clears IF, a trap gate keeps it; what is wrong with a gate is told with its vector in the error code. SDM 3A 6.11 to 6.13.
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
case "an interrupt gate clears IF"
        gate21 CODE0, entry, 0xEE
        sti
        int 0x21
case "a trap gate keeps it"
        gate21 CODE0, entry, 0xEF
        sti
        int 0x21
case "NT and RF and TF are clear in the handler"
        push 0x4002
        popfd
        int 0x21
case "from ring 3"
        ring3 1f
1:      int 0x21
case "DPL 0 from ring 3"
        gate21 CODE0, entry, 0x8E
        ring3 1f
1:      int 0x21
case "not present"
        gate21 CODE0, entry, 0x6E
        int 0x21
case "not present, not allowed"
        gate21 CODE0, entry, 0x0E
        ring3 1f
1:      int 0x21
case "a call gate is none"
        gate21 CODE0, entry, 0xEC
        int 0x21
case "data is none"
        gate21 CODE0, entry, 0xF2
        int 0x21
case "beyond the limit of the IDT"
        int 0x30
case "to null"
        gate21 0, entry, 0xEE
        int 0x21
case "to null, with RPL"
        gate21 3, entry, 0xEE
        int 0x21
case "to data"
        gate21 DATA0, entry, 0xEE
        int 0x21
case "to code that is not present"
        gate21 0x48, entry, 0xEE
        int 0x21
case "beyond the limit of code"
        gate21 0x50, entry, 0xEE
        int 0x21
case "beyond the GDT"
        gate21 0xFFF8, entry, 0xEE
        int 0x21
case "in the LDT, which is empty"
        gate21 4, entry, 0xEE
        int 0x21
case "outwards"
        gate21 CODE3, entry, 0xEE
        int 0x21
case "a selector with RPL 3 for code of ring 0"
        gate21 0x0B, entry, 0xEE
        int 0x21
case "conforming code from ring 3"
        gate21 0x40, entry3, 0xEE
        ring3 1f
1:      int 0x21
case "ring 1 from ring 3"
        mov dword ptr [tss + 12], stack1
        mov dword ptr [tss + 16], 0x61
        gate21 0x58, entry3, 0xEE
        ring3 1f
1:      int 0x21
case "an exception whose gate is not present: EXT"
        mov byte ptr [idt + 13 * 8 + 5], 0x66
        mov eax, 0x7F8
        mov fs, ax
done

entry:  mov eax, DATA0
        mov ds, ax
        mov es, ax
        pushfd
        mov ebp, esp
.set k, 0
.rept 6
        mov eax, ss:[ebp + k]
        call hex32
        .set k, k + 4
.endr
        int END_OF_CASE
entry3: mov ebx, cs
        int SHOW_REGISTERS
        .space 256
stack1: .long 0
