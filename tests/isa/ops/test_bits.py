"""Bits outside their operand, and sources that have none."""

import pytest
from bare_cpu import DATA, Bare, after

from isa.consts import CF, VEC_GP, ZF
from isa.state import FLAT_DATA


@pytest.mark.parametrize(
    ("bit", "at", "mask"), [(0, 0, 1), (31, 0, 1 << 31), (32, 4, 1), (-1, -4, 1 << 31), (-33, -8, 1 << 31)]
)
def test_a_bit_number_in_a_register_reaches_outside_the_operand(bit, at, mask):
    bare = after("0fab03", ebx=DATA, eax=bit & 0xFFFF_FFFF)  # bts [ebx], eax
    assert bare.peek(DATA + at) == mask and not bare.flag(CF)


def test_a_bit_number_of_16_bits_is_signed_too():
    bare = after("660fab03", ebx=DATA, eax=0xFFFF)
    assert bare.peek(DATA - 2, 2) == 0x8000


def test_an_immediate_bit_number_counts_modulo_the_operand():
    bare = after("0fba2b25", ebx=DATA)  # bts dword [ebx], 37
    assert bare.peek(DATA) == 1 << 5


def test_btr_checks_for_writing_before_it_reads():
    bare = Bare("0fb303", ebx=DATA, ds_attr=FLAT_DATA & ~2)
    fault = bare.step()
    assert fault is not None and fault.vector == VEC_GP


@pytest.mark.parametrize("code", ["0fbcc1", "0fbdc1", "f30fbcc1", "f30fbdc1"])
def test_a_scan_of_zero_sets_zf_and_keeps_the_destination(code):
    bare = after(code, eax=0x1234, ecx=0)
    assert (bare["eax"], bare.flag(ZF)) == (0x1234, True)


def test_bsr_with_f3_is_not_lzcnt_here():
    assert after("f30fbdc1", ecx=0x10)["eax"] == 4
