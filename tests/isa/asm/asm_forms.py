"""Forms of instructions for the comparison with GNU as, and the generator of random ones.

`FORMS` holds lines that both assemblers read alike, `PAIRS` those that need another spelling there.
"""

from __future__ import annotations

import random

FORMS = """
cli
sti
hlt
nop
cld
std
clc
stc
cmc
lahf
sahf
clts
invd
wbinvd
cpuid
rdmsr
wrmsr
rdtsc
rdpmc
rdtscp
sysenter
sysexit
ud2
leave
pushad
popad
pause
rsm
xgetbv
xsetbv
monitor
mwait
vmcall
vmlaunch
vmresume
vmxoff
emms
cbw
cwde
cwd
cdq
aaa
aas
daa
das
aam
aad
aam 16
xlatb
into
int3
int 0x80
int 255
ret
ret 8
retf
retf 4
enter 16, 0
enter 0x1234, 3
enter 5, 200
lgdt [eax]
lidt [0x1000]
sgdt [ebx+8]
sidt [esp]
lldt ax
lldt word ptr [eax]
sldt ax
sldt eax
sldt word ptr [ecx]
ltr ax
ltr word ptr [ebx+ecx*2]
str ax
str eax
str word ptr [esi]
lmsw ax
lmsw word ptr [edi]
smsw ax
smsw eax
smsw word ptr [edi]
invlpg [eax]
invlpg [0x12345678]
verr ax
verw word ptr [eax]
lar eax, ebx
lar ax, word ptr [ebx]
lar ax, bx
lsl ecx, word ptr [ebx]
arpl ax, bx
arpl word ptr [eax], bx
bound eax, [ebx]
les eax, [ebx]
lds ecx, [ebx+4]
lss esp, [eax]
lfs eax, [ebx]
lgs eax, [ebx+ecx*8-4]
mov cr0, eax
mov eax, cr0
mov eax, cr2
mov cr3, ebx
mov ecx, cr4
mov cr4, ecx
mov dr7, eax
mov eax, dr6
mov ds, eax
mov es, ecx
mov ss, word ptr [eax]
mov fs, word ptr [ebx+4]
mov eax, ds
mov ax, ss
mov word ptr [eax], gs
push es
push cs
push ss
push ds
push fs
push gs
pop es
pop ss
pop ds
pop fs
pop gs
push 5
push -1
push 127
push 128
push -129
push 0x12345678
push dword ptr [eax]
push word ptr [eax]
pop dword ptr [esp]
push eax
push cx
pop edi
in al, 0x60
in ax, 0x60
in eax, 0x60
in al, dx
in ax, dx
in eax, dx
out 0x20, al
out 0x20, ax
out 0x20, eax
out dx, al
out dx, ax
out dx, eax
movsb
movsw
cmpsb
cmpsd
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
insd
outsb
outsw
outsd
rep movsb
rep stosd
rep insw
repe cmpsb
repne scasb
lock add dword ptr [eax], 1
lock inc dword ptr [ebx]
lock xadd dword ptr [eax], ecx
lock cmpxchg dword ptr [eax], ecx
lock cmpxchg8b qword ptr [esi]
lock bts dword ptr [eax], 3
xchg eax, ebx
xchg dword ptr [eax], ebx
xchg al, byte ptr [ebx]
cmpxchg dword ptr [edi], eax
xadd al, bl
bswap edx
bsf eax, ebx
bsr ecx, dword ptr [eax]
bt eax, 5
bt dword ptr [eax], ecx
bts eax, ebx
btr dword ptr [eax], 31
btc ecx, edx
bt dword ptr [eax], 177
btr cx, 255
shld eax, ebx, 4
shld dword ptr [eax], ebx, cl
shrd eax, ebx, cl
movzx eax, bl
movzx eax, word ptr [ebx]
movzx ax, byte ptr [ebx]
movsx eax, bx
movsx ecx, byte ptr [edi+1]
imul eax, ebx
imul eax, ebx, 10
imul eax, ebx, 1000
imul eax, 7
imul dword ptr [eax]
mul ecx
div byte ptr [ebx]
idiv ecx
neg dword ptr [eax]
not al
setz al
setnbe byte ptr [eax]
cmovz eax, ebx
cmovnl ecx, dword ptr [eax]
lea eax, [ebx+ecx*4+16]
lea esp, [esp-4]
lea ecx, [eax*8]
mov eax, fs:[0]
mov eax, dword ptr gs:[ebx+4]
mov dword ptr es:[edi], 7
mov al, byte ptr cs:[ebx]
mov al, byte ptr [0x1234]
mov dword ptr [0x1234], eax
mov ebx, dword ptr [0xfffffff0]
mov eax, [ebp]
mov eax, [ebp+ebx]
mov eax, [esp]
mov eax, [esp+128]
mov byte ptr [eax], 255
mov word ptr [eax], -2
mov dword ptr [eax], -1
test eax, 1
test dword ptr [ebx], 0x100
test al, 7
test ecx, ebx
call eax
call dword ptr [ebx*4+0x1000]
jmp edx
jmp dword ptr [eax]
jmp .
jmp .+100
jmp .+1000
call .+5
jz .+10
jnz .+300
jae .-20
loop .
loopne .+4
jecxz .+2
jcxz .+3
fninit
fnclex
finit
fwait
fld dword ptr [eax]
fld qword ptr [eax]
fld tbyte ptr [eax]
fild word ptr [ebx]
fistp qword ptr [ebx]
fstp st(1)
fadd st, st(2)
fmulp st(3), st
fxch st(2)
faddp st(2), st
fcomip st, st(1)
fucomip st, st(2)
fldcw word ptr [eax]
fnstcw word ptr [eax]
fstcw word ptr [eax]
fnstsw ax
fstsw ax
fxsave [eax]
fxrstor [ebx]
ldmxcsr dword ptr [eax]
sfence
clflush byte ptr [eax]
prefetchnta byte ptr [eax]
movaps xmm0, xmm1
movups xmm2, xmmword ptr [eax]
movq mm0, qword ptr [eax]
pxor xmm1, xmm2
paddd mm1, mm2
movd eax, xmm0
mov ax, word ptr [bx+si]
mov eax, dword ptr [bp+4]
nop dword ptr [eax]
ud1 eax, ebx
push fs
sub esp, 100
and esp, -16
or eax, 0x80000000
cmp byte ptr [eax], 'A'
add word ptr [ebx], 300
adc al, 1
sbb bh, ch
shl eax, 1
shl eax, 31
sar dword ptr [eax], cl
ror byte ptr [ebx], 3
rcl ax, 1
sal edx, 2
inc eax
dec word ptr [ecx]
inc bl
vmptrld qword ptr [eax]
vmptrst qword ptr [eax]
vmclear qword ptr [eax]
vmxon qword ptr [eax]
vmread eax, ebx
vmwrite eax, dword ptr [ecx]
mov eax, [eax+eax]
mov eax, [ebx+esp]
"""

PAIRS = {
    "iret": "iretd",
    "iretd": "iretd",
    "iretw": "iretw",
    "pushf": "pushfd",
    "popf": "popfd",
    "pushfd": "pushfd",
    "pushfw": "pushfw",
    "popfw": "popfw",
    "pusha": "pusha",
    "popa": "popa",
    "int 3": "int3",
    "movsd": "movsd",
    "rep movsd": "rep movsd",
    "jmp 0x08:0x1000": "ljmp 0x08:0x1000",
    "ljmp 0x08:0x12345678": "ljmp 0x08:0x12345678",
    "call 0x1b:0x1000": "lcall 0x1b:0x1000",
    "jmp far [eax]": "jmp fword ptr [eax]",
    "call far [ebx+8]": "call fword ptr [ebx+8]",
    "jmp fword ptr [eax]": "jmp fword ptr [eax]",
    "push word 5": "pushw 5",
    "push byte 5": "push 5",
    "push word 0x1234": "pushw 0x1234",
    "mov ds, ax": "mov ds, ax",
    "lar eax, bx": "lar eax, ebx",
    "mov byte [eax], 5": "mov byte ptr [eax], 5",
    "mov dword [ebx+4], 10h": "mov dword ptr [ebx+4], 0x10",
    "mov eax, [fs:0]": "mov eax, fs:[0]",
    "mov eax, -4[ebx]": "mov eax, [ebx-4]",
    "mov eax, 16[ebx+ecx*4]": "mov eax, [ebx+ecx*4+16]",
    "mov eax, [ebx][ecx]": "mov eax, [ebx+ecx]",
    "mov eax, 0ffh": "mov eax, 255",
    "mov eax, 101b": "mov eax, 5",
    "mov eax, 0o17": "mov eax, 15",
    "mov eax, 1_000": "mov eax, 1000",
    "mov eax, 'A'": "mov eax, 0x41",
    "jmp $": "jmp .",
    "jmp short $+10": "jmp .+10",
    "jmp near $+10": ".byte 0xe9\n.long 5",
    "je near .+8": ".byte 0x0f, 0x84\n.long 2",
    "vmrun": "vmrun",
    "vmload": "vmload",
    "retn": "ret",
    "add eax, byte -1": "add eax, -1",
    "es stosb": ".byte 0x26\nstosb",
    "fs lodsb": "lods al, byte ptr fs:[esi]",
    "movs dword ptr es:[edi], dword ptr [esi]": "movsd",
    "outs dx, byte ptr gs:[esi]": "outs dx, byte ptr gs:[esi]",
    "fld st0": "fld st(0)",
    "a16 movsb": ".byte 0x67\nmovsb",
    "data16 lgdt [eax]": ".byte 0x66\nlgdt [eax]",
}

REG32 = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"]
REG16 = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"]
REG8 = ["al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"]
REGISTERS = {8: REG8, 16: REG16, 32: REG32}
WORDS = {8: "byte", 16: "word", 32: "dword"}
SEGMENTS = ["es:", "cs:", "ss:", "ds:", "fs:", "gs:"]


def address(rng: random.Random) -> str:
    """A random memory operand without its size."""
    base = rng.choice([*REG32, ""])
    index = rng.choice([r for r in REG32 if r != "esp"] + [""] * 6)
    parts = [base] if base else []
    if index:
        parts.append(f"{index}*{rng.choice([2, 4, 8] if not base else [1, 2, 4, 8])}")
    disp = rng.choice([0, 0, rng.randint(-128, 127), rng.randint(-70000, 70000), 127, 128, -128, -129])
    text = "+".join(parts)
    if not text:
        text = str(abs(disp) + 16)
    elif disp:
        text += f"{disp:+d}"
    segment = rng.choice(SEGMENTS) if rng.random() < 0.1 else ""
    return f"{segment}[{text}]"


def number(rng: random.Random, bits: int) -> int:
    """A random immediate that fits."""
    low, high = -(1 << (bits - 1)), (1 << bits) - 1
    return rng.choice(
        [rng.randint(low, high), rng.randint(-128, 127), 0, 1, -1, 127, 128, 16, low, high >> 1]
    )


def instruction(rng: random.Random) -> str:
    """One random integer instruction with decimal numbers."""
    bits = rng.choice([8, 16, 32, 32])
    reg = rng.choice(REGISTERS[bits])
    mem = f"{WORDS[bits]} ptr {address(rng)}"
    rm = rng.choice([rng.choice(REGISTERS[bits]), mem])
    kind = rng.randrange(9)
    if kind <= 2:
        op = rng.choice(["mov", "add", "or", "adc", "sbb", "and", "sub", "xor", "cmp", "test"])
        src = rng.choice([reg, str(number(rng, bits))])
        return f"{op} {rm}, {src}"
    if kind == 3:
        op = rng.choice(["mov", "add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"])
        return f"{op} {reg}, {mem}"
    if kind == 4:
        op = rng.choice(["rol", "ror", "rcl", "rcr", "shl", "shr", "sar"])
        return f"{op} {rm}, {rng.choice(['cl', '1', str(rng.randrange(2, 32))])}"
    if kind == 5:
        return f"{rng.choice(['inc', 'dec', 'not', 'neg', 'mul', 'div', 'idiv', 'imul'])} {rm}"
    if kind == 6:
        condition = rng.choice("o no b ae e ne be a s ns p np l ge le g z nz c nc".split())
        return f"j{condition} .{rng.choice([2, 50, 127, 129, 130, 200, -50, -126, -127, 4000, -4000]):+d}"
    if kind == 7:
        wide = rng.choice([16, 32])
        narrow = 8 if wide == 16 else rng.choice([8, 16])
        src = rng.choice([rng.choice(REGISTERS[narrow]), f"{WORDS[narrow]} ptr {address(rng)}"])
        return f"{rng.choice(['movzx', 'movsx'])} {rng.choice(REGISTERS[wide])}, {src}"
    return rng.choice(
        [
            f"lea {rng.choice(REG32)}, {address(rng)}".replace(", cs:", ", "),
            f"push {number(rng, 32)}",
            f"push dword ptr {address(rng)}",
            f"imul {rng.choice(REG32)}, {rng.choice(REG32)}, {number(rng, 32)}",
            f"xchg {mem}, {reg}",
            f"{rng.choice(['jmp', 'call'])} .{rng.choice([2, 127, 129, 130, -126, 5000]):+d}",
            f"set{rng.choice(['e', 'ne', 'l', 'g', 'a', 'b'])} {rng.choice(REG8)}",
            f"bt {rng.choice(REG32)}, {rng.randrange(32)}",
        ]
    )
