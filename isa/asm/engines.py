"""The two engines behind the assembler: keystone encodes one instruction, capstone reads it back.

Here: one keystone and one capstone per process, made when first needed (their imports cost tens of
milliseconds), and the guard around keystone. Keystone hangs, crashes or drops text when it is fed
what a person wrote, so it only ever sees text that this package wrote itself: a mnemonic that
capstone knows, registers, and literals in hexadecimal. Prefixes and string instructions never reach
it. Anything but bytes for exactly one instruction counts as a refusal.

Why literals are always `0x…`: setting any option makes keystone read plain decimals as hexadecimal,
https://github.com/keystone-engine/keystone/issues/436 and pull request 382; without an option the
radix is uninitialised memory (pull request 608). `radix_canary` tells which one is live.
Read next: `encoder.py`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

from isa.asm.names import ALIASES, SEGMENT_PREFIX

_SAFE_TEXT = re.compile(r"[a-z][a-z0-9]{1,15}( [a-z0-9 ,+*()\[\]-]*)?$")
# Keystone dies of odd operands of string instructions and loops on prefixes; both are encoded here.
_FORBIDDEN = frozenset(
    [
        "lock",
        "rep",
        "repe",
        "repz",
        "repne",
        "repnz",
        "data16",
        "data32",
        "addr16",
        "addr32",
        "cs",
        "ds",
        "es",
        "ss",
        "fs",
        "gs",
        "xacquire",
        "xrelease",
        "bnd",
    ]
    + [
        f"{s}{w}"
        for s in ("movs", "cmps", "stos", "lods", "scas", "ins", "outs")
        for w in ("", "b", "w", "l", "q")
    ]
)


class EngineError(Exception):
    """The encoder or decoder cannot be loaded: a broken installation, not a mistake in the source."""


@cache
def keystone() -> Any:
    """The encoder, in plain 32-bit mode. No option is ever set on it."""
    try:
        import keystone as module
    except (ImportError, OSError) as error:
        # Its own fallback imports distutils, which is gone, and hides the real cause.
        raise EngineError(f"keystone-engine cannot be loaded: {error}") from error
    return module.Ks(module.KS_ARCH_X86, module.KS_MODE_32)


@cache
def capstone(bits: int = 32) -> Any:
    """The decoder for code of 16 or 32 bits, with details."""
    try:
        import capstone as module
    except (ImportError, OSError) as error:
        raise EngineError(f"capstone cannot be loaded: {error}") from error
    engine = module.Cs(module.CS_ARCH_X86, module.CS_MODE_32 if bits == 32 else module.CS_MODE_16)
    engine.detail = True
    return engine


@cache
def mnemonics() -> frozenset[str]:
    """Every mnemonic that the decoder has a name for."""
    engine = capstone()
    names = {"faddp"}  # it passes for a kind of fadd there
    for number in range(1, 4096):
        name = engine.insn_name(number)
        if name is None:
            break
        names.add(name)
    return frozenset(n for n in names if n.isalnum() and n == n.lower())


def keystone_bytes(text: str) -> bytes | None:
    """The bytes of one instruction written by `encoder.py`, or `None` if keystone refuses it."""
    if not _SAFE_TEXT.match(text) or text.split(" ", 1)[0] in _FORBIDDEN:
        return None
    engine = keystone()
    import keystone as module

    try:
        code, count = engine.asm(text, 0, True)
    except module.KsError:
        return None
    return bytes(code) if code and count == 1 else None


def radix_canary() -> int:
    """What keystone takes `mov eax, 16` for: 16, or 22 if its radix is hexadecimal."""
    code, _ = keystone().asm("mov eax, 16", 0, True)
    return int.from_bytes(bytes(code)[1:5], "little")


# --------------------------------------------------------------------------------- reading back


class Decoded(NamedTuple):
    """What the decoder made of some bytes, in names and numbers."""

    mnemonic: str
    operands: tuple[tuple[Any, ...], ...]
    length: int
    text: str


def decode(code: bytes, bits: int = 32) -> list[Decoded]:
    """All instructions in `code`. Bytes that are no instruction end the list."""
    return [_record(insn) for insn in capstone(bits).disasm(code, 0)]


def _record(insn: Any) -> Decoded:
    import capstone.x86 as x86

    words = insn.mnemonic.split()
    name = words[-1] if words else ""
    operands: list[tuple[Any, ...]] = []
    for op in insn.operands:
        if op.type == x86.X86_OP_REG:
            operands.append(("reg", insn.reg_name(op.reg)))
        elif op.type == x86.X86_OP_IMM:
            operands.append(("imm", op.imm))
        else:
            mem = op.mem
            operands.append(
                (
                    "mem",
                    insn.reg_name(mem.base) if mem.base else "",
                    insn.reg_name(mem.index) if mem.index else "",
                    mem.scale,
                    mem.disp,
                    insn.reg_name(mem.segment) if mem.segment else "",
                    op.size * 8,
                )
            )
    return Decoded(
        ALIASES.get(name, name), tuple(operands), insn.size, f"{insn.mnemonic} {insn.op_str}".strip()
    )


DEFAULT_SEGMENT = {"esp": "ss", "ebp": "ss", "bp": "ss"}


def segment_bytes(segment: str, base: str) -> bytes:
    """The prefix for a segment override, or nothing where it changes nothing."""
    if not segment or segment == DEFAULT_SEGMENT.get(base, "ds"):
        return b""
    return bytes([SEGMENT_PREFIX[segment]])
