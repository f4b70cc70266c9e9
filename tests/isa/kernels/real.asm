; From protected to real mode and back: segments, INT through the vector table, IRET, far transfers.
.include "frame.inc"
.align 8
gdt:    .long 0, 0
        .long 0x0000FFFF, 0x00CF9A00            ; 08
        .long 0x0000FFFF, 0x00CF9200            ; 10
        .long 0x0000FFFF, 0x00009A02            ; 18 16-bit code at 0x20000
        .long 0x0000FFFF, 0x00009202            ; 20 16-bit data
gdt_end:
real_idt: .word 0x3FF
        .long 0
        .space 512
stack:

start:  mov esp, stack
        call set_up
        mov esi, code
        mov edi, 0x20000
        mov ecx, code_end - code
        rep movsb
        mov dword ptr [0x80], 0x20000000 + handler - code       ; vector 20h
        lidt [real_idt]
        mov eax, 0x20
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov esp, 0x8000
        jmp far 0x18:0

code:   .byte 0x0F, 0x20, 0xC0                  ; mov eax, cr0
        .byte 0x66, 0x83, 0xE0, 0xFE            ; and eax, ~1
        .byte 0x0F, 0x22, 0xC0                  ; mov cr0, eax
        .byte 0xEA                              ; jmp 2000:here
        .word here - code, 0x2000
here:   .byte 0x8C, 0xC8                        ; mov ax, cs
        .byte 0x8E, 0xD8                        ; mov ds, ax
        .byte 0x8E, 0xD0                        ; mov ss, ax
        .byte 0xE6, 0xE9                        ; out 0xE9, al
        .byte 0x88, 0xE0                        ; mov al, ah
        .byte 0xE6, 0xE9
        .byte 0xA0                              ; mov al, [text]
        .word text - code
        .byte 0xE6, 0xE9
        .byte 0xF9                              ; stc
        .byte 0xCD, 0x20                        ; int 20h
        .byte 0xB0, 0x30                        ; mov al, '0'
        .byte 0x14, 0x00                        ; adc al, 0
        .byte 0xE6, 0xE9
        .byte 0x9A                              ; call 2000:far
        .word far_here - code, 0x2000
        .byte 0x0F, 0x20, 0xC0                  ; mov eax, cr0
        .byte 0x0C, 0x01                        ; or al, 1
        .byte 0x0F, 0x22, 0xC0                  ; mov cr0, eax
        .byte 0x66, 0xEA                        ; jmp dword 08:protected
        .long protected
        .word 0x08
handler: .byte 0x89, 0xE5                       ; mov bp, sp
        .byte 0x8A, 0x46, 0x02                  ; mov al, [bp + 2]: the low byte of CS
        .byte 0xE6, 0xE9
        .byte 0x8A, 0x46, 0x03
        .byte 0xE6, 0xE9
        .byte 0x80, 0x66, 0x04, 0xFE            ; and byte [bp + 4], ~1: CF of the image
        .byte 0xCF                              ; iret
far_here: .byte 0xB0, 0x46                      ; mov al, 'F'
        .byte 0xE6, 0xE9
        .byte 0xCB                              ; retf
text:   .byte 0x52
code_end:

protected: mov eax, 0x10
        mov ds, ax
        mov ss, ax
        mov esp, stack
        lidt [idt_pointer]
        say 0x12345678
        ud2
trap:   pop eax
        say eax
        verdict 0
