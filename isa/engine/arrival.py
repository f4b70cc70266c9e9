"""Finding the next instruction: from CS:EIP through the fetch translations of its page to its record.

Inside a page records lead to each other. Where that ends somebody has to look: the routines of `kernel`,
for any state, or the code of a transfer (`transfer`), which knows the level and the code segment, so that
little is left to look up. What does not go smoothly is for `@dispatch` to sort out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from isa.consts import ATTR_DB, CS, M32
from isa.engine.context import MAX_PAGES, PAGE_EIP, PAGE_ENTRIES, PAGES, POOL, RECORD_SIZE, TLB
from isa.engine.nativememory import entry
from isa.engine.threadedbuilder import Threaded
from isa.engine.words import Value, Word
from isa.state import ATTR, BASE, CPL, LIMIT
from isa.tlb import FETCH
from isa.tlb import PAGES as LINEAR_PAGES

Read = Callable[[int], Any]
"""A word of the state, as it is now."""


@dataclass(frozen=True)
class Place:
    """Where execution is. All but the last are words."""

    eip: Any
    low: Any  # of its linear address, the offset in the page
    page_eip: Any  # EIP of the page's first byte
    limit: Any
    partly: Any  # whether the code segment begins or ends in the page
    page: Any  # the number of the code page; MAX_PAGES or more if it is none that can have records
    base: str  # of the translations


def place_of(b: Threaded, eip: Word, word: Read) -> Place:
    """Look up where CS:EIP is."""
    base, limit = word(BASE + CS), word(LIMIT + CS)
    linear: Any = (eip + base) & M32
    tables = _tables(b, word(CPL) == 3)
    number: Any = entry(b, tables, FETCH, linear >> 12)[0]
    low = linear & 0xFFF
    page_eip: Any = (eip - low) & M32
    end: Any = b.zext(page_eip, 32, 64) + 0xFFF
    whole = base == 0 and limit == M32 if isinstance(base, int) and isinstance(limit, int) else False
    partly = 0 if whole else end > b.zext(limit, 32, 64)
    return Place(eip, low, page_eip, limit, partly, number - 1, tables)


def _tables(b: Threaded, user: Any) -> str:
    """Where the translations of a level begin."""
    if isinstance(user, Value):
        far = b.code.value(f"select i1 {user.text}, i64 {LINEAR_PAGES}, i64 0", 64).text
    else:
        far = str(LINEAR_PAGES if user else 0)
    tables = b.context(TLB, "ptr").text
    return b.code.value(f"getelementptr i32, ptr {tables}, i64 {far}", 64).text


def is_astray(place: Place) -> Any:
    """Whether there is no code page."""
    return place.page >= MAX_PAGES


def record_at(b: Threaded, place: Place, word: Read, lost: Callable[[], None]) -> tuple[str, Any]:
    """The record at a place, and its number; `lost` ends the way on which there is none."""
    small: Any = ((word(ATTR + CS) >> (ATTR_DB.bit_length() - 1)) & 1) ^ 1
    slot: Any = place.page * PAGE_ENTRIES + ((small << 12) + place.low)
    pages = b.context(PAGES, "ptr").text
    index, _ = entry(b, pages, 0, slot)
    b.if_(index == 0, lost)
    pool = b.context(POOL, "ptr").text
    offset: Any = index.widen(64) * RECORD_SIZE
    rec = b.code.value(f"getelementptr i8, ptr {pool}, i64 {offset.text}", 64).text
    b._context_store(PAGE_EIP, place.page_eip)
    return rec, index


def arrive(b: Threaded, eip: Word, left: str) -> None:
    """End the block by going to EIP, which is stored, in the state that the builder has."""

    def otherwise() -> None:
        b.tail("@dispatch", left=left)

    spent: Any = b.code.value(f"icmp slt i64 {left}, 1", 1)
    b.if_(spent, otherwise)
    word: Read = b.s.__getitem__
    place = place_of(b, eip, word)
    b.if_(is_astray(place), otherwise)
    b.if_(place.partly, otherwise)
    rec, _ = record_at(b, place, word, otherwise)
    handler = b.code.value(f"load ptr, ptr {rec}", 64, pure=False).text
    b.tail(handler, rec=rec, left=left, tlb=place.base)
