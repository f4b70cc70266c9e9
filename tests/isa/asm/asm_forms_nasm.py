"""Lines of 16-bit code that NASM must read as we do."""

NASM = """
mov ax, [bx+si]
mov eax, [ebx+ecx*4+8]
mov byte [es:di], 5
mov word [0x1234], 7
mov ax, [dword 0x12345]
a32 mov ax, [0x12345]
mov ax, [es:0x1234]
push 5
push 300
push word 5
push dword 5
push dword 0x12345678
push dword [bx]
push word [bx]
pop dword [bx]
o32 push 5
ret
retf
o32 ret
o32 retf
retd
retw
iret
iretd
iretw
pushf
pushfd
popf
popfd
pusha
pushad
popad
o32 lgdt [bx]
lgdt [0x7c00]
o32 lidt [0x1234]
jmp 0x08:0x1000
jmp dword 0x08:0x12345678
jmp word 0x08:0x1000
call 0x1000:0x2000
call dword 0x08:0x1000
jmp far [bx]
jmp far word [bx]
jmp far dword [bx]
call far [0x1234]
call far dword [si]
jmp [bx]
jmp word [bx]
jmp dword [bx]
call dword [bx]
call eax
jmp cx
jmp short $+10
jmp near $+300
jmp dword $+10
call dword $+10
call $+10
je near $+300
je $+10
loop $
loop $, ecx
a32 loop $
jcxz $
jecxz $
movsb
movsd
rep movsd
a32 movsb
a32 rep movsw
rep a32 stosd
es lodsb
lodsd
insd
outsd
cbw
cwde
cwd
cdq
mov ds, ax
mov eax, cr0
or al, 1
mov cr0, eax
in eax, dx
out 0x92, al
les di, [bx]
lss esp, [bx]
lar eax, bx
lar eax, ebx
enter 16, 1
leave
o32 leave
movzx eax, byte [bx]
movsx eax, word [bx]
imul eax, ebx, 100
shld eax, ebx, 3
bswap eax
cmpxchg8b [bx]
fninit
fnstcw [bx]
fld qword [bx]
int 0x13
int3
hlt
lmsw ax
smsw ax
smsw eax
sldt ax
str eax
ltr ax
invlpg [bx]
lock inc word [bx]
mov eax, dr7
test word [bx], 3
xlatb
fs mov ax, [bx]
cs lgdt [0x1234]
es lodsb
ss mov eax, [bx]
cs xlatb
sub sp, 200
add dword [bp+4], 8
xor edx, edx
"""
