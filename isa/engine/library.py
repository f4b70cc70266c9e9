"""The compiled handlers of this process: made when they are first wanted, shared by all processors.

Native code knows nothing of a processor but what its arguments point to, so one copy serves all. Handlers
are compiled in batches, one module each; a shape that cannot be traced is tried with more known about it,
and one that never can has no handler: the reference engine runs such instructions.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from threading import RLock
from typing import TYPE_CHECKING, Any

from isa.engine.context import MAX_PAGES, MAX_RECORDS, PAGE_ENTRIES, RECORD_SIZE
from isa.engine.shapes import EVERYTHING, SYMBOLIC, Shape, has_handler, shape_of
from isa.engine.store import Store, default
from isa.engine.words import TraceError

if TYPE_CHECKING:
    from isa.insn import Insn

NEVER = -1
MAX_KNOWN = 1 << 17  # instructions
ORIGINALS_BYTES = MAX_RECORDS * 8
POOL_BYTES, PAGES_BYTES = MAX_RECORDS * RECORD_SIZE, MAX_PAGES * PAGE_ENTRIES * 4

on_compile: list[Callable[[int], None]] = []  # told how many handlers are about to be compiled, then 0


def tell(handlers: int) -> None:
    """Tell whoever wants to know."""
    for listener in on_compile:
        listener(handlers)


@cache
def library() -> Library:
    """The one of this process. Raises ImportError without llvmlite, OSError or RuntimeError without a host
    that it can compile for."""
    return Library()


class Library:
    """Addresses of handlers by the names of their shapes."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store or default()
        self.addresses: dict[str, int] = {}
        self.levels: dict[Shape, int] = {}
        self._known: dict[tuple[int, bool], tuple[Insn, bytes, str]] = {}  # the Insn keeps its id taken
        self._texts: dict[str, str] = {}
        self._lock = RLock()
        self.compiled = 0  # handlers compiled by this process, not read from the store
        self._jit = self.store.open(tell)
        self.addresses |= self._jit.addresses
        entry = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p)
        self.enter: Any = entry(self.addresses["enter"])
        self.interrupt: Any = entry(self.addresses["interrupt"])
        self.elsewhere = self.addresses["elsewhere"]
        self.unresolved = self.addresses["unresolved"]
        self.outside = self.addresses["outside"]

    def look_up(self, insn: Insn, near: bool) -> tuple[int, bytes, str]:
        """(address of the handler or 0, the record from R_LENGTH on, the handler's name or ""); see `shape_of`."""
        key = id(insn), near
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            known = self._known[key] = (insn, *self._handler_of(insn, near))
        _, fields, name = known
        return self.addresses.get(name, 0), fields, name

    def _handler_of(self, insn: Insn, near: bool) -> tuple[bytes, str]:
        """What `look_up` gives; the handler's text is there, or has been traced."""
        if not has_handler(insn):
            return shape_of(insn, near, EVERYTHING)[1], ""
        shape, fields = shape_of(insn, near, SYMBOLIC)
        level = self.levels.get(shape)
        if level is None:
            level = self._level(shape, insn, near)
        if level == NEVER:
            return fields, ""
        if level != SYMBOLIC:
            shape, fields = shape_of(insn, near, level)
            self._trace(shape)
        return fields, shape.name

    def _level(self, shape: Shape, insn: Insn, near: bool) -> int:
        """How much a handler for this shape has to know."""
        level = self._jit.fresh.levels.get(shape.name)
        if level is None:
            level = NEVER
            for candidate in range(SYMBOLIC, EVERYTHING + 1):
                if self._trace(shape_of(insn, near, candidate)[0]):
                    level = candidate
                    break
            self._jit.fresh.levels[shape.name] = level
        elif level != NEVER:
            wanted = shape_of(insn, near, level)[0]
            if wanted.name not in self.addresses:
                self._trace(wanted)
        self.levels[shape] = level
        return level

    def _trace(self, shape: Shape) -> bool:
        from isa.engine.handler import handler_ir

        name = shape.name
        if name in self.addresses or name in self._texts:
            return True
        try:
            self._texts[name] = handler_ir(shape)
        except TraceError:
            return False
        return True

    def compile(self) -> None:
        """Compile what has been traced."""
        with self._lock:
            if self._texts:
                texts, self._texts = self._texts, {}
                tell(len(texts))
                self.addresses |= self._jit.add(texts)
                tell(0)
                self.compiled += len(texts)

    def save(self) -> None:
        """Keep what was compiled for the next process."""
        self._jit.fresh.save()
