"""Forms of 16-bit code for the comparison with GNU as, and the generator of random ones.

`ALIKE` holds lines that GNU as (Intel syntax) reads as we do, `SPELLED` those that need another spelling
there.
"""

from __future__ import annotations

import random

from asm_forms import REG8, REG16, REG32, REGISTERS, WORDS, number

ALIKE = """
ret
ret 4
retf
retf 2
push 5
push -1
push 127
push 128
push 0x1234
push 65535
push ax
push eax
push ds
push es
push cs
push ss
push fs
push gs
pop ds
pop es
pop ss
pop fs
pop gs
pop cx
pop ecx
push word ptr [bx]
push dword ptr [bx]
pop word ptr [bp+2]
pop dword ptr [0x1234]
enter 16, 0
leave
hlt
cli
sti
cld
int 0x10
int 0x13
int3
into
nop
movsb
movsw
cmpsb
cmpsw
stosb
stosw
stosd
lodsb
lodsw
lodsd
scasb
scasw
scasd
insb
insw
outsb
outsw
rep movsb
repe cmpsb
repne scasb
xlatb
cbw
cwde
cwd
cdq
aam
aad 16
daa
lahf
sahf
in al, 0x60
in ax, 0x60
in eax, 0x60
in ax, dx
in eax, dx
out 0x20, al
out dx, ax
out dx, eax
mov ax, 0x7c00
mov eax, 0x12345678
mov al, 5
mov ax, bx
mov eax, ebx
mov bl, ah
mov ds, ax
mov ss, ax
mov ax, ds
mov eax, ds
mov ax, cs
mov es, word ptr [bx]
mov word ptr [0x1234], es
mov cr0, eax
mov eax, cr0
mov dr7, eax
mov ax, [bx]
mov ax, [si]
mov ax, [di]
mov ax, [bp]
mov ax, [bx+si]
mov ax, [bx+di]
mov ax, [bp+si]
mov ax, [bp+di]
mov ax, [bx+si+4]
mov ax, [bp+di-128]
mov ax, [bx+0x1234]
mov ax, [si-129]
mov ax, [si+bx]
mov cx, [0x1234]
mov ax, [0x1234]
mov al, [0x1234]
mov eax, [0x1234]
mov [0x1234], al
mov [0x1234], ax
mov [0x1234], eax
mov dx, [0xffff]
mov ax, es:[0x1234]
mov ax, es:[di]
mov al, cs:[bx]
mov ax, ds:[bp]
mov ax, ss:[bp]
mov byte ptr [bx], 5
mov word ptr [bx], 300
mov dword ptr [bx+si], 0x12345678
mov word ptr [0x1234], -1
mov eax, [ebx]
mov ax, [ebx+ecx*4]
mov al, [esp+8]
mov ax, [eax*2+0x12345]
mov dword ptr [ebp], 7
mov fs:[eax], cx
lea ax, [bx+si+3]
lea eax, [bx]
lea ax, [ebx+4]
lea eax, [eax+eax*4]
add ax, 5
add ax, 300
add cx, 5
add cx, 300
add eax, 5
add eax, 0x12345678
add ecx, 0x12345678
add byte ptr [bx], 1
add word ptr [bp+si], 300
add dword ptr [bx], 4
sub sp, 16
sub esp, 16
and sp, -16
cmp ax, 0xaa55
cmp word ptr [0x7dfe], 0xaa55
test al, 1
test eax, 0x100
test word ptr [bx], 4
xor ax, ax
xor eax, eax
or eax, 1
inc ax
inc eax
dec si
inc byte ptr [bx]
inc word ptr [si]
dec dword ptr [di]
neg cx
not dword ptr [bx]
mul bx
mul ebx
imul ax, bx
imul eax, ebx, 10
imul ax, word ptr [si], 1000
div byte ptr [bx]
idiv ecx
shl ax, 1
shl eax, 4
shr word ptr [bx], cl
rol byte ptr [bp], 3
shld ax, bx, 4
shrd eax, ebx, cl
xchg ax, bx
xchg eax, ebx
xchg bx, word ptr [si]
xadd ax, bx
cmpxchg ecx, edx
cmpxchg8b qword ptr [bx]
bswap edx
bsf ax, bx
bsr ecx, dword ptr [bx]
bt ax, 5
bts dword ptr [bx], 31
btr word ptr [si], cx
btc ecx, edx
movzx eax, al
movzx ax, bl
movzx eax, bx
movsx ecx, word ptr [bx]
movsx ax, byte ptr [si]
setz al
setne byte ptr [bx]
cmovz ax, bx
cmovnz eax, dword ptr [bx]
call ax
jmp bx
jmp word ptr [bx]
call word ptr [0x1234]
jmp eax
lgdt [bx]
lgdt [0x1234]
lidt [si]
sgdt [di+4]
sidt [ebx]
lldt ax
ltr cx
str ax
str eax
sldt word ptr [bx]
lmsw ax
smsw ax
smsw eax
invlpg [bx]
verr ax
verw word ptr [si]
lar ax, bx
lar eax, ebx
lsl eax, word ptr [bx]
arpl ax, bx
bound ax, [bx]
bound eax, [bx]
les di, [bx]
lds si, [bp+4]
lss sp, [0x1234]
lss esp, [bx]
lfs ax, [ebx]
lgs ebx, [si]
clts
invd
wbinvd
cpuid
rdmsr
wrmsr
rdtsc
ud2
pause
jmp .
jmp .+100
jmp .+1000
jmp .-1000
call .+5
jz .+10
jnz .+300
jae .-20
jg .-2000
loop .
loopne .+4
loope .-3
jcxz .+2
jecxz .+3
fninit
fnstcw word ptr [bx]
fldcw word ptr [si]
fld dword ptr [bx+di]
fstp qword ptr [0x1234]
fnstsw ax
fstcw word ptr [bx]
movaps xmm0, xmm1
movups xmm2, xmmword ptr [bx]
pxor xmm1, xmm2
movd eax, xmm0
paddd mm1, mm2
lock inc word ptr [bx]
lock add dword ptr [bx], 1
lock cmpxchg word ptr [di], cx
nop word ptr [bx]
nop dword ptr [bx]
monitor
mwait
sysenter
vmcall
rsm
"""

SPELLED = {
    "iret": "iretw",
    "iretw": "iretw",
    "iretd": "iretd",
    "pushf": "pushfw",
    "pushfw": "pushfw",
    "pushfd": "pushfd",
    "popf": "popfw",
    "popfd": "popfd",
    "pusha": "pushaw",
    "pushad": "pushad",
    "popa": "popaw",
    "popad": "popad",
    "retd": "data32 ret",
    "o32 ret": "data32 ret",
    "data32 ret 4": "data32 ret 4",
    "retfd": "data32 lret",
    "o32 retf": "data32 lret",
    "lretl": "data32 lret",
    "o32 push 5": "data32 push 5",
    "push dword 5": "pushd 5",
    "push dword 0x12345678": "pushd 0x12345678",
    "push word 5": "pushw 5",
    "push byte 5": "pushw 5",
    "pushd 300": "pushd 300",
    "o32 push ds": "data32 push ds",
    "o32 pop es": "data32 pop es",
    "o32 leave": "data32 leave",
    "o32 enter 16, 0": "data32 enter 16, 0",
    "lgdtd [0x1234]": "data32 lgdt [0x1234]",
    "o32 lgdt [bx]": "data32 lgdt [bx]",
    "data32 lidt [bx]": "data32 lidt [bx]",
    "o32 sgdt [bx]": "data32 sgdt [bx]",
    "lgdtw [bx]": "lgdt [bx]",
    "jmp 0x08:0x1000": "ljmp 0x08:0x1000",
    "jmp word 0x08:0x1000": "ljmp 0x08:0x1000",
    "jmp dword 0x08:0x12345678": "data32 ljmp 0x08:0x12345678",
    "o32 jmp 0x08:0x1000": "data32 ljmp 0x08:0x1000",
    "ljmpl 0x08:0x12345678": "data32 ljmp 0x08:0x12345678",
    "ljmpl 0x08, 0x12345678": "data32 ljmp 0x08:0x12345678",
    "ljmpw 0xf000, 0xe05b": "ljmp 0xf000:0xe05b",
    "call 0x1000:0x2000": "lcall 0x1000:0x2000",
    "call dword 0x08:0x12345": "data32 lcall 0x08:0x12345",
    "jmp far [bx]": "jmp dword ptr [bx]",
    "jmp far word [bx]": "jmp dword ptr [bx]",
    "jmp far dword [bx]": "jmp fword ptr [bx]",
    "jmp fword ptr [bx]": "jmp fword ptr [bx]",
    "call far [0x1234]": "call dword ptr [0x1234]",
    "call far dword [si]": "call fword ptr [si]",
    "jmp [bx]": "jmp word ptr [bx]",
    "call [bx+si]": "call word ptr [bx+si]",
    "push [bx]": "push word ptr [bx]",
    "jmp dword [bx]": ".byte 0x66, 0xff, 0x27",
    "call dword [bx]": ".byte 0x66, 0xff, 0x17",
    "movsd": "movsd",
    "cmpsd": "cmpsd",
    "rep movsd": "rep movsd",
    "rep stosd": "rep stosd",
    "a32 movsb": "addr32 movsb",
    "a32 rep stosd": "addr32 rep stosd",
    "a32 lodsw": "lods ax, word ptr [esi]",
    "a32 xlatb": "addr32 xlatb",
    "a16 movsb": "movsb",
    "o16 ret": "ret",
    "es lodsb": "lods al, byte ptr es:[si]",
    "movs word ptr es:[di], word ptr [si]": "movsw",
    "movs byte ptr es:[edi], byte ptr fs:[esi]": "movs byte ptr es:[edi], byte ptr fs:[esi]",
    "mov eax, [dword 0x12345678]": "addr32 mov eax, [0x12345678]",
    "a32 mov eax, [0x12345678]": "addr32 mov eax, [0x12345678]",
    "mov cx, [dword 0x1234]": "addr32 mov cx, [0x1234]",
    "mov ax, [word 0x1234]": "mov ax, [0x1234]",
    "jmp short $+10": "jmp .+10",
    "jmp near $+10": ".byte 0xe9; .word 7",
    "je near $+10": ".byte 0x0f, 0x84; .word 6",
    "jmp dword $+10": ".byte 0x66, 0xe9; .long 4",
    "o32 jmp $+10": ".byte 0x66, 0xe9; .long 4",
    "jne dword $+10": ".byte 0x66, 0x0f, 0x85; .long 3",
    "call dword $+10": "data32 call .+10",
    "data32 call $+10": "data32 call .+10",
    "a32 loop $": "addr32 loop .",
    "loopl $": "addr32 loop .",
    "loop $, ecx": "addr32 loop .",
    "loope $, cx": "loope .",
    "mov ax, word [bx]": "mov ax, word ptr [bx]",
    "mov byte [0x1234], 1": "mov byte ptr [0x1234], 1",
    "xchg ax, ax": "xchg ax, ax",
    "mov ax, es": "mov ax, es",
    "ud1 eax, ebx": "ud1 eax, ebx",
    "int 3": "int3",
    "xlat": "xlatb",
    "salc": ".byte 0xd6",
}

# Lines of 32-bit code with addresses of 16 bits, and their spelling for GNU as.
NARROW = {
    "mov ax, [bx]": "mov ax, [bx]",
    "mov eax, [bp+di+4]": "mov eax, [bp+di+4]",
    "mov dword [si], 5": "mov dword ptr [si], 5",
    "mov eax, [bp]": "mov eax, [bp]",
    "mov eax, [si+bx-300]": "mov eax, [si+bx-300]",
    "lea eax, [bx+si]": "lea eax, [bx+si]",
    "lgdt [bx]": "lgdt [bx]",
    "les eax, [di]": "les eax, [di]",
    "jmp far [bx]": "jmp fword ptr [bx]",
    "jmp [bx]": "jmp dword ptr [bx]",
    "push dword [bp+2]": "push dword ptr [bp+2]",
    "a16 stosb": "addr16 stosb",
    "a16 mov al, [0x1234]": "addr16 mov al, [0x1234]",
    "mov ecx, [word 0x1234]": "addr16 mov ecx, [0x1234]",
    "loopw .": "addr16 loop .",
    "movs byte ptr es:[di], byte ptr [si]": "movs byte ptr es:[di], byte ptr [si]",
    "inc word [bx]": "inc word ptr [bx]",
    "fld qword [bx]": "fld qword ptr [bx]",
    "mov es:[di], cl": "mov es:[di], cl",
}

BASES = ["bx", "bp", "si", "di", "bx+si", "bx+di", "bp+si", "bp+di"]
SEGMENTS = ["es:", "cs:", "ss:", "ds:", "fs:", "gs:"]


def address(rng: random.Random) -> str:
    """A random address of 16 or 32 bits."""
    segment = rng.choice(SEGMENTS) if rng.random() < 0.1 else ""
    kind = rng.randrange(10)
    if kind == 0:
        return f"{segment}[{rng.randrange(0x10000)}]"
    disp = rng.choice([0, 0, rng.randint(-128, 127), rng.randint(-0x8000, 0x7FFF), 127, 128, -128, -129])
    if kind < 7:
        text = rng.choice(BASES)
    else:
        text = rng.choice(REG32)
        if rng.random() < 0.5:
            text += f"+{rng.choice([r for r in REG32 if r != 'esp'])}*{rng.choice([1, 2, 4, 8])}"
    return f"{segment}[{text}{disp:+d}]" if disp else f"{segment}[{text}]"


def instruction(rng: random.Random) -> str:
    """One random instruction of 16-bit code."""
    bits = rng.choice([8, 16, 16, 32])
    reg = rng.choice(REGISTERS[bits])
    mem = f"{WORDS[bits]} ptr {address(rng)}"
    rm = rng.choice([rng.choice(REGISTERS[bits]), mem])
    kind = rng.randrange(8)
    if kind <= 1:
        op = rng.choice(["mov", "add", "or", "adc", "sbb", "and", "sub", "xor", "cmp", "test"])
        return f"{op} {rm}, {rng.choice([reg, str(number(rng, bits))])}"
    if kind == 2:
        return f"{rng.choice(['mov', 'add', 'sub', 'cmp', 'xor'])} {reg}, {mem}"
    if kind == 3:
        op = rng.choice(["rol", "ror", "rcl", "rcr", "shl", "shr", "sar"])
        return f"{op} {rm}, {rng.choice(['cl', '1', str(rng.randrange(2, 32))])}"
    if kind == 4:
        return f"{rng.choice(['inc', 'dec', 'not', 'neg', 'mul', 'div', 'idiv', 'imul'])} {rm}"
    if kind == 5:
        wide = rng.choice([16, 32])
        narrow = 8 if wide == 16 else rng.choice([8, 16])
        src = rng.choice([rng.choice(REGISTERS[narrow]), f"{WORDS[narrow]} ptr {address(rng)}"])
        return f"{rng.choice(['movzx', 'movsx'])} {rng.choice(REGISTERS[wide])}, {src}"
    if kind == 6:
        op = rng.choice(["jmp", "call", "je", "jnz", "jg", "jbe"])
        return f"{op} .{rng.choice([2, 127, 129, 130, 131, -126, -127, 5000, -4000]):+d}"
    word = rng.choice(["word", "dword"])
    return rng.choice(
        [
            f"lea {rng.choice(REG16)}, {address(rng)}".replace(", cs:", ", "),
            f"lea {rng.choice(REG32)}, {address(rng)}".replace(", cs:", ", "),
            f"push {number(rng, 16)}",
            f"push {word} ptr {address(rng)}",
            f"pop {word} ptr {address(rng)}",
            f"imul {rng.choice(REG16)}, {rng.choice(REG16)}, {number(rng, 16)}",
            f"imul {rng.choice(REG32)}, {rng.choice(REG32)}, {number(rng, 32)}",
            f"xchg {mem}, {reg}",
            f"set{rng.choice(['e', 'ne', 'l', 'g', 'a', 'b'])} {rng.choice(REG8)}",
            f"bt {rng.choice(REG16)}, {rng.randrange(16)}",
            f"l{rng.choice('defgs')}s {rng.choice(REG16 + REG32)}, {address(rng)}".replace("lds", "les"),
            f"{rng.choice(['push', 'pop'])} {rng.choice(REG16 + REG32)}",
            f"mov {rng.choice(['ds', 'es', 'ss', 'fs'])}, {rng.choice(REG16)}",
            f"lgdt {address(rng)}",
        ]
    )
