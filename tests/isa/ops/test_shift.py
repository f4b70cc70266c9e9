"""Counts: masked to five bits, and 0 changes nothing at all."""

import pytest
from bare_cpu import DATA, after

from isa.consts import ARITHMETIC, CF, FLAGS_ONE

ALL_FLAGS = ARITHMETIC | FLAGS_ONE


@pytest.mark.parametrize("group", range(8))
@pytest.mark.parametrize("eflags", [FLAGS_ONE, ALL_FLAGS])
def test_a_count_of_zero_changes_no_flag(group, eflags):
    bare = after(f"d3{0xC0 | group << 3:02x}", eax=0x8000_0001, ecx=0x20, eflags=eflags)
    assert (bare["eax"], bare["eflags"]) == (0x8000_0001, eflags)


@pytest.mark.parametrize(("code", "result"), [("d2c0", 0x42), ("d2c8", 0x90), ("d2d0", 0x21), ("d2d8", 0x21)])
def test_a_byte_goes_round_after_eight_turns_and_with_carry_after_nine(code, result):
    assert after(code, eax=0x21, ecx=9)["eax"] == result


def test_a_byte_shifted_by_its_width_moves_its_lowest_bit_into_cf():
    bare = after("c0e008", eax=0xFF)
    assert bare["eax"] == 0 and bare.flag(CF)


def test_sar_by_more_than_the_width_fills_with_the_sign():
    bare = after("c0f81f", eax=0x80)
    assert bare["eax"] == 0xFF and bare.flag(CF)


def test_shld_fills_from_the_second_operand():
    assert after("0fa4d808", eax=0x12345678, ebx=0xABCDEF01)["eax"] == 0x345678AB


def test_a_shift_of_memory_by_zero_writes_nothing():
    bare = after("d323", ebx=DATA, ecx=0)
    assert bare.peek(DATA) == 0
