"""The routines that handlers go on in: dispatch, translation, delivery, and the ways back to Python.

    @enter         from Python: set the registers of the threaded code up and dispatch
    @dispatch      find the record at CS:EIP, through the fetch translations
    @split         likewise, in a page in which the code segment begins or ends
    @redo          likewise, but go to the handler of that one instruction, even where a region begins
    @unresolved    a record that is not made yet     @elsewhere  one that has no handler
    @outside       the first byte of another page
    @spent @dry @guard @accesses @attention @lost    back to Python (`context` says why)
    @fill @fill_fetch    a translation that is missing, then the instruction again
    @fault @deliver_plain @deliver_error @deliver_software      exceptions and INT n, through the IDT
    @interrupt @deliver_hardware                                from Python: an external interrupt likewise
    @flush @flush_page @drop_segments                what a handler calls on its way

What x86 says about walks and delivery is not here: `isa.mmu` and `isa.deliver` are traced like any other
definition. A fault on the way to a handler is left to the reference engine, which knows double faults.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from isa.consts import CR0_PG, CS, M32, RF, VEC_PF
from isa.deliver import HARDWARE, SOFTWARE, interrupt
from isa.engine.arrival import Place, is_astray, place_of, record_at
from isa.engine.context import (
    ACCESS,
    ACCESSES,
    ADDRESS,
    AS_CPL,
    ATTENTION,
    DELIVERIES,
    ERROR,
    FAULTED,
    FAULTS,
    GUARD,
    INTERRUPTS,
    MISS,
    NESTED,
    NO_ERROR,
    ORIGINALS,
    POLICY,
    QUIET,
    R_LENGTH,
    RESERVE,
    RETURN,
    SPENT,
    SPLIT,
    STORE,
    TLB,
    VECTOR,
)  # fmt: skip
from isa.engine.kernel_calls import BESIDE, ENTRIES, FLUSH, drop_segments_ir, flag_ir
from isa.engine.nativememory import code_number, entry
from isa.engine.records import runtime_ir
from isa.engine.routine import Arrival, Routine
from isa.engine.ssa import METADATA
from isa.engine.trace import run
from isa.engine.words import Value, Word
from isa.mmu import walk
from isa.state import BASE, CPL, CR0, CR2, EIP, SHADOW
from isa.tlb import (
    CODE,
    FETCH,
    FETCH_LOG,
    FETCH_LOGGED,
    FRAME_LOAD,
    FRAME_STORE,
    LOG,
    LOGGED,
    VALID,
    WRITE,
)
from isa.tlb import PAGES as LINEAR_PAGES

ROUTINES = (
    "spent dry guard accesses attention lost elsewhere unresolved outside dispatch split redo fill fill_fetch "
    "fault deliver_plain deliver_error deliver_software deliver_hardware"
)

DECLARATIONS = (
    "".join(f"declare i32 @{name}(ptr, ptr, i64, ptr, ptr, ptr)\n" for name in ROUTINES.split())
    + "declare void @flush(ptr)\ndeclare void @flush_page(ptr, ptr, i32)\n"
    + "declare void @drop_segments(ptr, ptr, i32)\n"
    + "declare preserve_mostcc i32 @h_flags(i32, i32, i32, i32)\n"
    + "declare preserve_mostcc i1 @h_cf(i32, i32, i32, i32)\n"
    + "declare preserve_mostcc i1 @h_beside(ptr, i32, i32, i32)\n"
    + "declare preserve_mostcc i1 @h_of(i32, i32, i32, i32)\n"
    + "".join(
        f"declare i{w} @llvm.{name}.i{w}(i{w}, i1)\n" for name in ("cttz", "ctlz") for w in (16, 32, 64, 128)
    )
)


# -- ways back ------------------------------------------------------------------------------------


def _spent(b: Routine) -> None:
    b.if_(_is_dry(b), lambda: b.leave_for(SPENT))
    b.store_eip(b.here)
    b.tail("@dispatch", left=_from_reserve(b))


def _dry(b: Routine) -> None:
    """The same where EIP is stored and no record is known."""
    b.if_(_is_dry(b), lambda: b.leave_for(SPENT, at_record=False))
    b.tail("@dispatch", left=_from_reserve(b))


def _is_dry(b: Routine) -> Any:
    return b.context(RESERVE) == 0


def _from_reserve(b: Routine) -> str:
    """A boundary after what ran by itself: one instruction after STI or MOV SS, then all that was held back."""
    shadow: Any = b.state_word(SHADOW)
    lasting: Any = shadow > 1
    at = b.code.value(f"getelementptr i32, ptr %state, i64 {SHADOW}", 64).text
    b.code.effect(f"store i32 {lasting.widen(32).text}, ptr {at}")
    reserve = b.context(RESERVE)
    left = b.code.value(f"select i1 {lasting.text}, i64 1, i64 {reserve.text}", 64)
    b._context_store(RESERVE, b.code.value(f"sub i64 {reserve.text}, {left.text}", 64))
    return left.text


def _guard(b: Routine) -> None:
    b.leave_for(GUARD)


def _accesses(b: Routine) -> None:
    b.leave_for(ACCESSES)


def _lost(b: Routine) -> None:
    b.leave_for(MISS, at_record=False)


def _elsewhere(b: Routine) -> None:
    """A record whose instruction has no handler."""
    _stop_if_spent(b, "@spent")
    b.leave_for(GUARD)


def _unresolved(b: Routine) -> None:
    _stop_if_spent(b, "@spent")
    b.leave_for(MISS)


def _stop_if_spent(b: Routine, way: str) -> None:
    spent: Any = b.code.value("icmp slt i64 %left, 1", 1)
    b.if_(spent, lambda: b.tail(way))


def _attention(b: Routine) -> None:
    b.leave_for(ATTENTION, at_record=False)


def _outside(b: Routine) -> None:
    b.dispatch(b.here, "%left")


# -- finding the next instruction -----------------------------------------------------------------


def _dispatch(b: Routine) -> None:
    place, rec, _ = _find(b)
    b.tail(_handler(b, rec), rec=rec, tlb=place.base)


def _redo(b: Routine) -> None:
    place, rec, index = _find(b)
    first = _handler(b, rec)
    originals = b.context(ORIGINALS, "ptr").text
    at = b.code.value(f"getelementptr i64, ptr {originals}, i64 {index.widen(64).text}", 64).text
    original = b.code.value(f"load ptr, ptr {at}", 64, pure=False).text
    none = b.code.value(f"icmp eq ptr {original}, null", 1).text
    handler = b.code.value(f"select i1 {none}, ptr {first}, ptr {original}", 64).text
    b.tail(handler, rec=rec, tlb=place.base)


def _handler(b: Routine, rec: str) -> str:
    return b.code.value(f"load ptr, ptr {rec}", 64, pure=False).text


def _find(b: Routine) -> tuple[Place, str, Any]:
    """The record at CS:EIP and its number."""
    place = _place(b)
    b.if_(place.partly, lambda: b.tail("@split"))
    return place, *record_at(b, place, b.state_word, lambda: b.tail("@lost"))


def _place(b: Routine) -> Place:
    _stop_if_spent(b, "@dry")
    place = place_of(b, b.state_word(EIP), b.state_word)

    def astray() -> None:
        b.if_(place.page == M32, lambda: b.tail("@fill_fetch"))
        b.tail("@lost")

    b.if_(is_astray(place), astray)
    return place


def _split(b: Routine) -> None:
    """A page in which the code segment begins or ends. Jumps look where they go (`Pool.split`). Where it
    begins that is all; where it ends instructions run one by one."""
    place = _place(b)
    marks = b.context(SPLIT, "ptr").text
    at = b.code.value(f"getelementptr i8, ptr {marks}, i64 {place.page.widen(64).text}", 64).text
    marked: Any = b.code.value(f"load i8, ptr {at}", 8, pure=False)
    b.if_(marked == 0, lambda: b.leave_for(MISS, at_record=False))
    last: Any = place.page_eip + 0xFFF
    ends: Any = (last > place.limit) | (place.eip >= place.low) & (last < place.page_eip)
    rec, _ = record_at(b, place, b.state_word, lambda: b.tail("@lost"))
    at = b.code.value(f"getelementptr i8, ptr {rec}, i64 {R_LENGTH}", 64).text
    length: Any = b.code.value(f"load i32, ptr {at}", 32, pure=False)
    room: Any = place.limit - place.eip  # after the first byte
    fits: Any = (place.eip <= place.limit) & (length <= room + 1)
    b.if_(ends & (fits ^ 1), lambda: b.leave_for(GUARD, at_record=False))
    left: Any = Value(b.code, "%left", 64)
    one: Any = b.code.value(f"select i1 {ends.text}, i64 1, i64 %left", 64)
    held: Any = b.context(RESERVE) + left - one
    b._context_store(RESERVE, held)
    b.tail(_handler(b, rec), rec=rec, left=one.text, tlb=place.base)


# -- translations ---------------------------------------------------------------------------------


def translate(b: Any, linear: Any, write: Any, user: Any) -> Any:
    """Traced: the physical page of a linear address."""
    return b.zext(walk(b, linear, write, user), 32, 64) if b.s[CR0] & CR0_PG else b.zext(linear, 32, 64)


def _fill(b: Routine) -> None:
    """Translate for an access, remember the page as `Reference._fill` does, and start again."""
    linear: Any = b.context(ADDRESS, "i32", 32)
    access: Any = b.context(ACCESS, "i32", 32)
    write: Any = access & STORE
    user: Any = b.zext(((access & AS_CPL) != 0) & (b.s[CPL] == 3), 1, 32)
    b.quiet = (access & NESTED) == 0
    page = _walk(b, linear, write, user)
    tables = b.context(TLB, "ptr").text
    found, _ = entry(b, tables, FRAME_LOAD, page)
    b.guard(found != 0)
    target, _ = entry(b, tables, FRAME_STORE, page)
    b.guard((write == 0) | (target != 0))
    base, shifted = _remember(b, tables, linear, user, found)
    number = code_number(b, target)
    is_code: Any = number != 0
    marked: Any = (target & ~CODE & M32) | b.code.value(
        f"select i1 {is_code.text}, i32 {CODE}, i32 {VALID}", 32
    )
    known, store_place = entry(b, base, WRITE, shifted)
    storing: Any = write != 0
    made = b.code.value(f"select i1 {storing.text}, i32 {marked.text}, i32 {known.text}", 32)
    b.code.effect(f"store i32 {made.text}, ptr {store_place}")
    handler = b.code.value("load ptr, ptr %rec", 64, pure=False).text
    b.tail(handler)


def _fill_fetch(b: Routine) -> None:
    """The page of the next instruction has no fetch translation: as `Reference.fetch` makes one."""
    linear: Any = b.s[EIP] + b.s[BASE + CS]
    user: Any = b.zext(b.s[CPL] == 3, 1, 32)
    page = _walk(b, linear, 0, user)
    tables = b.context(TLB, "ptr").text
    found, _ = entry(b, tables, FRAME_LOAD, page)
    b.guard(found != 0)
    number = code_number(b, found)
    b.guard(number != 0)
    base, shifted = _remember(b, tables, linear, user, found)
    b.log(FETCH_LOG, FETCH_LOGGED, shifted | (user << 20), "flush_fetch")
    _, place = entry(b, base, FETCH, shifted)
    b.code.effect(f"store i32 {number.text}, ptr {place}")
    b.tail("@dispatch")


def _walk(b: Routine, linear: Any, write: Any, user: Any) -> Any:
    """The number of the physical page."""
    physical: Any = run(translate, b, linear, write, user)
    b.guard((physical >> 32) == 0)
    return physical.fit(32) >> 12


def _remember(b: Routine, tables: str, linear: Any, user: Any, found: Value) -> tuple[str, Any]:
    """Make the entry for loads; where the tables of this privilege begin, and the page in them.

    An entry is logged when it is made, not when it is made again.
    """
    far: Any = user * LINEAR_PAGES
    base = b.code.value(f"getelementptr i32, ptr {tables}, i64 {far.widen(64).text}", 64).text
    shifted: Any = linear >> 12
    old, place = entry(b, base, 0, shifted)
    new: Any = old == 0
    origin, making = b.code.current(), b.code.open()
    b.log(LOG, LOGGED, shifted | (user << 20), "flush_data")
    after, join = b.code.here, b.code.open()
    origin.end = f"br i1 {new.text}, label %{making.label}, label %{join.label}"
    after.end = f"br label %{join.label}"
    b.code.effect(f"store i32 {found.text}, ptr {place}")
    return base, shifted


# -- faults ---------------------------------------------------------------------------------------


def _fault(b: Routine) -> None:
    vector: Any = b.context(VECTOR)
    wanted: Any = (b.context(POLICY) >> vector) & 1
    b.if_((wanted != 0) & (vector == VEC_PF), lambda: b.leave_for(FAULTED))
    b.guard((wanted == 0) & (b.context(QUIET) != 0))
    b._context_store(RETURN, b.here)
    from_user: Any = b.state_word(CPL) == 3
    slot: Any = (vector << 1) + from_user.widen(64)
    table = b.code.value(f"getelementptr i64, ptr %ctx, i64 {DELIVERIES}", 64).text
    at = b.code.value(f"getelementptr i64, ptr {table}, i64 {slot.text}", 64).text
    hot: Any = b.code.value(f"load ptr, ptr {at}", 64, pure=False)
    none = b.code.value(f"icmp eq ptr {hot.text}, null", 1)
    b.if_(none == 0, lambda: b.tail(hot.text))
    plain: Any = b.code.value(f"icmp eq i64 {b.context(ERROR).text}, {NO_ERROR}", 1)
    b.if_(plain, lambda: b.tail("@deliver_plain"))
    b.tail("@deliver_error")


def deliver_fault(b: Any, vector: Any, error: Any, return_eip: Any, address: Any) -> None:
    """Traced: what `Cpu` does with a fault."""
    interrupt(b, vector, error, return_eip, HARDWARE, RF)
    b.s[SHADOW] = 0
    if vector == VEC_PF:
        b.s[CR2] = address


def deliver_software(b: Any, vector: Any, return_eip: Any) -> None:
    """Traced: INT n."""
    interrupt(b, vector, None, return_eip, SOFTWARE)


def deliver_plain(b: Routine, vector: Word) -> None:
    """The body of a delivery without an error code."""
    run(deliver_fault, b, vector, None, b.context(RETURN, "i32", 32), 0)
    _enter_handler(b, FAULTS, "%left")


def deliver_error(b: Routine, vector: Word) -> None:
    """Of one with an error code."""
    error, address = b.context(ERROR, "i32", 32), b.context(ADDRESS, "i32", 32)
    run(deliver_fault, b, vector, error, b.context(RETURN, "i32", 32), address)
    _enter_handler(b, FAULTS, "%left")


def _deliver_plain(b: Routine) -> None:
    deliver_plain(b, _vector(b))


def _deliver_error(b: Routine) -> None:
    deliver_error(b, _vector(b))


def _deliver_software(b: Routine) -> None:
    run(deliver_software, b, _vector(b), b.context(RETURN, "i32", 32))
    _enter_handler(b, INTERRUPTS, b.code.value("sub i64 %left, 1", 64).text)


def deliver_hardware(b: Any, vector: Any, return_eip: Any) -> None:
    """Traced: an external interrupt."""
    interrupt(b, vector, None, return_eip, HARDWARE)


def _deliver_hardware(b: Routine) -> None:
    run(deliver_hardware, b, _vector(b), b.state_word(EIP))
    _enter_handler(b, None, "%left")


def _vector(b: Routine) -> Value:
    return b.context(VECTOR, "i32", 32)


def _enter_handler(b: Routine, tally: int | None, left: str) -> None:
    """The state is that of the handler: store it and go there."""
    if b.code.here.end is not None:
        return
    assert b.eip is not None
    vector = _vector(b)
    b.store_state(b.words, b.record)
    b.mirror_segments()
    if tally is not None:
        at = b.code.value(f"getelementptr i64, ptr %ctx, i64 {tally}", 64).text
        at = b.code.value(f"getelementptr i64, ptr {at}, i64 {vector.widen(64).text}", 64).text
        more: Any = b.code.value(f"load i64, ptr {at}", 64, pure=False) + 1
        b.code.effect(f"store i64 {more.text}, ptr {at}")
    b.look_around(b.eip, left)
    b.dispatch(b.eip, left)


# -- all of it ------------------------------------------------------------------------------------

_PLAIN: dict[str, Callable[[Routine], None]] = {
    "spent": _spent,
    "dry": _dry,
    "guard": _guard,
    "accesses": _accesses,
    "attention": _attention,
    "lost": _lost,
    "elsewhere": _elsewhere,
    "unresolved": _unresolved,
    "outside": _outside,
    "dispatch": _dispatch,
    "split": _split,
    "redo": _redo,
    "fill": _fill,
    "fault": _fault,
}
_NESTED = {
    "deliver_plain": _deliver_plain,
    "deliver_error": _deliver_error,
    "deliver_software": _deliver_software,
    "deliver_hardware": _deliver_hardware,
}


def kernel_ir() -> str:
    """All of it, as one module."""
    parts = [runtime_ir().replace("define i32 @flags", "define preserve_mostcc i32 @h_flags")]
    parts += [flag_ir("cf"), flag_ir("of"), BESIDE, FLUSH, drop_segments_ir(), *ENTRIES]
    parts += [Routine(name).build(body) for name, body in _PLAIN.items()]
    parts += [Routine(name, nested=True).build(body) for name, body in _NESTED.items()]
    parts.append(Arrival("fill_fetch", nested=True).build(_fill_fetch))
    parts.append("".join(line + "\n" for line in DECLARATIONS.splitlines() if "@llvm" in line))
    parts.append(METADATA)
    return "".join(parts)
