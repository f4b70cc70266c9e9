"""The interrupt controllers of a PC/AT: two 8259A, the slave's INT wired to input 2 of the master.

Here: `Pic8259`, one chip after its datasheet (ICW1-4, OCW1-3, fixed and rotating priority, the four kinds
of EOI, special mask, special fully nested mode, poll), and `PicPair`, the two with ELCR (4D0h, 4D1h) and
the cascade. `PicPair.intr` is the CPU's INTR pin; `acknowledge` is its INTA cycle and gives the vector.

A request must stay until INTA (datasheet, "Edge and level triggered modes"): when its line falls it is
gone, and an INTA that finds nobody gets the spurious level 7 with no in-service bit, which wants no EOI.
Also in: the MCS-80 vector (ICW4.uPM = 0) as an x86 would read it, ICW3 that does not fit the wiring.
Not here: buffered mode (a matter of pins) and the CPU's side (IF, the interrupt gate).

Datasheet: Intel 8259A, 231468; ELCR: Intel 82371SB (PIIX3), 290550. Read next: pit.py, which drives IRQ 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

MASTER_COMMAND, MASTER_DATA = 0x20, 0x21
SLAVE_COMMAND, SLAVE_DATA = 0xA0, 0xA1
ELCR_MASTER, ELCR_SLAVE = 0x4D0, 0x4D1

ICW1_IC4 = 0x01  # ICW4 will follow
ICW1_SNGL = 0x02  # no cascade: no ICW3
ICW1_ADI = 0x04  # MCS-80: CALL addresses 4 apart, not 8
ICW1_LTIM = 0x08  # all inputs level triggered
ICW1_INIT = 0x10  # told from OCW2 and OCW3 by this bit
ICW4_UPM = 0x01  # 8086 mode
ICW4_AEOI = 0x02
ICW4_SFNM = 0x10

OCW2_LEVEL = 0x07
OCW2_EOI = 0x20
OCW2_SL = 0x40  # the level is given in bits 0-2
OCW2_R = 0x80
OCW3_RIS = 0x01
OCW3_RR = 0x02
OCW3_P = 0x04
OCW3_SELECT = 0x08
OCW3_SMM = 0x20
OCW3_ESMM = 0x40

POLL_INTERRUPT = 0x80
CASCADE = 2  # the master's input that the slave drives
AT_LINE_2 = 9  # the bus pin of line 2 was taken by the cascade; the AT wires it to IRQ 9
SPURIOUS_LEVEL = 7
FLOATING = 0xFF  # the data bus when no chip answers INTA
LINES = 16


@dataclass
class Pic8259:
    lines: int = 0  # the levels at the pins
    latched: int = 0  # edges seen and not acknowledged, lines still high
    imr: int = 0
    isr: int = 0
    elcr: int = 0
    lowest: int = 7  # the level of lowest priority; the next one round has the highest
    icw1: int = 0
    icw2: int = 0
    icw3: int = 0
    icw4: int = 0
    awaiting: int = 0  # the ICW that the next write to the data port is; 0: OCW1
    ready: bool = False  # initialised; before that the chip asks for nothing
    special_mask: bool = False
    rotate_on_aeoi: bool = False
    read_isr: bool = False
    polling: bool = False  # the next read is an acknowledgement

    @property
    def irr(self) -> int:
        level = 0xFF if self.icw1 & ICW1_LTIM else self.elcr
        return self.latched & ~level | self.lines & level

    def set_line(self, level: int, high: bool) -> None:
        bit = 1 << level
        if not high:
            self.lines &= ~bit
            self.latched &= ~bit
        elif not self.lines & bit:
            self.lines |= bit
            self.latched |= bit

    def request(self) -> int | None:
        """The level that INT asks service for, or None."""
        pending = self.irr & ~self.imr
        if not pending or not self.ready:
            return None
        blocking = self.isr & ~self.imr if self.special_mask else self.isr
        level = self._highest(pending | blocking)
        bit = 1 << level
        if blocking & bit and not (self._nests(bit) and pending & bit):
            return None
        return level

    def accept(self, level: int) -> None:
        """The level is in service; with automatic EOI it is done at once."""
        self.latched &= ~(1 << level)
        if not self.icw4 & ICW4_AEOI:
            self.isr |= 1 << level
        elif self.rotate_on_aeoi:
            self.lowest = level

    def acknowledge(self) -> int:
        """INTA: the level now in service, or the spurious one, which is not."""
        level = self.request()
        if level is None:
            return SPURIOUS_LEVEL
        self.accept(level)
        return level

    def vector(self, level: int) -> int:
        if self.icw4 & ICW4_UPM:
            return self.icw2 & 0xF8 | level
        if self.icw1 & ICW1_ADI:  # the low byte of the CALL's address, which an x86 takes for its vector
            return self.icw1 & 0xE0 | level << 2
        return self.icw1 & 0xC0 | level << 3

    def read(self, a0: int) -> int:
        if self.polling:
            self.polling = False
            level = self.request()
            if level is None:
                return 0
            self.accept(level)
            return POLL_INTERRUPT | level
        if a0:
            return self.imr
        return self.isr if self.read_isr else self.irr

    def write(self, a0: int, value: int) -> None:
        if a0:
            if self.awaiting:
                self._continue_initialisation(value)
            else:
                self.imr = value
        elif value & ICW1_INIT:
            self._initialise(value)
        elif value & OCW3_SELECT:
            self._ocw3(value)
        else:
            self._ocw2(value)

    def cascades(self, level: int) -> bool:
        """A master leaves the vector to the slave on this level."""
        return not self.icw1 & ICW1_SNGL and bool(self.icw3 >> level & 1)

    def _initialise(self, icw1: int) -> None:
        """Datasheet, "Initialization Command Words", (a) to (f); the edge latches go, the lines stay."""
        self.icw1 = icw1
        self.icw3 = self.icw4 = 0
        self.latched = self.imr = self.isr = 0
        self.lowest = 7
        self.special_mask = self.rotate_on_aeoi = self.read_isr = self.polling = False
        self.ready = False
        self.awaiting = 2

    def _continue_initialisation(self, value: int) -> None:
        setattr(self, f"icw{self.awaiting}", value)
        following = {2: (3, 4), 3: (4,), 4: ()}[self.awaiting]
        wanted = {3: not self.icw1 & ICW1_SNGL, 4: bool(self.icw1 & ICW1_IC4)}
        self.awaiting = next((icw for icw in following if wanted[icw]), 0)
        self.ready = not self.awaiting

    def _ocw2(self, value: int) -> None:
        """R, SL, EOI: an EOI clears an in-service bit, rotation makes its level the lowest."""
        if value & OCW2_EOI:
            level: int | None = value & OCW2_LEVEL if value & OCW2_SL else self._in_service()
            if level is None:
                return
            self.isr &= ~(1 << level)
            if value & OCW2_R:
                self.lowest = level
        elif value & OCW2_SL:
            if value & OCW2_R:  # set priority; without R it is "no operation"
                self.lowest = value & OCW2_LEVEL
        else:
            self.rotate_on_aeoi = bool(value & OCW2_R)

    def _ocw3(self, value: int) -> None:
        if value & OCW3_ESMM:
            self.special_mask = bool(value & OCW3_SMM)
        if value & OCW3_P:
            self.polling = True
        elif value & OCW3_RR:
            self.read_isr = bool(value & OCW3_RIS)

    def _in_service(self) -> int | None:
        """What a non-specific EOI ends: not a level that special mask mode has set aside."""
        serving = self.isr & ~self.imr if self.special_mask else self.isr
        return self._highest(serving) if serving else None

    def _highest(self, levels: int) -> int:
        """The level of highest priority in a mask that is not empty."""
        start = self.lowest + 1 & 7
        turned = (levels | levels << 8) >> start & 0xFF
        return ((turned & -turned).bit_length() - 1 + start) & 7

    def _nests(self, bit: int) -> bool:
        """Special fully nested: a slave in service may interrupt again with a higher input of its own."""
        return bool(self.icw4 & ICW4_SFNM and self.icw3 & bit)


class PicPair:
    name = "pic"
    ports: tuple[range, ...] = (
        range(MASTER_COMMAND, MASTER_DATA + 1),
        range(SLAVE_COMMAND, SLAVE_DATA + 1),
        range(ELCR_MASTER, ELCR_SLAVE + 1),
    )

    def __init__(self, on_change: Callable[[], None] | None = None) -> None:
        self.master = Pic8259()
        self.slave = Pic8259()
        self.on_change = on_change
        self.intr = False  # the CPU's INTR pin; `on_change` is called when it changes
        self._chips = {
            MASTER_COMMAND: (self.master, 0),
            MASTER_DATA: (self.master, 1),
            SLAVE_COMMAND: (self.slave, 0),
            SLAVE_DATA: (self.slave, 1),
        }
        # the lines of timer, keyboard, cascade, clock and FPU are edge triggered whatever is written
        self._elcr = {ELCR_MASTER: (self.master, 0xF8), ELCR_SLAVE: (self.slave, 0xDE)}

    def set_irq(self, line: int, level: bool) -> None:
        if not 0 <= line < LINES:
            raise ValueError(f"there is no interrupt line {line}")
        if line == CASCADE:
            line = AT_LINE_2
        chip = self.slave if line & 8 else self.master
        if chip.lines >> (line & 7) & 1 != level:
            chip.set_line(line & 7, bool(level))
            self._settle()

    def acknowledge(self) -> int:
        """The INTA cycle: the vector, from the chip that answers."""
        level = self.master.acknowledge()
        vector = self.master.vector(level)
        if self.master.cascades(level):
            vector = FLOATING
            if level == CASCADE == self.slave.icw3 & 7:  # the slave knows itself by ICW3
                vector = self.slave.vector(self.slave.acknowledge())
                self.master.set_line(CASCADE, False)  # INT falls in INTA: a further request is a new edge
        self._settle()
        return vector

    def read(self, port: int, size: int) -> int:
        if port in self._elcr:
            return self._elcr[port][0].elcr
        chip, a0 = self._chips[port]
        value = chip.read(a0)
        self._settle()
        return value

    def write(self, port: int, value: int, size: int) -> None:
        if port in self._elcr:
            chip, writable = self._elcr[port]
            chip.elcr = value & writable
        else:
            chip, a0 = self._chips[port]
            chip.write(a0, value)
        self._settle()

    def save(self) -> dict[str, Any]:
        return {"master": asdict(self.master), "slave": asdict(self.slave)}

    def load(self, state: dict[str, Any]) -> None:
        vars(self.master).update(state["master"])
        vars(self.slave).update(state["slave"])
        self._settle()

    def _settle(self) -> None:
        """Slave's INT into the master, master's INT to the CPU."""
        self.master.set_line(CASCADE, self.slave.request() is not None)
        intr = self.master.request() is not None
        if intr != self.intr:
            self.intr = intr
            if self.on_change is not None:
                self.on_change()
