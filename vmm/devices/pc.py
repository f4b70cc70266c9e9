"""The devices of one PC, wired: what a kernel or a firmware finds behind the processor's ports.

Here: `PcDevices` builds them on a clock, attaches them to the port bus and the memory bus, and keeps what
the guest has to say: `console`, every byte sent to COM1 and to port E9h in order, `exit_code`, the verdict
at port F4h (the first counts), `firmware_log`, what a firmware writes to port 402h. Its state includes the
clock's, so a snapshot of the devices restores their time as well.

What devices want of the machine they ask for by callbacks: `on_a20`, `on_reset`, `on_power_off`, and
`on_pam` when the host bridge turns upper memory into ROM or RAM.

A fresh set is as power-on leaves it. `firmware()` programs it through its ports as a BIOS leaves it
before it loads a kernel (vectors 08h and 70h, an 18.2 Hz timer); loaders that skip the BIOS call it.

Not here: RAM and CPU (vmm.machine). Read next: bus.py for the protocol, pic.py for the way to the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from vmm.clock import Clock
from vmm.devices.acpi_pm import DEFAULT_BASE, ApmPorts, PowerManagement
from vmm.devices.apic import LAPIC_BASE, LAPIC_SIZE, LocalApic
from vmm.devices.bus import Device, PortBus
from vmm.devices.cmos import DEFAULT_EPOCH, Cmos, memory_bytes
from vmm.devices.coprocessor import CoprocessorError
from vmm.devices.debug import FIRMWARE_LOG_PORT, DebugConsole, DebugExit
from vmm.devices.disk import Disk
from vmm.devices.fw_cfg import FirmwareConfig
from vmm.devices.ide import Ide
from vmm.devices.ioapic import IOAPIC_BASE, IOAPIC_SIZE, Board, IoApic
from vmm.devices.irq import InterruptLines, InterruptSource
from vmm.devices.keyboard import KeyboardController
from vmm.devices.mmio import MmioBus
from vmm.devices.pci import (
    ADDRESS_ENABLE,
    CONFIG_ADDRESS,
    CONFIG_DATA,
    PM_BASE,
    PM_ENABLE,
    PamCallback,
    PciBus,
)
from vmm.devices.pic import MASTER_COMMAND, MASTER_DATA, SLAVE_COMMAND, SLAVE_DATA, PicPair
from vmm.devices.pit import CONTROL, COUNTER_0, Pit
from vmm.devices.system import A20Gate, SystemControl
from vmm.devices.uart import Uart
from vmm.devices.vga import Vga
from vmm.devices.vgamemory import WINDOW

DEFAULT_MEMORY = 16 << 20

# (port, byte): what SeaBIOS writes before it boots
FIRMWARE = (
    *((MASTER_COMMAND, 0x11), (MASTER_DATA, 0x08), (MASTER_DATA, 0x04), (MASTER_DATA, 0x01)),
    *((SLAVE_COMMAND, 0x11), (SLAVE_DATA, 0x70), (SLAVE_DATA, 0x02), (SLAVE_DATA, 0x01)),
    *((MASTER_DATA, 0xB8), (SLAVE_DATA, 0x8E)),  # open: timer, keyboard, cascade, floppy; clock, mouse, disks
    *((CONTROL, 0x34), (COUNTER_0, 0x00), (COUNTER_0, 0x00)),  # counter 0, both bytes, mode 2, 65536
)
# (device and function, register, word): the ports of power management, the IDE channels switched on
FIRMWARE_PCI = (
    *((0x0B, PM_BASE, DEFAULT_BASE | 1), (0x0B, PM_ENABLE, 1), (0x09, 0x40, 0x8000_8000)),
    *((0x09, 0x04, 1), (0x0B, 0x04, 1)),
)
# CMOS memory, as BIOSes use it
EQUIPMENT, DISK_TYPES, DISK_TYPE, DISK_SHAPE, BOOT_ORDER, CHECKSUM = 0x14, 0x12, 0x19, 0x1B, 0x3D, 0x2E
CHECKSUMMED = range(0x10, 0x2E)
WITH_FPU = 0x02
DISK_FIRST = 0x12  # boot from the disk, then from the floppy


class Part(Protocol):
    """What is saved and loaded under its name."""

    @property
    def name(self) -> str: ...

    def save(self) -> dict[str, Any]: ...

    def load(self, state: dict[str, Any]) -> None: ...


class PcDevices:
    """`memory` is the RAM in bytes, as firmware finds it; `epoch` the time at power-on; `disk` the master
    of the primary IDE channel, if there is one; with `apic` there are a local and an I/O APIC."""

    def __init__(
        self,
        clock: Clock,
        *,
        memory: int = DEFAULT_MEMORY,
        epoch: int = DEFAULT_EPOCH,
        disk: Disk | None = None,
        apic: bool = False,
        on_console: Callable[[int], None] | None = None,
        on_exit: Callable[[int], None] | None = None,
        on_a20: Callable[[bool], None] | None = None,
        on_reset: Callable[[], None] | None = None,
        on_power_off: Callable[[], None] | None = None,
        on_pam: PamCallback | None = None,
    ) -> None:
        self.clock = clock
        self.on_console = on_console  # called with each byte of the console
        self.on_log: Callable[[int], None] | None = None  # called with each byte of the firmware's log
        self.on_exit = on_exit  # called with each verdict
        self.on_reset = on_reset  # called when the guest pulls the reset line
        self.console = bytearray()
        self.firmware_log = bytearray()
        self.exit_code: int | None = None
        self.pic = PicPair()
        self.apic = LocalApic(clock, self.pic) if apic else None
        self.ioapic = IoApic(self.apic) if self.apic is not None else None
        lines: InterruptLines = Board(self.pic, self.ioapic) if self.ioapic is not None else self.pic
        self.pit = Pit(clock, lines)
        self.uart = Uart(clock, lines, self._console_byte)
        self.cmos = Cmos(clock, lines, epoch)
        self.gate = A20Gate(on_a20)
        self.keyboard = KeyboardController(clock, lines, self.gate.set_keyboard, self._reset)
        self.system = SystemControl(self.gate, self._reset)
        self.vga = Vga(clock)
        self.power = PowerManagement(clock, lines, on_power_off)
        self.apm = ApmPorts(self.power)
        self.pci = PciBus(memory, on_pam, self._move_power)
        self.fw_cfg = FirmwareConfig(memory)
        self.ide = Ide(clock, lines, disk) if disk is not None else None
        self.coprocessor = CoprocessorError(lines)
        self.debug_console = DebugConsole(self._console_byte)
        self.log = DebugConsole(self._log_byte, FIRMWARE_LOG_PORT, "firmware-log")
        self.debug_exit = DebugExit(self._exit)
        self.bus = PortBus()
        self.mmio = MmioBus()
        self.devices = self._devices()
        for device in self.devices:
            self.bus.attach(device)
        self.mmio.attach(WINDOW, self.vga.memory)
        self._attach_apics()
        self._note(memory_bytes(memory) | self._disk_bytes())

    def _devices(self) -> tuple[Device, ...]:
        disks = (self.ide,) if self.ide is not None else ()
        return (
            *(self.pic, self.pit, self.uart, self.cmos, self.keyboard, self.system, self.vga),
            *(self.power, self.apm, self.pci, self.fw_cfg, *disks),
            *(self.coprocessor, self.debug_console, self.log, self.debug_exit),
        )

    def _attach_apics(self) -> None:
        if self.apic is not None and self.ioapic is not None:
            self.mmio.attach(range(LAPIC_BASE, LAPIC_BASE + LAPIC_SIZE), self.apic)
            self.mmio.attach(range(IOAPIC_BASE, IOAPIC_BASE + IOAPIC_SIZE), self.ioapic)
            self.pic.on_change = self.apic.settle

    @property
    def may_raise_nmi(self) -> bool:
        """Whether a device is set up to send NMIs."""
        return self.ioapic is not None and self.ioapic.may_raise_nmi

    @property
    def interrupts(self) -> InterruptSource:
        """What the processor's INTR pin is wired to."""
        return self.pic if self.apic is None else self.apic

    def _parts(self) -> tuple[Part, ...]:
        apics: tuple[Part, ...] = ()
        if self.apic is not None and self.ioapic is not None:
            apics = (self.apic, self.ioapic)
        return (*self.devices, *apics)

    def _disk_bytes(self) -> dict[int, int]:
        """What the CMOS notes about the disk: type 47, whose shape is given."""
        found = {EQUIPMENT: WITH_FPU, BOOT_ORDER: DISK_FIRST}
        if self.ide is not None:
            cylinders, heads, track = self.ide.disk.shape
            low, high = cylinders & 0xFF, cylinders >> 8
            shape = (low, high, heads, 0xFF, 0xFF, 0xC0 | (heads > 8) << 3, low, high, track)
            found |= {DISK_TYPES: 0xF0, DISK_TYPE: 47}
            found |= {DISK_SHAPE + n: value for n, value in enumerate(shape)}
        return found

    def _note(self, cells: dict[int, int]) -> None:
        """Fill CMOS memory, with its checksum."""
        for at, value in cells.items():
            self.cmos.memory[at] = value
        total = sum(self.cmos.memory[at] for at in CHECKSUMMED)
        self.cmos.memory[CHECKSUM : CHECKSUM + 2] = total.to_bytes(2, "big")

    def _move_power(self, base: int | None) -> None:
        """Power management answers elsewhere now; where its ports are taken, nowhere."""
        self.bus.detach(self.power)
        self.power.move(base)
        try:
            self.bus.attach(self.power)
        except ValueError:
            self.power.move(None)

    @property
    def a20(self) -> bool:
        """Whether wire A20 is on."""
        return self.gate.a20

    def firmware(self) -> None:
        for port, value in FIRMWARE:
            self.bus.write(port, value, 1)
        for function, register, value in FIRMWARE_PCI:
            self.bus.write(CONFIG_ADDRESS, ADDRESS_ENABLE | function << 8 | register, 4)
            self.bus.write(CONFIG_DATA, value, 4)
        self.bus.write(CONFIG_ADDRESS, 0, 4)

    def keep(self, before: PcDevices) -> None:
        """Take over from the devices before a reset what no reset touches: what the disk, the CMOS memory
        and its clock hold, what has come out of the machine, and what has yet to be typed into it."""
        if self.ide is not None and before.ide is not None:
            self.ide.disk = before.ide.disk
        self.cmos.keep(before.cmos)
        self.uart.feed(before.uart.unread)
        self.console, self.firmware_log = before.console, before.firmware_log
        self.on_console, self.on_log = before.on_console, before.on_log

    def screen(self) -> list[str]:
        """The text on the display, a string for each row."""
        return self.vga.screen()

    def type(self, text: str) -> None:
        """Type a text on the keyboard. ValueError if no key types a character."""
        self.keyboard.type(text)

    def put_console(self, value: int) -> None:
        """A byte on the console that came by no port."""
        self._console_byte(value)

    def put_verdict(self, value: int) -> None:
        """A verdict that came by no port."""
        self._exit(value)

    def save(self) -> dict[str, Any]:
        """The clock and every device, as plain data."""
        return {
            "clock": self.clock.save(),
            "devices": {part.name: part.save() for part in self._parts()},
            "console": self.console.decode("latin-1"),
            "firmware_log": self.firmware_log.decode("latin-1"),
            "exit_code": self.exit_code,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.clock.load(state["clock"])
        for part in self._parts():
            part.load(state["devices"][part.name])
        self.console[:] = state["console"].encode("latin-1")
        self.firmware_log[:] = state["firmware_log"].encode("latin-1")
        self.exit_code = state["exit_code"]

    def _console_byte(self, value: int) -> None:
        self.console.append(value)
        if self.on_console is not None:
            self.on_console(value)

    def _log_byte(self, value: int) -> None:
        self.firmware_log.append(value)
        if self.on_log is not None:
            self.on_log(value)

    def _exit(self, value: int) -> None:
        if self.exit_code is None:
            self.exit_code = value
        if self.on_exit is not None:
            self.on_exit(value)

    def _reset(self) -> None:
        if self.on_reset is not None:
            self.on_reset()
