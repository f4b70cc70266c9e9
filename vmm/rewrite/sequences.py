"""The sequences that stand for one guest instruction each. Here is every helper instruction there is.

The flags are the guest's at all times, so sums are LEA, tests are JECXZ, and nothing is compared. What can
fault is a guest access and comes while the guest's state can still be told; after the first change the
sequence runs to its end (`Hold.MIDDLE`). POPF alone may use the flags, for it replaces them.

    sti      mov gs:[door], ecx         traps while an interrupt waits
             mov ecx, gs:[if]           to know, at a stop right behind, whether IF was clear
             mov gs:[before], ecx
             mov gs:[if], 200h
             mov ecx, gs:[door]         counts
    ret      mov gs:[spill], ecx
             pop ecx
             mov gs:[target], ecx
             movzx ecx, cl
             jmp gs:[table + ecx*4]     to the landing of the target, where it is compared; AA 3.5
"""

from __future__ import annotations

from isa import consts as c
from isa.insn import Insn, Kind
from vmm.rewrite import code as a
from vmm.rewrite import kinds as k
from vmm.rewrite.cells import (
    CONTROL_CELLS,
    DOOR,
    HITS,
    IF_BEFORE,
    IF_CELL,
    OTHER_FLAGS,
    SELECTOR_CELLS,
    SPILL_ECX,
    TABLE,
    TARGET,
)  # fmt: skip
from vmm.rewrite.code import ECX, EDX, Hold, Leave, Piece

_PREFIXES = frozenset({0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3})
NEAR_JUMP = len(a.JUMP)


def identical(i: Insn, eip: int) -> list[Piece]:
    """The guest's own bytes."""
    return [Piece(i.raw, eip, counts=True)]


def call_out(eip: int) -> list[Piece]:
    """INT3 in place of the instruction: the monitor emulates it, which counts it."""
    return [Piece(a.INT3, eip, leave=Leave.CALL_OUT)]


def rewritten(i: Insn, eip: int) -> list[Piece]:
    """The same with a cell of the monitor's in place of the real register."""
    if i.row == k.PUSH_SEG:
        return [Piece(a.push_cell(SELECTOR_CELLS[i.dst.n]), eip, counts=True)]
    cells = CONTROL_CELLS if i.row == k.MOV_CR else SELECTOR_CELLS
    return [Piece(a.load(i.dst.n, cells[i.src.n]), eip, counts=True)]


def chained(i: Insn, eip: int) -> list[Piece]:
    """Direct control transfers, to what stands in the cache for their targets."""
    following = (eip + i.length) & c.M32
    target = (following + i.dst.value) & c.M32
    if i.row == k.CALL:
        return [
            Piece(a.push(following), eip),
            Piece(a.JUMP, eip, Hold.MIDDLE, counts=True, target=target),
        ]
    if i.row == k.JMP:
        return [Piece(a.JUMP, eip, counts=True, target=target)]
    fall = Piece(a.JUMP, following, target=following)
    if i.row == k.JCC:
        return [Piece(bytes((0x0F, 0x80 | i.cc)) + bytes(4), eip, counts=True, target=target), fall]
    around = Piece(i.raw[:-1] + bytes((NEAR_JUMP,)), eip, counts=True)  # LOOP, JECXZ: over the next jump
    return [around, fall, Piece(a.JUMP, target, target=target)]


def in_cache(i: Insn, eip: int) -> list[Piece]:
    """What is emulated without leaving the cache."""
    if i.row == k.CLI:
        return [Piece(a.set_cell(IF_CELL, 0), eip, counts=True)]
    if i.row == k.STI:
        return _sti(eip)
    if i.row == k.PUSHF:
        return _pushf(eip)
    if i.row == k.POPF:
        return _popf(eip)
    return _indirect(i, eip)


def _sti(eip: int) -> list[Piece]:
    return [
        Piece(a.store(ECX, DOOR), eip),
        Piece(a.load(ECX, IF_CELL), eip),
        Piece(a.store(ECX, IF_BEFORE), eip, Hold.MIDDLE),
        Piece(a.set_cell(IF_CELL, c.IF), eip, Hold.MIDDLE),
        Piece(a.load(ECX, DOOR), eip, Hold.MIDDLE, counts=True),
    ]


def _pushf(eip: int) -> list[Piece]:
    """The real image has IF set and IOPL 0; the virtual IF and the rest are put in by addition."""
    middle = (
        a.SPILL, a.ECX_FROM_STACK, a.SPILL_SECOND,
        a.load(EDX, IF_CELL), a.add_ecx_edx(-c.IF),
        a.load(EDX, OTHER_FLAGS), a.add_ecx_edx(),
        a.ECX_TO_STACK, a.UNSPILL_SECOND,
    )  # fmt: skip
    return [
        Piece(a.PUSHFD, eip),
        *(Piece(bytes_, eip, Hold.MIDDLE) for bytes_ in middle),
        Piece(a.UNSPILL, eip, Hold.MIDDLE, counts=True),
    ]


def _popf(eip: int) -> list[Piece]:
    """Out if the image, or the guest as it is, has IOPL, or if TF would start to step; else the real POPF,
    which leaves the real IF and IOPL alone, and IF goes to its cell."""
    test = b"\xf7\xc1" + a.word(c.IOPL | c.TF | c.VIF | c.VIP)
    or_others = a.GS + b"\x0b\x0d" + a.word(OTHER_FLAGS)
    and_if = b"\x81\xe1" + a.word(c.IF)
    return [
        Piece(a.store(ECX, DOOR), eip),
        Piece(a.SPILL, eip),
        Piece(a.ECX_FROM_STACK, eip),
        Piece(or_others, eip, Hold.SPILLED),
        Piece(test, eip, Hold.SPILLED),
        Piece(a.SKIP_INT3_IF_ZERO, eip, Hold.SPILLED),
        Piece(a.INT3, eip, Hold.SPILLED, leave=Leave.CALL_OUT),
        Piece(and_if, eip, Hold.MIDDLE),
        Piece(a.store(ECX, IF_CELL), eip, Hold.MIDDLE),
        Piece(a.UNSPILL, eip, Hold.MIDDLE),
        Piece(a.POPFD, eip, Hold.MIDDLE, counts=True),
    ]


def _indirect(i: Insn, eip: int) -> list[Piece]:
    """RET, and JMP and CALL through a register or memory. The landing has the piece that counts."""
    if i.row == k.RET:
        pieces = [Piece(a.SPILL, eip), Piece(a.POP_ECX, eip)]
        if i.operands:
            pieces.append(Piece(a.add_esp(i.dst.value), eip, Hold.MIDDLE))
    else:
        pieces = [Piece(a.SPILL, eip), Piece(_read_target(i), eip)]
        if i.row == k.CALL:
            pieces.append(Piece(a.push((eip + i.length) & c.M32), eip, Hold.SPILLED))
    return [
        *pieces,
        Piece(a.store(ECX, TARGET), eip, Hold.MIDDLE),
        Piece(a.ECX_LOW_BYTE, eip, Hold.MIDDLE),
        Piece(a.jump_table(TABLE), eip, Hold.MIDDLE),
    ]


def _read_target(i: Insn) -> bytes:
    """`jmp r/m` and `call r/m` as `mov ecx, r/m`: another opcode, the same ModR/M but for its middle."""
    at = next(n for n, byte in enumerate(i.raw) if byte not in _PREFIXES)
    assert i.raw[at] == 0xFF and i.dst.kind in (Kind.REG32, Kind.MEM)
    return i.raw[:at] + bytes((0x8B, i.raw[at + 1] & 0xC7 | ECX << 3)) + i.raw[at + 2 :]


def landing(eip: int) -> list[Piece]:
    """Where an indirect jump through the table arrives: is it this target? Then on, counted; else a miss."""
    code = (
        a.load(ECX, TARGET), a.add_ecx(-eip), a.SKIP_INT3_IF_ECX_ZERO, a.INT3,
        a.load(ECX, HITS), a.add_ecx(1), a.store(ECX, HITS), a.load(ECX, SPILL_ECX),
    )  # fmt: skip
    pieces = [Piece(bytes_, eip, Hold.MIDDLE) for bytes_ in code]
    pieces[3].leave = Leave.MISS
    return [*pieces, Piece(a.JUMP, eip, Hold.MIDDLE, counts=True, target=eip)]
