; A null selector goes into DS, ES, FS and GS and faults when it is used; into SS and CS it never goes.
; SDM 3A 3.4.2; 2B MOV, POP, RET.
.include "frame.inc"
        gdt_more
gdt_end:

main:
case "load DS with 0"
        xor eax, eax
        mov ds, ax
        mov eax, ds
        .byte 0x36                              ; ss:
        mov [scratch], eax
        mov eax, DATA0
        mov ds, ax
        show [scratch]

case "load FS with 3 and read"
        mov eax, 3
        mov fs, ax
        mov eax, fs
        show eax
        mov eax, fs:[scratch]

case "load ES with 2 and store a string"
        mov eax, 2
        mov es, ax
        mov edi, scratch
        stosb

case "load SS with 0"
        xor eax, eax
        mov ss, ax
        print "loaded"

case "pop SS, 0"
        push 0
        pop ss
        print "loaded"

case "jump far to 0"
        jmp far 0:0

case "return far to 3"
        push 3
        push 0x12345
        retf

case "IRET to 0"
        push 2
        push 0
        push 0x12345
        iretd
done
scratch: .long 0
