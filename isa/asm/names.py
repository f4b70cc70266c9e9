"""The words of the language: registers, sizes, reserved words, and other spellings of mnemonics.

Here: tables only. `REGISTERS` says of each register name what kind it is, how wide, and its number in
an encoding. `ALIASES` maps every accepted spelling of a mnemonic to the one this assembler thinks in.

Not here: what instructions exist (the encoder and its decoder know) or what they do.
Read next: `operands.py`, `encoder.py`.
"""

from __future__ import annotations

from typing import NamedTuple


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


class RegisterName(NamedTuple):
    """What a register's name says about it."""

    kind: str
    bits: int
    number: int


_GENERAL = {
    32: "eax ecx edx ebx esp ebp esi edi",
    16: "ax cx dx bx sp bp si di",
    8: "al cl dl bl ah ch dh bh",
}

REGISTERS: dict[str, RegisterName] = {
    **{
        n: RegisterName("general", bits, i) for bits, ns in _GENERAL.items() for i, n in enumerate(ns.split())
    },
    **{n: RegisterName("segment", 16, i) for i, n in enumerate(["es", "cs", "ss", "ds", "fs", "gs"])},
    **{f"cr{i}": RegisterName("control", 32, i) for i in range(8)},
    **{f"dr{i}": RegisterName("debug", 32, i) for i in range(8)},
    **{f"mm{i}": RegisterName("mmx", 64, i) for i in range(8)},
    **{f"xmm{i}": RegisterName("xmm", 128, i) for i in range(8)},
    "st": RegisterName("x87", 80, 0),
    **{f"st{i}": RegisterName("x87", 80, i) for i in range(8)},
}

REGISTERS_64 = frozenset(
    ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "rip", "sil", "dil", "bpl", "spl"]
    + [f"r{i}{s}" for i in range(8, 16) for s in ("", "d", "w", "b")]
)
"""Registers that a 32-bit processor has not; naming one deserves a better answer than "unknown symbol"."""

SIZES: dict[str, int] = {
    "byte": 8,
    "word": 16,
    "dword": 32,
    "fword": 48,
    "pword": 48,
    "qword": 64,
    "tbyte": 80,
    "tword": 80,
    "xword": 80,
    "oword": 128,
    "xmmword": 128,
}
SIZE_NAMES = {8: "byte", 16: "word", 32: "dword", 48: "fword", 64: "qword", 80: "tbyte", 128: "xmmword"}

RESERVED = frozenset({*SIZES, "ptr", "offset", "short", "near", "far"})

CONDITIONS: dict[str, int] = {
    "o": 0,
    "no": 1,
    **dict.fromkeys(("b", "c", "nae"), 2),
    **dict.fromkeys(("ae", "nb", "nc"), 3),
    **dict.fromkeys(("e", "z"), 4),
    **dict.fromkeys(("ne", "nz"), 5),
    **dict.fromkeys(("be", "na"), 6),
    **dict.fromkeys(("a", "nbe"), 7),
    "s": 8,
    "ns": 9,
    **dict.fromkeys(("p", "pe"), 10),
    **dict.fromkeys(("np", "po"), 11),
    **dict.fromkeys(("l", "nge"), 12),
    **dict.fromkeys(("ge", "nl"), 13),
    **dict.fromkeys(("le", "ng"), 14),
    **dict.fromkeys(("g", "nle"), 15),
}
_CANONICAL = ["o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g"]

ALIASES: dict[str, str] = {
    **{
        f"{stem}{cc}": f"{stem}{_CANONICAL[n]}"
        for stem in ("j", "set", "cmov")
        for cc, n in CONDITIONS.items()
    },
    "sal": "shl",
    "retn": "ret",
    "lret": "retf",
    "iret": "iretd",
    "iretl": "iretd",
    "pushf": "pushfd",
    "popf": "popfd",
    "pusha": "pushad",
    "popa": "popad",
    "pushal": "pushad",
    "popal": "popad",
    "pushfl": "pushfd",
    "popfl": "popfd",
    "fcomip": "fcompi",
    "fucomip": "fucompi",
    "xlat": "xlatb",
    "wait": "fwait",
    "loopz": "loope",
    "loopnz": "loopne",
    "setalc": "salc",
    "icebp": "int1",
    "cbtw": "cbw",
    "cwtl": "cwde",
    "cwtd": "cwd",
    "cltd": "cdq",
    "ud2a": "ud2",
}

PREFIXES: dict[str, int] = {
    "lock": 0xF0,
    "rep": 0xF3,
    "repe": 0xF3,
    "repz": 0xF3,
    "repne": 0xF2,
    "repnz": 0xF2,
    **dict.fromkeys(("data16", "data32", "o16", "o32"), 0x66),
    **dict.fromkeys(("addr16", "addr32", "a16", "a32"), 0x67),
}
SEGMENT_PREFIX = {"es": 0x26, "cs": 0x2E, "ss": 0x36, "ds": 0x3E, "fs": 0x64, "gs": 0x65}

COMMON_MNEMONICS = words(
    """
    mov add sub adc sbb and or xor not neg inc dec cmp test lea push pop pushad popad pushfd popfd
    call ret jmp int iret hlt cli sti cld std nop in out lgdt lidt ltr lldt sgdt sidt sldt str smsw
    lmsw invlpg wbinvd cpuid rdmsr wrmsr rdtsc mul imul div idiv shl shr sar rol ror movzx movsx xchg
    cmpxchg xadd bsf bsr bt bts btr btc movsb movsw movsd stosb stosw stosd lodsb lodsw lodsd cmpsb
    scasb insb insw insd outsb outsw outsd loop je jne ja jae jb jbe jg jge jl jle jz jnz jc jnc js
    jns leave enter clts cdq cwde retf
    """
)
"""The mnemonics that kernels are full of, to be proposed before any others."""
