; INT1 (F1) is vector 1 as if the processor had raised it: no DPL is looked at, DR6 stays, EIP is behind it. SDM 2A INT n.
.include "frame.inc"
        gdt_more
gdt_end:

main:
case "ring 0"
        xor eax, eax
        mov dr6, eax
        .byte 0xF1
case "ring 3, and a gate of DPL 0"
        mov byte ptr [idt + 8 + 5], 0x8E
        ring3 1f
1:      .byte 0xF1
case "INT 1 is refused there"
        ring3 1f
1:      .byte 0xCD, 1
case "INT3 too, with a gate of DPL 0"
        mov byte ptr [idt + 24 + 5], 0x8E
        ring3 1f
1:      int3
case "a gate that is not present: EXT"
        mov byte ptr [idt + 8 + 5], 0x6E
        .byte 0xF1
case "INT3 through it: no EXT"
        mov byte ptr [idt + 24 + 5], 0x6E
        int3
done
