"""The display adapter: a VGA as far as text goes, behind ports 3C0h-3DAh and the window at A0000h.

Here: the five register files (miscellaneous, sequencer, graphics and attribute controller, CRT controller)
and the palette, the status port that toggles with the beam, 256 KB of memory in four planes with write
modes 0 to 3, read modes 0 and 1, odd/even and chained addressing; and what a person would see of a text
mode: `screen`, `cells`, `cursor`. Power-on is mode 3, colour text 80x25, as a BIOS sets it.

    character n of the screen:  plane 0: code   plane 1: attribute   plane 2: the font    (at address n)

Not here: pictures. Graphics modes take and give their bytes, and nothing draws them; the font is not
looked at either (characters are code page 437). No monochrome ports at 3B0h, no interrupts, no BIOS.
Datasheet: IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem". Read next: vgamemory.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from vmm.clock import Clock, Oscillator
from vmm.devices.vgamemory import VgaMemory

ATTRIBUTE, MISC_WRITE, SEQUENCER, PEL, FEATURE, MISC_READ, GRAPHICS, CRTC, STATUS_1 = (
    *(0x3C0, 0x3C2, 0x3C4, 0x3C6, 0x3CA, 0x3CC, 0x3CE, 0x3D4, 0x3DA),
)
PEL_READ, PEL_WRITE, PEL_DATA = 0x3C7, 0x3C8, 0x3C9
STATUS_BLANK, STATUS_RETRACE = 0x01, 0x08
CURSOR_OFF = 0x20  # in CRTC register 0Ah
PROTECT = 0x80  # in CRTC register 11h: registers 0 to 7 stay as they are

# mode 3, as the IBM BIOS sets it
MODE_3_MISC = 0x67
MODE_3_SEQUENCER = bytes.fromhex("0300030002")
MODE_3_CRTC = bytes.fromhex("5f4f50825581bf1f004f0d0e000000009c8e8f281f96b9a3ff")
MODE_3_GRAPHICS = bytes.fromhex("0000000000100e00ff")
MODE_3_ATTRIBUTE = bytes.fromhex("0001020304051407 38393a3b3c3d3e3f 0c000f0800")
CGA_COLOURS = (  # 6 bits each for red, green and blue, of the attribute's colours 0 to 15
    *((0, 0, 0), (0, 0, 42), (0, 42, 0), (0, 42, 42), (42, 0, 0), (42, 0, 42), (42, 21, 0), (42, 42, 42)),
    *((21, 21, 21), (21, 21, 63), (21, 63, 21), (21, 63, 63)),
    *((63, 21, 21), (63, 21, 63), (63, 63, 21), (63, 63, 63)),
)

DOT_HZ = 28_322_000
LINE_DOTS, SHOWN_DOTS = 900, 720
FRAME_LINES, SHOWN_LINES = 449, 400
RETRACE_LINES = range(412, 414)

BLANKED = " "
CONTROL_PICTURES = "\u0000☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼"
CODE_PAGE_437 = (
    BLANKED
    + CONTROL_PICTURES[1:]
    + bytes(range(0x20, 0x7F)).decode("ascii")
    + "⌂"
    + bytes(range(0x80, 0x100)).decode("cp437")
)


class Cell(NamedTuple):
    """One character on the screen. Colours are those of the attribute: 0 to 15, CGA's order."""

    character: str
    foreground: int
    background: int


class Vga:
    name = "vga"
    ports: tuple[range, ...] = (range(0x3C0, 0x3D0), range(0x3D4, 0x3D6), range(0x3DA, 0x3DB))

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._dots = Oscillator(DOT_HZ)
        self.misc = MODE_3_MISC
        self.feature = 0
        self.sequencer = bytearray(MODE_3_SEQUENCER.ljust(8, b"\0"))
        self.graphics = bytearray(MODE_3_GRAPHICS.ljust(16, b"\0"))
        self.attribute = bytearray(MODE_3_ATTRIBUTE.ljust(32, b"\0"))
        self.crtc = bytearray(MODE_3_CRTC.ljust(32, b"\0"))
        self.palette = bytearray(768)
        for entry, colour in enumerate(CGA_COLOURS):
            register = 3 * MODE_3_ATTRIBUTE[entry]
            self.palette[register : register + 3] = bytes(colour)
        self.pel_mask = 0xFF
        self.indices = {SEQUENCER: 0, GRAPHICS: 0, CRTC: 0, ATTRIBUTE: 0x20}
        self.attribute_data = False  # the next write to port 3C0h is data
        self.pel_reading = False
        self.pel_at = 0  # of the 768 bytes of the palette
        self.memory = VgaMemory(self.sequencer, self.graphics)
        self._files = {SEQUENCER: self.sequencer, GRAPHICS: self.graphics, CRTC: self.crtc}

    # what is seen

    @property
    def columns(self) -> int:
        return self.crtc[0x01] + 1

    @property
    def rows(self) -> int:
        overflow = self.crtc[0x07]
        lines = (self.crtc[0x12] | (overflow & 0x02) << 7 | (overflow & 0x40) << 3) + 1
        return lines // ((self.crtc[0x09] & 0x1F) + 1)

    @property
    def start(self) -> int:
        """The character that stands top left."""
        return self.crtc[0x0C] << 8 | self.crtc[0x0D]

    def cells(self) -> list[list[Cell]]:
        """The text on the screen with its colours, row by row."""
        blinks = bool(self.attribute[0x10] & 0x08)  # then the highest bit is not a colour's
        out = []
        for row in range(self.rows):
            first = self.start + row * self.crtc[0x13] * 2
            line = []
            for at in range(first, first + self.columns):
                code, attribute = self.memory.character(at)
                background = attribute >> 4 & (7 if blinks else 15)
                line.append(Cell(CODE_PAGE_437[code], attribute & 15, background))
            out.append(line)
        return out

    def screen(self) -> list[str]:
        """The text on the screen, a string for each row."""
        return ["".join(cell.character for cell in line) for line in self.cells()]

    @property
    def cursor(self) -> tuple[int, int] | None:
        """Row and column of the cursor; None while it is off or elsewhere."""
        at = (self.crtc[0x0E] << 8 | self.crtc[0x0F]) - self.start
        stride = self.crtc[0x13] * 2
        if self.crtc[0x0A] & CURSOR_OFF or at < 0 or not stride:
            return None
        row, column = divmod(at, stride)
        return (row, column) if row < self.rows and column < self.columns else None

    # ports

    def read(self, port: int, size: int) -> int:
        if port in self.indices and port != ATTRIBUTE:
            return self.indices[port]
        if port - 1 in self._files:
            registers, index = self._files[port - 1], self.indices[port - 1]
            return registers[index] if index < len(registers) else 0
        if port == ATTRIBUTE:
            return 0 if self.attribute_data else self.indices[ATTRIBUTE]
        if port == ATTRIBUTE + 1:
            return self.attribute[self.indices[ATTRIBUTE] & 0x1F]
        if port == STATUS_1:
            self.attribute_data = False
            return self._status()
        if port == PEL_DATA:
            return self._next_pel()
        others = {PEL: self.pel_mask, FEATURE: self.feature, MISC_READ: self.misc, MISC_WRITE: 0x10}
        if port in others:
            return others[port]
        if port == PEL_READ:
            return 0x03 if self.pel_reading else 0x00
        return self.pel_at // 3 if port == PEL_WRITE else 0xFF

    def write(self, port: int, value: int, size: int) -> None:
        if port == ATTRIBUTE:
            self._write_attribute(value)
        elif port in self.indices:
            self.indices[port] = value
        elif port - 1 in self._files:
            self._write_file(port - 1, value)
        elif port == MISC_WRITE:
            self.misc = value
        elif port == STATUS_1:
            self.feature = value
        elif port == PEL:
            self.pel_mask = value
        elif port in (PEL_READ, PEL_WRITE):
            self.pel_reading = port == PEL_READ
            self.pel_at = value * 3
        elif port == PEL_DATA:
            self.palette[self.pel_at] = value & 0x3F
            self._step_pel()

    def save(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _PLAIN} | {
            **{name: getattr(self, name).hex() for name in _FILES},
            "indices": {f"{port:x}": index for port, index in self.indices.items()},
            "memory": self.memory.save(),
        }

    def load(self, state: dict[str, Any]) -> None:
        for name in _PLAIN:
            setattr(self, name, state[name])
        for name in _FILES:
            getattr(self, name)[:] = bytes.fromhex(state[name])
        self.indices = {int(port, 16): index for port, index in state["indices"].items()}
        self.memory.load(state["memory"])

    def _write_file(self, port: int, value: int) -> None:
        registers, index = self._files[port], self.indices[port]
        if index >= len(registers):
            return
        if port == CRTC and index < 8 and self.crtc[0x11] & PROTECT:
            if index == 7:  # one bit of it is free: line compare's
                self.crtc[7] = self.crtc[7] & ~0x10 | value & 0x10
            return
        registers[index] = value

    def _write_attribute(self, value: int) -> None:
        if not self.attribute_data:
            self.indices[ATTRIBUTE] = value & 0x3F
        else:
            index = self.indices[ATTRIBUTE] & 0x1F
            palette_is_open = not self.indices[ATTRIBUTE] & 0x20
            if index >= 0x10 or palette_is_open:
                self.attribute[index] = value
        self.attribute_data = not self.attribute_data

    def _next_pel(self) -> int:
        value = self.palette[self.pel_at]
        self._step_pel()
        return value

    def _step_pel(self) -> None:
        self.pel_at = (self.pel_at + 1) % len(self.palette)

    def _status(self) -> int:
        """Where the beam is: outside the picture, in vertical retrace. The timing is that of mode 3."""
        line, dot = divmod(self._dots.tick(self._clock.now) % (LINE_DOTS * FRAME_LINES), LINE_DOTS)
        if line in RETRACE_LINES:
            return STATUS_RETRACE | STATUS_BLANK
        return STATUS_BLANK if line >= SHOWN_LINES or dot >= SHOWN_DOTS else 0


_PLAIN = ("misc", "feature", "pel_mask", "attribute_data", "pel_reading", "pel_at")
_FILES = ("sequencer", "graphics", "attribute", "crtc", "palette")
