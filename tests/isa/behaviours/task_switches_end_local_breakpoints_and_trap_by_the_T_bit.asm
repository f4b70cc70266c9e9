; A task whose TSS has the T bit begins with a #DB that says BT; a task switch clears L0 to L3. SDM 3B 17.2.4, 17.3.1.5.
.include "frame.inc"
        gdt_more
        descriptor tss_b, 0x67, 0x89            ; 38
gdt_end:
.align 16
tss_b:  .long 0, 0, 0, 0, 0, 0, 0
        .long 0, task_b, 2, 1, 2, 3, 4, stack_b, 5, 6, 7
        .long 0x10, 0x08, 0x10, 0x10, 0x10, 0x10, 0, 0x680001
        .space 512
stack_b: .long 0

main:
case "a task with the T bit"
        xor eax, eax
        mov dr6, eax
        mov dword ptr [returns], 2
        call far 0x38:0
        mov eax, dr6
        show eax
case "without"
        xor eax, eax
        mov dr6, eax
        mov byte ptr [tss_b + 0x64], 0
        mov dword ptr [tss_b + 0x20], task_b
        mov dword ptr [returns], 2
        call far 0x38:0
        mov eax, dr6
        show eax
case "local breakpoints end, global ones stay"
        mov eax, target1
        mov dr0, eax
        mov eax, target2
        mov dr1, eax
        xor eax, eax
        mov dr6, eax
        mov dword ptr [tss_b + 0x20], task_b
        mov dword ptr [returns], 2
        mov eax, 0x009A0709
        mov dr7, eax
        call far 0x38:0
        mov eax, dr7
        show eax
        xor ebx, ebx
        mov dr7, ebx
case "under TF the switch itself is not stepped"
        mov dword ptr [tss_b + 0x20], task_b
        mov dword ptr [returns], 2
        xor eax, eax
        mov dr6, eax
        push 0x102
        popfd
        call far 0x38:0
        nop
        push 2
        popfd
done
task_b: mov [target1], al
        nop
        mov [target2], al
        nop
        iretd
        jmp task_b
target1: .long 0
target2: .long 0
