; What changes descriptor tables, control registers, caches, translations and MSRs is #GP(0) above ring 0; LLDT and LTR take the right
; types only; forms that do not exist are #UD. SDM 3A 5.9; 2A, 2B under each.
.include "frame.inc"
        gdt_more
gdt_end:

main:
case "CR1"
        .byte 0x0F, 0x20, 0xC8
case "CR5"
        .byte 0x0F, 0x22, 0xE8
case "CR7"
        .byte 0x0F, 0x20, 0xF8
case "the mod field of MOV CR means nothing"
        mov eax, 0x12345678
        mov cr2, eax
        .byte 0x0F, 0x20, 0x13                  ; mod 0: mov ebx, cr2
        show ebx
case "CR3 keeps its bits"
        mov eax, 0x300018
        mov cr3, eax
        mov ebx, cr3
        show ebx
case "LMSW sets PE, MP, EM, TS and nothing else"
        mov eax, 0xFFFF
        lmsw ax
        smsw eax
        and eax, 0x9FFFFFFF
        show eax
case "and clears all but PE"
        xor eax, eax
        lmsw ax
        smsw ax
        movzx eax, ax
        show eax
case "SMSW into memory writes 16 bits"
        mov dword ptr [area], 0x55555555
        smsw word ptr [area]
        mov eax, [area]
        show eax
case "SMSW in ring 3"
        ring3 1f
1:      smsw ax
        int SHOW_REGISTERS
case "LMSW in ring 3"
        ring3 1f
1:      lmsw ax
case "MOV CR0 in ring 3"
        ring3 1f
1:      mov eax, cr0
case "CLTS in ring 3"
        ring3 1f
1:      clts
case "HLT in ring 3"
        ring3 1f
1:      hlt
case "INVLPG in ring 3"
        ring3 1f
1:      invlpg [area]
case "WBINVD in ring 3"
        ring3 1f
1:      wbinvd
case "LGDT in ring 3"
        ring3 1f
1:      lgdt [area]
case "LLDT in ring 3"
        ring3 1f
1:      lldt ax
case "LTR in ring 3"
        ring3 1f
1:      ltr ax
case "RDMSR in ring 3"
        ring3 1f
1:      mov ecx, 0x174
        rdmsr
case "an MSR that does not exist"
        mov ecx, 0x12345
        rdmsr
case "writing it"
        mov ecx, 0x12345
        wrmsr
case "RDTSC with TSD in ring 3"
        mov eax, 4
        mov cr4, eax
        ring3 1f
1:      rdtsc
case "RDTSC with TSD in ring 0"
        rdtsc
        print "read"
        xor eax, eax
        mov cr4, eax
case "LLDT of a TSS"
        mov eax, TSS_MAIN
        lldt ax
case "LLDT of an LDT's descriptor in the LDT"
        mov eax, 4
        lldt ax
case "LLDT of null"
        mov eax, 3
        lldt ax
        sldt eax
        show eax
case "LTR of a busy TSS"
        mov eax, TSS_MAIN
        ltr ax
case "LTR of an LDT"
        mov eax, LDT_MAIN
        ltr ax
case "LTR of null"
        xor eax, eax
        ltr ax
case "LTR of what is not present"
        mov byte ptr [gdt + TSS_MAIN + 5], 0x09
        mov eax, TSS_MAIN
        ltr ax
case "LTR makes it busy"
        mov byte ptr [gdt + TSS_MAIN + 5], 0x89
        mov eax, TSS_MAIN
        ltr ax
        movzx eax, byte ptr [gdt + TSS_MAIN + 5]
        show eax
case "LGDT of 16 bits loads 24 of the base"
        sgdt [area]
        mov dword ptr [area + 16], 0xFFFFFFFF
        sgdt [area + 12]
        show [area + 12]
        show [area + 16]
case "LGDT and SGDT with a register are undefined"
        .byte 0x0F, 0x01, 0xD0
case "SGDT"
        .byte 0x0F, 0x01, 0xC0
case "INVLPG with a register is undefined"
        .byte 0x0F, 0x01, 0xF8
done
.align 8
area:   .space 64
