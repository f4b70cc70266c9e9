"""The arithmetic flags of an engine that runs on ints: a lazy record, and the formulas of `isa.flags`."""

from __future__ import annotations

from isa import consts as c
from isa import flags

Record = tuple[int, int, int, int, int]  # kind, width, x, y, result


class IntFlags:
    """The flag operations of the language over `record`."""

    record: Record

    def set_flags(self, kind: int, w: int, x: int, y: int, r: int) -> None:
        self.record = (kind, w, x, y, r)

    def change_flags(self, mask: int, bits: int) -> None:
        self.record = (flags.PACKED, 32, 0, 0, (self.arithmetic() & ~mask) | (bits & mask))

    def cf(self) -> int:
        kind, w, x, y, r = self.record
        return flags.CARRY[kind](w, x, y, r)

    def of(self) -> int:
        kind, w, x, y, r = self.record
        return flags.OVERFLOW[kind](w, x, y, r)

    def af(self) -> int:
        kind, w, x, y, r = self.record
        return flags.ADJUST[kind](w, x, y, r)

    def zf(self) -> int:
        record = self.record
        return flags.zero(record[0], record[1], record[4])

    def sf(self) -> int:
        record = self.record
        return flags.sign(record[0], record[1], record[4])

    def pf(self) -> int:
        record = self.record
        return flags.parity(record[0], record[1], record[4])

    def arithmetic(self) -> int:
        """The six arithmetic flags as bits of EFLAGS."""
        record = self.record
        if record[0] == flags.PACKED:
            return record[4] & c.ARITHMETIC
        return flags.pack(self.cf(), self.pf(), self.af(), self.zf(), self.sf(), self.of())
