"""The reference engine: every definition run as it stands, on Python ints.

It is the oracle for every faster engine, the stepper of the debugger and the interpreter of the monitors.
`Reference` is the builder (`language.Builder`) over a `Cpu`'s state: registers in the state block,
segments' hidden parts mirrored into lists, translations in dictionaries, decoded instructions in the
`Ram`'s code pages. `cpu` drives it. Not here: what instructions mean (`ops`), protection (`segment`),
paging (`mmu`), interrupts (`deliver`).

Translations are in the processor's `Tlb`, which compiled engines use too, so all of them translate alike.
A page that holds decoded code is marked there; a store to it takes the slow road and can forget the code.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from isa import consts as c
from isa import flags, mmu, msr, segment
from isa.decode import TruncatedCode, decode
from isa.engine.breakpoints import Breakpoints
from isa.engine.intflags import IntFlags, Record
from isa.engine.intwords import IntWords
from isa.engine.x87ints import X87Ints
from isa.faults import GeneralProtection, NotModelled, StackFault, Waiting
from isa.insn import Insn, Kind, Operand, weightless
from isa.state import (
    ATTR,
    BASE,
    CPL,
    CR0,
    CR4,
    EFLAGS,
    HALTED,
    LIMIT,
    NMI,
    NMI_WAITS,
    SEL,
    SHADOW,
)  # fmt: skip
from isa.tlb import CODE, FRAME_LOAD, FRAME_STORE, VALID, Tlb

if TYPE_CHECKING:
    from isa.cpu import Cpu

_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
REG32, MEM, IMM, REG16, REG8 = Kind.REG32, Kind.MEM, Kind.IMM, Kind.REG16, Kind.REG8
NOT_ARITHMETIC = ~c.ARITHMETIC & c.M32
SYSTEM_FLAGS_AWAKE = c.TF | c.RF | c.AC  # flags that need a look at every instruction boundary


class Reference(X87Ints, IntFlags, IntWords):
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

    # -- memory through a segment -------------------------------------------------------------------

    def load(self, n: int, offset: int, w: int) -> int:
        size = w >> 3
        if offset + size > self.read_end[n]:
            self.check_segment(n, offset, size, write=False)
        linear = (self.bases[n] + offset) & 0xFFFF_FFFF
        page = self.tr[linear >> 12]
        if not page or (linear & 0xFFF) + size > 4096:
            return self._load_slow(linear, size, self.user)
        at = page - VALID + (linear & 0xFFF)
        if w == 32:
            return self.words[at >> 2] if not at & 3 else int(_U32.unpack_from(self.data, at)[0])
        if w == 8:
            return self.data[at]
        return int.from_bytes(self.data[at : at + size], "little")

    def load_rmw(self, n: int, offset: int, w: int) -> int:
        size = w >> 3
        if offset + size > self.write_end[n]:
            self.check_segment(n, offset, size, write=True)
        linear = (self.bases[n] + offset) & 0xFFFF_FFFF
        if not self.tw[linear >> 12] or (linear & 0xFFF) + size > 4096:
            self._pieces(linear, size, 1, self.user)
        return self.load(n, offset, w)

    def store(self, n: int, offset: int, value: int, w: int) -> None:
        size = w >> 3
        if offset + size > self.write_end[n]:
            self.check_segment(n, offset, size, write=True)
        linear = (self.bases[n] + offset) & 0xFFFF_FFFF
        page = self.tw[linear >> 12]
        if page & CODE != VALID or (linear & 0xFFF) + size > 4096:
            self._store_slow(linear, value, size, self.user)
            return
        at = page - VALID + (linear & 0xFFF)
        if w == 32:
            if not at & 3:
                self.words[at >> 2] = value
            else:
                _U32.pack_into(self.data, at, value)
        elif w == 8:
            self.data[at] = value
        else:
            self.data[at : at + size] = value.to_bytes(size, "little")

    def probe(self, n: int, offset: int, size: int) -> None:
        if offset + size > self.write_end[n]:
            self.check_segment(n, offset, size, write=True)
        self._pieces((self.bases[n] + offset) & 0xFFFF_FFFF, size, 1, self.user)

    def check_segment(self, n: int, offset: int, size: int, *, write: bool) -> None:
        """The full check of an access through a segment (SDM 5.3): #SS(0) for SS, else #GP(0)."""
        attr, limit = self.s[ATTR + n], self.s[LIMIT + n]
        allowed = segment.is_writable_data(attr) if write else segment.is_readable(attr)
        if not (attr & c.ATTR_P and allowed and segment.within(attr, limit, offset, size)):
            raise StackFault(0) if n == c.SS else GeneralProtection(0)

    # -- linear memory ------------------------------------------------------------------------------

    def load_system(self, linear: int, w: int) -> int:
        page = self.tlb.read[0][linear >> 12]
        if page and not linear & 3:
            at = (page + (linear & 0xFFF)) >> 2
            if w == 32:
                return self.words[at]
            if w == 64 and linear & 0xFFF < 0xFFC:
                return self.words[at] | self.words[at + 1] << 32
        return self._load_slow(linear & c.M32, w >> 3, 0)

    def store_system(self, linear: int, value: int, w: int) -> None:
        self._store_slow(linear & c.M32, value, w >> 3, 0)

    def probe_system(self, linear: int, size: int) -> None:
        self._pieces(linear, size, 1, 0)

    def load_physical(self, address: int, w: int) -> int:
        page = self.memory.frame(address >> 12)
        if page < 0:
            return self.memory.read(address, w >> 3)
        self.tlb.know_frame(FRAME_LOAD, address >> 12, page)
        at = page + (address & 0xFFF)
        return int.from_bytes(self.data[at : at + (w >> 3)], "little")

    def store_physical(self, address: int, value: int, w: int) -> None:
        page = self.memory.store_frame(address >> 12)
        if page < 0:
            self.memory.write(address, value, w >> 3)
        else:
            self.tlb.know_frame(FRAME_STORE, address >> 12, page)
            self._put(page, address & 0xFFF, value, w >> 3)

    def translate(self, linear: int, write: int, user: int) -> int:
        """Physical address of `linear`, through the page tables if paging is on. Raises PageFault."""
        if not self.s[CR0] & c.CR0_PG:
            return linear
        return (mmu.walk(self, linear, write, user) & ~0xFFF) | (linear & 0xFFF)

    def _fill(self, linear: int, write: int, user: int) -> tuple[int, int]:
        """Translate and remember. Returns byte offset of the page (-1: no RAM) and physical page."""
        physical = self.translate(linear, write, user) & ~0xFFF
        page = self.memory.frame(physical >> 12)
        if page >= 0:
            self.tlb.fill(linear >> 12, user, page)
            self.tlb.know_frame(FRAME_LOAD, physical >> 12, page)
        if write:
            page = self.memory.store_frame(physical >> 12)
            if page >= 0:
                self.tlb.write[user][linear >> 12] = page | (CODE if page in self.ram.code else VALID)
                self.tlb.know_frame(FRAME_STORE, physical >> 12, page)
        return page, physical

    def _pieces(self, linear: int, size: int, write: int, user: int) -> list[tuple[int, int, int]]:
        """(page, physical address, bytes) of an access, one or two; both translated before either is used."""
        first = min(size, 4096 - (linear & 0xFFF))
        pieces = [(*self._page(linear, write, user), first)]
        if first < size:
            pieces.append((*self._page((linear + first) & c.M32, write, user), size - first))
        return pieces

    def _page(self, linear: int, write: int, user: int) -> tuple[int, int]:
        """Byte offset of the page in RAM and the physical address; where the page is remembered only the offset
        within it counts."""
        known = (self.tlb.write if write else self.tlb.read)[user][linear >> 12]
        if known:
            return known & ~0xFFF, linear & 0xFFF
        page, physical = self._fill(linear, write, user)
        return page, physical | (linear & 0xFFF)

    def _load_slow(self, linear: int, size: int, user: int) -> int:
        value = shift = 0
        for page, physical, count in self._pieces(linear, size, 0, user):
            if page < 0:
                part = self.memory.read(physical, count)
            else:
                at = page + (physical & 0xFFF)
                part = int.from_bytes(self.data[at : at + count], "little")
            value |= part << shift
            shift += 8 * count
        return value

    def _store_slow(self, linear: int, value: int, size: int, user: int) -> None:
        for page, physical, count in self._pieces(linear, size, 1, user):
            part = value & ((1 << (8 * count)) - 1)
            value >>= 8 * count
            if page < 0:
                self.memory.write(physical, part, count)
            else:
                self._put(page, physical & 0xFFF, part, count)

    def _put(self, page: int, offset: int, value: int, size: int) -> None:
        self.data[page + offset : page + offset + size] = value.to_bytes(size, "little")
        code = self.ram.code.get(page)
        if code is not None:
            code.stored(offset, size)

    # -- fetching -----------------------------------------------------------------------------------

    def fetch(self, eip: int) -> Insn:
        """The instruction at CS:EIP. Raises #GP, #PF, #UD."""
        linear = (eip + self.cs_base) & c.M32
        page = self.tf.get(linear >> 12)
        insn = page.get(linear & 0xFFF | self.key) if page is not None else None
        if insn is None:
            insn = self._fetch_slow(linear)
        if eip + insn.length > self.cs_end:
            raise GeneralProtection(0)
        return insn

    def _fetch_slow(self, linear: int) -> Insn:
        offset = linear & 0xFFF
        number = self.tlb.fetch[self.user][linear >> 12]
        if number:
            page = self.ram.code_offsets[number - 1]
        else:
            page, physical = self._fill(linear, 0, self.user)
            if page < 0:
                code = bytes(self.memory.read(physical + offset + n, 1) for n in range(15))
                return decode(code, self.bits)
        code_page = self.ram.code_page(page)
        if not number:
            self.tlb.fill_fetch(linear >> 12, self.user, code_page.number)
        self.tf[linear >> 12] = code_page.insns
        known = code_page.insns.get(offset | self.key)
        if known is not None:
            return known
        raw = bytes(self.data[page + offset : page + min(offset + 15, 4096)])
        try:
            insn = decode(raw, self.bits)
        except TruncatedCode:
            return self._fetch_across(linear, raw)
        if offset in code_page.uncounted:
            insn = weightless(insn)
        code_page.add(offset | self.key, insn)
        return insn

    def _fetch_across(self, linear: int, raw: bytes) -> Insn:
        """An instruction that goes on in the next page: never cached, for two pages can change it."""
        page, _physical = self._fill((linear | 0xFFF) + 1 & c.M32, 0, self.user)
        more = bytes(self.data[page : page + 15]) if page >= 0 else b"\xff" * 15
        return decode((raw + more)[:15], self.bits)

    # -- translations -------------------------------------------------------------------------------

    def flush_tlb(self, *, keep_global: bool = False) -> None:
        self._forget()
        if self.cpu.on_flush is not None:
            self.cpu.on_flush(None)

    def _forget(self) -> None:
        self.tlb.flush()
        self.forget_fetches()

    def forget_fetches(self) -> None:
        """The fetch translations have been dropped from the TLB."""
        self.fetch_tlbs[0].clear()
        self.fetch_tlbs[1].clear()

    def flush_page(self, linear: int) -> None:
        """One translation; where large pages are on, it may be one of 1,024 of them, so all go."""
        if self.s[CR4] & c.CR4_PSE:
            self._forget()
        self.tlb.flush_page(linear >> 12)
        self.fetch_tlbs[0].pop(linear >> 12, None)
        self.fetch_tlbs[1].pop(linear >> 12, None)
        if self.cpu.on_flush is not None:
            self.cpu.on_flush(linear)

    def remap(self) -> None:
        """What is RAM has changed."""
        self.tlb.forget_frames()
        self.flush_tlb()

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
