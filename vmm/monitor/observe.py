"""What a sensitive instruction should have done, against what the real processor did.

`expect` executes the instruction on the virtual state and takes everything back: registers, flags, the
memory it may have touched. After the real processor has executed it, `differences` compares. That is how
a silent failure is found: no rule about POPF is written down here, only two runs of its one definition.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from isa import consts as c
from isa.cpu import Cpu
from isa.faults import Fault
from isa.insn import Insn, Kind
from isa.state import BASE, CPL, EFLAGS, EIP, SEL, SHADOW

FLAGS = (*c.FLAG_BITS.items(),)
SEGMENT_REGISTERS = range(c.ES, c.GS + 1)


@dataclass(frozen=True, slots=True)
class Expectation:
    """The outcome on bare hardware: the state, the fault, and the memory words touched."""

    state: array[int]
    fault: Fault | None
    memory: dict[int, bytes]  # by linear address


def touched(virtual: Cpu, insn: Insn) -> list[tuple[int, int]]:
    """Linear ranges (address, bytes) that a sensitive instruction may write: stack and operand."""
    s = virtual.s
    ranges = [((s[c.ESP] + s[BASE + c.SS] - 24) & c.M32, 24)]
    for o in insn.operands:
        if o.kind == Kind.MEM:
            ranges.append(((virtual.engine.offset(o) + s[BASE + o.n]) & c.M32, 8))
    return ranges


def read_ranges(virtual: Cpu, ranges: list[tuple[int, int]]) -> dict[int, bytes]:
    """The bytes of those ranges that are mapped."""
    found = {at: virtual.peek(at, size) for at, size in ranges}
    return {at: data for at, data in found.items() if data is not None}


def _write_back(virtual: Cpu, memory: dict[int, bytes]) -> None:
    for at, data in memory.items():
        for n, byte in enumerate(data):
            physical = virtual.peek_translate((at + n) & c.M32)
            if physical is not None and virtual.memory.frame(physical >> 12) >= 0:
                virtual.memory.write_bytes(physical, bytes((byte,)))


def expect(virtual: Cpu, insn: Insn) -> Expectation:
    """Execute the instruction at the virtual EIP, note what came of it, and undo it. `NotModelled`."""
    before, count = virtual.s[:], virtual.count
    ranges = touched(virtual, insn)
    memory = read_ranges(virtual, ranges)
    _executed, fault = virtual.execute()
    state, written = virtual.s[:], read_ranges(virtual, ranges)
    _write_back(virtual, memory)
    virtual.s[:] = before
    virtual.count = count
    virtual.sync()
    return Expectation(state, fault, written)


def adopt(virtual: Cpu, expected: Expectation) -> None:
    """Where the real processor loaded the selector that was expected, its hidden part is the guest's own
    (the real one is compressed and truncated)."""
    s, e = virtual.s, expected.state
    for n in SEGMENT_REGISTERS:
        if s[SEL + n] == e[SEL + n]:
            for part in range(SEL + n, SEL + n + 32, 8):
                s[part] = e[part]
    s[SHADOW] = e[SHADOW]
    virtual.sync()


def differences(virtual: Cpu, expected: Expectation) -> list[tuple[str, str, str]]:
    """(what, expected, actual) for everything in which the virtual state differs from the expectation."""
    s, e = virtual.s, expected.state
    if expected.fault is not None:
        return [("outcome", str(expected.fault), "no fault")]
    found = [
        (name.upper(), f"{e[n]:#x}", f"{s[n]:#x}") for n, name in enumerate(c.REGISTER_NAMES) if s[n] != e[n]
    ]
    if s[EIP] != e[EIP]:
        found.append(("EIP", f"{e[EIP]:#x}", f"{s[EIP]:#x}"))
    if s[CPL] != e[CPL]:
        found.append(("CPL", str(e[CPL]), str(s[CPL])))
    for name, bit in FLAGS:
        if (s[EFLAGS] ^ e[EFLAGS]) & bit:
            found.append((name, str(int(bool(e[EFLAGS] & bit))), str(int(bool(s[EFLAGS] & bit)))))
    if (s[EFLAGS] ^ e[EFLAGS]) & c.IOPL:
        found.append(("IOPL", str(e[EFLAGS] >> 12 & 3), str(s[EFLAGS] >> 12 & 3)))
    for n in SEGMENT_REGISTERS:
        if s[SEL + n] != e[SEL + n]:
            found.append((c.SEGMENT_NAMES[n].upper(), f"{e[SEL + n]:#x}", f"{s[SEL + n]:#x}"))
    return found + _memory_differences(virtual, expected)


def _memory_differences(virtual: Cpu, expected: Expectation) -> list[tuple[str, str, str]]:
    """The words written that differ; one run of differing bytes is one word."""
    found = []
    for at, wanted in expected.memory.items():
        actual = virtual.peek(at, len(wanted))
        if actual is None or actual == wanted:
            continue
        different = [n for n in range(len(wanted)) if wanted[n] != actual[n]]
        low, high = different[0] & ~1, different[-1] | 1
        pair = (int.from_bytes(data[low : high + 1], "little") for data in (wanted, actual))
        found.append(("memory", *(f"{value:#x}" for value in pair)))
    return found  # type: ignore[return-value]
