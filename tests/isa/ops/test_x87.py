"""What FRSTOR and FNSAVE around an instruction do not show: #NM, #MF, environments, FXSAVE, faults of memory."""

import pytest
from bare_cpu import CODE, DATA, Bare, after

from isa import consts as c
from isa.cpu import Cpu
from isa.disasm import format_insn
from isa.faults import InvalidOpcode, NotModelled
from isa.model import MODELS
from isa.state import FLAT_DATA, FPU, FPU_END, FPU_R

ONE, PI = 0x3FFF_8000_0000_0000_0000, 0x4000_C90F_DAA2_2168_C235
PROTECTED = c.CR0_PE | c.CR0_ET
PENDING = {"fcw": 0x37B, "fsw": 0x8084}  # a division by zero, not masked
FLD1, FLDPI, FNSAVE, FRSTOR, FNSTENV, FLDENV = "d9e8", "d9eb", "dd33", "dd23", "d933", "d923"  # at [ebx]
FXSAVE, FXRSTOR = "0fae03", "0fae0b"
AT = {"ebx": DATA}


def x87(bare: Bare) -> list[int]:
    return list(bare.cpu.s[FPU:FPU_END])


def register(bare: Bare, n: int) -> int:
    return bare.cpu.engine.r80(n)


@pytest.mark.parametrize("cr0", [c.CR0_EM, c.CR0_TS, c.CR0_TS | c.CR0_MP])
@pytest.mark.parametrize("code", [FLD1, "dbe3", "dbe2", "dfe0", "d93b", FNSAVE, FLDENV, "d9d0", "dbe0"])
def test_without_an_x87_for_this_task_every_instruction_raises_no_device(code, cr0):
    bare = Bare(code, cr0=PROTECTED | cr0, **AT)
    before = x87(bare)
    fault = bare.step()
    assert fault is not None and fault.vector == c.VEC_NM
    assert x87(bare) == before and bare["eip"] == CODE


@pytest.mark.parametrize(
    ("cr0", "raised"), [(c.CR0_TS, 0), (c.CR0_MP, 0), (c.CR0_EM, 0), (c.CR0_TS | c.CR0_MP, 1)]
)
def test_wait_raises_no_device_only_with_both_ts_and_mp(cr0, raised):
    fault = Bare("9b", cr0=PROTECTED | cr0).step()
    assert (fault is not None and fault.vector == c.VEC_NM) == bool(raised)


@pytest.mark.parametrize("code", [FLD1, "d8c1", "9b", "d92b", FLDENV, FRSTOR, "d9d0", "ddc0", "d9f7", "d91b"])
def test_a_pending_exception_is_raised_by_the_next_instruction_that_waits(code):
    bare = Bare(code, cr0=PROTECTED | c.CR0_NE, **AT, **PENDING)
    before = x87(bare)
    fault = bare.step()
    assert fault is not None and fault.vector == c.VEC_MF and fault.error is None
    assert x87(bare) == before


@pytest.mark.parametrize("code", ["dbe3", "dbe2", "d93b", "dfe0", "dd3b", FNSTENV, FNSAVE])
def test_a_pending_exception_does_not_stop_what_does_not_wait(code):
    assert Bare(code, cr0=PROTECTED | c.CR0_NE, **AT, **PENDING).step() is None


def test_no_device_comes_before_a_pending_exception():
    fault = Bare(FLD1, cr0=PROTECTED | c.CR0_NE | c.CR0_TS, **PENDING).step()
    assert fault is not None and fault.vector == c.VEC_NM


def test_a_pending_exception_comes_before_a_fault_of_memory():
    bare = Bare(
        "d903", cr0=PROTECTED | c.CR0_NE, ebx=DATA, ds_limit=0, ds_attr=FLAT_DATA & ~c.ATTR_G, **PENDING
    )
    fault = bare.step()
    assert fault is not None and fault.vector == c.VEC_MF


def test_an_error_without_cr0_ne_stops_honestly():
    with pytest.raises(NotModelled):
        Bare(FLD1, cr0=PROTECTED, **PENDING).step()


def test_fldcw_that_unmasks_a_flag_makes_it_pending():
    bare = Bare("d92b" + "9b", cr0=PROTECTED | c.CR0_NE, fsw=0x0020, **AT)
    bare.poke(DATA, 0x035F, 2)
    assert bare.step() is None and bare["fsw"] == 0x80A0
    fault = bare.step()
    assert fault is not None and fault.vector == c.VEC_MF


def test_fnclex_forgets_what_was_pending():
    bare = after("dbe2" + FLD1, 2, cr0=PROTECTED | c.CR0_NE, **PENDING)
    assert bare["fsw"] == 7 << c.FSW_TOP_SHIFT


@pytest.mark.parametrize("code", ["d913", "d91b", "dd1b", "db3b", "db1b", "df3b", "df33"])
def test_a_store_that_faults_changes_nothing(code):
    bare = Bare(FLD1 + FLDPI + code, ds_limit=DATA - 1, ds_attr=FLAT_DATA & ~c.ATTR_G, **AT)
    bare.step(2)
    before = x87(bare)
    fault = bare.step()
    assert fault is not None and fault.vector == c.VEC_GP
    assert x87(bare) == before


@pytest.mark.parametrize("code", [FNSTENV, FNSAVE])
def test_an_environment_is_stored_whole_or_not_at_all(code):
    bare = Bare(FLD1 + code, ds_limit=DATA + 26, ds_attr=FLAT_DATA & ~c.ATTR_G, **AT)
    bare.step()
    before, memory = x87(bare), bytes(bare.ram.data)
    fault = bare.step()
    assert fault is not None and fault.vector == c.VEC_GP
    assert x87(bare) == before and bytes(bare.ram.data) == memory


def test_the_last_instruction_is_remembered_with_its_operand():
    bare = after("36d9854c000000" + "d9d0" + "d92b", 2, ebp=DATA)  # fld dword ss:[ebp + 4ch]; fnop
    assert (bare["fop"], bare["fip"], bare["fcs"]) == (0x1D0, CODE + 7, bare["cs"])
    assert (bare["fdp"], bare["fds"]) == (DATA + 0x4C, bare["ss"])
    bare.step()
    assert bare["fop"] == 0x1D0  # FLDCW is none of those that are remembered


def test_the_environment_of_protected_mode_has_32_or_16_bits():
    state = {
        "fcw": 0x37F,
        "fsw": 0x3800,
        "ftags": 0x80,
        "fop": 0x5D9,
        "fip": 0x12345678,
        "fcs": 0x1B,
        "fds": 0x23,
    }
    bare = Bare(FNSTENV, fdp=0xCAFEBABE, r7_exp=0x3FFF, r7_high=1 << 31, **state, **AT)
    bare.step()
    words = [bare.peek(DATA + 4 * n) for n in range(7)]
    assert words == [0xFFFF037F, 0xFFFF3800, 0xFFFF3FFF, 0x12345678, 0x05D9001B, 0xCAFEBABE, 0xFFFF0023]
    assert bare["fcw"] == 0x37F
    bare = Bare("66" + FNSTENV, fdp=0xCAFEBABE, r7_exp=0x3FFF, r7_high=1 << 31, **state, **AT)
    bare.step()
    words = [bare.peek(DATA + 2 * n, 2) for n in range(8)]
    assert words == [0x037F, 0x3800, 0x3FFF, 0x5678, 0x001B, 0xBABE, 0x0023, 0]


def test_the_environment_of_virtual_8086_mode_has_linear_addresses():
    state = {"fcw": 0x37F, "fop": 0x5D9, "fip": 0x0123, "fcs": 0xABCD, "fdp": 0x4567, "fds": 0x8000}
    for code, w in ((FNSTENV, 4), ("66" + FNSTENV, 2)):
        bare = Bare(code, eflags=c.VM | c.FLAGS_ONE, **state, **AT)
        bare.step()
        ones = 0xFFFF0000 if w == 4 else 0
        words = [bare.peek(DATA + w * n, w) for n in range(3, 7)]
        assert words == [0xBDF3 | ones, 0xA5D9, 0x4567 | ones, 0x8000]  # 0xABDF3 and 0x84567


def test_fnstenv_masks_everything_after_it_has_stored():
    bare = Bare(FNSTENV, fcw=0x340, fsw=0x8081, **AT)
    bare.step()
    assert (bare.peek(DATA) & 0xFFFF, bare["fcw"], bare["fsw"]) == (0x340, 0x37F, 0x0001)


@pytest.mark.parametrize("prefix", ["", "66"])
def test_frstor_brings_back_what_fnsave_put_away(prefix):
    bare = Bare(FLD1 + FLDPI + prefix + FNSAVE + prefix + FRSTOR, **AT)
    bare.step(2)
    stack = [register(bare, n) for n in (7, 6)]
    assert stack == [ONE, PI]
    before = x87(bare)
    bare.step()
    assert (bare["fcw"], bare["fsw"], bare["ftags"], bare["fip"]) == (c.FCW_INIT, 0, 0, 0)
    bare.step()
    assert x87(bare)[:3] == before[:3] and x87(bare)[FPU_R - FPU :] == before[FPU_R - FPU :]


def with_model(name: str, code: str, **state: int) -> Bare:
    bare = Bare(code, **state)
    old = bare.cpu.s[:]
    bare.cpu = Cpu(bare.cpu.memory, model=MODELS[name])
    bare.cpu.s[:] = old
    bare.cpu.sync()
    return bare


def test_fxsave_is_there_only_where_cpuid_says_so():
    assert not MODELS["ppro"].cpuid(1, 0)[3] & 1 << 24
    assert MODELS["p2"].cpuid(1, 0)[3] & 1 << 24
    with pytest.raises(InvalidOpcode):
        raise with_model("ppro", FXSAVE, **AT).step()


def test_every_model_announces_its_x87():
    assert all(model.cpuid(1, 0)[3] & 1 for model in MODELS.values())


def test_fxrstor_brings_back_what_fxsave_put_away():
    bare = with_model("p2", FLD1 + FLDPI + FXSAVE + "dbe3" + FXRSTOR, **AT)
    assert bare.step(3) is None
    before = x87(bare)
    assert bare.peek(DATA + 4, 1) == 0xC0  # the tags
    assert bare.peek(DATA + 32, 10) == PI and bare.peek(DATA + 48, 10) == ONE
    assert bare.step(2) is None
    assert x87(bare) == before


@pytest.mark.parametrize("code", [FXSAVE, FXRSTOR])
def test_fxsave_wants_its_image_aligned(code):
    fault = with_model("p2", code, ebx=DATA + 8).step()
    assert fault is not None and fault.vector == c.VEC_GP


@pytest.mark.parametrize(
    "code", ["d9d1", "d9e2", "d9ef", "dae0", "daea", "dbe5", "dbf8", "ddf0", "dfe1", "dff8", "f0d8c1", "d90b"]
)
def test_what_is_no_x87_instruction_is_undefined(code):
    with pytest.raises(InvalidOpcode):
        raise Bare(code, **AT).step()


def test_a_66_prefix_means_nothing_to_what_computes():
    bare = after("66d9e8", 1)
    assert register(bare, 7) == ONE and bare["fop"] == 0x1E8


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("def1", "fdivrp st1, st0"), ("dcf1", "fdivr st1, st0"), ("d8f1", "fdiv st0, st1"),
        ("db28", "fld tword [eax]"),
        ("df28", "fild qword [eax]"), ("dfe0", "fnstsw ax"), ("d938", "fnstcw word [eax]"), ("9b", "wait"),
        ("dbf1", "fcomi st0, st1"), ("dac9", "fcmove st0, st1"), ("d9ee", "fldz"), ("dd30", "fnsave [eax]"),
    ],
)  # fmt: skip
def test_operands_read_as_in_the_manual(code, text):
    from isa.decode import decode

    assert format_insn(decode(bytes.fromhex(code)), 0) == text
