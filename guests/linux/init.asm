; init: a userland of one program for Linux, in assembly: `vmsim run vmlinuz --initrd guests/linux/init.asm`.
;
; The first process says hello and what uname says, has a child that ends with 7 and waits for it, asks for
; a line at the prompt `init> `, repeats it, and reports success at port F4h, which IOPL 3 lets it reach.
; System calls by INT 80h only, so that any processor since the 386 runs it.

org 0x08048000
SYS_EXIT equ 1
SYS_FORK equ 2
SYS_READ equ 3
SYS_WRITE equ 4
SYS_WAITPID equ 7
SYS_IOPL equ 110
SYS_UNAME equ 122
NAME_SIZE equ 65

global _start
_start:
    mov ecx, hello
    call say
    mov eax, SYS_UNAME
    mov ebx, names
    int 0x80
    mov ecx, names
    call say
    mov ecx, newline
    call say
    mov ecx, names + 2 * NAME_SIZE
    call say
    mov ecx, newline
    call say
    mov eax, SYS_FORK
    int 0x80
    test eax, eax
    jz child
    mov ebx, eax
    mov eax, SYS_WAITPID
    mov ecx, status
    xor edx, edx
    int 0x80
    cmp dword [status], 7 << 8
    jne failed
    mov ecx, waited
    call say
    mov ecx, prompt
    call say
    mov eax, SYS_READ
    xor ebx, ebx
    mov ecx, line
    mov edx, 80
    int 0x80
    mov ecx, echo
    call say
    mov ecx, line
    call say
    mov al, 0
    jmp verdict
failed:
    mov al, 1
verdict:
    push eax
    mov eax, SYS_IOPL
    mov ebx, 3
    int 0x80
    pop eax
    out 0xf4, al
.end:
    jmp .end
child:
    mov ecx, in_child
    call say
    mov eax, SYS_EXIT
    mov ebx, 7
    int 0x80

say:                            ; the string at ECX
    mov edx, ecx
.length:
    cmp byte [edx], 0
    je .write
    inc edx
    jmp .length
.write:
    sub edx, ecx
    mov eax, SYS_WRITE
    mov ebx, 1
    int 0x80
    ret

hello:      db "init: ring 3 speaking", 10, 0
in_child:   db "child: here", 10, 0
waited:     db "init: my child ended with 7", 10, 0
prompt:     db "init> ", 0
echo:       db "init: you said ", 0
newline:    db 10, 0
align 4
status:     dd 0
line:       times 96 db 0
names:      times 6 * NAME_SIZE db 0
