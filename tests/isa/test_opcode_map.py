"""The whole opcode map: which encodings are undefined, as Bochs' processors say.

Every opcode of both maps with every /reg, in its memory and its register form (the x87 with every register), under
each prefix that can matter, is executed once in ring 3. A kernel does so on Bochs, with TF set so that nothing
runs on, and prints one bit for each: #UD or not. Here the processor executes the same bytes directly.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

from peers import needs_bochs, on_bochs

from isa import consts as c
from isa.asm import assemble
from isa.cpu import Cpu
from isa.decode import decode
from isa.faults import InvalidOpcode, NotModelled
from isa.memory import PhysicalMemory, Ram
from isa.model import MODELS
from isa.state import ATTR, CPL, EFLAGS, EIP, FLAT_CODE, FLAT_DATA
from isa.table import ROWS
from vmm.image import Image

sys.path.append(str(Path(__file__).parents[1] / "differential"))
from accepted import accepted

SLOT = 16
FILL = b"\xcc" * SLOT
SCRATCH, CODE = 0x20_0000, 0x30_0000
PREFIXES = (b"", b"\xf0", b"\x66", b"\xf2", b"\xf3")
# Prefixes, and INT1, whose trap comes twice on Bochs.
NOT_HERE = frozenset((0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x0F, 0xF1))
TABLE = 0x11_0000
BATCH = 16_000  # encodings that Bochs is given at once

KERNEL = f"""
.include "frame.inc"
        gdt_more
gdt_end:
main:   mov edi, idt                    ; every gate leads to `defined`, that of #UD to `undefined`
        mov ecx, 48
1:      mov eax, defined
        cmp ecx, 42
        jne 2f
        mov eax, undefined
2:      mov [edi], ax
        shr eax, 16
        mov [edi + 6], ax
        add edi, 8
        loop 1b
        fninit
next:   mov eax, [number]
        cmp eax, COUNT
        jae finish
        shl eax, 4
        lea esi, [eax + {TABLE}]
        mov edi, {CODE}
        mov ecx, 4
        rep movsd
        mov eax, {SCRATCH}
        mov ecx, eax
        mov edx, eax
        mov ebx, eax
        mov ebp, eax
        mov esi, eax
        mov edi, eax
        push DATA3
        push eax
        push 0x102                      ; TF
        push CODE3
        push {CODE}
        iretd
undefined:
        cmp esp, stack_inner - 24       ; a trap that came late interrupts the handler itself
        jb 1f
        mov eax, DATA0
        mov ds, ax
        mov eax, [number]
        bts [bits], eax
defined:
        cmp esp, stack_inner - 24
        jb 1f
        mov esp, stack0
        call fresh
        fninit
        inc dword ptr [number]
        jmp next
1:      iretd
finish: xor ebx, ebx
1:      mov eax, [bits + ebx * 4]
        call hex32
        inc ebx
        cmp ebx, COUNT / 32 + 1
        jb 1b
        verdict 0
number: .long 0
bits:   .space COUNT / 8 + 8
"""


def encodings() -> list[bytes]:
    """Prefix, opcode, ModRM, and bytes that make INT3 of whatever follows."""
    found = []
    for prefix, two, opcode in product(PREFIXES, (b"", b"\x0f"), range(256)):
        if not two and opcode in NOT_HERE:
            continue
        x87 = not two and 0xD8 <= opcode <= 0xDF
        if x87 and prefix not in (b"", b"\xf0"):
            continue
        forms = [reg << 3 for reg in range(8)] + [0xC0 | n for n in (range(64) if x87 else range(0, 64, 8))]
        found += [(prefix + two + bytes((opcode, modrm)) + FILL)[:SLOT] for modrm in forms]
    return found


def undefined_on_bochs(cpu: str, folder: Path) -> list[bool]:
    """Whether each encoding is #UD on a processor of Bochs'."""
    table, found = encodings(), []
    for first in range(0, len(table), BATCH):
        part = table[first : first + BATCH]
        program = assemble(
            KERNEL, defines={"COUNT": len(part)}, include_dirs=(Path(__file__).parent / "behaviours",)
        )
        data = program.image.ljust(TABLE - 0x100000, b"\0") + b"".join(part)
        image = Image("opcodes", Path("opcodes"), 0x100000, program.entry, data)
        words = [int(word, 16) for word in on_bochs(image, folder, cpu).split()]
        found += [bool(words[n >> 5] >> (n & 31) & 1) for n in range(len(part))]
    return found


def undefined_here(model: str) -> list[bool]:
    """Whether each encoding is #UD on our processor of that name."""
    ram = Ram(0x40_0000)
    cpu = Cpu(PhysicalMemory(ram), model=MODELS[model], engine="reference")
    s = cpu.s
    found = []
    start = None
    for code in encodings():
        if start is None:
            for n in range(8):
                s[n] = SCRATCH
            for n in range(6):
                s[ATTR + n] = (FLAT_CODE if n == c.CS else FLAT_DATA) | c.ATTR_DPL
            s[CPL], s[EFLAGS] = 3, c.FLAGS_ONE
            start = s[:]
        s[:] = start
        s[EIP] = CODE
        ram.write(CODE, code)
        cpu.sync()
        try:
            _, fault = cpu.execute()
        except NotModelled:
            fault = None
        found.append(isinstance(fault, InvalidOpcode))
    return found


def row_of(code: bytes) -> str:
    """The row of the instruction; "" where no processor has one."""
    try:
        return ROWS[decode(code).row].name
    except InvalidOpcode:
        return ""


def compare(model: str, cpu: str, folder: Path, *, later: bool) -> None:
    """Our processor against one of Bochs', which may have `later` instructions than ours."""
    for code, here, there in zip(
        encodings(), undefined_here(model), undefined_on_bochs(cpu, folder), strict=True
    ):
        if here != there:
            row = row_of(code)
            known = accepted("bochs", {"name": row}, ["#UD"]) or (
                later and here and row in ("", "unmodelled")
            )
            assert known, (
                f"{code.hex(' ')} ({row}) is {'' if here else 'not '}#UD on {model}, not so on {cpu}"
            )


@needs_bochs
def test_what_is_undefined_on_a_pentium(tmp_path: Path) -> None:
    compare("pentium", "pentium", tmp_path, later=False)


@needs_bochs
def test_what_is_undefined_on_the_pentium_2_is_nothing_but_mmx_and_sse(tmp_path: Path) -> None:
    compare("p2", "p3_katmai", tmp_path, later=True)
