"""A userland of one program for Linux: a cpio archive (newc) with /init, assembled here.

The program says hello and what uname says, has a child that ends with 7 and waits for it, asks for a
line at a prompt, echoes it, and reports success at the debug-exit port. System calls by INT 80h only.
"""

from __future__ import annotations

from isa.asm import assemble

PROMPT = "init> "
INIT = """
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
"""

DIRECTORY, FILE, DEVICE = 0o040755, 0o100755, 0o020600


def entry(name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0), inode: int = 0) -> bytes:
    """One member of a newc archive."""
    path = name.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
    head = b"070701" + b"".join(f"{field:08X}".encode() for field in fields) + path
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def archive() -> bytes:
    """The whole userland."""
    init = assemble(INIT, name="init.asm").elf32()
    members = (
        entry("dev", DIRECTORY, inode=1),
        entry("dev/console", DEVICE, device=(5, 1), inode=2),
        entry("init", FILE, init, inode=3),
        entry("TRAILER!!!", 0),
    )
    return b"".join(members)
