"""Event channels, the timer, waiting, and the time."""

from __future__ import annotations

import struct

import pytest
from xen_rig import ARGUMENTS_AT, Rig, domain_of, run_kernel, word_at

from isa import consts as c
from vmm import Outcome
from vmm.clock import NS_PER_INSTRUCTION
from vmm.xen import abi

# A kernel with the timer's port bound; each upcall is noted: the address, saved mask, mask, port word.
TIMER = """
.include "lib/trap.inc"
.include "lib/timer.inc"
.equ POOL_PAGES, 0
.include "lib/paging.inc"
trap:
    mov eax, [ebp + FRAME_VECTOR]
    cmp eax, VECTOR_TIMER
    jne trap_unexpected
    inc dword ptr [upcalls]
    mov eax, [ebp + FRAME_EIP]
    mov [interrupted], eax
    mov eax, [ebp + FRAME_CS]
    mov [saved_cs], eax
    movzx eax, byte ptr [shared_info + UPCALL_MASK]
    mov [mask], eax
    mov eax, [shared_info + SYSTEM_TIME]
    mov [woken], eax
    mov byte ptr [shared_info + UPCALL_PENDING], 0
    mov dword ptr [shared_info + PENDING_SELECTOR], 0
    mov eax, [timer_port]
    btr [shared_info + EVENT_PENDING], eax
    ret
bind:
    mov ebx, EVTCHNOP_BIND_VIRQ
    mov ecx, bind_virq
    hypercall_must_succeed HYPERCALL_EVENT_CHANNEL
    ret
; timer_at: EAX nanoseconds from now
timer_in:
    mov ebx, [shared_info + SYSTEM_TIME]
    mov ecx, [shared_info + SYSTEM_TIME + 4]
    add ebx, eax
    adc ecx, 0
    mov [target], ebx
    hypercall_must_succeed HYPERCALL_SET_TIMER
    ret
.align 4
upcalls: .long 0
interrupted: .long 0
saved_cs: .long 0
mask: .long 0
woken: .long 0
target: .long 0
"""


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_timer_interrupts_a_kernel_that_lets_events_in() -> None:
    machine, result = run_kernel(
        TIMER
        + """
main:   call traps_init
        call bind
        mov eax, 50000
        call timer_in
        interrupts_on
spin:   cmp dword ptr [upcalls], 0
        je spin
        interrupts_off
        xor eax, eax
        ret
"""
    )
    assert result.outcome is Outcome.SUCCESS, result.text
    spin = machine.image.symbol("spin")
    assert spin is not None and spin <= word_at(machine, "interrupted") < spin + 9
    assert word_at(machine, "saved_cs") == 0xE019  # events were not masked
    assert word_at(machine, "mask") == 1
    assert 0 <= word_at(machine, "woken") - word_at(machine, "target") < 2 * NS_PER_INSTRUCTION
    assert result.work["events delivered"] == 1


def test_block_lets_events_in_and_skips_the_time() -> None:
    machine, result = run_kernel(
        TIMER
        + """
main:   call traps_init
        call bind
        mov eax, 5000000
        call timer_in
        mov ebx, 1
        hypercall HYPERCALL_SCHED
after:  mov eax, [upcalls]
        dec eax
        ret
"""
    )
    assert result.outcome is Outcome.SUCCESS, result.text
    assert result.idle > 49_000 and result.instructions < 1_000
    assert word_at(machine, "interrupted") == machine.image.symbol("after")  # INT is over
    assert word_at(machine, "saved_cs") == 0xE019
    assert word_at(machine, "woken") == word_at(machine, "target")


def test_a_kernel_that_waits_for_nothing_ends() -> None:
    _machine, result = run_kernel("main: mov ebx, 1\n hypercall HYPERCALL_SCHED\n ret")
    assert result.outcome is Outcome.SUCCESS
    assert "nothing left to wake it" in result.text


def test_block_with_an_event_pending_does_not_wait() -> None:
    _machine, result = run_kernel(
        TIMER
        + """
main:   call traps_init
        call bind
        mov ebx, 1
        xor ecx, ecx
        hypercall_must_succeed HYPERCALL_SET_TIMER
        mov ecx, 20
        loop $
        mov ebx, 1
        hypercall_must_succeed HYPERCALL_SCHED
        mov eax, [upcalls]
        dec eax
        ret
"""
    )
    assert (result.outcome, result.idle) == (Outcome.SUCCESS, 0)


@pytest.mark.parametrize(("mask", "upcalls"), [("UPCALL_MASK", 0), ("2176", 0), (None, 1)])
def test_a_mask_keeps_events_out(mask: str | None, upcalls: int) -> None:
    """The virtual processor's mask or the channel's; either way the event stays pending."""
    set_it = f"mov byte ptr [shared_info + {mask}], 0xff" if mask else ""
    machine, result = run_kernel(
        TIMER
        + f"""
main:   call traps_init
        call bind
        interrupts_on
        {set_it}
        mov eax, 1000
        call timer_in
        mov ecx, 200
        loop $
        xor eax, eax
        ret
"""
    )
    assert result.outcome is Outcome.SUCCESS, result.text
    assert word_at(machine, "upcalls") == upcalls
    port = domain_of(machine).events.virq_port[abi.VIRQ_TIMER]
    assert domain_of(machine).shared.bit(abi.EVTCHN_PENDING, port) == (not upcalls)


def test_an_event_waits_for_the_instruction_after_mov_ss() -> None:
    for delay in range(1000, 2600, NS_PER_INSTRUCTION):
        machine, result = run_kernel(
            TIMER
            + f"""
main:   call traps_init
        call bind
        interrupts_on
        mov edx, KERNEL_DS
        mov eax, {delay}
        call timer_in
        mov ebp, esp
.rept 8
        mov ss, dx
        lea esp, [ebp]
.endr
        xor eax, eax
        ret
"""
        )
        assert result.outcome is Outcome.SUCCESS, result.text
        assert word_at(machine, "upcalls") == 1
        at = machine.mode.cpu.peek(word_at(machine, "interrupted"), 2)
        assert at is not None and at[0] != 0x8D, "between MOV SS and LEA ESP"


def test_poll_waits_for_a_port_or_the_time() -> None:
    machine, result = run_kernel(
        TIMER
        + """
main:   call traps_init
        call bind
        mov eax, 1000000
        call timer_in
        mov eax, [timer_port]
        mov [ports], eax
        mov ebx, 3
        mov ecx, poll                   ; the port, no time limit, events masked
        hypercall_must_succeed HYPERCALL_SCHED
        cmp byte ptr [shared_info + EVENT_PENDING], 0
        je wrong
        mov byte ptr [shared_info + EVENT_PENDING], 0
        mov dword ptr [poll + 8], 3000000
        mov ebx, 3
        mov ecx, poll                   ; the port never comes, the time does
        hypercall_must_succeed HYPERCALL_SCHED
        xor eax, eax
        ret
wrong:  mov eax, 1
        ret
.align 4
ports:  .long 0
poll:   .long ports, 1, 0, 0
"""
    )
    assert result.outcome is Outcome.SUCCESS, result.text
    assert word_at(machine, "upcalls") == 0
    assert machine.now * NS_PER_INSTRUCTION >= 3_000_000
    assert 29_000 < result.idle < 30_000


def test_poll_refuses_nonsense(rig: Rig) -> None:
    assert rig.call("sched_op", abi.SCHEDOP_POLL, rig.put(ARGUMENTS_AT, 129, 0, 0)) == -abi.EINVAL
    ports = rig.put(1024, at=ARGUMENTS_AT + 64)
    assert rig.call("sched_op", abi.SCHEDOP_POLL, rig.put(ports, 1, 0, 0)) == -abi.EINVAL
    assert rig.call("sched_op", 9, 0) == -abi.ENOSYS
    assert rig.call("sched_op_compat", 9, 0) == -abi.ENOSYS
    assert rig.call("sched_op", abi.SCHEDOP_YIELD, 0) == 0


# -- channels ---------------------------------------------------------------------------------------


def test_a_virtual_interrupt_is_bound_once_and_can_be_closed(rig: Rig) -> None:
    bind = rig.put(abi.VIRQ_TIMER, 0, 99)
    assert rig.call("event_channel_op", abi.EVTCHNOP_BIND_VIRQ, bind) == 0
    port = rig.get(3)[2]
    assert port not in (0, abi.STORE_PORT, abi.CONSOLE_PORT)
    assert rig.call("event_channel_op", abi.EVTCHNOP_BIND_VIRQ, bind) == -abi.EEXIST
    status = (abi.DOMID_SELF, port, 0, 0, 0, 0)
    assert rig.call("event_channel_op", abi.EVTCHNOP_STATUS, rig.put(*status)) == 0
    assert rig.get(6) == (abi.DOMID_SELF, port, abi.EVTCHNSTAT_VIRQ, 0, abi.VIRQ_TIMER, 0)
    assert rig.call("event_channel_op", abi.EVTCHNOP_SEND, rig.put(port)) == -abi.EINVAL
    assert rig.call("event_channel_op", abi.EVTCHNOP_CLOSE, rig.put(port)) == 0
    assert rig.call("event_channel_op", abi.EVTCHNOP_CLOSE, rig.put(port)) == -abi.EINVAL
    assert rig.call("event_channel_op", abi.EVTCHNOP_STATUS, rig.put(*status)) == 0
    assert rig.get(3)[2] == abi.EVTCHNSTAT_CLOSED


@pytest.mark.parametrize(
    ("virq", "vcpu", "errno"), [(abi.NR_VIRQS, 0, abi.EINVAL), (c.M32, 0, abi.EINVAL), (0, 1, abi.ENOENT)]
)
def test_nonsense_cannot_be_bound(rig: Rig, virq: int, vcpu: int, errno: int) -> None:
    assert rig.call("event_channel_op", abi.EVTCHNOP_BIND_VIRQ, rig.put(virq, vcpu, 0)) == -errno


@pytest.mark.parametrize("command", [0, 2, 6, 7, 8, 10, 11, 99])
def test_what_one_domain_alone_does_not_need_is_enosys(rig: Rig, command: int) -> None:
    assert rig.call("event_channel_op", command, ARGUMENTS_AT) == -abi.ENOSYS


@pytest.mark.parametrize("port", [0, 77, 1024, c.M32])
def test_a_port_that_is_not_open_is_refused(rig: Rig, port: int) -> None:
    for command in (abi.EVTCHNOP_CLOSE, abi.EVTCHNOP_SEND, abi.EVTCHNOP_UNMASK):
        assert rig.call("event_channel_op", command, rig.put(port)) == -abi.EINVAL
    status = rig.call("event_channel_op", abi.EVTCHNOP_STATUS, rig.put(abi.DOMID_SELF, port, 0, 0, 0, 0))
    assert status == (0 if port == 77 else -abi.EINVAL)
    assert rig.call("event_channel_op", abi.EVTCHNOP_STATUS, rig.put(1, port, 0, 0, 0, 0)) == -abi.ESRCH


def test_unmasking_a_channel_with_news_makes_an_upcall_due(rig: Rig) -> None:
    shared = rig.domain.shared
    rig.call("event_channel_op", abi.EVTCHNOP_BIND_VIRQ, rig.put(0, 0, 0))
    port = rig.get(3)[2]
    shared.write32(abi.EVTCHN_MASK, c.M32)
    rig.domain.events.raise_virq(0)
    assert shared.bit(abi.EVTCHN_PENDING, port) and not shared.read8(abi.UPCALL_PENDING)
    assert rig.call("event_channel_op", abi.EVTCHNOP_UNMASK, rig.put(port)) == 0
    assert shared.read8(abi.UPCALL_PENDING) == 1
    assert shared.read32(abi.PENDING_SEL) == 1


# -- time -------------------------------------------------------------------------------------------


def test_the_time_is_exact_between_entries(rig: Rig) -> None:
    rig.call("xen_version", 0)
    version, _pad, stamp, system, mul, shift = struct.unpack(
        "<IIQQIb", rig.domain.shared.ram.read(rig.domain.shared.frame + abi.VCPU_TIME, 29)
    )
    rig.call("xen_version", 0)  # entering the guest updates the time before it runs, not after
    assert version % 2 == 0 and mul and shift == 7
    now = rig.cpu.timestamp()
    assert system + (((now - stamp) << shift) * mul >> 32) == now * NS_PER_INSTRUCTION


@pytest.mark.parametrize(
    ("low", "high", "after_ns"),
    [(1, 0, 0), (0, 0x8000_0000, 100_000_000), (0, 0x7FFF_FFFF, 100_000_000), (5_000_000, 0, None)],
)
def test_timeouts_in_the_past_now_and_absurd(rig: Rig, low: int, high: int, after_ns: int | None) -> None:
    now = rig.domain.time.now_ns
    assert rig.call("set_timer_op", low, high) == 0
    timer = rig.domain.time.timer
    assert timer is not None
    due = timer.when * NS_PER_INSTRUCTION
    expected = low if after_ns is None else now + after_ns
    assert expected <= due <= expected + NS_PER_INSTRUCTION
    assert rig.call("set_timer_op", 0, 0) == 0
    assert not rig.domain.time.armed


def test_a_singleshot_timer_may_insist_on_the_future(rig: Rig) -> None:
    rig.call("xen_version", 0)
    past = rig.put(0, 0, abi.VCPU_SSHOTTMR_FUTURE)
    assert rig.call("vcpu_op", abi.VCPUOP_SET_SINGLESHOT_TIMER, 0, past) == -abi.ETIME
    assert rig.call("vcpu_op", abi.VCPUOP_SET_SINGLESHOT_TIMER, 0, rig.put(0, c.M32, 0)) == 0
    assert rig.domain.time.armed
    assert rig.call("vcpu_op", abi.VCPUOP_STOP_SINGLESHOT_TIMER, 0, 0) == 0
    assert not rig.domain.time.armed
