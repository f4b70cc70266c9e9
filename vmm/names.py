"""Names of addresses where there is no source: the symbols of an executable.

A kernel that is linked high and loaded low has two addresses for each symbol, one before it turns paging
on and one after; `shifts` says where they differ, and both are named.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MAX_OFFSET = 1 << 20  # what is farther from a symbol than this does not belong to it


@dataclass(frozen=True, slots=True)
class Shift:
    """The physical addresses of `span` are the linear addresses `offset` higher."""

    span: range
    offset: int


class Names:
    """Symbols by name and by address. Of several at one address the first is shown."""

    def __init__(self, symbols: Mapping[str, int], shifts: Iterable[Shift] = ()) -> None:
        self.symbols = symbols
        self._shifts = tuple(shift for shift in shifts if shift.offset)
        self._names: dict[int, str] = {}
        for name, address in symbols.items():
            self._names.setdefault(address, name)
        self._addresses = sorted(self._names)

    def symbolize(self, address: int) -> str | None:
        """`name+0x4` for a linear address; for a physical one of the image, the name it has when mapped."""
        for shift in self._shifts:
            if address in shift.span:
                address += shift.offset
                break
        at = bisect_right(self._addresses, address) - 1
        if at < 0 or address - self._addresses[at] > MAX_OFFSET:
            return None
        offset = address - self._addresses[at]
        return self._names[self._addresses[at]] + (f"+{offset:#x}" if offset else "")

    def physical(self, address: int) -> int:
        """Where the loader put what is linked at a linear address."""
        for shift in self._shifts:
            if address - shift.offset in shift.span:
                return address - shift.offset
        return address
