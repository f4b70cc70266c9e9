"""An ATA disk as the master of the primary IDE channel: ports 1F0h-1F7h and 3F6h, IRQ 14.

Here: the task file, the PIO data protocols in and out with blocks of one or more sectors, LBA of 28 bits
and CHS in whatever shape the host sets, the commands of a plain disk of ATA-4, software reset. There is no
slave: selected, it shows status 0 and does nothing.

A command takes virtual time: BSY, then data or the end, with the interrupt. The disk drives IRQ 14 while
an interrupt is pending and the device control register lets it (nIEN = 0); reading the status ends it.

Not here: DMA, 48 bits, packet devices; the secondary channel, which is empty: nobody owns its ports.
Datasheet: ATA-4 (T13/1153D). Read next: disk.py, identify.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from vmm.clock import Clock, Timer
from vmm.devices.disk import SECTOR, Disk
from vmm.devices.identify import MAX_MULTIPLE, identity
from vmm.devices.irq import InterruptLines

IDE_BASE, IDE_CONTROL, IRQ_IDE = 0x1F0, 0x3F6, 14
DATA, ERROR, COUNT, LOW, MID, HIGH, DEVICE, STATUS = range(8)
FEATURES, COMMAND = ERROR, STATUS

BSY, DRDY, DSC, DRQ, ERR = 0x80, 0x40, 0x10, 0x08, 0x01
IDNF, ABRT, DIAGNOSTIC_PASSED = 0x10, 0x04, 0x01
DEVICE_ONES, DEVICE_LBA, DEVICE_SLAVE, DEVICE_HEAD = 0xA0, 0x40, 0x10, 0x0F
CONTROL_NIEN, CONTROL_SRST = 0x02, 0x04

NOP, DIAGNOSTIC, SET_SHAPE, SET_MULTIPLE, CHECK_POWER, IDENTIFY, SET_FEATURES, NATIVE_MAX = (
    *(0x00, 0x90, 0x91, 0xC6, 0xE5, 0xEC, 0xEF, 0xF8),
)
READS, WRITES, VERIFIES = (0x20, 0x21, 0xC4), (0x30, 0x31, 0xC5), (0x40, 0x41)
READ_MULTIPLE, WRITE_MULTIPLE = 0xC4, 0xC5
NOTHING_TO_DO = frozenset(  # recalibrate, seek, power management, flush cache
    (*range(0x10, 0x20), *range(0x70, 0x80), 0x94, 0x95, 0x96, 0x97, 0x99, *range(0xE0, 0xE4), 0xE6, 0xE7)
)
FEATURES_TAKEN = frozenset((0x02, 0x82, 0x55, 0xAA, 0x66, 0xCC))
FEATURE_TRANSFER_MODE = 0x03

COMMAND_NS = 100_000  # until a command is understood and its first data are there
BLOCK_NS = 20_000  # from block to block
RESET_NS = 2_000_000
POWER_STATE_ACTIVE = 0xFF


class Ide:
    name = "ide"
    ports: tuple[range, ...] = (range(IDE_BASE, IDE_BASE + 8), range(IDE_CONTROL, IDE_CONTROL + 1))
    widths: ClassVar[dict[int, int]] = {IDE_BASE: 4}

    def __init__(self, clock: Clock, lines: InterruptLines, disk: Disk) -> None:
        self._clock = clock
        self._lines = lines
        self.disk = disk
        self.heads, self.track = disk.shape[1:]
        self.features = self.control = 0
        self.multiple = 0
        self.command = 0
        self.left = 0  # sectors still to be transferred after this block
        self.sector = 0  # the first sector of this block
        self.buffer = bytearray()
        self.at = 0  # in the buffer
        self.interrupt = False
        self.error = DIAGNOSTIC_PASSED
        self.count, self.low, self.mid, self.high, self.device = 1, 1, 0, 0, 0
        self.status = DRDY | DSC
        self.next = ""  # what happens when the timer runs out: a key of `_steps`
        self._timer: Timer | None = None
        self._steps: dict[str, Callable[[], None]] = {
            "read": self._read_block,
            "written": self._write_block,
            "identity": self._identify,
            "done": self._done,
            "reset": self._reset_done,
        }

    # ports

    def read(self, port: int, size: int) -> int:
        register = port - IDE_BASE
        if register == DATA:
            return self._take_data(size)
        if port == IDE_CONTROL or register == STATUS:
            if self._absent:
                return 0
            if port != IDE_CONTROL:
                self._interrupt(False)
            return self.status
        names = {ERROR: self.error, COUNT: self.count, LOW: self.low, MID: self.mid, HIGH: self.high}
        return names.get(register, self.device | DEVICE_ONES)

    def write(self, port: int, value: int, size: int) -> None:
        register = port - IDE_BASE
        if port == IDE_CONTROL:
            self._write_control(value)
        elif register == DATA:
            self._put_data(value, size)
        elif register == COMMAND:
            if not self.status & (BSY | DRQ) and (not self._absent or value == DIAGNOSTIC):
                self._execute(value)
        elif register == DEVICE:
            self.device = value & ~DEVICE_ONES
        elif register == FEATURES:
            self.features = value
        else:
            setattr(self, {COUNT: "count", LOW: "low", MID: "mid", HIGH: "high"}[register], value)

    def save(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _PLAIN} | {
            "buffer": self.buffer.hex(),
            "disk": self.disk.save(),
            "timer": self._timer.saved if self._timer is not None else None,
        }

    def load(self, state: dict[str, Any]) -> None:
        for name in _PLAIN:
            setattr(self, name, state[name])
        self.buffer = bytearray.fromhex(state["buffer"])
        self.disk.load(state["disk"])
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.restore(state["timer"], self._step)

    @property
    def _absent(self) -> bool:
        """The slave is selected, and nobody is there."""
        return bool(self.device & DEVICE_SLAVE)

    def _write_control(self, value: int) -> None:
        falling = self.control & ~value & CONTROL_SRST
        self.control = value
        if value & CONTROL_SRST:
            self._start("")
            self._interrupt(False)
        elif falling:
            self._start("reset", RESET_NS)
        self._drive()

    # commands

    def _execute(self, command: int) -> None:
        self.command = command
        self._interrupt(False)
        self.error = 0
        if command in READS or command in WRITES or command in VERIFIES:
            self._transfer(command)
        elif command == IDENTIFY:
            self._start("identity")
        elif command == DIAGNOSTIC:
            self._start("reset", RESET_NS)
        elif command in NOTHING_TO_DO:
            self._start("done")
        elif command in (SET_SHAPE, SET_MULTIPLE, SET_FEATURES, CHECK_POWER, NATIVE_MAX):
            self._end(self._set(command))
        else:
            self._end(ABRT)

    def _set(self, command: int) -> int:
        """The commands that are done at once; the error, if any."""
        if command == SET_SHAPE:
            if not self.count:
                return ABRT
            self.heads, self.track = (self.device & DEVICE_HEAD) + 1, self.count
        elif command == SET_MULTIPLE:
            if self.count > MAX_MULTIPLE or self.count & self.count - 1:
                return ABRT
            self.multiple = self.count
        elif command == SET_FEATURES:
            pio = self.features == FEATURE_TRANSFER_MODE and self.count < 0x10
            return 0 if pio or self.features in FEATURES_TAKEN else ABRT
        elif command == CHECK_POWER:
            self.count = POWER_STATE_ACTIVE
        else:
            self._show(self.disk.sectors - 1)
        return 0

    def _transfer(self, command: int) -> None:
        """Begin to read, write or verify."""
        if command in (READ_MULTIPLE, WRITE_MULTIPLE) and not self.multiple:
            self._end(ABRT)
            return
        sector = self._sector()
        self.left = self.count or 256
        if sector is None or sector >= self.disk.sectors:
            self._end(IDNF)
            return
        self.sector = sector
        if command in READS:
            self._start("read")
        elif command in WRITES:
            self._await_block()
        else:
            beyond = sector + self.left > self.disk.sectors
            self._start("done") if not beyond else self._end(IDNF)

    def _sector(self) -> int | None:
        """The sector that the task file names; None if no such head or sector is in the shape."""
        if self.device & DEVICE_LBA:
            return (self.device & DEVICE_HEAD) << 24 | self.high << 16 | self.mid << 8 | self.low
        cylinder, head = self.high << 8 | self.mid, self.device & DEVICE_HEAD
        if head >= self.heads or not 1 <= self.low <= self.track:
            return None
        return (cylinder * self.heads + head) * self.track + self.low - 1

    def _show(self, sector: int) -> None:
        """Put a sector's address into the task file."""
        if self.device & DEVICE_LBA:
            head, cylinder, self.low = sector >> 24 & DEVICE_HEAD, sector >> 8, sector & 0xFF
        else:
            rest, number = divmod(sector, self.track)
            cylinder, head = divmod(rest, self.heads)
            self.low = number + 1 & 0xFF
        self.mid, self.high = cylinder & 0xFF, cylinder >> 8 & 0xFF
        self.device = self.device & ~DEVICE_HEAD | head

    # the course of a command

    def _start(self, step: str, ns: int = COMMAND_NS) -> None:
        """BSY, and after a while the next step; without one until somebody says so."""
        self.status, self.next = BSY, step
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.after_ns(ns, self._step) if step else None

    def _step(self) -> None:
        self._timer = None
        self._steps[self.next]()

    def _end(self, error: int = 0) -> None:
        self.error = error
        self.status = DRDY | DSC | (ERR if error else 0)
        self._interrupt(True)

    def _done(self) -> None:
        self._end()

    def _reset_done(self) -> None:
        """The signature of a disk; the interrupt is the diagnostic command's alone."""
        self.count, self.low, self.mid, self.high, self.device = 1, 1, 0, 0, 0
        self.error, self.status, self.multiple = DIAGNOSTIC_PASSED, DRDY | DSC, 0
        self._interrupt(self.command == DIAGNOSTIC)
        self.command = NOP

    def _identify(self) -> None:
        self.left = 0
        self._offer(identity(self.disk, (self.heads, self.track), self.multiple))

    def _block(self) -> int:
        """Sectors of the block to come."""
        return min(self.left, self.multiple if self.command in (READ_MULTIPLE, WRITE_MULTIPLE) else 1)

    def _read_block(self) -> None:
        size = self._block()
        if self.sector + size > self.disk.sectors:
            self._beyond()
            return
        sectors = range(self.sector, self.sector + size)
        self._moved(size)
        self._offer(b"".join(self.disk.read(sector) for sector in sectors))

    def _offer(self, data: bytes) -> None:
        self.buffer, self.at = bytearray(data), 0
        self.status = DRDY | DSC | DRQ
        self._interrupt(True)

    def _await_block(self) -> None:
        self.buffer, self.at = bytearray(self._block() * SECTOR), 0
        self.status = DRDY | DSC | DRQ

    def _write_block(self) -> None:
        size = len(self.buffer) // SECTOR
        if self.sector + size > self.disk.sectors:
            self._beyond()
            return
        for n in range(size):
            self.disk.write(self.sector + n, bytes(self.buffer[n * SECTOR : (n + 1) * SECTOR]))
        self._moved(size)
        if not self.left:
            self._end()
            return
        self._await_block()
        self._interrupt(True)

    def _moved(self, size: int) -> None:
        """The task file shows the last sector that was transferred and how many are left."""
        self.sector += size
        self.left -= size
        self.count = self.left & 0xFF
        self._show(self.sector - 1)

    def _beyond(self) -> None:
        self._show(self.disk.sectors)
        self._end(IDNF)

    # data

    def _take_data(self, size: int) -> int:
        """The next bytes of a block on its way to the host; the block's end is the next one's beginning."""
        if not self.status & DRQ or self.command in WRITES:
            return 0
        value = int.from_bytes(self.buffer[self.at : self.at + size], "little")
        self.at += size
        if self.at >= len(self.buffer):
            self.status = DRDY | DSC
            if self.left:
                self._start("read", BLOCK_NS)
        return value

    def _put_data(self, value: int, size: int) -> None:
        if not self.status & DRQ or self.command not in WRITES:
            return
        end = min(self.at + size, len(self.buffer))
        self.buffer[self.at : end] = value.to_bytes(size, "little")[: end - self.at]
        self.at = end
        if self.at >= len(self.buffer):
            self._start("written", BLOCK_NS)

    # the interrupt

    def _interrupt(self, pending: bool) -> None:
        self.interrupt = pending
        self._drive()

    def _drive(self) -> None:
        self._lines.set_irq(IRQ_IDE, self.interrupt and not self.control & CONTROL_NIEN)


_PLAIN = (
    *("heads", "track", "features", "control", "multiple", "command", "left", "sector", "at", "interrupt"),
    *("error", "count", "low", "mid", "high", "device", "status", "next"),
)
