; boot: what a PC's firmware starts: one sector of a disk, in real mode, as in 1981.
;
; The firmware reads the first sector of the disk to 0000:7C00, looks for 55 AA at its end, and jumps there.
; There is no protection, there are no pages: an address is a segment times sixteen plus an offset, and the
; firmware's services are software interrupts. The sector prints through INT 10h, asks INT 12h how much memory
; there is, reads itself again through INT 13h, and pays a visit to protected mode, from which it comes back.
;
;      0000:7C00   07C0:0000   0700:0C00        three names of the same byte
;
;      real mode --- GDT, PE = 1 ---> protected mode: a segment of 4 GiB into FS --- PE = 0 ---> real mode,
;      and FS still reaches 4 GiB: what a segment register holds is loaded, not looked up
;
; Assembled, it is 512 bytes long, and a disk image. Only an 80386 knows 32-bit registers; it does so in
; real mode, too.
;
; expect:
;   | boot: hello from real mode
;   | boot: 07c0:0000 and 0000:7c00 are the same byte
;   | boot: 639 KB below the firmware
;   | boot: the disk gives this sector again
;   | boot: protected mode and back, and FS reaches beyond 1 MB
;
; modes: native full rewrite
; naive: nothing

.include "lib/x86.inc"

.equ SECTOR, 512
.equ TELETYPE, 0x0e                     ; INT 10h, AH: write AL and go on
.equ WHERE, 0x03                        ; the cursor, row in DH, column in DL
.equ GO_TO, 0x02
.equ READ_SECTORS, 0x02                 ; INT 13h, AH; AL says how many
.equ again, 0x8000                      ; where the sector is read to a second time
.equ FLAT, 8                            ; the only segment of the GDT
.equ FAR_AWAY, 0x00180000               ; 1.5 MB: no real-mode segment reaches it

.code16
.org 0x7c00
.global _start
_start:
    jmp 0:start                         ; some firmware comes by 07C0:0000
start:
    xor ax, ax
    mov ds, ax
    mov ss, ax
    mov sp, _start
    push dx                             ; DL: the disk we came from
    cld
    mov si, hello_text
    call puts

    mov ax, 0x07c0
    mov es, ax
    mov al, [_start]
    not byte ptr [es:0]
    not al
    cmp al, [_start]
    jne failed
    not byte ptr [es:0]
    mov si, same_text
    call puts

    int 0x12                            ; AX = KB of memory from 0
    call put_decimal
    mov si, memory_text
    call puts

    pop dx                              ; once more, by INT 13h: head 0 of that disk,
    mov dh, 0
    mov cx, 1                           ; cylinder 0, sector 1: they count from 1,
    mov bx, again                       ; to ES:BX
    push ds
    pop es
    mov ax, READ_SECTORS << 8 | 1
    int 0x13
    jc failed
    mov si, _start
    mov di, again
    mov cx, SECTOR / 2
    repe cmpsw
    jne failed
    mov si, again_text
    call puts

    cli                                 ; what would an interrupt find in protected mode?
    lgdt [gdt_register]
    mov eax, cr0
    or al, CR0_PE
    mov cr0, eax
    jmp $ + 2                           ; the next instruction is fetched in the new mode
    mov bx, FLAT
    mov fs, bx
    and al, ~CR0_PE & 0xff
    mov cr0, eax
    jmp $ + 2
    sti
    mov ebx, FAR_AWAY
    mov dword ptr [fs:ebx], 'boot'
    cmp dword ptr [fs:ebx], 'boot'
    jne failed
    mov si, back_text
    call puts
    mov al, 0
    jmp verdict
failed:
    mov al, 1
verdict:
    out VERDICT_PORT, al
    cli
    hlt
    jmp $

; puts: the text at SI, to the zero byte. A new line is a line feed, and the cursor taken to column 0.
puts:
    lodsb
    test al, al
    jz .done
    call put
    jmp puts
.done:
    ret

put:
    pusha
    mov bx, 7                           ; page 0, grey
    mov ah, TELETYPE
    int 0x10
    cmp al, '\n'
    jne .placed
    mov bh, 0
    mov ah, WHERE
    int 0x10
    mov dl, 0
    mov ah, GO_TO
    int 0x10
.placed:
    popa
    ret

; put_decimal: AX as three digits.
put_decimal:
    mov bl, 100
    div bl
    add al, '0'
    call put
    mov al, ah
    aam
    add ax, '0' | '0' << 8
    xchg al, ah
    call put
    mov al, ah
    jmp put

.align 8
gdt:
    .quad 0
    .word 0xffff, 0                     ; limit and base, the low halves
    .byte 0
    .byte SEG_PRESENT | SEG_DATA
    .byte SEG_4K_32 << 4 | 0x0f         ; limit 4 GiB
    .byte 0
gdt_register:
    .word 15
    .long gdt

hello_text:         .asciz "boot: hello from real mode\n"
same_text:          .asciz "boot: 07c0:0000 and 0000:7c00 are the same byte\nboot: "
memory_text:        .asciz " KB below the firmware\n"
again_text:         .asciz "boot: the disk gives this sector again\n"
back_text:          .asciz "boot: protected mode and back, and FS reaches beyond 1 MB\n"

    .space SECTOR - 2 - (. - _start)
    .byte 0x55, 0xaa                    ; to the firmware: this is meant to be started
