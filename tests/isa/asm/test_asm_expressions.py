"""Numbers, operators and names, and the integers they come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isa.asm import AsmError, assemble


def value(text: str, before: str = "") -> int:
    """What an expression is worth, as a signed 64-bit number."""
    program = assemble(f"{before}\nx: .quad {text}\n", origin=0)
    at = program.symbols["x"]
    return int.from_bytes(program.image[at : at + 8], "little", signed=True)


NUMBERS = {
    "10": 10,
    "0x10": 16,
    "0X1F": 31,
    "10h": 16,
    "0ffh": 255,
    "0FFH": 255,
    "0b101": 5,
    "101b": 5,
    "0o17": 15,
    "17o": 15,
    "1_000": 1000,
    "0xff_ff": 65535,
    "0b1111_0000": 240,
    "1111_0000b": 240,
    "'A'": 65,
    "'\\n'": 10,
    "'\\x41'": 65,
    "'ab'": 0x6261,
    "0": 0,
    "00": 0,
    "07": 7,
    "0b": None,
}


@pytest.mark.parametrize(("text", "expected"), NUMBERS.items())
def test_a_number_means_the_same_in_every_spelling(text: str, expected: int | None) -> None:
    if expected is None:
        with pytest.raises(AsmError):
            value(text)
    else:
        assert value(text) == expected


EXPRESSIONS = {
    "1 + 2 * 3": 7,
    "(1 + 2) * 3": 9,
    "10 - 3 - 2": 5,
    "-7 / 2": -3,
    "-7 % 2": -1,
    "7 % 3": 1,
    "1 << 4 | 1": 17,
    "1 | 2 & 3 ^ 1": 3,
    "~0": -1,
    "!0 + !5": 1,
    "- - 5": 5,
    "-(3)": -3,
    "+4": 4,
    "-16 >> 2": -4,
    "1 == 1": 1,
    "1 != 1": 0,
    "1 <> 2": 1,
    "3 < 4 && 4 <= 4": 1,
    "5 > 6 || 6 >= 7": 0,
    "2 + 3 == 5 && 1": 1,
    "0x10 + 10h + 16": 48,
    "'Z' - 'A' + 1": 26,
    "1 << 3 + 1": 16,
}


@pytest.mark.parametrize(("text", "expected"), EXPRESSIONS.items())
def test_operators_bind_as_in_c(text: str, expected: int) -> None:
    assert value(text) == expected


@given(
    st.integers(-1000, 1000),
    st.integers(-1000, 1000),
    st.sampled_from(["+", "-", "*", "&", "|", "^", "<", ">", "<=", ">=", "==", "!="]),
)
def test_two_numbers_and_an_operator_agree_with_python(x: int, y: int, op: str) -> None:
    assert value(f"({x}) {op} ({y})") == int(eval(f"({x}) {op} ({y})"))


@given(st.integers(0, (1 << 63) - 1))
def test_a_number_survives_every_radix(n: int) -> None:
    assert value(str(n)) == value(hex(n)) == value(bin(n)) == value(oct(n)) == value(f"0{n:x}h") == n


def test_dot_and_dollar_are_the_start_of_the_statement() -> None:
    program = assemble("nop\n.long ., $, $$\n", origin=0x1000)
    words = [int.from_bytes(program.image[i : i + 4], "little") for i in (1, 5, 9)]
    assert words == [0x1001, 0x1001, 0x1000]


def test_a_name_for_here_keeps_its_place() -> None:
    program = assemble("nop\nhere = .\nnop\nnop\n.long here\n", origin=0x1000)
    assert program.constants["here"] == 0x1001
    assert program.image[-4:] == (0x1001).to_bytes(4, "little")


def test_differences_of_labels_are_numbers() -> None:
    assert value("(b - a) * 2", "a: .space 10\nb:") == 20


def test_a_constant_may_be_used_before_it_is_defined() -> None:
    assert assemble("add eax, SMALL\nSMALL = 5").image == b"\x83\xc0\x05"


def test_a_constant_defined_anew_means_its_latest_value_above() -> None:
    assert assemble("K = 1\n.byte K\nK = K + 1\n.byte K\n.set K, K * 10\n.byte K").image == bytes([1, 2, 20])


def test_equ_and_set_and_the_equals_sign_do_the_same() -> None:
    assert assemble(".equ A, 1\n.set B, 2\nC = 3\nD equ 4\n.byte A, B, C, D").image == bytes([1, 2, 3, 4])


def test_equiv_is_final() -> None:
    with pytest.raises(AsmError, match="defined twice"):
        assemble(".equiv A, 1\n.set A, 2\nnop")


def test_constants_from_outside_are_known() -> None:
    program = assemble(".ifdef PARA\n.byte PARA\n.endif\n.byte LEVEL", defines={"PARA": 1, "LEVEL": 7})
    assert program.image == bytes([1, 7])
    assert program.constants["LEVEL"] == 7


def test_numeric_labels_are_found_backwards_and_forwards() -> None:
    assert assemble("1: jmp 1f\n1: jmp 1b\n1: jmp 1b\njmp 1b").image == bytes.fromhex("eb00 ebfe ebfe ebfc")


def test_a_binary_number_is_no_reference_unless_there_is_such_a_label() -> None:
    assert assemble("mov al, 10b").image == b"\xb0\x02"
    assert assemble("10: jmp 10b").image == b"\xeb\xfe"


def test_a_local_label_belongs_to_the_label_above() -> None:
    program = assemble("a: nop\n.x: jmp .x\nb: nop\n.x: jmp .x\njmp a.x\n", origin=0)
    assert program.symbols == {"a": 0, "a.x": 1, "b": 3, "b.x": 4}
    assert program.image == bytes.fromhex("90 ebfe 90 ebfe ebf9")


def test_numbers_wrap_only_where_they_fit() -> None:
    assert assemble(".byte -1, 255, -128\n.word -1, 65535").image == bytes.fromhex("ffff80ffffffff")
    with pytest.raises(AsmError):
        assemble(".word 65536")


@pytest.mark.parametrize(
    "deep", ["(" * 500 + "1" + ")" * 500, "-" * 500 + "1", "x" + "+x" * 5000, "~" * 300 + "x"]
)
def test_an_endless_expression_is_an_error(deep: str) -> None:
    with pytest.raises(AsmError):
        assemble(f"x: .long {deep}")
