"""AT&T syntax: forms through GNU as, whole files as a compiler writes them, and what is said of mistakes."""

from __future__ import annotations

import itertools
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from isa.asm import AsmError, assemble
from isa.asm.engines import decode

sys.path.insert(0, str(Path(__file__).parent))
from asm_c_sources import SOURCES
from asm_forms import instruction
from asm_forms16 import instruction as instruction16
from asm_forms_att import CODE16, FORMS
from asm_references import gas

needs_gas = pytest.mark.skipif(not (shutil.which("as") and shutil.which("ld")), reason="no GNU binutils")
needs_gcc = pytest.mark.skipif(
    not (shutil.which("gcc") and shutil.which("as") and shutil.which("ld")), reason="gcc is absent"
)
# GNU as puts the operand-size prefix before the one for repetition.
HEADER_16 = ".code16\n.intel_syntax noprefix\n"
OTHER_ENCODING = {"rep insw", "addr32 rep stosl"}


@needs_gas
@pytest.mark.parametrize(
    ("forms", "header", "bits"), [(FORMS, "", 32), (CODE16, ".code16\n", 16)], ids=["code32", "code16"]
)
def test_forms_are_encoded_as_gnu_as_encodes_them(forms: str, header: str, bits: int, tmp_path: Path) -> None:
    lines = forms.strip().splitlines()
    different = []
    for line, theirs in zip(lines, gas(lines, tmp_path, header), strict=True):
        ours = assemble(f".att_syntax\n{header}{line}", origin=0).image
        if line in OTHER_ENCODING:
            assert ours != theirs, "no longer different: take it off the list"
            assert [d.text for d in decode(ours, bits)] == [d.text for d in decode(theirs, bits)]
        elif ours != theirs:
            different.append(f"{line}: {ours.hex(' ')} | {theirs.hex(' ')}")
    assert not different, "\n".join(different)


@needs_gas
@pytest.mark.skipif(not shutil.which("objdump"), reason="objdump is absent")
@pytest.mark.parametrize(
    ("make", "header", "machine", "bits"),
    [(instruction, ".intel_syntax noprefix\n", "i386", 32), (instruction16, HEADER_16, "i8086", 16)],
    ids=["code32", "code16"],
)
def test_what_objdump_shows_of_random_instructions_is_read_back(
    make: Callable[[random.Random], str], header: str, machine: str, bits: int, tmp_path: Path
) -> None:
    rng = random.Random(bits)
    gas([make(rng) for _ in range(1200)], tmp_path, header)
    command = ["objdump", "-d", "-m", machine, "--no-show-raw-insn", "-M", "suffix", tmp_path / "t.o"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    image = (tmp_path / "t.bin").read_bytes()
    rows = re.findall(r"^ +([0-9a-f]+):\t(.+?) *(?:<.*)?$", shown, re.M)
    different = []
    for (at, text), (end, _) in itertools.pairwise([*rows, (hex(len(image)), "")]):
        start = int(at, 16)
        theirs = image[start : int(end, 16)]
        text = re.sub(r"^((?:j|call)\w+ +)([0-9a-f]+)$", r"\g<1>0x\2", text)
        source = f".att_syntax\n{'.code16' if bits == 16 else ''}\n{text}"
        ours = assemble(source, origin=start).image
        if ours != theirs and meaning(ours, bits) != meaning(theirs, bits):
            different.append(f"{text}: {ours.hex(' ')} | {theirs.hex(' ')}")
    assert len(rows) == 1200
    assert not different, "\n".join(different)


def meaning(code: bytes, bits: int) -> list[str]:
    """What a decoder reads, to compare encodings that differ."""
    return [f"{d.mnemonic} {sorted(map(str, d.operands))}" for d in decode(code, bits)]


def linked(source: str, folder: Path, origin: int) -> bytes:
    """The bytes that GNU as and ld make, everything in one section in the order of the source."""
    flat = re.sub(r"^\s*\.(section\b(?!.*GNU-stack).*|data|bss|text)\s*$", "\t.text", source, flags=re.M)
    (folder / "t.s").write_text(flat)
    subprocess.run(["as", "--32", "-o", folder / "t.o", folder / "t.s"], check=True)
    place = f"-Ttext={origin:#x}"
    link = ["ld", "-m", "elf_i386", "-N", place, "-e", hex(origin), "-o", folder / "t.elf", folder / "t.o"]
    subprocess.run(link, check=True, capture_output=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", folder / "t.elf", folder / "t.bin"], check=True)
    return (folder / "t.bin").read_bytes()


@needs_gcc
@pytest.mark.parametrize("level", ["-O2", "-O0", "-Os"])
@pytest.mark.parametrize("name", SOURCES)
def test_a_compiled_file_is_assembled_as_gnu_as_assembles_it(name: str, level: str, tmp_path: Path) -> None:
    (tmp_path / "t.c").write_text(SOURCES[name])
    options = (
        "-S -m32 -march=i486 -fno-pic -fno-asynchronous-unwind-tables -ffreestanding -fno-common".split()
    )
    compiler = ["gcc", *options, level, "-o", tmp_path / "c.s", tmp_path / "t.c"]
    subprocess.run(compiler, check=True)
    source = (tmp_path / "c.s").read_text()
    program = assemble(".att_syntax\n" + source, origin=0x100000)
    theirs = linked(source, tmp_path, program.origin)
    compared = 0
    for line in program.lines:
        at = line.address - program.origin
        if at >= len(theirs):
            assert not program.image[at:].strip(b"\0"), "what has no bytes there is room"
            break
        # What fills up to a boundary is another kind of nop there.
        if re.match(r"\s*\.(p2)?align", line.text):
            continue
        assert program.image[at : at + line.length].hex(" ") == theirs[at : at + line.length].hex(" "), line
        compared += 1
    assert compared > 30
    assert len(program.image) >= len(theirs)


@needs_gcc
@pytest.mark.parametrize("name", [name for name in SOURCES if name != "system"])
def test_a_file_compiled_to_16_bit_code_is_assembled_as_gnu_as_assembles_it(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "t.c").write_text(SOURCES[name])
    options = "-S -O2 -m16 -march=i486 -fno-pic -fno-asynchronous-unwind-tables -ffreestanding -fno-common"
    subprocess.run(["gcc", *options.split(), "-o", tmp_path / "c.s", tmp_path / "t.c"], check=True)
    source = (tmp_path / "c.s").read_text()
    program = assemble(".att_syntax\n" + source, origin=0x8000)
    theirs = linked(source, tmp_path, program.origin)
    for line in program.lines:
        at = line.address - program.origin
        ours, other = program.image[at : at + line.length], theirs[at : at + line.length]
        if at < len(theirs) and ours != other and not re.match(r"\s*\.(p2)?align", line.text):
            # Prefixes may stand in another order.
            assert sorted(ours) == sorted(other), line
            assert meaning(ours, 16) == meaning(other, 16), line


@needs_gcc
@pytest.mark.skipif(not shutil.which("qemu-system-i386"), reason="QEMU is absent")
def test_a_kernel_in_c_runs_under_qemu(tmp_path: Path) -> None:
    (tmp_path / "k.c").write_text(
        """
        static void outb(unsigned short p, unsigned char v) { __asm__ volatile("outb %0, %1" :: "a"(v), "Nd"(p)); }
        static int primes(int n) {
            int found = 0;
            for (int i = 2; i < n; i++) { int j = 2; while (i % j) j++; found += i == j; }
            return found;
        }
        static void put(const char *s) { while (*s) outb(0xe9, *s++); }
        static char digits[12];
        void kmain(void) {
            int n = primes(1000); char *p = digits + 11;
            do *--p = '0' + n % 10; while (n /= 10);
            put("primes: "); put(p); put("\\n"); outb(0xf4, 0x10);
            for (;;) __asm__("hlt");
        }"""
    )
    options = "-S -O2 -m32 -march=i486 -fno-pic -fno-asynchronous-unwind-tables -ffreestanding".split()
    subprocess.run(["gcc", *options, "-o", tmp_path / "k.s", tmp_path / "k.c"], check=True)
    head = "header: dd 0x1badb002, 0, -0x1badb002\nstart: mov esp, stack\njmp kmain\n.space 4096\nstack:\n"
    program = assemble(head + ".att_syntax\n" + (tmp_path / "k.s").read_text())
    (tmp_path / "k.elf").write_bytes(program.elf32())
    options = (
        "-display none -no-reboot -debugcon stdio -device isa-debug-exit,iobase=0xf4,iosize=4 -kernel".split()
    )
    command = ["qemu-system-i386", *options, tmp_path / "k.elf"]
    run = subprocess.run(command, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    assert run.stdout == b"primes: 168\n"


BOOT = """
    .set SEG_CODE, 1
.code16
.globl start
start:  cli
    xorw %ax, %ax; movw %ax, %ds; movw %ax, %es; movw %ax, %ss
seta20.1:
    inb $0x64, %al          # wait until the controller listens
    testb $0x2, %al
    jnz seta20.1
    movb $0xd1, %al
    outb %al, $0x64
    movw $message, %si
1:  lodsb
    testb %al, %al
    jz 2f
    movb $0x0e, %ah
    int $0x10
    jmp 1b
2:  movb $0x42, %ah
    movl $packet, %esi
    pushl $0x12345
    pushw table(%bx)
    call read
    lgdt gdtdesc
    data32 lgdt gdtdesc
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmp $(SEG_CODE << 3), $start32
read: stc
    int $0x13
    rep; movsw
    addr32 movb (%esi), %al
    ret
.code32
start32:
    movw $(2 << 3), %ax
    movw %ax, %ds
    movl $start, %esp
    call main
    outw %ax, %dx
spin: jmp spin
main: pushl %ebp
    movl %esp, %ebp
    movl table(,%eax,4), %ecx
    leave
    ret
message: .asciz "boot; really"
packet: .byte 16, 0
    .word 1
table: .long start, spin - start
.p2align 2, 0
gdt: .word 0, 0; .byte 0, 0, 0, 0
    .word (0xffff >> 4) & 0xffff, 0; .byte 0, 0x9a, 0xc0 | 15, 0
gdtdesc: .word gdtdesc - gdt - 1
    .long gdt
.fill 510 - (. - start), 1, 0
    .word 0xaa55
"""


@needs_gas
def test_a_boot_sector_is_assembled_as_gnu_as_assembles_it(tmp_path: Path) -> None:
    ours = assemble(".att_syntax\n" + BOOT, origin=0x7C00).image
    assert len(ours) == 512
    assert ours.hex(" ", 16) == linked(BOOT, tmp_path, 0x7C00).hex(" ", 16)


# ------------------------------------------------------------------------------------ the language


def code(text: str) -> str:
    """The bytes of AT&T source."""
    return assemble(".att_syntax\n" + text, origin=0).image.hex(" ")


def test_the_syntax_changes_in_the_middle_of_a_file() -> None:
    source = "mov eax, 5\n.att_syntax\nmovl $5, %eax\n.intel_syntax noprefix\nmov eax, 5"
    assert assemble(source).image == bytes.fromhex("b805000000") * 3


def test_statements_are_separated_by_semicolons_and_comments_start_with_a_hash() -> None:
    assert code("cli; hlt # stop; here\nnop; .byte 1; x: .long x") == "fa f4 90 01 04 00 00 00"
    assert code('.ascii "a;b"; nop') == "61 3b 62 90"


def test_a_macro_between_semicolons_is_expanded_where_it_stands() -> None:
    assert code(".macro two r\n  incl %\\r; incl %\\r\n.endm\nnop; two eax; hlt") == "90 40 40 f4"
    assert code(".rept 3; nop; .endr; hlt") == "90 90 90 f4"
    assert code(".if 0; nop; .else; hlt; .endif; cli") == "f4 fa"


def test_a_dot_makes_no_name_local() -> None:
    assert code("f: jmp .L1\ng: nop\n.L1: ret") == "eb 01 90 c3"


def test_names_of_registers_and_words_are_names_like_any_other() -> None:
    assert code("movl cx, %eax\ncx: .long offset\noffset: .byte 1\nfs: ret") == (
        "a1 05 00 00 00 09 00 00 00 01 c3"
    )


def test_labels_of_the_compiler_are_no_symbols() -> None:
    program = assemble(".att_syntax\nmain: jmp .L2\n.L2: .LC0: ret")
    assert set(program.symbols) == {"main"}


def test_common_room_comes_behind_everything_else() -> None:
    program = assemble(
        ".att_syntax\n.comm buffer,8,16\n.local x\n.comm x,4,4\nnop\nmovl buffer, %eax", origin=0
    )
    assert program.symbols == {"buffer": 16, "x": 24}
    assert len(program.image) == 28


def test_intel_and_att_parts_share_their_labels() -> None:
    source = "start: mov eax, [value]\n.att_syntax\nmovl value, %eax\nvalue: .long start"
    assert assemble(source, origin=0x1000).image.hex(" ") == ("a1 0a 10 00 00 a1 0a 10 00 00 00 10 00 00")


# line (behind the directive), column, part of the message, part of the hint
MISTAKES = [
    ("mvol $1, %eax", 1, "unknown instruction `mvol`", "`movl`"),
    ("movl $1, %eaz", 11, "`%eaz` is not a register", "`eax`"),
    ("movl $1, %rax", 11, "`%rax` is not a register", None),
    ("movl $1, eax", 10, "undefined symbol `eax`", "%eax"),
    ("movw $1, %eax", 10, "`%eax` has 32 bits, but `movw` works on 16", None),
    ("movl %ax, %ebx", 6, "`%ax` has 16 bits, but `movl` works on 32", None),
    ("mov $1, (%eax)", 9, "size of this memory operand is not known", "suffix"),
    ("movb $256, %al", 6, "-128..255", None),
    ("movl $1 %eax", 9, "unexpected `%`", "commas"),
    ("movl 4(%eax, %ebx", 18, "expected `)`", "disp(base, index, scale)"),
    ("movl 4(%eax,%ebx,3), %ecx", 18, "1, 2, 4 or 8", None),
    ("movl (%eax,%esp,2), %ecx", 13, "`esp` cannot be multiplied", None),
    ("movl (%al), %ecx", 8, "`al` cannot be part of an address", None),
    ("movl $x, %eax", 7, "undefined symbol `x`", None),
    ("movl (%eax), (%ebx)", 6, "`movl` cannot have two operands in memory", None),
    ("call %eax", 6, "has a star", "*%eax"),
    ("jmp 4(%eax)", 5, "has a star", "*4(%eax)"),
    ("movl *%eax, %ebx", 6, "belongs to jumps and calls", None),
    ("jmp *$5", 6, "goes through memory", None),
    ("outb %al, $0x3f8", 11, "port 0x3f8 does not fit", None),
    ("lock movl %eax, (%ebx)", 1, "`lock` before `movl`", None),
    ("popl %cs", 6, "`cs` cannot be popped", None),
    ("movl $5, %ds", 6, "a number cannot be moved into `ds`", None),
    ("incl", 1, "`incl` needs an operand", None),
    ("pushb $5", 1, "`push` has no form of 8 bits", None),
    ("fldl %eax", 6, "`%eax` has 32 bits", None),
    ("nop; nop; movl $1, %eaz", 21, "`%eaz` is not a register", None),
]


@pytest.mark.parametrize(("source", "column", "message", "hint"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_a_mistake_is_explained_where_it_stands(
    source: str, column: int, message: str, hint: str | None
) -> None:
    with pytest.raises(AsmError) as caught:
        assemble(".att_syntax\n" + source, name="guest.s")
    assert len(caught.value.diagnostics) == 1
    (first,) = caught.value.diagnostics
    assert message in first.message
    assert (first.line, first.column) == (2, column), first.message
    if hint is not None:
        assert first.hint is not None
        assert hint in first.hint
    assert "[" not in first.message + (first.hint or ""), "this is Intel syntax"


def test_registers_without_percent_signs_are_not_offered() -> None:
    with pytest.raises(AsmError, match="not supported"):
        assemble(".att_syntax noprefix\nnop")
    with pytest.raises(AsmError, match="not supported"):
        assemble(".intel_syntax prefix\nnop")
