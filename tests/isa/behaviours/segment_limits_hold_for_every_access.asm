; The last byte of an access must lie within the limit: upwards to it, in expand-down segments above it, up to 64 KB or 4 GB.
; SDM 3A 5.3. SS raises #SS(0), all others #GP(0).
.include "frame.inc"
        gdt_more
        descriptor area, 0xF, 0x92, 0x4         ; 38 16 bytes
        descriptor area - 0x1000, 0xFFF, 0x96, 0x4      ; 40 expand-down, 32 bits
        descriptor area - 0xFFF0, 0xFFEF, 0x96, 0x0     ; 48 expand-down, 64 KB: FFF0 to FFFF
        descriptor area, 0, 0x92, 0xC           ; 50 4 KB by pages
        descriptor area, 0x7, 0x9A, 0x4         ; 58 code of 8 bytes
        descriptor area, 0xF, 0x9A, 0x4         ; 60 readable code
        descriptor area, 0xFFFFF, 0x96, 0xC     ; 68 expand-down of nothing
        descriptor 0, 0xFFFFF, 0x92, 0xC        ; 70 everything
        descriptor area, 0xF, 0xF2, 0x4         ; 78 16 bytes for ring 3
gdt_end:

.macro on_stack at                              ; in ring 3, on a stack of 16 bytes
        ring3 6f
6:      mov eax, 0x7B
        mov ss, ax
        mov esp, \at
.endm

.macro use selector
        mov eax, \selector
        mov fs, ax
.endm

main:
case "the last byte"
        use 0x38
        mov al, fs:[15]
        print "ok "
case "a byte behind"
        use 0x38
        mov al, fs:[16]
        print "ok "
case "a doubleword across the limit"
        use 0x38
        mov eax, fs:[13]
        print "ok "
case "the last doubleword"
        use 0x38
        mov fs:[12], ebx
        print "ok "
case "a store across the limit"
        use 0x38
        mov fs:[14], ebx
        print "ok "
case "read-modify-write behind the limit"
        use 0x38
        inc dword ptr fs:[16]
        print "ok "
case "an offset that wraps"
        use 0x38
        mov eax, fs:[-2]
        print "ok "
case "expand-down: at the limit"
        use 0x40
        mov al, fs:[0xFFF]
        print "ok "
case "expand-down: above the limit"
        use 0x40
        mov al, fs:[0x1000]
        print "ok "
case "expand-down: across the limit"
        use 0x40
        mov eax, fs:[0xFFE]
        print "ok "
case "expand-down of 64 KB: the last byte"
        use 0x48
        mov al, fs:[0xFFFF]
        print "ok "
case "expand-down of 64 KB: behind it"
        use 0x48
        mov al, fs:[0x10000]
        print "ok "
case "expand-down of 64 KB: a word across its end"
        use 0x48
        mov ax, fs:[0xFFFF]
        print "ok "
case "expand-down of nothing"
        use 0x68
        mov al, fs:[0xFFFFFFFF]
        print "ok "
case "by pages: FFF"
        use 0x50
        mov al, fs:[0xFFF]
        print "ok "
case "by pages: 1000"
        use 0x50
        mov al, fs:[0x1000]
        print "ok "
case "a string runs into it"
        mov eax, 0x38
        mov es, ax
        mov edi, 8
        mov ecx, 5
        mov eax, 0x55
        rep stosd
case "how far it came"
        show ecx
        mov eax, [area + 12]
        show eax
case "LGDT of 6 bytes across the limit"
        use 0x38
        sgdt fs:[11]
        print "ok "
case "far pointer across the limit"
        use 0x38
        les eax, fs:[11]
        print "ok "
case "the stack: a pop beyond"
        on_stack 14
        pop eax
case "the stack: a push below 0"
        on_stack 2
        push eax
case "the stack: a push at the end"
        on_stack 16
        push eax
        int SHOW_REGISTERS
case "the stack: a pop of the last doubleword"
        on_stack 12
        pop eax
        int SHOW_REGISTERS
case "EBP addresses the stack segment"
        on_stack 16
        mov ebp, 0x100
        mov eax, [ebp]
case "ESP does, too"
        on_stack 16
        mov eax, [esp]
case "a call whose return address does not fit"
        on_stack 2
        call 1f
1:      int SHOW_REGISTERS
case "a jump beyond the limit of CS"
        jmp far 0x58:8
case "code that runs over its limit"
        mov dword ptr [area], 0x90909090
        mov dword ptr [area + 4], 0x90909090
        jmp far 0x58:4
case "an instruction across the limit"
        mov dword ptr [area + 4], 0xB8909090
        jmp far 0x58:4
case "a near jump beyond the limit"
        mov dword ptr [area + 4], 0x00007FEB
        jmp far 0x58:4
case "data read through CS, readable code"
        use 0x60
        mov al, fs:[15]
        print "ok "
case "behind it"
        use 0x60
        mov al, fs:[16]
        print "ok "
done
.align 16
area:   .space 0x1000 + 16
