"""The serial port COM1: a 16550D.

Here: every register of the chip, both FIFOs, the five interrupts in their order, loopback, and the PC's
wiring: the interrupt reaches IRQ 4 only while MCR.OUT2 is set, and loopback takes OUT2 off its pin.

Transmission takes no virtual time: a byte written to THR reaches `sink` at once and THR is empty again.
`feed` queues what the other end sends. It waits until the guest listens (MCR.RTS, IER.ERBFI, or a read of
LSR or RBR) and then fills the receiver whenever there is room: only loopback can overrun it. The time-out
of a FIFO below its trigger comes after four characters' time, by the clock.

Not here: the line. Word length, parity and stop bits set that time, and never change a byte; no errors.
Datasheet: National PC16550D, SNLS378. Read next: pc.py, where the bytes become the console.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vmm.clock import INSTRUCTIONS_PER_SECOND, Clock, Timer
from vmm.devices.irq import InterruptLines

COM1 = 0x3F8
IRQ_COM1 = 4
RBR = THR = DLL = 0
IER = DLM = 1
IIR = FCR = 2
LCR, MCR, LSR, MSR, SCR = range(3, 8)

IER_ERBFI, IER_ETBEI, IER_ELSI, IER_EDSSI = 0x01, 0x02, 0x04, 0x08
IIR_NONE = 0x01
IIR_MODEM, IIR_THRE, IIR_DATA, IIR_LINE, IIR_TIMEOUT = 0x00, 0x02, 0x04, 0x06, 0x0C
IIR_FIFOS = 0xC0
FCR_ENABLE, FCR_CLEAR_RX, FCR_DMA, FCR_TRIGGER = 0x01, 0x02, 0x08, 0xC0
LCR_WLS, LCR_STB, LCR_PEN, LCR_DLAB = 0x03, 0x04, 0x08, 0x80
MCR_DTR, MCR_RTS, MCR_OUT1, MCR_OUT2, MCR_LOOP = 0x01, 0x02, 0x04, 0x08, 0x10
LSR_DR, LSR_OE, LSR_THRE, LSR_TEMT = 0x01, 0x02, 0x20, 0x40
MSR_DELTAS, MSR_TERI, MSR_CTS, MSR_DSR, MSR_RI, MSR_DCD = 0x0F, 0x04, 0x10, 0x20, 0x40, 0x80
MSR_CONNECTED = MSR_CTS | MSR_DSR | MSR_DCD  # the other end is there and ready

FIFO_SIZE = 16
TRIGGERS = (1, 4, 8, 14)
BAUD_BASE = 115_200
DIVISOR_9600 = 12
TIMEOUT_CHARACTERS = 4
LOOPS = ((MCR_RTS, MSR_CTS), (MCR_DTR, MSR_DSR), (MCR_OUT1, MSR_RI), (MCR_OUT2, MSR_DCD))


class Uart:
    name = "uart"

    def __init__(
        self,
        clock: Clock,
        pic: InterruptLines,
        sink: Callable[[int], None],
        base: int = COM1,
        irq: int = IRQ_COM1,
    ) -> None:
        self._clock = clock
        self._pic = pic
        self._irq = irq
        self._base = base
        self.ports: tuple[range, ...] = (range(base, base + 8),)
        self.sink = sink
        self.ier = self.lcr = self.mcr = self.scr = self.fcr = 0
        self.rbr = 0  # without FIFOs the register keeps its byte after it was read
        self.divisor = DIVISOR_9600
        self.msr = MSR_CONNECTED
        self.overrun = False
        self.thre_pending = False  # THR has emptied and nobody has been told
        self.timed_out = False
        self.listening = False
        self._received = bytearray()  # the receiver FIFO, or RBR alone
        self._waiting = bytearray()  # what the other end has yet to send
        self._timer: Timer | None = None
        self._reads = (
            self._read_data,
            lambda: self.divisor >> 8 if self.lcr & LCR_DLAB else self.ier,
            self._read_iir,
            lambda: self.lcr,
            lambda: self.mcr,
            self._read_lsr,
            self._read_msr,
            lambda: self.scr,
        )
        ignore: Callable[[int], None] = lambda value: None  # noqa: E731  LSR and MSR: "factory testing"
        self._writes = (
            self._write_data,
            self._write_ier,
            self._write_fcr,
            self._write_lcr,
            self._write_mcr,
            ignore,
            ignore,
            self._write_scr,
        )

    def feed(self, data: bytes) -> None:
        """The other end sends `data`."""
        self._waiting += data
        self._receive()
        self._update()

    @property
    def unread(self) -> bytes:
        """What the other end has yet to send."""
        return bytes(self._waiting)

    def read(self, port: int, size: int) -> int:
        value = self._reads[port - self._base]()
        self._update()
        return value

    def write(self, port: int, value: int, size: int) -> None:
        self._writes[port - self._base](value)
        self._update()

    def save(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _PLAIN} | {
            "received": list(self._received),
            "waiting": list(self._waiting),
            "timer": self._timer.saved if self._timer is not None else None,
        }

    def load(self, state: dict[str, Any]) -> None:
        for name in _PLAIN:
            setattr(self, name, state[name])
        self._received = bytearray(state["received"])
        self._waiting = bytearray(state["waiting"])
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.restore(state["timer"], self._time_out)

    # registers

    def _read_data(self) -> int:
        if self.lcr & LCR_DLAB:
            return self.divisor & 0xFF
        self.listening = True
        fifos = self.fcr & FCR_ENABLE
        value = self._received.pop(0) if self._received else 0 if fifos else self.rbr
        self._receive()
        self._watch()
        return value

    def _read_iir(self) -> int:
        cause = self._cause()
        if cause == IIR_THRE:
            self.thre_pending = False
        return cause | (IIR_FIFOS if self.fcr & FCR_ENABLE else 0)

    def _read_lsr(self) -> int:
        if not self.listening:
            self.listening = True
            self._receive()
        value = LSR_THRE | LSR_TEMT | bool(self._received) * LSR_DR | self.overrun * LSR_OE
        self.overrun = False
        return value

    def _read_msr(self) -> int:
        value = self.msr
        self.msr &= ~MSR_DELTAS
        return value

    def _write_data(self, value: int) -> None:
        if self.lcr & LCR_DLAB:
            self.divisor = self.divisor & 0xFF00 | value
            return
        self.thre_pending = False
        self._update()  # the interrupt line falls before it rises: an edge for the PIC
        if self.mcr & MCR_LOOP:
            self._take(value)
        else:
            self.sink(value)
        self.thre_pending = True

    def _write_ier(self, value: int) -> None:
        if self.lcr & LCR_DLAB:
            self.divisor = self.divisor & 0xFF | value << 8
            return
        if value & ~self.ier & IER_ETBEI:
            self.thre_pending = True
        self.ier = value & 0x0F
        if value & IER_ERBFI:
            self.listening = True
            self._receive()

    def _write_fcr(self, value: int) -> None:
        """Without bit 0 the other bits are not programmed; a change of bit 0 clears the FIFOs."""
        if (value ^ self.fcr) & FCR_ENABLE or (value & FCR_ENABLE and value & FCR_CLEAR_RX):
            self._received.clear()
        self.fcr = value & (FCR_ENABLE | FCR_DMA | FCR_TRIGGER) if value & FCR_ENABLE else 0
        self._receive()
        self._watch()

    def _write_lcr(self, value: int) -> None:
        self.lcr = value

    def _write_mcr(self, value: int) -> None:
        self.mcr = value & 0x1F
        lines = MSR_CONNECTED
        if value & MCR_LOOP:
            lines = sum(status for control, status in LOOPS if value & control)
        changed = (self.msr ^ lines) >> 4
        if lines & MSR_RI:
            changed &= ~MSR_TERI  # the trailing edge of the ring counts, not its beginning
        self.msr = lines | (self.msr | changed) & MSR_DELTAS
        if value & MCR_RTS:
            self.listening = True
        self._receive()

    def _write_scr(self, value: int) -> None:
        self.scr = value

    # the receiver

    @property
    def _room(self) -> int:
        return (FIFO_SIZE if self.fcr & FCR_ENABLE else 1) - len(self._received)

    def _receive(self) -> None:
        """Take from the other end what there is room for; in loopback its line is off."""
        if not self.listening or self.mcr & MCR_LOOP or not self._waiting:
            return
        room = self._room
        if room > 0:
            self._received += self._waiting[:room]
            del self._waiting[:room]
            self._watch()

    def _take(self, value: int) -> None:
        """A byte from loopback: a full FIFO loses it, RBR alone is overwritten."""
        if self._room > 0:
            self._received.append(value)
        else:
            self.overrun = True
            if not self.fcr & FCR_ENABLE:
                self._received[:] = [value]
        self._watch()

    def _watch(self) -> None:
        """Something came or went: the time-out starts again."""
        self.timed_out = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._received and not self.fcr & FCR_ENABLE:
            self.rbr = self._received[0]
        elif self._received:
            self._timer = self._clock.at(self._clock.now + self._timeout(), self._time_out)

    def _timeout(self) -> int:
        """Instructions that four characters take."""
        bits = 1 + 5 + (self.lcr & LCR_WLS) + bool(self.lcr & LCR_PEN) + (2 if self.lcr & LCR_STB else 1)
        divisor = self.divisor or 0x10000
        return -(-TIMEOUT_CHARACTERS * bits * divisor * INSTRUCTIONS_PER_SECOND // BAUD_BASE)

    def _time_out(self) -> None:
        self._timer = None
        self.timed_out = True
        self._update()

    # the interrupt

    def _cause(self) -> int:
        """IIR: the enabled interrupt of highest priority."""
        trigger = TRIGGERS[self.fcr >> 6] if self.fcr & FCR_ENABLE else 1
        causes = (
            (IER_ELSI, self.overrun, IIR_LINE),
            (IER_ERBFI, len(self._received) >= trigger, IIR_DATA),
            (IER_ERBFI, self.timed_out, IIR_TIMEOUT),
            (IER_ETBEI, self.thre_pending, IIR_THRE),
            (IER_EDSSI, self.msr & MSR_DELTAS, IIR_MODEM),
        )
        return next((cause for enable, active, cause in causes if self.ier & enable and active), IIR_NONE)

    def _update(self) -> None:
        wired = self.mcr & (MCR_OUT2 | MCR_LOOP) == MCR_OUT2
        self._pic.set_irq(self._irq, wired and self._cause() != IIR_NONE)


_PLAIN = (
    *("ier", "lcr", "mcr", "scr", "fcr", "rbr", "divisor", "msr"),
    *("overrun", "thre_pending", "timed_out", "listening"),
)
