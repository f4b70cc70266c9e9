"""What tells one processor from another: CPUID, model-specific registers, bits of CR4."""

from __future__ import annotations

import pytest

from isa.cpu import Cpu
from isa.faults import Fault, GeneralProtection, NotModelled
from isa.memory import PhysicalMemory, Ram
from isa.model import MODELS
from isa.state import EIP

RDMSR, WRMSR = b"\x0f\x32", b"\x0f\x30"
EAX, ECX, EDX = 0, 1, 2
TSC, APIC_BASE, MICROCODE, SYSENTER_CS = 0x10, 0x1B, 0x8B, 0x174


def cpu_of(name: str) -> Cpu:
    return Cpu(PhysicalMemory(Ram(0x1000)), model=MODELS[name], engine="reference")


def execute(cpu: Cpu, code: bytes) -> Fault | None:
    cpu.memory.write_bytes(0, code)
    cpu.s[EIP] = 0
    cpu.sync()
    return cpu.execute()[1]


def read(cpu: Cpu, index: int) -> int | None:
    """The register, or None for #GP."""
    cpu.s[ECX] = index
    fault = execute(cpu, RDMSR)
    if fault is not None:
        assert isinstance(fault, GeneralProtection)
        return None
    return cpu.s[EDX] << 32 | cpu.s[EAX]


def write(cpu: Cpu, index: int, value: int) -> Fault | None:
    cpu.s[ECX], cpu.s[EAX], cpu.s[EDX] = index, value & 0xFFFF_FFFF, value >> 32
    return execute(cpu, WRMSR)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("pentium", {TSC}),
        ("ppro", {TSC, MICROCODE}),
        ("ppro-apic", {TSC, MICROCODE, APIC_BASE}),
        ("p2", {TSC, MICROCODE, SYSENTER_CS}),
        ("p2-apic", {TSC, MICROCODE, APIC_BASE, SYSENTER_CS}),
    ],
)
def test_a_processor_has_its_registers_and_no_others(name: str, known: set[int]) -> None:
    cpu = cpu_of(name)
    for index in (TSC, APIC_BASE, MICROCODE, SYSENTER_CS, 0, 0x79, 0xC1, 0x179, 0x186, 0x2FF, 0xC000_0080):
        assert (read(cpu, index) is not None) == (index in known), hex(index)
        assert (write(cpu, index, read(cpu, index) or 0) is None) == (index in known), hex(index)


def test_the_apic_is_announced_where_it_is_and_stays_where_it_is() -> None:
    cpu = cpu_of("p2-apic")
    assert MODELS["p2-apic"].cpuid(1, 0)[3] >> 9 & 1 and not MODELS["p2"].cpuid(1, 0)[3] >> 9 & 1
    assert read(cpu, APIC_BASE) == 0xFEE0_0900
    with pytest.raises(NotModelled):
        write(cpu, APIC_BASE, 0xFEE1_0900)


def test_a_written_time_stamp_goes_on_from_there() -> None:
    cpu = cpu_of("ppro")
    assert write(cpu, TSC, 0xFFFF_FFFF_0000_1000) is None  # the high half is cleared (SDM 3B 17.17)
    assert read(cpu, TSC) == 0x1000 + 1


def test_the_pentium_pro_is_of_a_stepping_without_the_sysenter_erratum() -> None:
    assert MODELS["ppro"].cpuid(1, 0)[0] == 0x619
    assert not MODELS["ppro"].cpuid(1, 0)[3] >> 11 & 1
