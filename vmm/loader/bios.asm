; bios: the services that a boot sector asks for, as code of the guest's own processor.
;
; A ROM of 64 KB at F000:0000. The loader has put the interrupt vectors and the two data areas into RAM
; (bootsector.py) and initialised the interrupt controllers and the timer; nothing here runs until the
; guest calls it or a device interrupts. Each handler talks to a device by its ports: the disk to the IDE
; controller, the screen to the display's memory and to COM1, the keyboard to the 8042 and to COM1.
;
;   int 08h timer        int 12h size of memory    int 16h keyboard
;   int 09h keyboard     int 13h disk              int 18h nothing to boot, 19h boot again
;   int 10h screen       int 14h COM1              int 1Ah clock
;   int 11h equipment    int 15h system            int 00h, 06h nobody took an exception
;
; Other vectors return; those of hardware are acknowledged. What is not here fails as real firmware does: carry set, AH = 86h (INT 13h: AH = 01h).

bits 16
org 0

; ---------------------------------------------------------------- what the loader has left in memory

BDA             equ 0x40
BDA_EQUIPMENT   equ 0x10
BDA_MEMORY      equ 0x13
BDA_SHIFT       equ 0x17
BDA_HEAD        equ 0x1a
BDA_TAIL        equ 0x1c
BDA_MODE        equ 0x49
BDA_CURSOR      equ 0x50
BDA_TICKS       equ 0x6c
BDA_MIDNIGHT    equ 0x70
BDA_STATUS      equ 0x74
BDA_FIRST       equ 0x80
BDA_LAST        equ 0x82

EBDA            equ 0x9fc0
EBDA_EXTENDED   equ 4           ; KB above 1 MB
EBDA_SECTORS    equ 8           ; of the disk
EBDA_HEADS      equ 12
EBDA_TRACK      equ 13
EBDA_CYLINDERS  equ 14
EBDA_DRIVE      equ 16
EBDA_COUNT      equ 30          ; entries of the memory map, which follow
EBDA_SPANS      equ 32
SPAN_SIZE       equ 20

; enter_service: all registers saved, BP at them, DS at the data area.
;
;   bp+0 edi  +4 esi  +8 ebp  +12 esp  +16 ebx  +20 edx  +24 ecx  +28 eax  +32 es  +34 ds
;   bp+36 ip  +38 cs  +40 flags
SAVED_DI        equ 0
SAVED_SI        equ 4
SAVED_BP        equ 8
SAVED_BX        equ 16
SAVED_DX        equ 20
SAVED_CX        equ 24
SAVED_AX        equ 28
SAVED_ES        equ 32
SAVED_DS        equ 34
FLAGS           equ 40

.macro enter_service
    push ds
    push es
    pushad
    mov bp, sp
    push BDA
    pop ds
    cld
.endm

leave_service:
    mov sp, bp
    popad
    pop es
    pop ds
nothing:
    iret

success:
    and byte [bp + FLAGS], 0xfe
    jmp leave_service
unknown:
    mov byte [bp + SAVED_AX + 1], 0x86
failure:
    or byte [bp + FLAGS], 1
    jmp leave_service

; ---------------------------------------------------------------- hardware interrupts

PIC_MASTER      equ 0x20
PIC_SLAVE       equ 0xa0
END_OF_INTERRUPT equ 0x20

irq_slave:
    push ax
    mov al, END_OF_INTERRUPT
    out PIC_SLAVE, al
    pop ax
irq_master:
    push ax
    mov al, END_OF_INTERRUPT
    out PIC_MASTER, al
    pop ax
    iret

; What the processor finds wrong and nobody has taken: to go on would be to find it again for ever.
int_00h:
    call unexpected
int_06h:
    call unexpected
unexpected:
    push cs
    pop ds
    cld
    mov si, unexpected_text
    call put_string
    pop ax                      ; behind the call: which one it was
    cmp ax, int_06h
    mov si, divide_text
    je .tell
    mov si, invalid_text
.tell:
    call put_string
    pop ax
    pop bx                      ; CS
    push ax
    mov ax, bx
    call put_word
    mov al, ":"
    call put_one
    pop ax
    call put_word
    mov si, newline_text
    call put_string
    mov al, 0xff
    out VERDICT, al
.stop:
    cli
    hlt
    jmp .stop

VERDICT equ 0xf4
unexpected_text: db 13, 10, "BIOS: nobody handles the exception ", 0
divide_text:    db "#DE at ", 0
invalid_text:   db "#UD at ", 0
newline_text:   db 13, 10, 0

; put_string: the zero-terminated string at DS:SI; put_word: AX in hexadecimal; put_one: AL.
put_string:
    lodsb
    test al, al
    jz .done
    call put_one
    jmp put_string
.done:
    ret
put_word:
    mov cx, 4
.digit:
    rol ax, 4
    push ax
    and al, 0x0f
    add al, "0"
    cmp al, "9"
    jbe .decimal
    add al, "a" - "0" - 10
.decimal:
    call put_one
    pop ax
    loop .digit
    ret
put_one:
    push ax
    push bx
    mov ah, 0x0e
    mov bx, 7
    int 0x10
    pop bx
    pop ax
    ret

; The timer: 1573040 ticks make a day.
DAY equ 0x1800b0

int_08h:
    push ds
    push eax
    push BDA
    pop ds
    mov eax, [BDA_TICKS]
    inc eax
    cmp eax, DAY
    jb .same_day
    xor eax, eax
    inc byte [BDA_MIDNIGHT]
.same_day:
    mov [BDA_TICKS], eax
    int 0x1c
    mov al, END_OF_INTERRUPT
    out PIC_MASTER, al
    pop eax
    pop ds
    iret

; The keyboard: a scan code becomes a key in the buffer.
KEYBOARD_DATA   equ 0x60
KEYBOARD_STATUS equ 0x64
SCAN_LEFT_SHIFT equ 0x2a
SCAN_RIGHT_SHIFT equ 0x36
RELEASED        equ 0x80
SHIFTS          equ 3

int_09h:
    enter_service
    in al, KEYBOARD_DATA
    mov bl, al
    and bl, ~RELEASED & 0xff
    mov cl, 2
    cmp bl, SCAN_LEFT_SHIFT
    je .shift
    mov cl, 1
    cmp bl, SCAN_RIGHT_SHIFT
    je .shift
    test al, RELEASED
    jnz .done
    xor bh, bh
    cmp bl, scan_table_end - scan_table
    jae .done
    mov ah, al
    test byte [BDA_SHIFT], SHIFTS
    mov si, scan_table
    jz .plain
    mov si, shifted_table
.plain:
    mov al, [cs:si + bx]
    call put_key
    jmp .done
.shift:
    or [BDA_SHIFT], cl
    test al, RELEASED
    jz .done
    not cl
    and [BDA_SHIFT], cl
.done:
    mov al, END_OF_INTERRUPT
    out PIC_MASTER, al
    jmp leave_service

scan_table:
    db 0, 27, "1234567890-=", 8, 9
    db "qwertyuiop[]", 13, 0
    db "asdfghjkl;'`", 0, 0x5c
    db "zxcvbnm,./", 0, "*", 0, " "
scan_table_end:
shifted_table:
    db 0, 27, "!@#$%^&*()_+", 8, 9
    db "QWERTYUIOP{}", 13, 0
    db "ASDFGHJKL:", 34, "~", 0, "|"
    db "ZXCVBNM<>?", 0, "*", 0, " "

; put_key: AX into the keyboard buffer, unless it is full. BX, SI are lost.
put_key:
    mov bx, [BDA_TAIL]
    lea si, [bx + 2]
    cmp si, [BDA_LAST]
    jb .inside
    mov si, [BDA_FIRST]
.inside:
    cmp si, [BDA_HEAD]
    je .full
    mov [bx], ax
    mov [BDA_TAIL], si
.full:
    ret

; ---------------------------------------------------------------- COM1: the console

COM1            equ 0x3f8
COM1_MODEM      equ COM1 + 4
COM1_LINE       equ COM1 + 5
LINE_RECEIVED   equ 0x01
LINE_EMPTY      equ 0x20

; serial_put: AL goes to the console. DX is lost.
serial_put:
    push ax
    mov dx, COM1_LINE
    mov ah, 200                 ; looks; a line that never empties must not stop the machine
.wait:
    in al, dx
    test al, LINE_EMPTY
    jnz .ready
    dec ah
    jnz .wait
.ready:
    pop ax
    mov dx, COM1
    out dx, al
    ret

; console_put: AL goes to the console as well, until the guest has a driver of its own for the line, which
; then says what it wants said there: it has set the modem's control lines. DX is lost.
console_put:
    push ax
    mov dx, COM1_MODEM
    in al, dx
    test al, al
    pop ax
    jz serial_put
    ret

; serial_key: what has come from the console goes into the keyboard buffer. AX, BX, DX, SI are lost.
serial_key:
    mov dx, COM1_LINE
    in al, dx
    cmp al, 0xff                ; nobody there
    je .none
    test al, LINE_RECEIVED
    jz .none
    mov dx, COM1
    in al, dx
    cmp al, 10                  ; the other end's newline is our Enter
    jne .key
    mov al, 13
.key:
    xor ah, ah
    call put_key
.none:
    ret

; int 14h: COM1. AH = 0 initialise, 1 send AL, 2 receive, 3 status.
int_14h:
    enter_service
    mov dx, COM1
    cmp ah, 1
    je .send
    cmp ah, 2
    je .receive
    cmp ah, 3
    ja unknown
    jmp .status
.send:
    call serial_put
    jmp .status
.receive:
    mov dx, COM1_LINE
    in al, dx
    test al, LINE_RECEIVED
    jz .receive
    mov dx, COM1
    in al, dx
    mov [bp + SAVED_AX], al
.status:
    mov dx, COM1_LINE
    in al, dx
    mov [bp + SAVED_AX + 1], al
    jmp leave_service

; ---------------------------------------------------------------- the screen

TEXT            equ 0xb800
COLUMNS         equ 80
ROWS            equ 25
BLANK           equ 0x0720
CRTC            equ 0x3d4
CRTC_CURSOR     equ 0x0e

; int 10h: text on the screen, and what is written as on a teletype also on the console.
int_10h:
    enter_service
    push TEXT
    pop es
    cmp ah, 0x0e
    je .teletype
    cmp ah, 0x00
    je .set_mode
    cmp ah, 0x02
    je .set_cursor
    cmp ah, 0x03
    je .get_cursor
    cmp ah, 0x06
    je .scroll
    cmp ah, 0x08
    je .look
    cmp ah, 0x09
    je .write
    cmp ah, 0x0a
    je .write
    cmp ah, 0x0f
    je .get_mode
    cmp ah, 0x13
    je .string
    jmp leave_service           ; shapes of the cursor, pages, palettes: nothing to do

.teletype:
    call put_character
    jmp leave_service

.set_mode:
    mov byte [BDA_MODE], 3
    xor di, di
    mov cx, COLUMNS * ROWS
    mov ax, BLANK
    rep stosw
    xor dx, dx
    call place_cursor
    jmp leave_service

.set_cursor:
    call place_cursor
    jmp leave_service

.get_cursor:
    mov ax, [BDA_CURSOR]
    mov [bp + SAVED_DX], ax
    mov word [bp + SAVED_CX], 0x0607
    jmp leave_service

; Scroll the whole screen by AL lines, all of them if AL is 0; windows are not modelled.
.scroll:
    mov ch, [bp + SAVED_BX + 1] ; the attribute
    cmp al, 0
    je .clear
    cmp al, ROWS
    jae .clear
    mov cl, al
.line:
    push cx
    call scroll_up
    pop cx
    dec cl
    jnz .line
    jmp leave_service
.clear:
    mov ah, ch
    mov al, " "
    xor di, di
    mov cx, COLUMNS * ROWS
    rep stosw
    jmp leave_service

.look:
    call cursor_address
    mov ax, [es:di]
    mov [bp + SAVED_AX], ax
    jmp leave_service

; AL, CX times, at the cursor, which stays. AH = 9 has the attribute in BL.
.write:
    call cursor_address
    mov dl, ah
    mov cx, [bp + SAVED_CX]
    jcxz .written
.again:
    mov [es:di], al
    cmp dl, 0x09
    jne .keep
    mov [es:di + 1], bl
.keep:
    cmp word [bp + SAVED_CX], 1 ; many of one kind fill the screen, and are nothing to tell the console
    jne .filled
    push dx
    call console_put
    pop dx
.filled:
    add di, 2
    loop .again
.written:
    jmp leave_service

.get_mode:
    mov word [bp + SAVED_AX], COLUMNS << 8 | 3
    mov byte [bp + SAVED_BX + 1], 0
    jmp leave_service

; CX characters at ES:BP of the caller, at DX.
.string:
    call place_cursor
    mov cx, [bp + SAVED_CX]
    jcxz .written
    mov si, [bp + SAVED_BP]
.next:
    mov ds, [bp + SAVED_ES]
    lodsb
    test byte [bp + SAVED_AX], 2    ; attributes between the characters
    jz .bare
    inc si
.bare:
    push BDA
    pop ds
    push cx
    push si
    call put_character
    pop si
    pop cx
    loop .next
    jmp leave_service

; put_character: AL at the cursor, which goes on; AX, CX, DX, SI, DI are lost. DS: data area, ES: screen.
put_character:
    push ax
    call console_put
    pop ax
    mov dx, [BDA_CURSOR]
    cmp al, 13
    je .return
    cmp al, 10
    je .feed
    cmp al, 8
    je .back
    cmp al, 7
    je .done
    call cursor_address
    mov ah, 7
    stosw
    inc dl
    cmp dl, COLUMNS
    jb .place
    xor dl, dl
.feed:
    inc dh
    cmp dh, ROWS
    jb .place
    dec dh
    push dx
    mov ch, 7
    call scroll_up
    pop dx
    jmp .place
.return:
    xor dl, dl
    jmp .place
.back:
    cmp dl, 0
    je .done
    dec dl
.place:
    call place_cursor
.done:
    ret

; scroll_up: one line, the last one blank in attribute CH. AX, CX, SI, DI are lost.
scroll_up:
    push ds
    push es
    pop ds
    push cx
    xor di, di
    mov si, COLUMNS * 2
    mov cx, COLUMNS * (ROWS - 1)
    rep movsw
    pop ax
    mov al, " "
    mov cx, COLUMNS
    rep stosw
    pop ds
    ret

; cursor_address: DI = where the cursor stands.
cursor_address:
    push ax
    mov al, COLUMNS
    mul byte [BDA_CURSOR + 1]
    mov di, ax
    mov al, [BDA_CURSOR]
    xor ah, ah
    add di, ax
    add di, di
    pop ax
    ret

; place_cursor: the cursor to DH, DL. AX, DX, DI are lost.
place_cursor:
    mov [BDA_CURSOR], dx
    call cursor_address
    shr di, 1
    mov dx, CRTC
    mov ax, di
    mov al, CRTC_CURSOR         ; AH is the high byte
    out dx, ax
    mov ax, di
    mov ah, al
    mov al, CRTC_CURSOR + 1
    out dx, ax
    ret

; ---------------------------------------------------------------- memory and the system

; An AT, with a second interrupt controller, a clock, and an extended data area.
machine_table:
    dw 8
    db 0xfc, 0, 0, 0x74, 0, 0, 0, 0

int_11h:
    push ds
    push BDA
    pop ds
    mov ax, [BDA_EQUIPMENT]
    pop ds
    iret

int_12h:
    push ds
    push BDA
    pop ds
    mov ax, [BDA_MEMORY]
    pop ds
    iret

PORT_92         equ 0x92
PORT_92_A20     equ 0x02

; int 15h: 24h wire A20, 86h wait, 87h copy above 1 MB, 88h, E801h, E820h memory, C0h what this machine is.
int_15h:
    enter_service
    cmp ax, 0xe820
    je .map
    cmp ax, 0xe801
    je .sizes
    cmp ah, 0x88
    je .extended
    cmp ah, 0x24
    je .wire_a20
    cmp ah, 0x86
    je success                  ; wait: time passes anyway
    cmp ah, 0x87
    je .copy
    cmp ah, 0xc0
    je .machine
    jmp unknown

; CX words between the segments 2 and 3 of the table at ES:SI, in protected mode; interrupts are off.
COPY_FROM       equ 0x10
COPY_TO         equ 0x18
COPY_CODE       equ 0x20
.copy:
    cli
    mov es, [bp + SAVED_ES]
    mov si, [bp + SAVED_SI]
    mov ecx, [bp + SAVED_CX]
    xor eax, eax
    mov ax, es
    shl eax, 4
    movzx edx, si
    add eax, edx                ; the table's address: GDTR and its second entry
    sub sp, 8
    mov bx, sp
    mov word [ss:bx], 0x2f
    mov [ss:bx + 2], eax
    mov word [es:si + COPY_CODE], 0xffff    ; the fifth entry is this code's
    mov dword [es:si + COPY_CODE + 2], 0x9b0f0000
    mov word [es:si + COPY_CODE + 6], 0
    in al, PORT_92
    push ax
    or al, PORT_92_A20
    and al, 0xfe
    out PORT_92, al
    lgdt [ss:bx]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp COPY_CODE:.copying
.copying:
    mov ax, COPY_FROM
    mov ds, ax
    mov ax, COPY_TO
    mov es, ax
    xor si, si
    xor di, di
    movzx ecx, cx
    rep movsw
    mov eax, cr0
    and al, 0xfe
    mov cr0, eax
    jmp 0xf000:.copied
.copied:
    pop ax
    and al, 0xfe
    out PORT_92, al
    add sp, 8
    mov byte [bp + SAVED_AX + 1], 0
    and byte [bp + FLAGS], 0xbe ; done: no carry, and ZF by custom
    or byte [bp + FLAGS], 0x40
    jmp leave_service

.machine:
    mov [bp + SAVED_ES], cs
    mov word [bp + SAVED_BX], machine_table
    mov byte [bp + SAVED_AX + 1], 0
    jmp success

; EBX = number of the entry, ES:DI = where to put it, ECX = room, EDX = 'SMAP'.
.map:
    cmp edx, 0x534d4150
    jne unknown
    cmp ecx, SPAN_SIZE
    jb unknown
    push EBDA
    pop ds
    movzx eax, word [EBDA_COUNT]
    cmp ebx, eax
    jae unknown
    imul si, bx, SPAN_SIZE
    add si, EBDA_SPANS
    mov cx, SPAN_SIZE
    rep movsb
    inc ebx
    cmp ebx, eax
    jb .more
    xor ebx, ebx
.more:
    mov [bp + SAVED_BX], ebx
    mov [bp + SAVED_AX], edx
    mov dword [bp + SAVED_CX], SPAN_SIZE
    jmp success

; AX, CX = KB between 1 and 16 MB; BX, DX = blocks of 64 KB above.
.sizes:
    push EBDA
    pop ds
    mov eax, [EBDA_EXTENDED]
    xor edx, edx
    cmp eax, 15 << 10
    jbe .low
    mov edx, eax
    sub edx, 15 << 10
    shr edx, 6
    mov eax, 15 << 10
.low:
    mov [bp + SAVED_AX], ax
    mov [bp + SAVED_CX], ax
    mov [bp + SAVED_BX], dx
    mov [bp + SAVED_DX], dx
    jmp success

.extended:
    push EBDA
    pop ds
    mov eax, [EBDA_EXTENDED]
    cmp eax, 0xffff
    jbe .fits
    mov ax, 0xffff
.fits:
    mov [bp + SAVED_AX], ax
    jmp success

.wire_a20:
    mov byte [bp + SAVED_AX + 1], 0
    cmp al, 3
    je .a20_support
    cmp al, 2
    je .a20_status
    ja unknown
    mov ah, al
    in al, PORT_92
    and al, ~(PORT_92_A20 | 1) & 0xff
    shl ah, 1
    or al, ah
    out PORT_92, al
    jmp success
.a20_status:
    in al, PORT_92
    shr al, 1
    and al, 1
    mov [bp + SAVED_AX], al
    jmp success
.a20_support:
    mov word [bp + SAVED_BX], 3
    jmp success

; ---------------------------------------------------------------- the keyboard

; int 16h: AH = 0, 10h wait for a key; 1, 11h look for one (ZF = none); 2, 12h shift keys.
int_16h:
    enter_service
    and ah, 0xef
    cmp ah, 1
    je .look
    jb .wait
    cmp ah, 2
    jne leave_service
    mov al, [BDA_SHIFT]
    mov [bp + SAVED_AX], al
    jmp leave_service
.wait:
    call serial_key
    cli
    mov bx, [BDA_HEAD]
    cmp bx, [BDA_TAIL]
    jne .take
    sti
    hlt                         ; until the timer or a key
    jmp .wait
.take:
    mov ax, [bx]
    mov [bp + SAVED_AX], ax
    add bx, 2
    cmp bx, [BDA_LAST]
    jb .inside
    mov bx, [BDA_FIRST]
.inside:
    mov [BDA_HEAD], bx
    jmp leave_service
.look:
    call serial_key
    or byte [bp + FLAGS], 0x40
    mov bx, [BDA_HEAD]
    cmp bx, [BDA_TAIL]
    je leave_service
    and byte [bp + FLAGS], 0xbf
    mov ax, [bx]
    mov [bp + SAVED_AX], ax
    jmp leave_service

; ---------------------------------------------------------------- the clock

CMOS_INDEX      equ 0x70
CMOS_DATA       equ 0x71

; int 1Ah: AH = 0 read ticks, 1 set them, 2 time of day, 4 date, in BCD.
int_1ah:
    enter_service
    cmp ah, 1
    jb .ticks
    je .set
    cmp ah, 2
    je .time
    cmp ah, 4
    je .date
    jmp unknown
.ticks:
    mov eax, [BDA_TICKS]
    mov [bp + SAVED_DX], ax
    shr eax, 16
    mov [bp + SAVED_CX], ax
    mov al, [BDA_MIDNIGHT]
    mov byte [BDA_MIDNIGHT], 0
    mov [bp + SAVED_AX], al
    jmp success
.set:
    mov [BDA_TICKS], dx
    mov [BDA_TICKS + 2], cx
    jmp success
.time:
    mov al, 4
    call read_cmos
    mov [bp + SAVED_CX + 1], al
    mov al, 2
    call read_cmos
    mov [bp + SAVED_CX], al
    mov al, 0
    call read_cmos
    mov [bp + SAVED_DX + 1], al
    mov byte [bp + SAVED_DX], 0
    jmp success
.date:
    mov al, 0x32
    call read_cmos
    mov [bp + SAVED_CX + 1], al
    mov al, 9
    call read_cmos
    mov [bp + SAVED_CX], al
    mov al, 8
    call read_cmos
    mov [bp + SAVED_DX + 1], al
    mov al, 7
    call read_cmos
    mov [bp + SAVED_DX], al
    jmp success

read_cmos:
    out CMOS_INDEX, al
    in al, CMOS_DATA
    ret

; ---------------------------------------------------------------- the disk

IDE_DATA        equ 0x1f0
IDE_COUNT       equ 0x1f2
IDE_LBA         equ 0x1f3
IDE_DRIVE       equ 0x1f6
IDE_COMMAND     equ 0x1f7
IDE_CONTROL     equ 0x3f6
IDE_NO_INTERRUPTS equ 0x02
IDE_BUSY        equ 0x80
IDE_READY       equ 0x40
IDE_WANTS_DATA  equ 0x08
IDE_ERROR       equ 0x21
IDE_READ        equ 0x20
IDE_WRITE       equ 0x30
SECTOR          equ 512

BAD_COMMAND     equ 0x01
NOT_FOUND       equ 0x04
NO_ANSWER       equ 0x80

; int 13h: AH = 0 reset, 1 status, 2 read, 3 write, 4 verify, 8 shape, 15h type; by LBA: 41h is it there,
; 42h read, 43h write, 44h verify, 48h size.
int_13h:
    enter_service
    push EBDA
    pop ds
    cmp ah, 0x01
    je .status
    cmp dl, [EBDA_DRIVE]
    mov al, NO_ANSWER
    jne .failed
    cmp ah, 0x00
    je .done
    cmp ah, 0x02
    je .by_place
    cmp ah, 0x03
    je .by_place
    cmp ah, 0x04
    je .done
    cmp ah, 0x08
    je .shape
    cmp ah, 0x15
    je .type
    cmp dl, 0x80                ; the extensions are for hard disks
    jb .bad_command
    cmp ah, 0x41
    je .extensions
    cmp ah, 0x42
    je .by_number
    cmp ah, 0x43
    je .by_number
    cmp ah, 0x44
    je .done
    cmp ah, 0x48
    je .size
.bad_command:
    mov al, BAD_COMMAND
.failed:
    mov [bp + SAVED_AX + 1], al
    push BDA
    pop ds
    mov [BDA_STATUS], al
    jmp failure
.done:
    mov byte [bp + SAVED_AX + 1], 0
    push BDA
    pop ds
    mov byte [BDA_STATUS], 0
    jmp success
.status:
    push BDA
    pop ds
    mov ah, [BDA_STATUS]
    mov [bp + SAVED_AX + 1], ah
    cmp ah, 0
    jne failure
    jmp success

; AL sectors at cylinder CH + CL bits 6-7, head DH, sector CL bits 0-5, to or from ES:BX.
.by_place:
    mov cl, [bp + SAVED_CX]
    and ecx, 0x3f
    jz .bad_command
    cmp cl, [EBDA_TRACK]
    ja .not_found
    cmp dh, [EBDA_HEADS]
    jae .not_found
    mov bl, dh
    movzx eax, word [bp + SAVED_CX]
    xchg al, ah
    shr ah, 6
    movzx edx, byte [EBDA_HEADS]
    imul eax, edx
    movzx edx, bl
    add eax, edx
    movzx edx, byte [EBDA_TRACK]
    imul eax, edx
    lea eax, [eax + ecx - 1]
    mov di, [bp + SAVED_BX]
    movzx cx, byte [bp + SAVED_AX]
    mov bh, [bp + SAVED_AX + 1]
    call transfer
    mov [bp + SAVED_AX], bl     ; how many
    jc .failed
    jmp .done

; The packet at DS:SI of the caller: its size, how many, offset, segment, and 64 bits of number.
.by_number:
    push ds
    mov ds, [bp + SAVED_DS]
    mov cx, [si + 2]
    les di, [si + 4]
    mov ebx, [si + 12]
    mov eax, [si + 8]
    pop ds
    cmp ebx, 0
    jne .not_found
    mov bh, [bp + SAVED_AX + 1]
    and bh, 0x0f
    call transfer
    push ds
    mov ds, [bp + SAVED_DS]
    mov [si + 2], bx
    mov byte [si + 3], 0
    pop ds
    jc .failed
    jmp .done
.not_found:
    mov al, NOT_FOUND
    jmp .failed

.shape:
    mov ax, [EBDA_CYLINDERS]
    dec ax
    mov cl, ah
    shl cl, 6
    or cl, [EBDA_TRACK]
    mov ch, al
    mov [bp + SAVED_CX], cx
    mov dh, [EBDA_HEADS]
    dec dh
    mov dl, 1                   ; drives
    mov [bp + SAVED_DX], dx
    mov byte [bp + SAVED_BX], 4 ; a floppy of 1.44 MB; not looked at for a hard disk
    mov byte [bp + SAVED_AX], 0
    jmp .done

.type:
    mov byte [bp + SAVED_AX + 1], 1
    cmp dl, 0x80
    jb success
    mov byte [bp + SAVED_AX + 1], 3
    mov eax, [EBDA_SECTORS]
    mov [bp + SAVED_DX], ax
    shr eax, 16
    mov [bp + SAVED_CX], ax
    jmp success

.extensions:
    cmp bx, 0x55aa
    jne .bad_command
    mov word [bp + SAVED_BX], 0xaa55
    mov word [bp + SAVED_AX], 0x2100
    mov word [bp + SAVED_CX], 1
    jmp success

; To DS:SI of the caller: size, flags, cylinders, heads, sectors of a track, all sectors, bytes of one.
.size:
    movzx ebx, word [EBDA_CYLINDERS]
    movzx ecx, byte [EBDA_HEADS]
    movzx edx, byte [EBDA_TRACK]
    mov eax, [EBDA_SECTORS]
    mov ds, [bp + SAVED_DS]
    mov word [si], 26
    mov word [si + 2], 2
    mov [si + 4], ebx
    mov [si + 8], ecx
    mov [si + 12], edx
    mov [si + 16], eax
    mov dword [si + 20], 0
    mov word [si + 24], SECTOR
    jmp .done

; transfer: CX sectors from number EAX on, to ES:DI, or from there if BH = 3. Carry: AL says why not; BL is
; how many went. DS: extended data area. All registers but BP, SI, DS are lost.
transfer:
    xor bl, bl
    jcxz .all
    push ax
    mov dx, IDE_CONTROL
    mov al, IDE_NO_INTERRUPTS
    out dx, al
    pop ax
.sector:
    cmp eax, [EBDA_SECTORS]
    jae .beyond
    call command_sector
    jc .failed
    push cx
    push si
    mov cx, SECTOR / 2
    mov dx, IDE_DATA
    cmp bh, 3
    je .write
    rep insw
    jmp .moved
.write:
    push ds
    push es
    pop ds
    mov si, di
    rep outsw
    mov di, si
    pop ds
.moved:
    pop si
    pop cx
    sub di, SECTOR
    mov dx, es                  ; the next place, wherever the offset would wrap
    add dx, SECTOR / 16
    mov es, dx
    inc bl
    inc eax
    loop .sector
    call wait_for_disk
    jc .failed
.all:
    clc
    ret
.beyond:
    mov al, NOT_FOUND
.failed:
    stc
    ret

; command_sector: sector EAX is asked for, or announced if BH = 3. Carry: AL says why not. DX is lost.
command_sector:
    push eax
    push eax
    mov dx, IDE_DRIVE
    shr eax, 24
    and al, 0x0f
    or al, 0xe0                 ; drive 0, by number
    out dx, al
    call wait_for_disk
    pop eax
    jc .failed
    push eax
    mov dx, IDE_COUNT
    mov al, 1
    out dx, al
    pop eax
    mov dx, IDE_LBA
    out dx, al
    shr eax, 8
    inc dx
    out dx, al
    shr eax, 8
    inc dx
    out dx, al
    mov dx, IDE_COMMAND
    mov al, IDE_READ
    cmp bh, 3
    jne .command
    mov al, IDE_WRITE
.command:
    out dx, al
    call wait_for_disk
    jc .failed
    test al, IDE_WANTS_DATA
    mov al, NO_ANSWER
    jz .failed
    pop eax
    clc
    ret
.failed:
    add sp, 4
    stc
    ret

; wait_for_disk: until it is no longer busy; AL = status. Carry: it failed, AL says how. DX is lost.
wait_for_disk:
    push cx
    mov dx, IDE_COMMAND
    xor cx, cx
.look:
    in al, dx
    test al, IDE_BUSY
    jz .idle
    loop .look
    mov al, NO_ANSWER           ; nobody there, or for ever busy
    jmp .failed
.idle:
    test al, IDE_ERROR
    jnz .error
    pop cx
    clc
    ret
.error:
    mov al, NOT_FOUND
.failed:
    pop cx
    stc
    ret

; ---------------------------------------------------------------- the end

no_boot_text: db "No bootable disk.", 13, 10, 0

; int 18h: what was booted has no use for the machine; int 19h: boot again, from the beginning.
int_18h:
    push cs
    pop ds
    mov si, no_boot_text
.next:
    lodsb
    cmp al, 0
    je .stop
    mov ah, 0x0e
    int 0x10
    jmp .next
.stop:
    cli
    hlt
    jmp .stop

int_19h:
    mov al, RESET_LINE
    out KEYBOARD_STATUS, al
.wait:
    hlt
    jmp .wait

RESET_LINE equ 0xfe

times 0xfff0 - ($ - $$) db 0xff
reset:
    jmp 0xf000:int_19h
    db "01/01/95"               ; when this firmware was made, as PCs say it
times 0x10000 - ($ - $$) db 0xff
