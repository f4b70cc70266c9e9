; With TF a debug trap follows each instruction that began with it: not INT, whose handler is not stepped; after MOV SS one
; instruction later; in strings after each iteration. SDM 3B 17.3.1.4, 3A 6.8.3; 2A INT.
.include "frame.inc"
        gdt_more
gdt_end:

main:
case "three instructions and POPF"
        step
        nop
        inc eax
        nop
        unstep
        nop
        nop
case "a taken jump"
        step
        jmp 1f
        nop
1:      unstep
case "a string"
        mov ecx, 3
        mov edi, area
        step
        rep stosb
        unstep
        show ecx
case "POP SS and MOV SS hold the trap for one instruction"
        mov ebx, DATA0
        push DATA0
        step
        pop ss
        nop
        nop
        mov ss, bx
        nop
        unstep
case "MOV SS twice"
        mov ebx, DATA0
        step
        mov ss, bx
        mov ss, bx
        nop
        nop
        unstep
case "STI and CLI do not"
        step
        sti
        nop
        cli
        unstep
case "LSS does not"
        step
        lss esp, [far_stack]
        nop
        unstep
case "INT is not stepped, its handler neither"
        mov eax, 0
        mov word ptr [idt + 0x21 * 8], bare & 0xFFFF
        mov word ptr [idt + 0x21 * 8 + 6], bare >> 16
        step
        int 0x21
        nop
        unstep
case "INTO that is not taken is"
        step
        .byte 0xCE
        nop
        unstep
case "INTO that is taken is not"
        mov word ptr [idt + 4 * 8], bare & 0xFFFF
        mov word ptr [idt + 4 * 8 + 6], bare >> 16
        mov dword ptr [returns], 2
        push 0x902
        popfd
        .byte 0xCE
        nop
        unstep
case "INT3 is not"
        mov word ptr [idt + 3 * 8], bare & 0xFFFF
        mov word ptr [idt + 3 * 8 + 6], bare >> 16
        step
        int3
        nop
        unstep
case "IRET that sets TF: the next instruction is stepped"
        mov dword ptr [returns], 2
        push 0x102
        push CODE0
        push 1f
        iretd
1:      nop
        nop
        unstep
case "IRET under TF is stepped"
        step
        push 0x102
        push CODE0
        push 1f
        iretd
1:      nop
        unstep
case "a call into ring 0 is stepped"
        mov dword ptr [returns], 2
        step
        push CODE0
        push 1f
        retf
1:      nop
        unstep
case "PUSHF shows TF"
        step
        pushfd
        unstep
        pop eax
        and eax, 0x100
        show eax
case "an instruction that faults is not"
        step
        mov dword ptr [returns], 2
        ud2
case "DR6.BS stays until it is cleared"
        mov dword ptr [returns], 2
        xor eax, eax
        mov dr6, eax
        push 0x102
        popfd
        nop
        unstep
        mov eax, dr6
        show eax
case "MOV SS, then INT: the trap is lost"
        mov ebx, DATA0
        step
        mov ss, bx
        int 0x21
        nop
        unstep
done
bare:   iretd
far_stack: .long stack0
        .word DATA0
area:   .long 0
