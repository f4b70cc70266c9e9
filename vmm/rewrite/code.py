"""The pieces of a translation: each a machine instruction in the cache, and what it means there.

A piece knows the guest instruction it belongs to and how far the guest's registers are its own at that
point (`Hold`), so that wherever the processor comes back, the guest's exact state can be told. Exactly one
piece of a sequence counts as the guest's instruction. Encodings are spelled out here, once; as text they
are shown by the disassembler like any other code. Next: `sequences`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from vmm.rewrite.cells import SPILL_ECX, SPILL_EDX


class Hold(Enum):
    """Whose the registers are before a piece executes."""

    GUEST = "the guest's, before its instruction"
    SPILLED = "ECX is spilled, all else is the guest's"
    MIDDLE = "the instruction has begun and must be finished"


class Leave(Enum):
    """Why a planted INT3 leaves the cache."""

    CALL_OUT = "the monitor emulates the guest's instruction"
    EXIT = "the code that follows has no translation yet, or is not chained"
    MISS = "an indirect target is not in the table"


@dataclass(slots=True)
class Piece:
    """One instruction of a translation.

    `eip` is the guest instruction it belongs to. `target` names the guest address that a relative jump
    leads to; its last four bytes are the displacement.
    """

    code: bytes
    eip: int
    hold: Hold = Hold.GUEST
    counts: bool = False
    leave: Leave | None = None
    target: int | None = None
    after_sti: bool = False  # reached only from an STI


INT3, NOP = b"\xcc", b"\x90"
JUMP = b"\xe9\0\0\0\0"
GS = b"\x65"
ECX, EDX = 1, 2


def word(value: int) -> bytes:
    return (value & 0xFFFF_FFFF).to_bytes(4, "little")


def load(register: int, cell: int) -> bytes:
    """mov register, gs:[cell]"""
    return GS + bytes((0x8B, 0x05 | register << 3)) + word(cell)


def store(register: int, cell: int) -> bytes:
    """mov gs:[cell], register"""
    return GS + bytes((0x89, 0x05 | register << 3)) + word(cell)


def set_cell(cell: int, value: int) -> bytes:
    """mov dword ptr gs:[cell], value"""
    return GS + b"\xc7\x05" + word(cell) + word(value)


def push_cell(cell: int) -> bytes:
    """push dword ptr gs:[cell]"""
    return GS + b"\xff\x35" + word(cell)


def push(value: int) -> bytes:
    """push value"""
    return b"\x68" + word(value)


def add_ecx(value: int) -> bytes:
    """lea ecx, [ecx + value]: an addition that keeps the flags"""
    return b"\x8d\x89" + word(value)


def add_esp(value: int) -> bytes:
    """lea esp, [esp + value]"""
    return b"\x8d\xa4\x24" + word(value)


def add_ecx_edx(value: int = 0) -> bytes:
    """lea ecx, [ecx + edx + value]"""
    return b"\x8d\x8c\x11" + word(value)


def jump_table(table: int) -> bytes:
    """jmp dword ptr gs:[table + ecx*4]"""
    return GS + b"\xff\x24\x8d" + word(table)


SPILL = store(ECX, SPILL_ECX)
UNSPILL = load(ECX, SPILL_ECX)
SPILL_SECOND = store(EDX, SPILL_EDX)
UNSPILL_SECOND = load(EDX, SPILL_EDX)
POP_ECX = b"\x59"
ECX_FROM_STACK = b"\x8b\x0c\x24"
ECX_TO_STACK = b"\x89\x0c\x24"
ECX_LOW_BYTE = b"\x0f\xb6\xc9"  # movzx ecx, cl
PUSHFD, POPFD = b"\x9c", b"\x9d"
SKIP_INT3_IF_ZERO = b"\x74\x01"
SKIP_INT3_IF_ECX_ZERO = b"\xe3\x01"
