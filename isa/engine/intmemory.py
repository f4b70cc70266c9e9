"""Memory of an engine that runs on ints: through segments, linear, physical; fetching; translations.

Translations are in the processor's `Tlb`, which compiled engines use too, so all of them translate alike.
A page that holds decoded code is marked there; a store to it takes the slow road and can forget the code.
Where making a translation marks an entry of the page tables, the instruction begins again, as it does in
native code after every translation: what it has read may have been that entry.
"""

from __future__ import annotations

import struct
from array import array
from mmap import mmap
from typing import TYPE_CHECKING

from isa import consts as c
from isa import mmu, segment
from isa.decode import TruncatedCode, decode
from isa.faults import Again, GeneralProtection, StackFault
from isa.insn import Insn, weightless
from isa.memory import PhysicalMemory, Ram
from isa.state import ATTR, CR0, CR4, LIMIT
from isa.tlb import CODE, FRAME_LOAD, FRAME_STORE, VALID, Tlb

if TYPE_CHECKING:
    from isa.cpu import Cpu

_U32 = struct.Struct("<I")


class IntMemory:
    """The memory operations of `isa.language.Builder`; `reference` says what the attributes are."""

    cpu: Cpu
    s: array[int]
    memory: PhysicalMemory
    ram: Ram
    data: mmap
    words: memoryview
    tlb: Tlb
    tr: memoryview
    tw: memoryview
    tf: dict[int, dict[int, Insn]]
    fetch_tlbs: tuple[dict[int, dict[int, Insn]], dict[int, dict[int, Insn]]]
    bases: list[int]
    read_end: list[int]
    write_end: list[int]
    user: int
    bits: int
    key: int
    cs_base: int
    cs_end: int
    marks: int
    restartable: bool
    begun_at: int

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
        self.marks += 1
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
        walked = mmu.walk(self, linear, write, user)  # type: ignore[arg-type]
        return (walked & ~0xFFF) | (linear & 0xFFF)

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
        marks = self.marks
        page, physical = self._fill(linear, write, user)
        if self.marks != marks and self.restartable:
            self.begun_at = self.cpu.count
            raise Again()  # as native code does after each translation that it has to make
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
