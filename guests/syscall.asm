; syscall: a program in ring 3, and the door through which it asks the kernel for things.
;
; The kernel sets up traps and one task state segment, then enters ring 3 by returning from a trap that
; never happened. The program writes, adds, tries to read kernel memory through the kernel, executes CLI,
; which ring 3 may not, and exits.
;
;      ring 3                                  ring 0
;      mov eax, number
;      int 80h  ------- gate, DPL 3 ------->   stack from the TSS; SS ESP EFLAGS CS EIP pushed
;                                              trap: look at the frame, do the work, set its EAX
;      next instruction  <----- iret -------
;
; expect:
;   | kernel: entering ring 3
;   | user: hello from ring 3
;   | user: 40 + 2 = 42
;   | user: the kernel does not read its own memory for me
;   | kernel: CLI is not for ring 3: #GP, error code 0
;   | user: I was told that CLI failed
;   | kernel: the program ended with status 7 after 7 system calls
;
; modes: native full rewrite para
; naive: nothing

.include "lib/boot.inc"
.include "lib/trap.inc"
.include "lib/user.inc"
.ifdef PARA
.equ POOL_PAGES, 0
.include "lib/paging.inc"
.endif

.equ OPCODE_CLI, 0xfa
.equ EXPECTED_STATUS, 7
.equ EXPECTED_CALLS, 7
.equ REFUSED, -1

main:
    call traps_init
.ifdef PARA
    ; Paging is on already, and no page is open to ring 3. (Bare, paging stays off, and rings keep ring 3
    ; from privileged instructions but not from the kernel's memory: see pagefault and kernel.)
    call paging_init
    mov eax, user_begin
    mov ecx, user_end
    mov edx, PTE_P | PTE_W | PTE_U
    call map_range
.endif
    print entering_text
    mov edi, boot_stack_top         ; nothing there is needed any more,
    lea esp, [edi - FRAME_SIZE]     ; and the frame must not meet our own return addresses
    mov eax, user_main
    mov edx, user_stack_top
    mov ecx, EFLAGS_ONE             ; interrupts stay off: nobody has set up the controller
    call user_frame
    jmp trap_return

; trap: see lib/trap.inc. EBP = the frame.
trap:
    mov eax, [ebp + FRAME_VECTOR]
    cmp eax, VECTOR_SYSCALL
    je system_call_trap
    cmp eax, VECTOR_GP
    jne trap_unexpected
    mov eax, [ebp + FRAME_CS]
    and eax, 3
    cmp eax, 3
    jne trap_unexpected             ; the kernel itself must not fault

; A general protection fault in ring 3. If it was CLI, say so and go on after it; the program finds the
; vector in EAX.
protection_trap:
    mov ebx, [ebp + FRAME_EIP]
    cmp byte ptr [ebx], OPCODE_CLI
    jne trap_unexpected
    print protection_text
    mov eax, [ebp + FRAME_ERROR]
    call put_decimal
    print newline_text
    inc dword ptr [ebp + FRAME_EIP]
    mov dword ptr [ebp + FRAME_EAX], VECTOR_GP
    ret

system_call_trap:
    inc dword ptr [calls]
    mov eax, [ebp + FRAME_EAX]
    mov ebx, [ebp + FRAME_EBX]
    mov ecx, [ebp + FRAME_ECX]
    cmp eax, SYS_EXIT
    je sys_exit
    cmp eax, SYS_WRITE
    je sys_write
    cmp eax, SYS_ADD
    je sys_add
    mov dword ptr [ebp + FRAME_EAX], REFUSED
    ret

sys_add:
    add ebx, ecx
    mov [ebp + FRAME_EAX], ebx
    ret

; The kernel can read everything, so it must ask whether the caller may: EBX and all ECX bytes after it
; have to lie in the program. Subtracting first keeps EBX + ECX from wrapping around.
sys_write:
    mov dword ptr [ebp + FRAME_EAX], REFUSED
    cmp ebx, user_begin
    jb .refused
    mov edx, user_end
    sub edx, ebx
    jb .refused
    cmp ecx, edx
    ja .refused
    mov esi, ebx
    call put_bytes
    mov [ebp + FRAME_EAX], ecx
.refused:
    ret

sys_exit:
    print exit_text
    mov eax, ebx
    call put_decimal
    print calls_text
    mov eax, [calls]
    call put_decimal
    print calls_end_text
    xor ebx, EXPECTED_STATUS
    xor eax, EXPECTED_CALLS
    or eax, ebx                     ; 0 if both are as expected
    jmp finish

    variable calls, 4
entering_text:      .asciz "kernel: entering ring 3\n"
protection_text:    .asciz "kernel: CLI is not for ring 3: #GP, error code "
exit_text:          .asciz "kernel: the program ended with status "
calls_text:         .asciz " after "
calls_end_text:     .asciz " system calls\n"

; ---- The program. Everything from here to user_end is its own.
.align PAGE_SIZE
user_begin:
user_main:
    mov ebx, user_hello
    mov ecx, user_hello_end - user_hello
    system_call SYS_WRITE

    mov ebx, 40
    mov ecx, 2
    system_call SYS_ADD
    mov edx, 10                     ; two digits: tens in AL, ones in AH
    div dl
    add eax, '0' | '0' << 8
    mov [user_digits], ax
    mov ebx, user_sum
    mov ecx, user_sum_end - user_sum
    system_call SYS_WRITE

    mov ebx, image_start            ; the kernel's, not mine
    mov ecx, 4
    system_call SYS_WRITE
    mov esi, 1                      ; my status if it was written all the same
    cmp eax, REFUSED
    jne .exit
    mov ebx, user_refused
    mov ecx, user_refused_end - user_refused
    system_call SYS_WRITE

    xor eax, eax
    cli                             ; #GP: CPL 3 > IOPL 0, SDM 3A 6.8.1
    mov esi, 2                      ; my status if nobody minded
    cmp eax, VECTOR_GP
    jne .exit
    mov ebx, user_told
    mov ecx, user_told_end - user_told
    system_call SYS_WRITE
    mov esi, EXPECTED_STATUS
.exit:
    mov ebx, esi
    system_call SYS_EXIT

.align PAGE_SIZE
user_hello:         .ascii "user: hello from ring 3\n"
user_hello_end:
user_sum:           .ascii "user: 40 + 2 = "
user_digits:        .ascii "..\n"
user_sum_end:
user_refused:       .ascii "user: the kernel does not read its own memory for me\n"
user_refused_end:
user_told:          .ascii "user: I was told that CLI failed\n"
user_told_end:
.align 16
    .space 512
user_stack_top:
.align PAGE_SIZE
user_end:
