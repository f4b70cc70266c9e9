"""What an oracle in user mode does not show: stack widths, faults that leave no trace, odd bases."""

import pytest
from bare_cpu import CODE, DATA, STACK, Bare, after

from isa.consts import VEC_SS
from isa.state import FLAT_DATA

SMALL = FLAT_DATA & ~0x4000  # SS.B clear


def test_push_esp_pushes_what_esp_was():
    assert after("54").peek(STACK - 4) == STACK


def test_pop_esp_gets_what_was_popped():
    bare = Bare("5c")
    bare.poke(STACK, 0x1234)
    bare.step()
    assert bare["esp"] == 0x1234


def test_pop_addresses_its_destination_with_esp_after_the_pop():
    bare = Bare("8f442404")  # pop dword [esp + 4]
    bare.poke(STACK, 0xCAFE)
    bare.step()
    assert bare.peek(STACK + 8) == 0xCAFE
    assert bare["esp"] == STACK + 4


def test_a_16_bit_stack_wraps_and_keeps_the_upper_half_of_esp():
    bare = Bare("50", eax=0x11223344, ss_attr=SMALL)
    bare.set(esp=0xABCD_0000)
    bare.step()
    assert bare["esp"] == 0xABCD_FFFC
    assert bare.peek(0xFFFC) == 0x11223344


def test_a_push_of_16_bits_moves_esp_by_two():
    bare = after("6650", eax=0x11223344)
    assert (bare["esp"], bare.peek(STACK - 2, 2)) == (STACK - 2, 0x3344)


@pytest.mark.parametrize("code", ["50", "6a01", "ff30", "60", "c8100000", "c8100003", "e800000000", "9c"])
def test_a_push_beyond_the_limit_changes_nothing(code):
    bare = Bare(code, eax=DATA, ss_limit=STACK - 5, ebp=STACK - 0x100, ss_attr=FLAT_DATA & ~0x8000)
    before = list(bare.cpu.s[:8]), bytes(bare.ram.data)
    fault = bare.step()
    assert fault is not None and fault.vector == VEC_SS and fault.error == 0
    assert (list(bare.cpu.s[:8]), bytes(bare.ram.data)) == before
    assert bare["eip"] == CODE


@pytest.mark.parametrize("room", range(4, 32, 4))
def test_pusha_stores_all_or_nothing(room):
    bare = Bare("60", ss_base=DATA, ss_limit=0xFFFF, ss_attr=FLAT_DATA & ~0x8000)
    bare.set(esp=room)  # the eighth push, at the latest, lies below 0
    before = bytes(bare.ram.data)
    fault = bare.step()
    assert fault is not None and fault.vector == VEC_SS
    assert bytes(bare.ram.data) == before and bare["esp"] == room


def test_popa_restores_what_pusha_saved():
    state = {"eax": 1, "ecx": 2, "edx": 3, "ebx": 4, "ebp": 5, "esi": 6, "edi": 7}
    bare = after("60" + "31c0" + "61", 3, **state)
    assert {name: bare[name] for name in state} == state
    assert bare["esp"] == STACK


def test_popa_drops_the_image_of_esp():
    bare = Bare("61")
    for n in range(8):
        bare.poke(STACK + 4 * n, 0x100 + n)
    bare.step()
    assert bare["esp"] == STACK + 32
    assert (bare["edi"], bare["esi"], bare["ebp"], bare["ebx"]) == (0x100, 0x101, 0x102, 0x104)
    assert (bare["edx"], bare["ecx"], bare["eax"]) == (0x105, 0x106, 0x107)


def test_enter_and_leave_are_inverse():
    bare = after("c8200000" + "c9", 2, ebp=0xBEEF)
    assert (bare["esp"], bare["ebp"]) == (STACK, 0xBEEF)


def test_enter_copies_the_frame_pointers_of_enclosing_levels():
    bare = Bare("c8100003", ebp=DATA)  # enter 16, 3
    bare.poke(DATA - 4, 0xAAAA)
    bare.poke(DATA - 8, 0xBBBB)
    bare.step()
    assert [bare.peek(STACK - 4 * n) for n in range(1, 5)] == [DATA, 0xAAAA, 0xBBBB, STACK - 4]
    assert (bare["ebp"], bare["esp"]) == (STACK - 4, STACK - 16 - 16)
