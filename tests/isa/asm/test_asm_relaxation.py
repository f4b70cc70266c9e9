"""Jumps take the shortest form that reaches, and everything behind them moves accordingly."""

from __future__ import annotations

import random

import pytest

from isa.asm import AsmError, assemble
from isa.asm.engines import decode


@pytest.mark.parametrize(
    ("distance", "expected"),
    [(127, "eb 7f"), (128, "e9 80 00 00 00")],
)
def test_a_jump_forwards_is_short_up_to_127(distance: int, expected: str) -> None:
    image = assemble(f"jmp end\n.space {distance}\nend: nop").image
    assert image.startswith(bytes.fromhex(expected))


@pytest.mark.parametrize(("distance", "expected"), [(126, "74 80"), (127, "0f 84 7b ff ff ff")])
def test_a_jump_backwards_is_short_down_to_minus_128(distance: int, expected: str) -> None:
    image = assemble(f"top: .space {distance}\nje top").image
    assert image[distance:].hex(" ") == expected


def test_a_jump_that_grows_may_push_another_out_of_reach() -> None:
    source = "jmp a\njmp b\n.space 123\na: nop\n.space 4\nb: nop"
    assert assemble(source).image[:10].hex(" ") == "e9 80 00 00 00 e9 80 00 00 00"


def test_the_reach_may_be_written() -> None:
    assert assemble("jmp near end\nend: nop").image[0] == 0xE9
    assert assemble("jmp short end\nend: nop").image[0] == 0xEB


def test_a_call_is_always_near() -> None:
    assert assemble("call f\nf: ret").image.hex(" ") == "e8 00 00 00 00 c3"


def test_a_jump_to_a_number_goes_to_that_address() -> None:
    assert assemble("jmp 0x100010", origin=0x100000).image.hex(" ") == "eb 0e"
    assert assemble("call 0", origin=0x100000).image.hex(" ") == "e8 fb ff ef ff"
    assert assemble("jmp 0", origin=0xFFFFFFF0).image.hex(" ") == "eb 0e"


def test_alignment_follows_the_jumps_before_it() -> None:
    program = assemble("jmp far_end\n.align 16\nx: .space 200\nfar_end: nop", origin=0)
    assert program.symbols["x"] == 16
    assert program.image[5:16] == b"\x90" * 11


def test_a_long_chain_of_jumps_settles() -> None:
    count = 300
    source = "".join(f"l{i}: jmp l{min(i + 42, count)}\n" for i in range(count)) + f"l{count}: nop"
    program = assemble(source, origin=0)
    for i in range(0, count, 17):
        at = program.symbols[f"l{i}"]
        (insn, *_) = decode(program.image[at : at + 5])
        target = (at + insn.operands[0][1]) & 0xFFFFFFFF
        assert target == program.symbols[f"l{min(i + 42, count)}"]


@pytest.mark.parametrize("seed", range(5))
def test_random_jumps_land_on_their_labels_and_no_short_one_is_missed(seed: int) -> None:
    rng = random.Random(seed)
    count = 120
    lines = []
    for i in range(count):
        lines.append(f"l{i}: {rng.choice(['jmp', 'je', 'jg', 'call'])} l{rng.randrange(count)}")
        lines.append(f".space {rng.randrange(12)}")
    program = assemble("\n".join(lines), origin=0x8000)
    for line, jump in zip(program.lines, [r for r in lines if "space" not in r], strict=False):
        assert line.length in (2, 5, 6) or "space" in line.text, jump
    for line in program.lines:
        if "space" in line.text:
            continue
        at = line.address - 0x8000
        (insn,) = decode(program.image[at : at + line.length])
        target = program.symbols[line.text.split()[-1]]
        assert (insn.operands[0][1] + line.address) & 0xFFFFFFFF == target
        if line.length > 2 and "call" not in line.text:
            assert not -100 <= target - line.address <= 100


def test_room_that_depends_on_itself_is_an_error() -> None:
    with pytest.raises(AsmError, match=r"never settle|larger than"):
        assemble(".space end - $$ + 1\nend: nop")


def test_values_of_labels_are_filled_in_wherever_they_stand() -> None:
    program = assemble(
        "start: mov eax, [table + ebx*4]\nmov dword [count], end - start\npush table\n"
        "cmp byte [flag], flag - count\n"
        "mov ax, end - start\ntable: dd start, end\ncount: dd 0\nflag: db 0\nend:",
        origin=0x1000,
    )
    s = program.symbols
    texts = [d.text for d in decode(program.image[: s["table"] - 0x1000])]
    size = s["end"] - s["start"]
    assert texts == [
        f"mov eax, dword ptr [ebx*4 + {s['table']:#x}]",
        f"mov dword ptr [{s['count']:#x}], {size:#x}",
        f"push {s['table']:#x}",
        f"cmp byte ptr [{s['flag']:#x}], 4",
        f"mov ax, {size:#x}",
    ]


def test_a_label_that_does_not_fit_its_place_is_an_error() -> None:
    with pytest.raises(AsmError, match="does not fit in 8 bits"):
        assemble("mov al, x\nx: nop")
    with pytest.raises(AsmError, match="does not fit in 16 bits"):
        assemble("x: dw x")
