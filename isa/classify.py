"""Popek and Goldberg's classes by experiment: run each instruction, compare, conclude.

Nothing here reads the classes that the table claims. Encodings of every row are found by walking the
opcode space with the decoder; each is executed from many states, in supervisor (ring 0) and user (ring 3)
mode, and in two worlds that differ only in the resource state R. Then, after Popek and Goldberg 1974:

    privileged           always traps in user mode, and in supervisor mode not always
    control-sensitive    changes R or the mode without a trap
    mode-sensitive       does something else in user than in supervisor mode, without a trap
    location-sensitive   does something else where R is another, without a trap

The paper's R is one relocation register. Here it is everything that describes the resources of an x86:
CPL, CR0, CR3, CR4, GDTR, IDTR, LDTR, TR, the segments with their hidden parts, IF and IOPL, and, for what
only shows it, the processor's identity and clock. Taken literally, SGDT and PUSHF would be innocuous.
Arithmetic and page faults are no traps in this sense (the paper excludes them), and IOPL is 0, as under a
monitor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache

from isa import consts as c
from isa.cpu import Cpu
from isa.decode import TruncatedCode, decode
from isa.disasm import format_insn
from isa.exits import NATIVE, Reason, TrapPolicy
from isa.faults import Fault, NotModelled
from isa.insn import Insn
from isa.memory import PhysicalMemory, Ram
from isa.model import MODELS
from isa.segment import encode_descriptor
from isa.state import (
    ATTR, BASE, CPL, CR0, CR3, CR4, EFLAGS, EIP, FLAT_CODE, FLAT_DATA, GDT_BASE, GDT_LIMIT, IDT_BASE, IDT_LIMIT,
    LIMIT, SEL, SYSENTER_CS, SYSENTER_EIP, SYSENTER_ESP,
)  # fmt: skip
from isa.table import ROWS, Row

MEMORY = 0x20000
CODE, STACK, SCRATCH, TARGET = 0x1000, 0x8000, 0x9000, 0x1010
GDTS, IDT, TSS = (0x4000, 0x5000), 0x6000, 0x7000
KERNEL_CODE, KERNEL_DATA, USER_CODE, USER_DATA = 0x08, 0x10, 0x1B, 0x23
NOT_TRAPS = frozenset({c.VEC_DE, c.VEC_OF, c.VEC_BR, c.VEC_PF, c.VEC_MF})
FILLERS = (
    bytes.fromhex("10100000 0800 0000 0000"),  # an offset of code, a kernel's selector
    bytes.fromhex("10100000 1b00 0000 0000"),
    bytes.fromhex("10100000 3800 0000 0000"),  # a call gate for everybody
    bytes.fromhex("80000000 0000 0000 0000"),
)
MODRM = (*range(0xC0, 0x100, 8), *(n << 3 | 3 for n in range(8)), 0xC1)  # EAX, [ebx], ECX
MODRM_X87 = (*range(0xC0, 0x100), *MODRM)
X87 = range(0xD8, 0xE0)
PER_ROW = 48  # encodings of one row that are tried
RESOURCES = (
    CPL, CR0, CR3, CR4, GDT_BASE, GDT_LIMIT, IDT_BASE, IDT_LIMIT,
    *(part + n for n in range(8) for part in (SEL, BASE, LIMIT, ATTR)),
)  # fmt: skip


@dataclass(slots=True)
class Finding:
    """What the experiments say about one row. `witness` is an example of each class, as text."""

    row: Row
    trials: int = 0
    user_traps: int = 0
    user_runs: int = 0
    supervisor_runs: int = 0
    classes: set[str] = field(default_factory=set)
    witness: dict[str, str] = field(default_factory=dict)

    @property
    def privileged(self) -> bool:
        """Traps whenever it is tried in user mode, and runs in supervisor mode."""
        return self.user_traps > 0 and self.user_runs == 0 and self.supervisor_runs > 0

    @property
    def sensitive(self) -> bool:
        return bool(self.classes)

    @property
    def silent(self) -> bool:
        """Sensitive and not privileged: what keeps Theorem 1 from holding."""
        return self.sensitive and not self.privileged

    def note(self, kind: str, insn: Insn, text: str) -> None:
        """Remember a class and the first example of it."""
        self.classes.add(kind)
        self.witness.setdefault(kind, f"{format_insn(insn, CODE)}: {text}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One execution: None if it trapped, else the state and memory after it."""

    state: tuple[int, ...] | None
    memory: bytes = b""


def encodings() -> Iterator[Insn]:
    """Instructions of every row, from the opcode space: one- and two-byte opcodes, ModRM, fillers.

    Where a row has very many, an even sample of them.
    """
    found: dict[int, dict[bytes, Insn]] = {}
    for opcode in range(512):
        head = bytes((opcode,)) if opcode < 256 else bytes((0x0F, opcode & 0xFF))
        for filler in FILLERS:
            for middle in (b"", *(bytes((n,)) for n in (MODRM_X87 if opcode in X87 else MODRM))):
                try:
                    insn = decode((head + middle + filler)[:15])
                except (Fault, TruncatedCode):
                    continue
                found.setdefault(insn.row, {}).setdefault(insn.raw, insn)
    for row in found.values():
        all_of_it = list(row.values())
        yield from all_of_it[:: -(-len(all_of_it) // PER_ROW)]


class Laboratory:
    """A processor that is set up afresh for every trial."""

    def __init__(self, policy: TrapPolicy = NATIVE) -> None:
        self.ram = Ram(MEMORY)
        self.cpu = Cpu(PhysicalMemory(self.ram), policy=policy, model=MODELS["p2"])
        self.models = (self.cpu.model, replace(self.cpu.model, signature=self.cpu.model.signature + 1))
        self.blank = bytes(self.cpu.s)
        self.memory = self._memory()

    def _memory(self) -> bytes:
        """Descriptor tables, twice the same GDT, and a TSS; the rest is zero."""
        image = bytearray(MEMORY)
        user = 3 << c.ATTR_DPL_SHIFT
        descriptors = [
            (0, 0, 0), (0, c.M32, FLAT_CODE), (0, c.M32, FLAT_DATA), (0, c.M32, FLAT_CODE | user),
            (0, c.M32, FLAT_DATA | user), (TSS, 103, c.ATTR_P | c.TYPE_TSS32), (TSS, 103, c.ATTR_P | c.TYPE_LDT),
        ]  # fmt: skip
        for gdt in GDTS:
            for n, descriptor in enumerate(descriptors):
                for half, word in enumerate(encode_descriptor(*descriptor)):
                    image[gdt + 8 * n + 4 * half : gdt + 8 * n + 4 * half + 4] = word.to_bytes(4, "little")
            image[gdt + 0x38 : gdt + 0x40] = bytes.fromhex("1010080000ec0000")
        image[TSS + 0x66] = 0x68  # the I/O map lies beyond the limit: no port for ring 3
        gate = (KERNEL_CODE << 16 | TARGET).to_bytes(4, "little") + (0xEE00).to_bytes(4, "little")
        image[IDT : IDT + 8 * 256] = gate * 256
        image[TSS + 4 : TSS + 12] = (STACK - 0x800).to_bytes(4, "little") + KERNEL_DATA.to_bytes(4, "little")
        return bytes(image)

    def run(self, insn: Insn, user: bool, world: int, trial: Trial) -> Outcome:
        """Execute one instruction; `world` chooses one of two resource states."""
        cpu, s = self.cpu, self.cpu.s
        self.ram.data[:] = self.memory
        self.ram.data[CODE : CODE + insn.length] = insn.raw
        for n, word in enumerate(trial.frame):
            self.ram.data[STACK + 4 * n : STACK + 4 * n + 4] = word.to_bytes(4, "little")
        for at in (SCRATCH + 2, SCRATCH + 4):  # far pointers with 16- and 32-bit offsets
            self.ram.data[at : at + 2] = trial.selector.to_bytes(2, "little")
        for page in self.ram.code.values():
            page.stored(0, c.PAGE_SIZE)
        memoryview(s).cast("B")[:] = self.blank
        s[c.EAX], s[c.ECX], s[c.EDX], s[c.EBX] = trial.selector, trial.ecx, 0x80, SCRATCH
        s[c.ESP], s[c.EBP], s[c.ESI], s[c.EDI], s[EIP] = STACK, STACK + 64, SCRATCH + 64, SCRATCH + 128, CODE
        s[GDT_BASE], s[GDT_LIMIT] = GDTS[world], 0x3F + 8 * world
        s[IDT_BASE], s[IDT_LIMIT] = IDT, 0x7FF - 8 * world
        s[CR0] |= c.CR0_MP * world
        s[EFLAGS] |= c.IF * world | trial.flags
        s[SYSENTER_CS], s[SYSENTER_ESP], s[SYSENTER_EIP] = KERNEL_CODE, STACK, TARGET
        for segment, number in ((c.TR, 0x28), (c.LDTR, 0x30)):
            s[SEL + segment] = number - 8 * world if segment == c.LDTR else number + 8 * world
            s[BASE + segment], s[LIMIT + segment] = TSS, 103
        self._level(user)
        cpu.sync()
        cpu.engine.flush_tlb()
        cpu.count, cpu.time_offset, cpu.model = 0, 1000 * world, self.models[world]
        return self._execute()

    def _level(self, user: bool) -> None:
        s = self.cpu.s
        dpl = 3 << c.ATTR_DPL_SHIFT if user else 0
        code, data = (USER_CODE, USER_DATA) if user else (KERNEL_CODE, KERNEL_DATA)
        for segment in range(6):
            s[SEL + segment] = code if segment == c.CS else USER_DATA
            s[ATTR + segment] |= dpl if segment in (c.CS, c.SS) else 3 << c.ATTR_DPL_SHIFT
            s[LIMIT + segment] = MEMORY - 1  # not that of the descriptors: a load shows
        s[SEL + c.SS] = data
        s[CPL] = 3 if user else 0

    def _execute(self) -> Outcome:
        cpu = self.cpu
        cpu.set_policy(TrapPolicy(exceptions=(1 << 32) - 1, instructions=cpu.policy.instructions))
        leave = cpu.run(1)
        if leave.reason is Reason.NOT_MODELLED:
            raise NotModelled(leave.what)
        if leave.reason is Reason.INSTRUCTION:
            return Outcome(None)
        if leave.reason is Reason.FAULT and leave.vector not in NOT_TRAPS:
            return Outcome(None)
        return Outcome(tuple(cpu.s), bytes(self.ram.data))


def _resources(state: tuple[int, ...]) -> tuple[int, ...]:
    return (*(state[n] for n in RESOURCES), state[EFLAGS] & (c.IF | c.IOPL))


def _visible(outcome: Outcome) -> tuple[object, ...]:
    """What a program sees of an outcome: registers, EIP, arithmetic flags, memory."""
    assert outcome.state is not None
    s = outcome.state
    return (*s[: EIP + 1], s[EFLAGS] & c.ARITHMETIC, outcome.memory)


@dataclass(frozen=True, slots=True)
class Trial:
    """What an instruction finds: EAX and far pointers, ECX, flags, the stack for POP, RET and IRET."""

    selector: int
    ecx: int
    flags: int
    frame: tuple[int, ...]


TRIALS = (
    Trial(0x10, 1, 0, (TARGET, KERNEL_CODE, 0x202, STACK + 32, KERNEL_DATA)),
    Trial(0x23, 0x174, c.OF, (TARGET, USER_CODE, 0x202, STACK + 32, USER_DATA)),
    Trial(0x28, 1, c.OF | c.CF, (TARGET, USER_CODE, STACK + 32, USER_DATA)),
    Trial(0x30, 2, c.ZF, (0x3202, KERNEL_DATA, 0, 0)),
    Trial(0x08, 1, 0, (USER_DATA, 0, 0, 0)),
    Trial(0, 1, 0, (KERNEL_DATA, 0, 0, 0)),
)


def experiment(laboratory: Laboratory, finding: Finding, insn: Insn) -> None:
    """All trials of one encoding."""
    for trial in TRIALS:
        results = {
            (user, world): laboratory.run(insn, user, world, trial)
            for user in (False, True)
            for world in (0, 1)
        }
        _conclude(laboratory, finding, insn, results, trial)


def _conclude(
    laboratory: Laboratory,
    finding: Finding,
    insn: Insn,
    results: dict[tuple[bool, int], Outcome],
    trial: Trial,
) -> None:
    """What four runs of one instruction, supervisor and user in two worlds, tell about its class."""
    finding.trials += len(results)
    unchanged = set()
    for (user, world), outcome in results.items():
        if outcome.state is None:
            finding.user_traps += user
            continue
        finding.user_runs += user
        finding.supervisor_runs += not user
        before = resources_before(laboratory, user, world, trial)
        after = _resources(outcome.state)
        if after == before:
            unchanged.add((user, world))
        else:
            finding.note(
                "control", insn, f"changes the resource state in {'user' if user else 'supervisor'} mode"
            )
    for world in (0, 1):
        if {(False, world), (True, world)} <= unchanged:
            supervisor, user_mode = _visible(results[False, world]), _visible(results[True, world])
            if supervisor != user_mode:
                finding.note("mode", insn, "does something else in user mode")
    for user in (False, True):
        if {(user, 0), (user, 1)} <= unchanged and _visible(results[user, 0]) != _visible(results[user, 1]):
            finding.note("location", insn, "shows the resource state")


@cache
def resources_before(laboratory: Laboratory, user: bool, world: int, trial: Trial) -> tuple[int, ...]:
    """The resource state in which a trial begins: that after a NOP."""
    outcome = laboratory.run(decode(b"\x90"), user, world, trial)
    assert outcome.state is not None
    return _resources(outcome.state)


def classify(policy: TrapPolicy = NATIVE) -> list[Finding]:
    """Findings for every row that has an encoding and is modelled, on a processor with that policy."""
    laboratory = Laboratory(policy)
    findings: dict[int, Finding] = {}
    for insn in encodings():
        finding = findings.setdefault(insn.row, Finding(ROWS[insn.row]))
        try:
            experiment(laboratory, finding, insn)
        except NotModelled:
            continue
    return [findings[index] for index in sorted(findings) if findings[index].trials]


def virtualizable(findings: list[Finding]) -> bool:
    """Theorem 1: a monitor can be built if every sensitive instruction is privileged."""
    return not any(finding.silent for finding in findings)
