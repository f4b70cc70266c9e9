"""Breakpoints by DR0 to DR3, and alignment checks, for the reference engine (SDM 3B, 17.2; 3A, 6.15).

While DR7 enables any, or CR0.AM and EFLAGS.AC are set, the reference engine runs every instruction, and its
ways to memory and ports are replaced by those here, which look at addresses; otherwise nothing of this is
there. #AC comes at CPL 3, before the page tables are asked.

What matched is collected in `hit` as bits of DR6; when the trap comes is decided by `cpu`.

    DR7    31-30 29-28 │ … │ 19-18 17-16 │ 13 │ 9  8  │ 7  6 … 1  0
           LEN3  R/W3  │   │ LEN0  R/W0  │ GD │ GE LE │ G3 L3  G0 L0

If an enabled breakpoint matches, DR6 tells of all that match, enabled or not (17.2.3).
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from isa.consts import AC, CR0_AM, CR4_DE, DR7_ENABLED, M32
from isa.faults import AlignmentCheck
from isa.state import CPL, CR0, CR4, DR, EFLAGS

if TYPE_CHECKING:
    from isa.engine.reference import Reference

EXECUTION, WRITES, PORTS, ACCESSES = range(4)  # R/W
LENGTHS = (1, 2, 8, 4)  # LEN
ALIGNED = (2, 4, 8)  # bytes of operands that #AC is for
READING, WRITING = (ACCESSES,), (WRITES, ACCESSES)


def matches(s: array[int], kinds: tuple[int, ...], address: int, size: int) -> int:
    """Bits B0 to B3 for an access of `size` bytes: 0 unless one of the matching breakpoints is enabled."""
    dr7, found, enabled = s[DR + 7], 0, 0
    for n in range(4):
        length = LENGTHS[dr7 >> (18 + 4 * n) & 3]
        start = s[DR + n] & ~(length - 1)
        if dr7 >> (16 + 4 * n) & 3 in kinds and address < start + length and start < address + size:
            found |= 1 << n
            enabled |= dr7 >> 2 * n & 3
    return found if enabled else 0


class Breakpoints:
    """The watched ways of one engine."""

    NAMES = ("load", "load_rmw", "store", "load_system", "store_system", "port_in", "port_out")

    def __init__(self, engine: Reference) -> None:
        self.engine = engine
        self.s = engine.s
        self.hit = 0
        self.armed = False
        self.aligning = False

    def follow(self) -> bool:
        """Arm or disarm as DR7, AM and AC say now; whether there is anything to watch."""
        s = self.s
        self.aligning = bool(s[CR0] & CR0_AM and s[EFLAGS] & AC)
        wanted = self.aligning or bool(s[DR + 7] & DR7_ENABLED)
        if wanted != self.armed:
            self.armed = wanted
            for name in self.NAMES:
                if wanted:
                    setattr(self.engine, name, getattr(self, name))
                else:
                    delattr(self.engine, name)
        return wanted

    def at_instruction(self, linear: int) -> int:
        """Bits of DR6 if an instruction breakpoint is there."""
        return matches(self.s, (EXECUTION,), linear, 1)

    def _data(self, kinds: tuple[int, ...], linear: int, size: int) -> None:
        self.hit |= matches(self.s, kinds, linear & M32, size)

    def _linear(self, n: int, offset: int) -> int:
        return self.engine.bases[n] + offset

    def _align(self, n: int, offset: int, size: int, *, write: bool) -> None:
        """#AC(0) for an operand that is not at a multiple of its size, if it lies within its segment."""
        if self.aligning and self.s[CPL] == 3 and size in ALIGNED and self._linear(n, offset) & (size - 1):
            engine = self.engine
            if offset + size > (engine.write_end if write else engine.read_end)[n]:
                engine.check_segment(n, offset, size, write=write)
            raise AlignmentCheck()

    def _port(self, port: int, size: int) -> None:
        if self.s[CR4] & CR4_DE:
            self.hit |= matches(self.s, (PORTS,), port, size)

    # -- in place of the engine's own ----------------------------------------------------------------

    def load(self, n: int, offset: int, w: int) -> int:
        self._align(n, offset, w >> 3, write=False)
        value = type(self.engine).load(self.engine, n, offset, w)
        self._data(READING, self._linear(n, offset), w >> 3)
        return value

    def load_rmw(self, n: int, offset: int, w: int) -> int:
        self._align(n, offset, w >> 3, write=True)
        value = type(self.engine).load_rmw(self.engine, n, offset, w)
        self._data(WRITING, self._linear(n, offset), w >> 3)
        return value

    def store(self, n: int, offset: int, value: int, w: int) -> None:
        self._align(n, offset, w >> 3, write=True)
        type(self.engine).store(self.engine, n, offset, value, w)
        self._data(WRITING, self._linear(n, offset), w >> 3)

    def load_system(self, linear: int, w: int) -> int:
        value = type(self.engine).load_system(self.engine, linear, w)
        self._data(READING, linear, w >> 3)
        return value

    def store_system(self, linear: int, value: int, w: int) -> None:
        type(self.engine).store_system(self.engine, linear, value, w)
        self._data(WRITING, linear, w >> 3)

    def port_in(self, port: int, w: int) -> int:
        self._port(port, w >> 3)
        return type(self.engine).port_in(self.engine, port, w)

    def port_out(self, port: int, value: int, w: int) -> None:
        self._port(port, w >> 3)
        type(self.engine).port_out(self.engine, port, value, w)
