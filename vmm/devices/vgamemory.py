"""The memory of the display adapter: four planes of 64 KB behind one window.

Here: `VgaMemory`, the region at A0000h-BFFFFh. What an access does there is chosen by registers of the
sequencer (which planes, odd/even or chained addresses) and of the graphics controller (read and write
mode, set/reset, rotation, bit mask, which part of the window answers). The bytes of one address in all
four planes stand together, so a text is `code attribute font -` again and again.

    address in the window -> address in the planes, planes
      chained     a >> 2, plane a & 3            odd/even   a >> 1, planes a & 1 and 2 + (a & 1)
      otherwise   a, every plane of the mask

Not here: the ports (vga.py). Datasheet: IBM PS/2 Technical Reference, "Video Subsystem".
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from functools import cache
from typing import Any

WINDOW = range(0xA0000, 0xC0000)
PLANES = 4
PLANE_SIZE = 0x10000
APERTURES = (range(0x20000), range(0x10000), range(0x10000, 0x18000), range(0x18000, 0x20000))

MAP_MASK, MEMORY_MODE = 2, 4  # sequencer
SEQUENTIAL, CHAINED = 0x04, 0x08
SET_RESET, ENABLE_SET_RESET, COMPARE, ROTATE, READ_MAP, MODE, MISC, DONT_CARE, BIT_MASK = range(9)  # graphics
MODE_READ_COMPARE, MODE_ODD_EVEN = 0x08, 0x10
BLANK = bytes((0x20, 0x07, 0, 0))


@cache
def spread(mask: int) -> int:
    """A bit for each plane as a byte of ones for each plane."""
    return sum(0xFF << 8 * plane for plane in range(PLANES) if mask >> plane & 1)


class VgaMemory:
    """The window as a memory region; registers are shared with the ports."""

    name = "vga"

    def __init__(self, sequencer: bytearray, graphics: bytearray) -> None:
        self._sequencer = sequencer
        self._graphics = graphics
        self.data = bytearray(BLANK * PLANE_SIZE)
        self.latches = 0

    def character(self, at: int) -> tuple[int, int]:
        """Code and attribute of a character cell."""
        at = at % PLANE_SIZE * PLANES
        return self.data[at], self.data[at + 1]

    def read(self, offset: int, size: int) -> int:
        return int.from_bytes(bytes(self._read(offset + n) for n in range(size)), "little")

    def write(self, offset: int, value: int, size: int) -> None:
        for n, byte in enumerate(value.to_bytes(size, "little")):
            self._write(offset + n, byte)

    def save(self) -> dict[str, Any]:
        return {"data": b64encode(zlib.compress(self.data, 1)).decode(), "latches": self.latches}

    def load(self, state: dict[str, Any]) -> None:
        self.data[:] = zlib.decompress(b64decode(state["data"]))
        self.latches = state["latches"]

    def _place(self, offset: int) -> tuple[int, int] | None:
        """Address in the planes and the planes selected; None outside the part that answers."""
        aperture = APERTURES[self._graphics[MISC] >> 2 & 3]
        if offset not in aperture:
            return None
        at, mode = offset - aperture.start, self._sequencer[MEMORY_MODE]
        if mode & CHAINED:
            return at >> 2 & 0xFFFF, 1 << (at & 3)
        if not mode & SEQUENTIAL:
            return at >> 1 & 0xFFFF, 0b0101 << (at & 1)
        return at & 0xFFFF, 0b1111

    def _word(self, at: int) -> int:
        return int.from_bytes(self.data[at * PLANES : at * PLANES + PLANES], "little")

    def _read(self, offset: int) -> int:
        place = self._place(offset)
        if place is None:
            return 0xFF
        at, planes = place
        graphics = self._graphics
        self.latches = self._word(at)
        if self._sequencer[MEMORY_MODE] & CHAINED:
            return self.latches >> 8 * (planes.bit_length() - 1) & 0xFF
        if graphics[MODE] & MODE_READ_COMPARE:
            different = (self.latches ^ spread(graphics[COMPARE] & 15)) & spread(graphics[DONT_CARE] & 15)
            return ~(different | different >> 8 | different >> 16 | different >> 24) & 0xFF
        plane = graphics[READ_MAP] & 3
        if graphics[MODE] & MODE_ODD_EVEN:
            plane = plane & 2 | offset & 1
        return self.latches >> 8 * plane & 0xFF

    def _write(self, offset: int, value: int) -> None:
        place = self._place(offset)
        if place is None:
            return
        at, planes = place
        planes &= self._sequencer[MAP_MASK]
        if self._sequencer[MEMORY_MODE] & CHAINED:
            word = value * 0x0101_0101
        else:
            word = self._processed(value)
        selected = spread(planes & 15)
        word = self._word(at) & ~selected | word & selected
        self.data[at * PLANES : at * PLANES + PLANES] = word.to_bytes(PLANES, "little")

    def _processed(self, value: int) -> int:
        """What the graphics controller makes of a byte, in all four planes."""
        graphics = self._graphics
        mode, mask = graphics[MODE] & 3, graphics[BIT_MASK]
        if mode == 1:
            return self.latches
        rotation = graphics[ROTATE] & 7
        turned = (value >> rotation | value << 8 - rotation) & 0xFF
        if mode == 0:
            fixed = spread(graphics[ENABLE_SET_RESET] & 15)
            word = turned * 0x0101_0101 & ~fixed | spread(graphics[SET_RESET] & 15) & fixed
        elif mode == 2:
            word = spread(value & 15)
        else:
            word, mask = spread(graphics[SET_RESET] & 15), mask & turned
        latches = self.latches
        word = (word, word & latches, word | latches, word ^ latches)[graphics[ROTATE] >> 3 & 3]
        bits = mask * 0x0101_0101
        return word & bits | latches & ~bits
