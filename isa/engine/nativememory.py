"""Memory in compiled code: segments, the TLB, physical memory, each with its way out.

An access through a segment is compared with the end that `isa.engine.reference` also keeps, then looked
up in the tables of `isa.tlb`. Whatever is not the common case leaves: to `@fill` for a translation that
is missing, else to `@guard`, for the reference engine knows all cases: expand-down segments, accesses
across pages, stores into code, devices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isa.consts import M32
from isa.engine.context import (
    ACCESS,
    ADDRESS,
    AS_CPL,
    CODE_BITS,
    CODE_NUMBERS,
    NESTED,
    READ_END,
    STORE,
    TLB,
    WRITE_END,
)  # fmt: skip
from isa.engine.ssa import Block
from isa.engine.words import Value, Word, fit, mask, text
from isa.memory import CODE_BITS_AT_ONCE
from isa.state import BASE
from isa.tlb import CODE, FRAME_LOAD, FRAME_STORE, PAGES, VALID, WRITE

if TYPE_CHECKING:
    from isa.engine.threadedbuilder import Threaded


class Memory:
    """The memory operations of `isa.language.Builder`; a mixin of `handler.Threaded`."""

    # -- through a segment ------------------------------------------------------------------------
    def load(self: Threaded, segment: int, offset: Word, w: int) -> Word:  # type: ignore[misc]
        return self._load(linear_of(self, segment, offset, w >> 3, READ_END), w, AS_CPL)

    def load_rmw(self: Threaded, segment: int, offset: Word, w: int) -> Word:  # type: ignore[misc]
        linear = linear_of(self, segment, offset, w >> 3, WRITE_END)
        pointer(self, linear, w >> 3, AS_CPL | STORE)
        return self._load(linear, w, AS_CPL)

    def store(self: Threaded, segment: int, offset: Word, value: Word, w: int) -> None:  # type: ignore[misc]
        self._store(linear_of(self, segment, offset, w >> 3, WRITE_END), value, w, AS_CPL)

    def probe(self: Threaded, segment: int, offset: Word, size: int) -> None:  # type: ignore[misc]
        pointer(self, linear_of(self, segment, offset, size, WRITE_END), size, AS_CPL | STORE)

    # -- linear -----------------------------------------------------------------------------------
    def load_system(self: Threaded, linear: Word, w: int) -> Word:  # type: ignore[misc]
        return self._load(fit(linear, 32), w, 0)

    def store_system(self: Threaded, linear: Word, value: Word, w: int) -> None:  # type: ignore[misc]
        self._store(fit(linear, 32), value, w, 0)

    def probe_system(self: Threaded, linear: Word, size: int) -> None:  # type: ignore[misc]
        pointer(self, fit(linear, 32), size, STORE)

    def _load(self: Threaded, linear: Word, w: int, access: int) -> Word:  # type: ignore[misc]
        at = pointer(self, linear, w >> 3, access)
        return self.code.value(f"load i{w}, ptr {at}, align 1", w, pure=False)

    def _store(self: Threaded, linear: Word, value: Word, w: int, access: int) -> None:  # type: ignore[misc]
        at = pointer(self, linear, w >> 3, access | STORE)
        self.code.effect(f"store i{w} {text(fit(value, w))}, ptr {at}, align 1")

    # -- physical ---------------------------------------------------------------------------------
    def load_physical(self: Threaded, address: Word, w: int) -> Word:  # type: ignore[misc]
        at = _physical(self, address, FRAME_LOAD)
        return self.code.value(f"load i{w}, ptr {at}, align 1", w, pure=False)

    def store_physical(self: Threaded, address: Word, value: Word, w: int) -> None:  # type: ignore[misc]
        at = _physical(self, address, FRAME_STORE)
        self.code.effect(f"store i{w} {text(fit(value, w))}, ptr {at}, align 1")


def linear_of(b: Threaded, segment: int, offset: Word, size: int, ends: int) -> Word:
    """The linear address of an access through a segment that allows it.

    What has been checked for a wider access nearby, as a frame on the stack, is not checked again.
    """
    offset = fit(offset, 32)
    root, at = root_of(offset)
    key = ("linear", segment, root, ends)
    first, known, linear = b.memo.get(key, (0, 0, 0))
    if first <= at and at + size <= first + known:
        near: Any = linear
        return fit((near + (at - first)) & M32, 32)
    end = b.context(ends + segment)
    wide: Any = b.zext(offset, 32, 64)
    b.guard(wide + size <= end if isinstance(wide, Value) else end >= wide + size)
    total: Any = b.s[BASE + segment] + offset
    linear = fit(total & M32, 32)
    b.memo[key] = (at, size, linear)
    return linear


def root_of(x: Word) -> tuple[str, int]:
    """A word as the sum of another, by its name, and a constant."""
    return x.root if isinstance(x, Value) else ("", x)


def entry(b: Threaded, base: str, table: int, page: Word) -> tuple[Value, str]:
    """An entry of the tables, and where it is."""
    index = text(fit(page, 64))
    at = b.code.value(f"getelementptr i32, ptr {base}, i64 {index}", 64).text
    if table:
        at = b.code.value(f"getelementptr i32, ptr {at}, i64 {table}", 64).text
    return b.code.value(f"load i32, ptr {at}", 32, pure=False), at


def host_pointer(b: Threaded, found: Value, address: Value) -> str:
    """Where the byte at `address` lies, in the page that an entry tells."""
    at: Any = (found & ~mask(12) & M32) | (address.fit(32) & mask(12))
    return b.code.value(f"getelementptr i8, ptr %ram, i64 {at.widen(64).text}", 64).text


def pointer(b: Threaded, linear: Word, size: int, access: int) -> str:
    """Where `size` bytes at a linear address lie in the host, translated for an access."""
    if not isinstance(linear, Value):
        linear = b.code.value(f"or i32 {linear}, 0", 32)
    root, at = root_of(linear)
    key = ("pointer", root, access)
    first, known, name = b.memo.get(key, (0, 0, ""))
    if first <= at and at + size <= first + known:
        return b.code.value(f"getelementptr i8, ptr {name}, i64 {at - first}", 64).text
    base = "%tlb" if access & AS_CPL else b.context(TLB, "ptr").text
    low: Any = linear & mask(12)
    if size > 1:
        b.guard(low <= 4096 - size)
    shifted: Any = linear >> 12
    found, _ = entry(b, base, WRITE if access & STORE else 0, shifted)
    good: Any = (found & CODE) == VALID if access & STORE else found != 0
    cold = b.code.require(good)
    going_on, b.code.here = b.code.here, cold
    if access & STORE:
        _beside_code(b, found, linear, size, going_on)
    b._context_store(ADDRESS, linear)
    b._context_store(ACCESS, access | (NESTED if b.nested or b.sensitive else 0))
    b.tail("@fill")
    b.code.here = going_on
    name = host_pointer(b, found, linear)
    b.memo[key] = (at, size, name)
    return name


def _beside_code(b: Threaded, found: Value, linear: Value, size: int, going_on: Block) -> None:
    """A store into a page with code is like any other if there is no code where it goes."""
    code = b.code
    marked: Any = (found & CODE) == CODE
    origin, look, miss = code.current(), Block(code.name("look")), Block(code.name("miss"), pure=False)
    code.blocks += [look, miss]
    origin.end = f"br i1 {marked.text}, label %{look.label}, label %{miss.label}"
    code.here = look
    holds: Any = _holds_code(b, found, linear, size)
    refuse = Block(code.name("refuse"), pure=False)
    code.blocks.append(refuse)
    code.current().end = f"br i1 {holds.text}, label %{refuse.label}, label %{going_on.label}"
    b.tail("@guard", refuse)
    code.here = miss


def _holds_code(b: Threaded, found: Value, linear: Value, size: int) -> Word:
    """Whether one of the bytes is of a decoded instruction."""
    at: Any = (found & ~mask(12) & M32) | (linear & mask(12))
    bits = b.context(CODE_BITS, "ptr").text
    result: Any = None
    for offset in range(0, size, CODE_BITS_AT_ONCE):
        first: Any = at + offset
        place = b.code.value(f"getelementptr i8, ptr {bits}, i64 {(first >> 3).widen(64).text}", 64).text
        word: Any = b.code.value(f"load i64, ptr {place}, align 1", 64, pure=False)
        part = word >> (first & 7).widen(64) & mask(min(size - offset, CODE_BITS_AT_ONCE))
        result = part if result is None else result | part
    held: Word = result != 0
    return held


def _physical(b: Threaded, address: Word, table: int) -> str:
    """Where a word at a physical address lies in the host; it does not cross a page."""
    if not isinstance(address, Value):
        address = b.code.value(f"or i32 {address}, 0", 32)
    if address.w > 32:
        b.guard((address >> 32) == 0)
    base = b.context(TLB, "ptr").text
    page: Any = address.fit(32) >> 12
    found, _ = entry(b, base, table, page)
    b.guard(found != 0)
    if table == FRAME_STORE:
        b.guard(code_number(b, found) == 0)
    return host_pointer(b, found, address)


def code_number(b: Threaded, found: Value) -> Value:
    """The number of the code page that an entry leads to, + 1; 0 if it holds no code."""
    numbers = b.context(CODE_NUMBERS, "ptr").text
    index: Any = found >> 12
    at = b.code.value(f"getelementptr i32, ptr {numbers}, i64 {index.widen(64).text}", 64).text
    return b.code.value(f"load i32, ptr {at}", 32, pure=False)


assert PAGES
