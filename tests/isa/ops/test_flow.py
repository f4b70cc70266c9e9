"""Near transfers: limits are checked before anything changes, 16-bit operands cut EIP."""

import pytest
from bare_cpu import CODE, DATA, STACK, Bare, after

from isa.consts import FLAGS_ONE, VEC_GP, ZF
from isa.state import FLAT_CODE

SHORT_CODE = {"cs_limit": 0x1FFF, "cs_attr": FLAT_CODE & ~0x8000}


@pytest.mark.parametrize(
    "code",
    ["e900100000", "e800100000", "ffe0", "ffd0", "ff23", "c3", "c20400", "e2fe", "7400", "e300"],
)
def test_a_target_beyond_the_limit_changes_nothing(code):
    if code in ("e2fe", "7400", "e300"):
        code = code[:2] + "80"  # backwards, below 0
    bare = Bare(code, eax=0x2000, ebx=DATA, ecx=0, eflags=FLAGS_ONE | ZF, **SHORT_CODE)
    bare.poke(DATA, 0x2000)
    bare.poke(STACK, 0x2000)
    if code.endswith("80"):
        bare.ram.write(0, bytes.fromhex(code))
        bare.set(eip=0, ecx=0 if code.startswith("e3") else 2)
    before = list(bare.cpu.s[:9]), bytes(bare.ram.data)
    fault = bare.step()
    assert fault is not None and fault.vector == VEC_GP
    assert (list(bare.cpu.s[:9]), bytes(bare.ram.data)) == before


def test_call_pushes_the_address_of_the_next_instruction():
    bare = after("e8fb0f0000")
    assert (bare["eip"], bare.peek(STACK - 4)) == (CODE + 0x1000, CODE + 5)


def test_a_16_bit_operand_cuts_eip():
    bare = Bare("")
    bare.ram.write(0x12000, bytes.fromhex("66ebfe"))
    bare.set(eip=0x12000)
    bare.step()
    assert bare["eip"] == 0x2001


def test_ret_releases_parameters_after_it_has_popped():
    bare = Bare("c20800")
    bare.poke(STACK, 0x4000)
    bare.step()
    assert (bare["eip"], bare["esp"]) == (0x4000, STACK + 12)


def test_call_through_esp_reads_before_it_pushes():
    bare = Bare("ff1424")  # call [esp]
    bare.poke(STACK, 0x4000)
    bare.step()
    assert (bare["eip"], bare.peek(STACK - 4)) == (0x4000, CODE + 3)


@pytest.mark.parametrize(("code", "ecx", "left"), [("e2fe", 0, 0xFFFF_FFFF), ("67e2fd", 0x10000, 0x1FFFF)])
def test_loop_counts_at_the_address_size(code, ecx, left):
    bare = after(code, ecx=ecx)
    assert (bare["ecx"], bare["eip"]) == (left, CODE)
