"""Repetition: one element at a time, state between two elements whenever something intervenes."""

from bare_cpu import CODE, DATA, Bare, after

from isa.consts import DF, FLAGS_ONE, VEC_GP, ZF
from isa.state import FLAT_DATA


def test_a_repetition_runs_one_element_per_execution():
    bare = after("f3aa", eax=0x41, ecx=3, edi=DATA)
    assert (bare["eip"], bare["ecx"], bare["edi"]) == (CODE, 2, DATA + 1)
    bare.step(2)
    assert (bare["eip"], bare["ecx"], bare.peek(DATA)) == (CODE + 2, 0, 0x414141)


def test_a_repetition_of_zero_does_nothing():
    bare = after("f3a5", ecx=0, esi=0xFFFF_FFFF, edi=0xFFFF_FFFF)
    assert (bare["eip"], bare["esi"]) == (CODE + 2, 0xFFFF_FFFF)


def test_a_fault_in_the_middle_leaves_the_registers_between_two_elements():
    bare = Bare("f3a5", ecx=4, esi=DATA, edi=0x100, es_limit=0x107, es_attr=FLAT_DATA & ~0x8000)
    fault = bare.step(4)
    assert fault is not None and fault.vector == VEC_GP
    assert (bare["ecx"], bare["esi"], bare["edi"], bare["eip"]) == (2, DATA + 8, 0x108, CODE)


def test_df_walks_downwards():
    bare = after("66ad", esi=DATA, eflags=FLAGS_ONE | DF)
    assert bare["esi"] == DATA - 2


def test_16_bit_addresses_wrap_and_keep_the_upper_halves():
    bare = after("67f3a4", ecx=0xAAAA_0001, esi=0xBBBB_FFFF, edi=0xCCCC_0000)
    assert (bare["ecx"], bare["esi"], bare["edi"]) == (0xAAAA_0000, 0xBBBB_0000, 0xCCCC_0001)


def test_repne_scas_stops_at_the_byte():
    bare = Bare("f2ae", eax=0x33, ecx=10, edi=DATA)
    bare.poke(DATA, 0x44332211)
    bare.step(3)
    assert (bare["ecx"], bare["edi"], bare["eip"], bare.flag(ZF)) == (7, DATA + 3, CODE + 2, True)


def test_repe_cmps_stops_at_the_difference():
    bare = Bare("f3a6", ecx=10, esi=DATA, edi=DATA + 0x100)
    bare.poke(DATA, 0x44332211)
    bare.poke(DATA + 0x100, 0x44992211)
    bare.step(3)
    assert (bare["ecx"], bare["eip"], bare.flag(ZF)) == (7, CODE + 2, False)


def test_the_source_follows_an_override_and_the_destination_never_does():
    bare = Bare("64a5", esi=0, edi=DATA, fs_base=0x5000, es_base=0x100)
    bare.poke(0x5000, 0xFEED)
    bare.step()
    assert bare.peek(DATA + 0x100) == 0xFEED


def test_f2_repeats_where_only_rep_is_defined():
    bare = after("f2aa", 2, eax=0x41, ecx=2, edi=DATA)
    assert (bare["ecx"], bare["eip"]) == (0, CODE + 2)
