; SYSENTER and SYSEXIT, where CPUID announces them: ring 3 and back, flags, a null IA32_SYSENTER_CS.
.include "frame.inc"
.align 8
gdt:    .long 0, 0
        .long 0x0000FFFF, 0x00CF9A00            ; 08
        .long 0x0000FFFF, 0x00CF9200            ; 10
        .long 0x0000FFFF, 0x00CFFA00            ; 18
        .long 0x0000FFFF, 0x00CFF200            ; 20
        .word 103, tss & 0xFFFF, 0x8910, tss >> 24 << 8 ; 28
gdt_end:
.align 16
tss:    .long 0, stack0, 0x10
        .space 92
        .long 0x680000
        .space 512
stack3: .space 512
stack0: .space 512
stack:

start:  mov esp, stack
        call set_up
        mov eax, 0x28
        ltr ax
        xor edx, edx
        mov ecx, 0x174
        mov eax, 0x08
        wrmsr
        mov ecx, 0x175
        mov eax, stack0
        wrmsr
        mov ecx, 0x176
        mov eax, entry
        wrmsr
        rdmsr
        say eax
        mov eax, 0x23
        mov ds, ax
        mov es, ax
        mov ecx, stack3
        mov edx, user
        sti
        sysexit
user:   mov ax, cs
        movzx ebx, ax
        mov ax, ss
        movzx ebp, ax
        pushfd
        pop esi
        stc
        mov edi, esp
        sysenter
entry:  mov ax, cs
        say eax
        mov ax, ss
        say eax
        say ebx
        say ebp
        say esi
        say edi
        say esp
        pushfd
        pop eax
        and eax, 0x200
        say eax
        mov ecx, 0x174
        xor eax, eax
        wrmsr
        sysenter                                ; #GP(0)
trap:   pop eax
        say eax
        pop eax
        say eax
        verdict 0
