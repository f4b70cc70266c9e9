"""The records of decoded instructions, by code page: what the threaded native code walks along.

A record is made where a jump leads or where execution arrives, at first as a stub that comes back to
Python (`MISS`), and becomes an instruction in its place; so pointers between records never change. When
code is stored to, the records of its page become stubs again.
"""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING

from isa import consts as c
from isa.decode import TruncatedCode
from isa.engine.context import MAX_PAGES, MAX_RECORDS, PAGE_ENTRIES, R_OFFSET, RECORD_SIZE
from isa.engine.library import ORIGINALS_BYTES, PAGES_BYTES, POOL_BYTES, Library
from isa.engine.shapes import target_offset
from isa.faults import Fault, NotModelled
from isa.memory import LONGEST, reserve
from isa.state import LIMIT
from isa.table import ROWS

if TYPE_CHECKING:
    from isa.engine.reference import Reference
    from isa.engine.regions import Regions
    from isa.insn import Insn

AHEAD = 32  # instructions decoded at once
_ENDS = frozenset("jmp ret retf iret hlt ud2".split()) | {"jmp far"}
_RECORD = struct.Struct("<QQQI36s")


class Pool:
    """Records over the code pages of one RAM, for one reference engine."""

    def __init__(self, engine: Reference, library: Library) -> None:
        self.engine = engine
        self.library = library
        records, pages = reserve(POOL_BYTES), reserve(PAGES_BYTES)
        self.records, self.pages = memoryview(records), memoryview(pages).cast("I")
        originals = reserve(ORIGINALS_BYTES)
        self.originals = memoryview(originals).cast("Q")
        self.originals_address = ctypes.addressof(ctypes.c_char.from_buffer(originals))
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(records))
        self.pages_address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
        self.split = bytearray(MAX_PAGES)  # code pages in which jumps ask where the segment ends
        self.set_handler(0, library.addresses["deliver_hardware"])  # of no instruction
        self.used = 1
        self.of_page: dict[int, dict[int, int]] = {}  # by code page: record numbers by offset | 16-bit mark
        self.reference_only: frozenset[int] = frozenset()  # rows that have no handler on this processor
        self.waiting: list[tuple[int, str]] = []  # records whose handler is being compiled
        self.regions: Regions | None = None  # told what becomes of the records

    def slot(self, number: int, key: int) -> int:
        """The record of a place in a code page, made on first use."""
        known = self.of_page[number]
        index = known.get(key)
        if index is None:
            index = known[key] = self.used
            self.used += 1
            at = index * RECORD_SIZE
            self.records[at : at + 8] = self.library.unresolved.to_bytes(8, "little")
            offset = key & 0xFFF if key < 0x2000 else c.PAGE_SIZE
            self.records[at + R_OFFSET : at + R_OFFSET + 4] = offset.to_bytes(4, "little")
            if key < 0x2000:
                self.pages[number * PAGE_ENTRIES + key] = index
            else:
                self.records[at : at + 8] = self.library.outside.to_bytes(8, "little")
        return index

    def invalidate(self, number: int, first: int, last: int) -> None:
        """Bytes of a code page have changed: the records of instructions that have one of them are stubs again."""
        known = self.of_page.get(number, {})
        near = range(max(0, first - LONGEST), last + 1)
        if len(near) < len(known):
            keys = [key for at in near for key in (at, at | 0x1000) if key in known]
        else:
            keys = [key for key in known if key < 0x2000 and key & 0xFFF in near]
        unresolved = self.library.unresolved.to_bytes(8, "little")
        changed = set()
        for key in keys:
            at = known[key] * RECORD_SIZE
            if self.records[at : at + 8] != unresolved:
                self.records[at : at + 8] = unresolved
                changed.add(known[key])
        if changed:
            self.waiting = [entry for entry in self.waiting if entry[0] not in changed]
            if self.regions is not None:
                self.regions.forget(number)

    def reset(self) -> None:
        """Forget all records: there are too many."""
        if self.regions is not None:
            self.regions.forget_all()
        for number in self.of_page:
            at = number * PAGE_ENTRIES
            self.pages[at : at + PAGE_ENTRIES] = memoryview(bytes(4 * PAGE_ENTRIES)).cast("I")
        self.of_page.clear()
        self.waiting.clear()
        self.used = 1

    def set_handler(self, index: int, address: int) -> None:
        """Let a record lead to a function."""
        at = index * RECORD_SIZE
        self.records[at : at + 8] = address.to_bytes(8, "little")

    def handler(self, index: int) -> int:
        """The function that a record leads to."""
        at = index * RECORD_SIZE
        return int.from_bytes(self.records[at : at + 8], "little")

    # -- making records ---------------------------------------------------------------------------
    def resolve(self, eip: int) -> bool:
        """Make the record at CS:EIP, and those that follow; False if there can be none. Raises faults."""
        engine = self.engine
        insn = engine.fetch(eip)
        linear = (eip + engine.cs_base) & c.M32
        number = engine.tlb.fetch[engine.user][linear >> 12]
        if not number or number > MAX_PAGES:
            return False
        number -= 1
        if self.used + 4 * AHEAD > MAX_RECORDS:
            self.reset()
        if number not in self.of_page:
            self.of_page[number] = {}
            code_page = engine.ram.code[engine.ram.code_offsets[number]]
            if self.invalidate not in code_page.watchers:
                code_page.watchers.append(self.invalidate)
        offset = linear & 0xFFF
        if not self.split[number] and not self._fills(eip - offset):
            self.split[number] = 1
            self.invalidate(number, 0, c.PAGE_SIZE - 1)
        self._make(number, offset, insn)
        self._ahead(number, eip, offset, insn)
        self.finish()
        return True

    def _fills(self, page_eip: int) -> bool:
        """Whether all of a page lies in the code segment; `page_eip` is the EIP of its first byte."""
        return page_eip >= 0 and page_eip + c.PAGE_SIZE - 1 <= self.engine.s[LIMIT + c.CS]

    def _ahead(self, number: int, eip: int, offset: int, insn: Insn) -> None:
        """Go on along the straight line, as long as nothing outside the page is looked at."""
        engine = self.engine
        for _ in range(AHEAD):
            if ROWS[insn.row].name in _ENDS:
                return
            eip, offset = (eip + insn.length) & c.M32, offset + insn.length
            if offset + 15 > c.PAGE_SIZE or self.is_made(number, offset | engine.key):
                return
            try:
                insn = engine.fetch(eip)
            except (Fault, NotModelled, TruncatedCode):
                return
            self._make(number, offset, insn)

    def is_made(self, number: int, key: int) -> bool:
        """Whether there is more than a stub for a place in a code page."""
        index = self.of_page[number].get(key)
        if index is None:
            return False
        at = index * RECORD_SIZE
        return bool(self.records[at : at + 8] != self.library.unresolved.to_bytes(8, "little"))

    def _make(self, number: int, offset: int, insn: Insn) -> None:
        key = self.engine.key
        index = self.slot(number, offset | key)
        at = index * RECORD_SIZE
        after = offset + insn.length
        if after > c.PAGE_SIZE:
            self.records[at : at + 8] = self.library.elsewhere.to_bytes(8, "little")
            return
        target = None if self.split[number] else target_offset(insn, offset)
        handler, fields, name = self.library.look_up(insn, target is not None)
        if insn.row in self.reference_only:
            handler, name = 0, ""
        follower = self.slot(number, after | key if after < c.PAGE_SIZE else 0x2000)
        goal = follower if target is None else self.slot(number, target | key)
        if not handler:
            handler = self.library.elsewhere
            if name:
                self.waiting.append((index, name))
        following, target_record = (self.address + n * RECORD_SIZE for n in (follower, goal))
        _RECORD.pack_into(self.records, at, handler, following, target_record, offset, fields)

    def finish(self) -> None:
        """Give the records that wait their handlers."""
        if not self.waiting:
            return
        self.library.compile()
        waiting, self.waiting = self.waiting, []
        for index, name in waiting:
            address = self.library.addresses.get(name)
            if address:
                self.set_handler(index, address)
