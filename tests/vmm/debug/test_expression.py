"""Expressions: what they may say, what they are worth, and that no text breaks them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm.debug.expression import ExpressionError, evaluate

NAMES = {"eax": 0x1234_5678, "esp": 0x1000, "main": 0x10_0000, "read_flags.off": 7}
MEMORY = {0x1000: b"\x78\x56\x34\x12", 0x1004: b"\xff\xfe\x00\x00"}


class Scope:
    def value(self, name: str) -> int | None:
        return NAMES.get(name)

    def suggestion(self, name: str) -> str:
        return "; did you mean `main`?" if name == "mian" else ""

    def memory(self, address: int, size: int) -> bytes | None:
        return MEMORY[address][:size] if address in MEMORY else None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0x1f", 31),
        ("1fh", 31),
        ("0b101", 5),
        ("31", 31),
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("7 - 2 - 1", 4),
        ("-1", 0xFFFF_FFFF),
        ("~0", 0xFFFF_FFFF),
        ("0xffffffff + 1", 0),
        ("1 << 31", 0x8000_0000),
        ("1 << 40", 0),
        ("0x80000000 >> 31", 1),
        ("eax & 0xff | 0x100", 0x178),
        ("2 + 2 == 4 && !(1 > 2)", 1),
        ("1 == 2 || 3 != 3", 0),
        ("eax & 0xff == 0x78", 1),
        ("main + 4", 0x10_0004),
        ("read_flags.off", 7),
        ("[esp]", 0x1234_5678),
        ("word [esp]", 0x5678),
        ("byte ptr [esp + 4]", 0xFF),
        ("dword[esp]", 0x1234_5678),
        ("[[esp] - 0x12344678]", 0x1234_5678),
    ],
)
def test_an_expression_is_worth_what_its_signs_say(text: str, value: int) -> None:
    assert evaluate(text, Scope()) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing"),
        ("1 +", "too early"),
        ("(1", "`)` is missing"),
        ("[esp", "`]` is missing"),
        ("1 2", "`2` is not expected"),
        ("mian", "did you mean `main`"),
        ("[0]", "nothing is mapped at 0x00000000"),
        ("0x1_0000_0000", "not understood"),
        ("0x100000000", "more than 32 bits"),
        ("`ls`", "not understood"),
        ("__import__", "neither a register nor a symbol"),
        ("(" * 5000, "nested too deeply"),
    ],
)
def test_a_mistake_in_an_expression_is_told(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message.replace("(", r"\(").replace(")", r"\)")):
        evaluate(text, Scope())


@given(st.text(alphabet="0x1fh ()[]+-*&|^~!<>=eaxspmain.word", max_size=30))
def test_any_text_is_a_number_or_an_error_for_people(text: str) -> None:
    try:
        assert 0 <= evaluate(text, Scope()) < 1 << 32
    except ExpressionError as error:
        assert str(error)
