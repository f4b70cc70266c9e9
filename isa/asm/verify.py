"""Reading every encoding back, to compare what was asked for with what came out.

Here: `check`, which wants exactly one instruction of exactly the given length whose mnemonic and
operands say what the source said. Keystone silently encodes some forms as something else (a 16-bit
`lgdt`, an index register that is none), so nothing leaves the encoder unread.

The comparison works on parts, not on text: register names, numbers modulo the width of the operand,
base, index, scale, displacement and segment of an address. Where the decoder shows operands that
nobody writes (`stosd`), or hides some that people do (`fadd st(0), st(1)`), what was written must be
found among what is shown or be one of the implied registers.
"""

from __future__ import annotations

from typing import Any

from isa.asm.diagnostics import Problem
from isa.asm.engines import DEFAULT_SEGMENT, Decoded, decode
from isa.asm.names import ALIASES, words
from isa.asm.operands import Far, Imm, Mem, Reg, Resolved

_COMMUTATIVE = frozenset({"xchg", "test"})
_IMPLIED = frozenset({"st(0)", "al", "ax", "eax", "dx", "cl", "ecx", "edx", "xmm0"})
# What the decoder calls by another name than the one written.
_OTHER_NAMES: dict[str, frozenset[str]] = {
    "ljmp": frozenset({"ljmp", "jmp"}),
    "lcall": frozenset({"lcall", "call"}),
    "jmp": frozenset({"ljmp", "jmp"}),
    "call": frozenset({"lcall", "call"}),
    "iretw": frozenset({"iret", "iretd", "iretw"}),
    "pushfw": frozenset({"pushf", "pushfd", "pushfw"}),
    "popfw": frozenset({"popf", "popfd", "popfw"}),
    "pushaw": frozenset({"pushaw", "pushad"}),
    "popaw": frozenset({"popaw", "popad"}),
    "xchg": frozenset({"xchg", "nop"}),
    "movabs": frozenset({"mov"}),
    "fwait": frozenset({"wait", "fwait"}),
    "retw": frozenset({"ret"}),
    "sysretl": frozenset({"sysret"}),
}
# Memory operands whose size the decoder states differently from the manual.
_SIZELESS = words(
    """
    lea lgdt lidt sgdt sidt lds les lfs lgs lss bound jmp call ljmp lcall invlpg fxsave fxrstor fnsave
    frstor fnstenv fldenv nop prefetchnta prefetcht0 prefetcht1 prefetcht2 prefetchw prefetch clflush
    """
)


def check(
    code: bytes, mnemonic: str, operands: tuple[Resolved, ...], instructions: int = 1, bits: int = 32
) -> None:
    """Raise a `Problem` unless `code` reads back as what was asked for, as code of that many bits."""
    seen = decode(code, bits)
    if len(seen) != instructions or sum(d.length for d in seen) != len(code):
        raise _mismatch(mnemonic, code, seen)
    last = seen[-1]
    wanted = ALIASES.get(mnemonic, mnemonic)
    if last.mnemonic not in _OTHER_NAMES.get(wanted, (wanted,)):
        raise _mismatch(mnemonic, code, seen)
    parts = _parts(operands)
    shown = last.operands
    if len(parts) == len(shown):
        same = all(_same(p, s, mnemonic) for p, s in zip(parts, shown, strict=True))
        if not same and mnemonic in _COMMUTATIVE:
            same = all(_same(p, s, mnemonic) for p, s in zip(parts, shown[::-1], strict=True))
        if same or _implied_only(parts, shown, mnemonic):
            return
    elif _implied_only(parts, shown, mnemonic):
        return
    raise _mismatch(mnemonic, code, seen)


def _parts(operands: tuple[Resolved, ...]) -> list[Resolved]:
    """A far pointer counts as two numbers, as the decoder shows it."""
    out: list[Resolved] = []
    for operand in operands:
        if isinstance(operand, Far):
            out += [Imm(operand.selector, 16), Imm(operand.offset, operand.size or 32)]
        else:
            out.append(operand)
    return out


def _implied_only(parts: list[Resolved], shown: tuple[tuple[Any, ...], ...], mnemonic: str) -> bool:
    """Whether each part is shown, or need not be."""
    if len(parts) == len(shown) and not mnemonic.startswith("f"):
        return False
    for part in parts:
        if any(_same(part, s, mnemonic) for s in shown):
            continue
        if isinstance(part, Reg) and part.name in _IMPLIED:
            continue
        if isinstance(part, Imm) and part.value == 1:
            continue
        return False
    return True


def _same(part: Resolved, shown: tuple[Any, ...], mnemonic: str) -> bool:
    if isinstance(part, Reg):
        return shown == ("reg", part.name)
    if isinstance(part, Imm):
        width = part.size or 32
        return bool(shown[0] == "imm" and (shown[1] - part.value) % (1 << width) == 0)
    if isinstance(part, Mem) and shown[0] == "mem":
        return _same_address(part, shown, mnemonic)
    return False


def _same_address(part: Mem, shown: tuple[Any, ...], mnemonic: str) -> bool:
    _, base, index, scale, disp, segment, size = shown
    width = part.address or 32
    if (disp - part.disp) % (1 << width):
        return False
    wanted = (part.base, part.scaled, part.scale if part.scaled else 1)
    if (base, index, scale if index else 1) != wanted and not (
        part.scale == 1 and part.scaled and (index, base) == (part.base, part.scaled)
    ):
        return False
    default = DEFAULT_SEGMENT.get(part.base, "ds")
    if (segment or default) != (part.segment or default):
        return False
    return not part.size or mnemonic in _SIZELESS or not size or size == part.size


def _mismatch(mnemonic: str, code: bytes, seen: list[Decoded]) -> Problem:
    text = "; ".join(d.text for d in seen) or "nothing"
    return Problem(
        f"`{mnemonic}` cannot be encoded with these operands",
        hint=f"the nearest encoding, {code.hex(' ')}, would mean: {text}",
    )
