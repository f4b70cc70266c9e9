; Below IOPL a port needs a clear bit for each of its bytes in the map of the TSS, whose limit ends it; in virtual-8086
; mode always. SDM 1 18.5.2.
.include "frame.inc"
        gdt_more
        descriptor tss_io, 0x88, 0x89           ; 38 a map of 33 bytes: ports 0 to 107
        descriptor tss_io, 0x67, 0x89           ; 40 none
        descriptor tss_io, 0x2B, 0x81           ; 48 16 bits
gdt_end:
.align 16
tss_io: .long 0, stack_inner, DATA0
        .space 88
        .long 0
        .word 0, 0x68
        .space 0x21, 0                          ; to port 107h
        .space 64

.macro with selector
        and byte ptr [gdt + \selector + 5], 0xFD
        mov eax, \selector
        ltr ax
.endm
main:   mov byte ptr [tss_io + 0x68 + 0x10], 0x08       ; port 83h
case "an open port"
        with 0x38
        user 0
        out 0x80, al
        int SHOW_REGISTERS
case "a closed port"
        user 0
        out 0x83, al
case "a word that reaches it"
        user 0
        out 0x82, ax
case "a doubleword that does"
        user 0
        out 0x80, eax
case "a word before it"
        user 0
        out 0x81, ax
        int SHOW_REGISTERS
case "the last byte of the map needs one behind it"
        user 0
        mov edx, 0xFF
        in al, dx
        int SHOW_REGISTERS
case "a port of the last byte"
        user 0
        mov edx, 0x100
        in al, dx
case "beyond the map"
        user 0
        mov edx, 0x108
        in al, dx
case "IOPL 3 asks no map"
        user 0x3000
        out 0x83, al
        int SHOW_REGISTERS
case "the map begins beyond the limit"
        mov word ptr [tss_io + 0x66], 0xFFFF
        user 0
        out 0x80, al
case "the map lies within the TSS"
        mov word ptr [tss_io + 0x66], 0x58
        mov dword ptr [tss_io + 0x68], 0xFFFFFFFF
        user 0
        out 0x80, al
case "no map in a TSS of the least size"
        mov word ptr [tss_io + 0x66], 0x68
        with 0x40
        user 0
        out 0x80, al
case "no map in a TSS of 16 bits"
        with 0x48
        mov dword ptr [tss_io + 2], DATA0 << 16         ; SP0, SS0
        mov word ptr [tss_io + 2], 0x7F00
        user 0x3000
        out 0x83, al
        int SHOW_REGISTERS
case "a string of ports"
        with 0x38
        mov dword ptr [tss_io + 4], stack_inner
        mov dword ptr [tss_io + 8], DATA0
        mov dword ptr [tss_io + 0x68], 0
        mov byte ptr [tss_io + 0x68 + 0x10], 0x08
        user 0
        mov edx, 0x83
        mov ecx, 2
        mov esi, tss_io
        rep outsb
case "a string of none"
        user 0
        mov edx, 0x83
        rep outsb
        int SHOW_REGISTERS
case "CLI and STI below IOPL"
        user 0
        cli
case "STI"
        user 0x2000
        sti
case "CLI with IOPL 3"
        user 0x3000
        cli
        sti
        int SHOW_REGISTERS
case "POPF with IOPL 3 changes IF, not IOPL"
        user 0x3000
        push 0x202
        popfd
        int SHOW_REGISTERS
done
