"""The reference engine: every definition run as it stands, on Python ints.

It is the oracle for every faster engine, the stepper of the debugger and the interpreter of the monitors.
`Reference` is the builder (`language.Builder`) over a `Cpu`'s state: registers in the state block,
segments' hidden parts mirrored into lists; memory is `intmemory`. `cpu` drives it. Not here: what
instructions mean (`ops`), protection (`segment`), paging (`mmu`), interrupts (`deliver`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isa import consts as c
from isa import flags, msr, segment
from isa.engine.breakpoints import Breakpoints
from isa.engine.intflags import IntFlags, Record
from isa.engine.intmemory import IntMemory
from isa.engine.intwords import IntWords
from isa.engine.x87ints import X87Ints
from isa.faults import GeneralProtection, NotModelled, Waiting
from isa.insn import Insn, Kind, Operand
from isa.state import (
    ATTR,
    BASE,
    CPL,
    EFLAGS,
    HALTED,
    LIMIT,
    NMI,
    NMI_WAITS,
    SEL,
    SHADOW,
)  # fmt: skip
from isa.tlb import Tlb

if TYPE_CHECKING:
    from isa.cpu import Cpu

REG32, MEM, IMM, REG16, REG8 = Kind.REG32, Kind.MEM, Kind.IMM, Kind.REG16, Kind.REG8
NOT_ARITHMETIC = ~c.ARITHMETIC & c.M32
SYSTEM_FLAGS_AWAKE = c.TF | c.RF | c.AC  # flags that need a look at every instruction boundary


class Reference(IntMemory, X87Ints, IntFlags, IntWords):
    """The builder over Python ints. One per `Cpu`."""

    def __init__(self, cpu: Cpu) -> None:
        self.cpu = cpu
        self.s = cpu.s
        self.memory = cpu.memory
        self.ram = cpu.memory.ram
        self.model_flags, self.model_cr4 = cpu.model.eflags, cpu.model.cr4
        self.data = self.ram.data
        self.words = memoryview(self.data).cast("I")
        self.tlb = Tlb()
        self.fetch_tlbs: tuple[dict[int, dict[int, Insn]], dict[int, dict[int, Insn]]] = ({}, {})
        self.here = 0
        self.next = 0
        self.attention = True
        self.marks = 0  # entries of page tables that were marked accessed or dirty
        self.restartable = False  # whoever runs instructions or deliveries begins them `Again`
        self.begun_at = -1  # the count at which the latest one did
        self.breakpoints = Breakpoints(self)
        self.record: Record = (flags.PACKED, 32, 0, 0, 0)
        self.bases = [0] * 8
        self.read_end = [0] * 8
        self.write_end = [0] * 8
        self.segments_moved = True  # the lists above have changed: compiled engines have copies
        self.ram.on_new_code.append(self.tlb.drop_writable)
        self.memory.on_remap.append(self.remap)
        self.sync()

    # -- state --------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Take over the state block after somebody else changed it; translations stay."""
        for n in range(8):
            self._mirror(n)
        self.record = (flags.PACKED, 32, 0, 0, self.s[EFLAGS])
        self._level(self.s[CPL])
        self.attention = True

    def settle(self) -> None:
        """Make `s[EFLAGS]` the whole truth."""
        if self.record[0] != flags.PACKED or self.record[4] != self.s[EFLAGS]:
            self.s[EFLAGS] = value = self.eflags()
            self.record = (flags.PACKED, 32, 0, 0, value)

    def _mirror(self, n: int) -> None:
        """Recompute what accesses through segment `n` need.

        `read_end` and `write_end` are one past the last byte, 0 where the quick check may not decide.
        """
        s = self.s
        self.segments_moved = True
        attr, limit = s[ATTR + n], s[LIMIT + n]
        self.bases[n] = s[BASE + n]
        usable = attr & c.ATTR_P and attr & c.ATTR_S
        down = attr & (c.TYPE_CODE | c.TYPE_EXPAND_DOWN) == c.TYPE_EXPAND_DOWN
        self.read_end[n] = limit + 1 if usable and not down and segment.is_readable(attr) else 0
        self.write_end[n] = limit + 1 if usable and not down and segment.is_writable_data(attr) else 0
        if n == c.CS:
            self.mirror_code()

    def mirror_code(self) -> None:
        """Recompute what fetching needs."""
        s = self.s
        self.cs_base = s[BASE + c.CS]
        self.cs_end = s[LIMIT + c.CS] + 1
        self.bits = 32 if s[ATTR + c.CS] & c.ATTR_DB else 16
        self.key = 0 if self.bits == 32 else 0x1000

    def adopt_segments(self, read_end: list[int], write_end: list[int]) -> None:
        """Another engine has loaded segments, and knows their ends already."""
        self.bases[:] = self.s[BASE : BASE + 8]
        self.read_end[:], self.write_end[:] = read_end, write_end
        self.mirror_code()
        self._level(self.s[CPL])

    def _level(self, cpl: int) -> None:
        user = 1 if cpl == 3 else 0
        self.user = user
        self.tr, self.tw, self.tf = self.tlb.read[user], self.tlb.write[user], self.fetch_tlbs[user]
        self.handlers = self.cpu.handlers if cpl == 0 else self.cpu.trapping_handlers

    def set_segment(self, n: int, selector: int, base: int, limit: int, attr: int) -> None:
        s = self.s
        s[SEL + n], s[BASE + n], s[LIMIT + n], s[ATTR + n] = selector, base, limit, attr
        self._mirror(n)

    def set_cpl(self, cpl: int) -> None:
        self.s[CPL] = cpl
        self._level(cpl)

    # -- operands -----------------------------------------------------------------------------------

    def read(self, o: Operand) -> int:
        kind = o.kind
        if kind == REG32:
            return self.s[o.n]
        if kind == MEM:
            return self.load(o.n, self.offset(o), o.w)
        if kind == IMM:
            return o.value
        if kind == REG16:
            return self.s[o.n] & 0xFFFF
        if kind == REG8:
            return (self.s[o.n] >> o.shift) & 0xFF
        raise NotModelled(f"reading operand {o}")

    def modify(self, o: Operand) -> int:
        if o.kind == MEM:
            return self.load_rmw(o.n, self.offset(o), o.w)
        return self.read(o)

    def write(self, o: Operand, value: int) -> None:
        kind = o.kind
        if kind == REG32:
            self.s[o.n] = value
        elif kind == MEM:
            self.store(o.n, self.offset(o), value, o.w)
        elif kind == REG16:
            self.s[o.n] = (self.s[o.n] & 0xFFFF_0000) | value
        elif kind == REG8:
            self.s[o.n] = (self.s[o.n] & ~(0xFF << o.shift)) | (value << o.shift)
        else:
            raise NotModelled(f"writing operand {o}")

    def offset(self, o: Operand) -> int:
        at = o.value
        if o.base >= 0:
            at += self.s[o.base]
        if o.index >= 0:
            at += self.s[o.index] << o.scale
        return at & 0xFFFF_FFFF if o.aw == 32 else at & 0xFFFF

    # -- flags --------------------------------------------------------------------------------------

    def eflags(self) -> int:
        return (self.s[EFLAGS] & NOT_ARITHMETIC) | self.arithmetic()

    def system_flags(self) -> int:
        return self.s[EFLAGS] & NOT_ARITHMETIC

    def set_eflags(self, value: int) -> None:
        self.record = (flags.PACKED, 32, 0, 0, value)
        self.set_system_flags(value)

    def set_system_flags(self, value: int) -> None:
        self.s[EFLAGS] = value
        if value & SYSTEM_FLAGS_AWAKE or (value & c.IF and self.cpu.interrupts is not None):
            self.attention = True

    # -- control ------------------------------------------------------------------------------------

    def jump(self, target: int) -> None:
        if target >= self.cs_end:
            raise GeneralProtection(0)
        self.next = target

    def go(self, target: int) -> None:
        self.next = target

    def branch(self, taken: int, target: int) -> None:
        if taken:
            if target >= self.cs_end:
                raise GeneralProtection(0)
            self.next = target

    def repeat(self) -> None:
        self.next = self.here

    def inhibit_interrupts(self, *, debug: bool = False) -> None:
        self.s[SHADOW] = 3 if debug else 2
        self.attention = True

    def debug_registers_changed(self) -> None:
        self.attention = True

    def commit(self) -> None:
        self.restartable, self.attention = False, True

    def unblock_nmi(self) -> None:
        self.s[NMI] &= NMI_WAITS
        self.attention = True

    def halt(self) -> None:
        self.s[HALTED] = 1
        self.attention = True

    def fpu_error(self) -> None:
        if self.cpu.on_math_error is None:
            raise NotModelled("an x87 exception with CR0.NE clear, on a board without IRQ 13")
        self.cpu.on_math_error()
        self.halt()
        raise Waiting()

    def intercepts(self, vector: int, software: bool) -> None:
        self.cpu.check_intercept(vector, software)

    # -- the world ----------------------------------------------------------------------------------

    def port_in(self, port: int, w: int) -> int:
        return self.cpu.ports.read(port, w >> 3)

    def port_out(self, port: int, value: int, w: int) -> None:
        self.cpu.ports.write(port, value, w >> 3)

    def cpuid(self, leaf: int, subleaf: int) -> tuple[int, int, int, int]:
        return self.cpu.model.cpuid(leaf, subleaf)

    def timestamp(self) -> tuple[int, int]:
        now = self.cpu.timestamp()
        return now & c.M32, (now >> 32) & c.M32

    def read_msr(self, index: int) -> tuple[int, int]:
        value = msr.find(self.cpu.model, index).read(self.cpu)
        return value & c.M32, (value >> 32) & c.M32

    def write_msr(self, index: int, low: int, high: int) -> None:
        msr.find(self.cpu.model, index).write(self.cpu, low | high << 32)

    def not_modelled(self, what: str) -> None:
        raise NotModelled(what)
