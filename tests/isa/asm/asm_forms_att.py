"""Lines in AT&T syntax, which GNU as must read as we do."""

FORMS = """
movl %eax, %ebx
movl $5, %eax
movl $-1, %eax
movl $0x12345678, (%ebx)
movw $5, (%ebx)
movb $5, (%ebx)
movb %al, 8(%ebp)
movl 8(%ebp), %eax
movl -4(%ebp,%eax,4), %ecx
movl (%eax,%ebx), %ecx
movl (,%eax,8), %ecx
movl 0x1234(,%eax,8), %ecx
movl 0x1234, %eax
movl 0x1234, %ebx
movl %eax, 0x1234
movl %gs:20, %eax
movl %fs:(%eax), %ebx
movl %es:4(%esp), %ebx
mov %ax, %bx
mov $5, %al
movw %ax, %ds
movw %ds, %ax
movl %eax, %ds
movl %ds, %eax
mov %ax, %es
movw %ds, (%eax)
movw (%eax), %es
movl %cr0, %eax
movl %eax, %cr3
mov %eax, %cr4
movl %eax, %db7
movl %dr6, %eax
movzbl %al, %eax
movzbl (%eax), %ecx
movzwl 4(%eax), %ecx
movzbw %al, %cx
movsbl %al, %eax
movswl (%eax), %ecx
movsbw 1(%eax), %dx
movzwl %ax, %edx
movzx %al, %eax
movsx %ax, %eax
movsb %al, %eax
movzb (%eax), %ecx
addl $1, %eax
addl $300, %eax
addb $1, (%eax)
addl %eax, (%ebx)
addl (%ebx), %eax
subl $16, %esp
andl $-16, %esp
xorl %eax, %eax
orb $1, %al
cmpl $10, 8(%esp)
cmpw $0, (%eax)
cmpb $'A', %al
testl %eax, %eax
testb $1, %al
testb $4, 7(%eax)
sbbl %eax, %eax
adcl $0, %edx
incl %eax
incl (%eax)
decw (%eax)
incb %al
negl %eax
notl 4(%esp)
mull %ecx
mull (%ecx)
imull %ebx, %eax
imull $10, %ebx, %eax
imull $1000, %eax
imull (%ebx), %eax
imulw $3, %ax, %bx
divl %ecx
idivl 8(%ebp)
shll %eax
shll $4, %eax
shll %cl, %eax
sall $2, (%eax)
sarl %eax
shrl $31, %edx
shrb $1, (%eax)
rorw $8, %ax
rolb %cl, %al
shldl $4, %eax, %ebx
shldl %cl, %eax, (%ebx)
shrdl %eax, %ebx
shll %cl, (%eax)
leal 4(%eax,%ebx,2), %ecx
leal (%eax,%eax,4), %eax
leal 0(,%eax,4), %edx
lea -1(%eax), %eax
pushl %eax
pushl $5
pushl $300
pushl 8(%ebp)
pushl 0x1234
pushw %ax
pushw $5
push %ebp
push $1
pushl %ds
pushw %es
push %fs
popl %es
pop %ds
popl %ebp
popl (%eax)
popw (%eax)
pop %ebx
pushfl
popfl
pushf
popf
pushal
popal
pusha
popa
leave
ret
ret $4
retl
lret
lret $4
lretl
iret
iretl
iretw
call .+10
calll .+10
call *%eax
call *8(%eax)
call *0x1234
calll *(%ebx)
jmp .
jmp .+200
jmp *%ecx
jmp *(%eax)
jmp *0x1000(,%eax,4)
jmpl *%eax
je .+10
jne .-5
jbe .+1000
loop .
jecxz .+3
ljmp $8, $0x1000
ljmp $0x10, $0x12345678
lcall $0x1b, $0
ljmp *(%eax)
lcall *8(%ebx)
ljmpl *(%eax)
int $0x80
int $3
int3
into
cli
sti
hlt
nop
nopl (%eax)
nopw 0(%eax,%eax,1)
cltd
cwtl
cbtw
cwtd
cld
std
movsb
movsw
movsl
rep movsl
rep; movsb
rep stosl
rep ; stosb
repz cmpsb
repnz scasb
repe; cmpsl
lodsb
lodsl
stosw
scasl
insb
insl
outsb
outsl
rep insw
rep outsl
movsb (%esi), %es:(%edi)
movsl %fs:(%esi), %es:(%edi)
stosl %eax, %es:(%edi)
stosb %al, %es:(%edi)
lodsb %gs:(%esi), %al
scasb %es:(%edi), %al
cmpsb %es:(%edi), (%esi)
insb (%dx), %es:(%edi)
outsb (%esi), (%dx)
inb $0x60, %al
inb %dx, %al
inb (%dx), %al
inw %dx, %ax
inl %dx, %eax
in %dx, %eax
inb $0x60
inl %dx
outb %al, $0x20
outb %al, %dx
outb %al, (%dx)
outl %eax, %dx
outw %ax, (%dx)
outb $0x20
lgdt 0x1000
lgdtl (%eax)
lidt 4(%eax)
sgdt (%eax)
lldt %ax
ltr %ax
ltrw %ax
str %eax
sldt %ax
lmsw %ax
smsw %eax
invlpg (%eax)
verr %ax
lar %ax, %bx
larl %eax, %ebx
lsl (%eax), %ecx
arpl %ax, %bx
boundl %eax, (%ebx)
les (%eax), %ebx
lss 4(%eax), %esp
enter $16, $0
xchgl %eax, %ebx
xchgl %eax, (%ebx)
xchg %al, %bl
lock xaddl %eax, (%ebx)
lock; incl (%eax)
lock cmpxchgl %ecx, (%ebx)
cmpxchg8b (%esi)
bswap %eax
bsfl %eax, %ebx
bsrl (%eax), %ebx
btl $5, %eax
btsl %eax, (%ebx)
btrl $31, (%eax)
sete %al
setne (%eax)
setl %cl
seta %al
cmovel %eax, %ebx
cmovne (%eax), %ebx
cmovll %eax, %ebx
cmovl %ecx, %edx
rdmsr
wrmsr
cpuid
rdtsc
ud2
wbinvd
xlat
aam
aad $10
lahf
sahf
flds (%eax)
fldl (%eax)
fldt (%eax)
filds (%eax)
fildl (%eax)
fildll (%eax)
fildq 8(%eax)
fistps (%eax)
fistpl (%eax)
fistpll (%eax)
fsts (%eax)
fstl (%eax)
fstps (%eax)
fstpl 4(%esp)
fstpt (%eax)
fstp %st(1)
fld %st(1)
fld1
fldz
fldpi
fadds (%eax)
faddl (%eax)
fadd %st(1), %st
fadd %st, %st(1)
faddp %st, %st(1)
faddp
fmulp %st, %st(2)
fmull (%eax)
fmuls 4(%esp)
fsub %st(1), %st
fsub %st, %st(1)
fsubr %st, %st(1)
fsubp %st, %st(1)
fsubrp %st, %st(1)
fsubs (%eax)
fsubrl (%eax)
fdiv %st, %st(3)
fdivr %st(3), %st
fdivp %st, %st(1)
fdivrp %st, %st(1)
fdivs (%eax)
fdivrl (%eax)
fiaddl (%eax)
fimuls (%eax)
fidivrl (%eax)
ficoml (%eax)
fcoms (%eax)
fcompl (%eax)
fucom %st(1)
fucomp %st(1)
fucompp
fcompp
fxch %st(1)
fxch
fchs
fabs
fsqrt
frndint
ftst
fxam
fnstsw %ax
fnstsw (%eax)
fnstcw (%eax)
fldcw (%eax)
fnstcw 6(%esp)
fninit
fnclex
fwait
fstcw (%eax)
fstsw %ax
fsin
fpatan
fyl2x
fscale
fprem
fnstenv (%eax)
frstor (%eax)
fxsave (%eax)
fucomi %st(1), %st
fucomip %st(1), %st
fcomi %st(2), %st
fcomip %st(2), %st
emms
movups (%eax), %xmm0
movaps %xmm1, %xmm2
pxor %xmm1, %xmm2
movd %eax, %xmm0
movl $(1<<4)+3, %eax
movl (4+4)(%ebp), %eax
movl 4+8(%ebp), %eax
movl -(4)(%ebp), %eax
movl $~0, %eax
movl $(-1)&0xff, %eax
addr16 movl (%bx,%si), %eax
movl 4(%bp), %eax
data16 lgdt (%eax)
"""

CODE16 = """
ret
retl
lret
lretl
iret
iretl
pushf
pushfl
pusha
pushal
push $5
pushw $5
pushl $5
pushw $0x1234
pushl $0x12345678
push %ax
push %eax
push %ds
pop %es
call .+10
calll .+10
callw .+10
jmp .+200
jmp .
je .+300
ljmp $0xf000, $0xe05b
ljmpw $0xf000, $0xe05b
ljmpl $8, $0x12345678
data32 ljmp $8, $0x1000
lcall $0x1000, $0x2000
lcalll $8, $0x2000
ljmp *(%bx)
ljmpl *(%bx)
jmp *%ax
jmp *(%bx)
call *0x1234
jmpl *%eax
lgdt 0x7c00
lgdtl 0x7c00
data32 lgdt (%bx)
lidtl (%si)
lgdtw (%bx)
movw %ax, %ds
movw (%bx,%si), %ax
movl 4(%bp,%di), %eax
movb $5, -3(%bx)
movw $0x1234, 0x7c00
movw 0x1234, %ax
movb %al, 0x1234
movw %es:(%di), %cx
movl (%eax,%ecx,4), %edx
movw 8(%esp), %ax
leaw 4(%bx), %ax
leal (%eax,%eax,4), %eax
movzbl (%si), %eax
movzbw %al, %cx
addl $1, (%bx)
addw $300, %bx
cmpw $0xaa55, 0x7dfe
int $0x13
lodsb
stosl
rep movsw
rep; stosw
addr32 rep stosl
inb $0x92, %al
outw %ax, %dx
movl %cr0, %eax
movl %eax, %cr0
loop .
jcxz .+2
jecxz .+2
leave
leavel
enter $4, $0
shlw $4, %ax
shrl %cl, (%bx)
incw (%bx)
decl %ecx
cbtw
cwtl
cwtd
cltd
lmsw %ax
smsw %ax
les (%bx), %di
lss (%bx), %esp
flds (%bx)
fldcw 4(%bp)
xchgw %ax, %bx
cmpxchg8b (%bx)
"""
