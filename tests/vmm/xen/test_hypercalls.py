"""The hypercall table and its rules, and the small calls."""

from __future__ import annotations

import struct

import pytest
from xen_rig import ARGUMENTS_AT, Rig, run_kernel, word_at

from isa import consts as c
from isa.state import CR0, DR
from vmm import Outcome
from vmm.events import Event, Hypercall, Trap
from vmm.xen import abi

POINTERS = (0x50_0000, abi.HYPERVISOR_VIRT_START, 0xFFC0_0000, c.M32, 0x3F_FFFE)
REQUEST_SIZE = 0x1000


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.mark.parametrize("number", [11, 7, 16, 20, 27, 33, 35, 36, 38, 48, 1000, c.M32])
def test_a_number_that_nobody_answers_is_enosys(rig: Rig, number: int) -> None:
    assert rig.call(number, 1, 2, 3, 4, 5) == -abi.ENOSYS


def test_arguments_are_clobbered_and_other_registers_are_not(rig: Rig) -> None:
    s = rig.cpu.s
    s[c.EDX], s[c.ESI], s[c.EDI], s[c.EBP] = 3, 4, 5, 6
    assert rig.call("vm_assist", 0, 2) == 0
    assert (s[c.EBX], s[c.ECX]) == (abi.CLOBBERED, abi.CLOBBERED)
    assert (s[c.EDX], s[c.ESI], s[c.EDI], s[c.EBP]) == (3, 4, 5, 6)


def test_a_call_is_one_instruction_one_trap_and_one_event(rig: Rig) -> None:
    events: list[Event] = []
    rig.machine.ledger.sinks.append(events.append)
    before = rig.cpu.count
    version = rig.call("xen_version", 0, 7)
    assert rig.cpu.count == before + 1
    assert rig.machine.ledger.traps == {"hypercall": 1}
    assert rig.machine.ledger.work == {"hypercalls": 1, "hypercall: xen_version": 1}
    trap, call = events
    assert isinstance(trap, Trap) and (trap.kind, trap.eip) == ("hypercall", 0x100000)
    assert isinstance(call, Hypercall)
    assert (call.name, call.arguments, call.result, call.eip) == ("xen_version", (0, 7), version, 0x100000)


@pytest.mark.parametrize("pointer", POINTERS)
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("set_trap_table", (None,)),
        ("mmu_update", (None, 1, 0, abi.DOMID_SELF)),
        ("mmu_update", (ARGUMENTS_AT, 0, None, abi.DOMID_SELF)),
        ("mmuext_op", (None, 1, 0, abi.DOMID_SELF)),
        ("set_gdt", (None, 1)),
        ("multicall", (None, 1)),
        ("console_io", (abi.CONSOLEIO_WRITE, 4, None)),
        ("sched_op", (abi.SCHEDOP_SHUTDOWN, None)),
        ("sched_op", (abi.SCHEDOP_POLL, None)),
        ("event_channel_op", (abi.EVTCHNOP_BIND_VIRQ, None)),
        ("event_channel_op", (abi.EVTCHNOP_SEND, None)),
        ("event_channel_op", (abi.EVTCHNOP_STATUS, None)),
        ("callback_op", (abi.CALLBACKOP_REGISTER, None)),
        ("vcpu_op", (abi.VCPUOP_GET_RUNSTATE_INFO, 0, None)),
        ("vcpu_op", (abi.VCPUOP_SET_SINGLESHOT_TIMER, 0, None)),
        ("memory_op", (abi.XENMEM_MACHPHYS_MAPPING, None)),
        ("memory_op", (abi.XENMEM_DECREASE_RESERVATION, None)),
        ("xen_version", (abi.XENVER_EXTRAVERSION, None)),
        ("xen_version", (abi.XENVER_GET_FEATURES, None)),
    ],
)
def test_a_bad_pointer_is_efault(name: str, arguments: tuple[int | None, ...], pointer: int) -> None:
    rig = Rig()
    filled = [pointer if argument is None else argument for argument in arguments]
    assert rig.call(name, *filled) == -abi.EFAULT
    assert not rig.domain.sched.shut_down


def test_read_only_memory_is_not_written_for_the_guest(rig: Rig) -> None:
    table = rig.cpu.s[c.ESI] + 0x3000  # the page directory, mapped read-only
    before = rig.domain.memory.read(table, 4096)
    assert rig.call("xen_version", abi.XENVER_EXTRAVERSION, table) == -abi.EFAULT
    assert rig.call("memory_op", abi.XENMEM_MACHPHYS_MAPPING, table) == -abi.EFAULT
    assert rig.domain.memory.read(table, 4096) == before


# -- multicall --------------------------------------------------------------------------------------


def entry(operation: str | int, *arguments: int) -> tuple[int, ...]:
    number = abi.HYPERVISOR[operation] if isinstance(operation, str) else operation
    return (number, 0x7777, *arguments, *[0] * (6 - len(arguments)))


def test_a_multicall_gives_each_call_its_result(rig: Rig) -> None:
    calls = [
        entry("xen_version", abi.XENVER_PAGESIZE),
        entry("set_gdt", 0, 9999),
        entry(200),
        entry("multicall", 0, 0),
        entry("iret"),
        entry("fpu_taskswitch", 1),
    ]
    at = rig.put(*(word for call in calls for word in call))
    assert rig.call("multicall", at, len(calls)) == 0
    results = [rig.get(at=at + 32 * n + 4)[0] for n in range(len(calls))]
    errors = (abi.EINVAL, abi.ENOSYS, abi.EINVAL, abi.ENOSYS)
    assert results == [4096, *(-errno & c.M32 for errno in errors), 0]
    assert rig.cpu.s[CR0] & c.CR0_TS
    work = rig.machine.ledger.work
    assert (work["multicalls"], work["hypercalls"], work["hypercall: multicall"]) == (6, 1, 1)


def test_a_long_multicall_is_interrupted_between_its_calls(rig: Rig) -> None:
    at = 0x102000
    rig.put(*entry("xen_version", abi.XENVER_PAGESIZE) * 1500, at=at)
    assert rig.call("multicall", at, 1500) == 0
    assert all(rig.get(at=at + 32 * n + 4) == (4096,) for n in range(1500))
    assert rig.machine.ledger.traps["hypercall"] == 2
    assert rig.machine.ledger.work["hypercalls"] == 1


def test_a_long_batch_in_a_multicall_goes_on_where_it_was(rig: Rig) -> None:
    mfn, requests = rig.mfn(rig.free_page()), 0x103000
    rig.put(*((mfn << 12 | abi.MMU_MACHPHYS_UPDATE, 0, 5, 0) * 2000), at=requests)
    at = rig.put(
        *entry("fpu_taskswitch", 1),
        *entry("mmu_update", requests, 2000, 0x102000, abi.DOMID_SELF),
        *entry("xen_version", abi.XENVER_PAGESIZE),
    )
    assert rig.call("multicall", at, 3) == 0
    assert [rig.get(at=at + 32 * n + 4)[0] for n in range(3)] == [0, 0, 4096]
    assert rig.get(at=0x102000) == (2000,)
    assert rig.machine.ledger.work["multicalls"] == 3


@pytest.mark.parametrize("count", [0, 1, 0x8000_0000, c.M32])
def test_no_count_is_too_much(rig: Rig, count: int) -> None:
    for name in ("mmu_update", "mmuext_op"):
        result = rig.call(name, 0x102000, count, 0, abi.DOMID_SELF)
        assert result in (0, -abi.EINVAL, -abi.EFAULT)
    assert rig.call("multicall", 0x3F_FF00, count & 0xFFFF) in (0, -abi.EFAULT)
    assert rig.call("console_io", abi.CONSOLEIO_WRITE, count, 0x100000) in (0, -abi.E2BIG)
    assert rig.call("set_gdt", ARGUMENTS_AT, count) in (0, -abi.EINVAL)


# -- the small calls ----------------------------------------------------------------------------------


def test_versions_and_features(rig: Rig) -> None:
    at = ARGUMENTS_AT
    assert rig.call("xen_version", abi.XENVER_VERSION) == 4 << 16 | 17
    assert rig.call("xen_version", abi.XENVER_CAPABILITIES, at) == 0
    assert rig.domain.memory.read(at, 1024).rstrip(b"\0") == b"xen-3.0-x86_32 "
    assert rig.call("xen_version", abi.XENVER_PLATFORM_PARAMETERS, at) == 0
    assert rig.get() == (abi.HYPERVISOR_VIRT_START,)
    rig.put(0, 9)
    assert rig.call("xen_version", abi.XENVER_GET_FEATURES, at) == 0
    assert rig.get(2) == (0, 1 << abi.XENFEAT_MMU_PT_UPDATE_PRESERVE_AD)
    assert rig.call("xen_version", 55, at) == -abi.ENOSYS
    assert rig.call("memory_op", abi.XENMEM_MACHPHYS_MAPPING, at) == 0
    assert rig.get(3) == (0xFC00_0000, 0xFC40_0000, rig.pages.frames - 1)
    assert rig.call("memory_op", abi.XENMEM_MAXIMUM_RAM_PAGE, 0) == rig.pages.frames - 1
    assert rig.call("memory_op", abi.XENMEM_MAXIMUM_RESERVATION, rig.put(abi.DOMID_SELF)) == 2048
    assert rig.call("memory_op", abi.XENMEM_CURRENT_RESERVATION, rig.put(3)) == -abi.ESRCH
    assert rig.call("memory_op", 99, at) == -abi.ENOSYS
    assert rig.call("vm_assist", 0, 4) == -abi.EINVAL
    assert rig.call("vm_assist", 2, 2) == -abi.ENOSYS


def test_debug_registers_and_task_switched(rig: Rig) -> None:
    assert rig.call("set_debugreg", 1, 0x1234) == 0
    assert rig.call("get_debugreg", 1) == 0x1234 == rig.cpu.s[DR + 1]
    assert rig.call("set_debugreg", 0, abi.HYPERVISOR_VIRT_START) == -abi.EPERM
    assert rig.call("set_debugreg", 7, 1) == -abi.ENOSYS  # breakpoints are not modelled
    assert rig.call("set_debugreg", 8, 1) == rig.call("get_debugreg", 99) == -abi.EINVAL
    assert rig.call("set_debugreg", 5, 0x400) == 0 and rig.cpu.s[DR + 7] == 0x400
    assert rig.call("fpu_taskswitch", 1) == 0 and rig.cpu.s[CR0] & c.CR0_TS
    assert rig.call("fpu_taskswitch", 0) == 0 and not rig.cpu.s[CR0] & c.CR0_TS


def test_the_virtual_processor_answers_for_itself(rig: Rig) -> None:
    assert rig.call("vcpu_op", abi.VCPUOP_IS_UP, 0, 0) == 1
    assert rig.call("vcpu_op", abi.VCPUOP_IS_UP, 1, 0) == -abi.ENOENT
    assert rig.call("vcpu_op", abi.VCPUOP_INITIALISE, 0, 0) == -abi.EEXIST
    assert rig.call("vcpu_op", abi.VCPUOP_UP, 0, 0) == 0
    assert rig.call("vcpu_op", 55, 0, 0) == -abi.ENOSYS
    assert rig.call("vcpu_op", abi.VCPUOP_GET_RUNSTATE_INFO, 0, ARGUMENTS_AT) == 0
    state, *_times = struct.unpack("<IQQQQQ", rig.domain.memory.read(ARGUMENTS_AT, 44))
    assert state == abi.RUNSTATE_RUNNING


def test_the_console_gets_bytes_by_hypercall_and_by_ring(rig: Rig) -> None:
    rig.domain.memory.write(ARGUMENTS_AT, b"by hypercall\n")
    assert rig.call("console_io", abi.CONSOLEIO_WRITE, 13, ARGUMENTS_AT) == 0
    assert rig.call("console_io", abi.CONSOLEIO_READ, 13, ARGUMENTS_AT) == 0
    assert rig.call("console_io", 2, 13, ARGUMENTS_AT) == -abi.ENOSYS
    assert rig.call("console_io", abi.CONSOLEIO_WRITE, 0x10001, 0x100000) == -abi.E2BIG
    ram, ring = rig.domain.host.ram, rig.domain.console_mfn << 12
    ram.write(ring + abi.XENCONS_OUT + 2046, b"by")
    ram.write(ring + abi.XENCONS_OUT, b" ring\n")
    ram.write32(ring + abi.XENCONS_OUT_CONS, 2046)
    ram.write32(ring + abi.XENCONS_OUT_PROD, 2054)
    assert rig.call("event_channel_op", abi.EVTCHNOP_SEND, rig.put(abi.CONSOLE_PORT)) == 0
    assert ram.read32(ring + abi.XENCONS_OUT_CONS) == 2054
    ram.write32(ring + abi.XENCONS_OUT_PROD, 0)  # 2054 bytes back: cannot be
    assert rig.call("event_channel_op", abi.EVTCHNOP_SEND, rig.put(abi.CONSOLE_PORT)) == 0
    assert rig.machine.devices.console == b"by hypercall\nby ring\n"


def test_a_console_page_that_has_become_a_page_table_is_not_drained(rig: Rig) -> None:
    """Else the indices, which the hypervisor writes, would be entries that nobody has checked."""
    gva = rig.domain.frames.index(rig.domain.console_mfn) << 12
    victim = rig.mfn(rig.free_page()) << 12
    rig.make_table(gva, {770: victim | c.PTE_P, 771: victim | c.PTE_P | c.PTE_W})
    assert rig.mmuext(abi.MMUEXT_PIN_L1_TABLE, rig.domain.console_mfn) == 0
    assert rig.call("event_channel_op", abi.EVTCHNOP_SEND, rig.put(abi.CONSOLE_PORT)) == 0
    assert rig.pages.entry(rig.domain.console_mfn, 770) == victim | c.PTE_P


@pytest.mark.parametrize(
    ("call", "outcome", "code"),
    [
        ("mov ebx, 2\n mov ecx, reason\n hypercall HYPERCALL_SCHED", Outcome.FAILURE, 3),
        (
            "mov dword ptr [reason], 0\n mov ebx, 2\n mov ecx, reason\n hypercall HYPERCALL_SCHED",
            Outcome.SUCCESS,
            0,
        ),
        ("mov ebx, 2\n mov ecx, 1\n hypercall 6", Outcome.FAILURE, 1),
        ("mov ebx, 2\n mov ecx, 0\n hypercall 6", Outcome.SUCCESS, 0),
    ],
)
def test_shutdown_is_the_verdict(call: str, outcome: Outcome, code: int) -> None:
    machine, result = run_kernel(
        f"main: {call}\n mov dword ptr [after], 1\n ret\nafter: .long 0\nreason: .long 3"
    )
    assert (result.outcome, result.exit_code) == (outcome, code)
    assert word_at(machine, "after") == 0
