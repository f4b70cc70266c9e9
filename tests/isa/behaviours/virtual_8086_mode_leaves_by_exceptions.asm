; In virtual-8086 mode segments are 16 times selectors, CPL is 3, IOPL rules CLI STI PUSHF POPF INT IRET, ports ask the map
; of the TSS always; exceptions go to ring 0 with all segments on its stack. SDM 3B 20.1 to 20.3.
.include "frame.inc"
        gdt_more
        descriptor 0, 0xFFFFF, 0x9E, 0xC        ; 38 conforming
        descriptor 0, 0xFFFFF, 0xBA, 0xC        ; 40 code of ring 1
gdt_end:

.macro v86 flags, at                            ; bytes at a label, moved to 2000:0000, run there
        mov esi, \at
        mov edi, 0x20000
        mov ecx, 8
        rep movsd
        push 0x5555
        push 0x4444
        push 0x3000
        push 0x6666
        push 0x2100
        push 0x00F0
        push 0x20002 + \flags
        push 0x2000
        push 0
        iretd
.endm

main:
case "CLI, IOPL 0"
        v86 0, cli_here
case "STI"
        v86 0, sti_here
case "PUSHF"
        v86 0, pushf_here
case "POPF"
        v86 0, popf_here
case "INT 21h"
        v86 0, int_here
case "IRET"
        v86 0, iret_here
case "INT3 asks no IOPL"
        v86 0, int3_here
case "HLT"
        v86 0x3000, hlt_here
case "CLI and PUSHF, IOPL 3: the image on the stack"
        v86 0x3200, cli_pushf
case "what PUSHF pushed"
        movzx eax, word ptr [0x210EE]
        show eax
case "POPF, IOPL 3, changes IF and not IOPL or VM"
        v86 0x3000, popf_if
case "INT 21h, IOPL 3"
        v86 0x3000, int_here
case "a port with IOPL 3 and no map"
        v86 0x3000, port
case "segments are selectors times 16"
        mov dword ptr [0x30010], 0xCAFE
        v86 0x3000, loads
case "beyond 64 KB"
        v86 0x3000, beyond
case "SS beyond 64 KB is #SS"
        v86 0x3000, beyond_stack
case "a privileged instruction"
        v86 0x3000, privileged
case "LLDT is undefined"
        v86 0x3000, lldt_here
case "ARPL, too"
        v86 0x3000, arpl_here
case "MOV to CR0"
        v86 0x3000, cr0_here
case "a far jump loads CS like any segment"
        v86 0x3000, far_jump
case "an interrupt through a conforming handler"
        mov word ptr [idt + 0x21 * 8 + 2], 0x38
        v86 0x3000, int_here
case "an interrupt to ring 1"
        mov word ptr [idt + 0x21 * 8 + 2], 0x40
        v86 0x3000, int_here
case "IRET to a target above 64 KB"
        push 0
        push 0
        push 0
        push 0
        push 0
        push 0
        push 0x20002
        push 0x2000
        push 0x10000
        iretd
done
cli_here: cli
sti_here: sti
pushf_here: pushf
popf_here: popf
int_here: .byte 0xCD, 0x21
iret_here: .byte 0xCF
int3_here: int3
hlt_here: hlt
        .space 32
cli_pushf: .byte 0xFA, 0x9C, 0xF4               ; cli; pushf; hlt
        .space 32
popf_if: .byte 0x6A, 0x00, 0x9D, 0x68, 0x00, 0x42, 0x9D, 0xF4   ; push 0; popf; push 4200h; popf; hlt
        .space 32
port:   .byte 0xE6, 0x80
        .space 32
loads:  .byte 0x8C, 0xD8, 0x8B, 0x1E, 0x10, 0x00, 0xB8, 0x34, 0x12, 0x8E, 0xC0, 0x8C, 0xC1, 0xF4
        .space 32                               ; mov ax, ds; mov bx, [10h]; mov ax, 1234h; mov es, ax; mov cx, es; hlt
beyond: .byte 0x67, 0xA1, 0x00, 0x00, 0x01, 0x00, 0xF4  ; a32 mov ax, [10000h]; hlt
        .space 32
beyond_stack: .byte 0x67, 0x36, 0xA1, 0xFF, 0xFF, 0x00, 0x00, 0xF4
        .space 32
privileged: .byte 0x0F, 0x06
        .space 32
lldt_here: .byte 0x0F, 0x00, 0xD0
        .space 32
arpl_here: .byte 0x63, 0xC0
        .space 32
cr0_here: .byte 0x0F, 0x22, 0xC0
        .space 32
far_jump: .byte 0xEA, 0x06, 0x00, 0x00, 0x20, 0x90, 0xF4
        .space 32
