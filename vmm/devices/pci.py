"""The PCI bus of a PC of 1997: configuration mechanism 1 and four functions of the board's chips.

Here: `Function`, 256 bytes of configuration registers of which some can be written, and `PciBus`, the
address port CF8h (which takes 32 bits only) and the data ports CFCh-CFFh. On bus 0 there are

    00.0  8086:1237  440FX host bridge; PAM, registers 59h-5Fh: ROM or RAM above 640 KB
    01.0  8086:7000  PIIX3, bridge to ISA
    01.1  8086:7010  PIIX3, IDE at the legacy ports, without bus mastering
    01.3  8086:7113  PIIX4, power management: the base of its ports in register 40h, its switch in 80h

and everything else is absent: all ones. The numbers of the subsystem are QEMU's, by which SeaBIOS knows
where it runs. Registers from 40h on can be written throughout, meaningful or not.

Not here: interrupts (no function has one), other buses, mechanism 2.
Datasheets: PCI Local Bus 2.1, 6.1 and 6.2; Intel 82441FX, 290549; 82371SB, 290550; 82371AB, 290562.
Read next: ide.py, acpi_pm.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

CONFIG_ADDRESS, CONFIG_DATA = 0xCF8, 0xCFC
ADDRESS_ENABLE = 1 << 31

VENDOR, COMMAND, STATUS, CLASS, CACHE_LINE, HEADER_TYPE = 0x00, 0x04, 0x06, 0x08, 0x0C, 0x0E
BASE_ADDRESS, SUBSYSTEM, INTERRUPT_LINE, INTERRUPT_PIN, SPECIFIC = 0x10, 0x2C, 0x3C, 0x3D, 0x40
COMMAND_BITS = 0x0507  # I/O, memory, master; SERR, interrupt disable
MULTIFUNCTION = 0x80
SUBSYSTEM_QEMU = 0x1100_1AF4

HOST_BRIDGE, ISA_BRIDGE, IDE, POWER = (0, 0), (1, 0), (1, 1), (1, 3)
DRAM_END, PAM = 0x57, 0x59
PM_BASE, PM_ENABLE = 0x40, 0x80
PM_BASE_MASK, PM_ENABLED = 0xFFC0, 0x01
SMI_SET_UP = 0x02  # in 5Bh of the power management: a firmware finds its SMI handler installed

PamCallback = Callable[[int, int, int], None]
PmCallback = Callable[[int | None], None]


class Function:
    """The configuration space of one function, as reset leaves it."""

    def __init__(
        self,
        identity: int,
        class_revision: int,
        *,
        header: int = 0,
        status: int = 0,
        registers: dict[int, int] | None = None,
        on_write: Callable[[], None] | None = None,
    ) -> None:
        self.space = bytearray(256)
        self.writable = bytearray(256)
        self.on_write = on_write
        for at, value in ((VENDOR, identity), (CLASS, class_revision), (SUBSYSTEM, SUBSYSTEM_QEMU)):
            self.space[at : at + 4] = value.to_bytes(4, "little")
        self.space[STATUS : STATUS + 2] = status.to_bytes(2, "little")
        self.space[HEADER_TYPE] = header
        for at, value in (registers or {}).items():
            self.space[at] = value
        self.writable[COMMAND : COMMAND + 2] = COMMAND_BITS.to_bytes(2, "little")
        self.writable[CACHE_LINE] = self.writable[INTERRUPT_LINE] = 0xFF
        self.writable[SPECIFIC:] = b"\xff" * (256 - SPECIFIC)

    def add_region(self, number: int, size: int, *, ports: bool) -> None:
        """A base address register for `size` bytes, a power of two, of ports or of memory."""
        at = BASE_ADDRESS + 4 * number
        self.space[at] = int(ports)
        self.writable[at : at + 4] = (-size & 0xFFFF_FFFF).to_bytes(4, "little")

    def region(self, number: int) -> int:
        """The base that was written."""
        at = BASE_ADDRESS + 4 * number
        low_bits = 0x3 if self.space[at] & 1 else 0xF
        return self.word(at, 4) & ~low_bits

    def word(self, at: int, size: int) -> int:
        return int.from_bytes(self.space[at : at + size], "little")

    def write(self, at: int, value: int, size: int) -> None:
        for n in range(at, at + size):
            mask = self.writable[n]
            self.space[n] = self.space[n] & ~mask | (value >> 8 * (n - at)) & mask
        if self.on_write is not None:
            self.on_write()


class PciBus:
    name = "pci"
    ports: tuple[range, ...] = (
        range(CONFIG_ADDRESS, CONFIG_ADDRESS + 1),
        range(CONFIG_DATA, CONFIG_DATA + 4),
    )
    widths: ClassVar[dict[int, int]] = {CONFIG_ADDRESS: 4, CONFIG_DATA: 4, CONFIG_DATA + 2: 2}

    def __init__(
        self, memory: int = 0, on_pam: PamCallback | None = None, on_pm: PmCallback | None = None
    ) -> None:
        self.on_pam = on_pam  # told address, size and access (1: reads, 2: writes go to RAM) of a stretch
        self.on_pm = on_pm  # told the first port of the power management, None while it has none
        self.address = 0
        self.functions = {
            HOST_BRIDGE: Function(
                *(0x1237_8086, 0x0600_0002),
                registers={DRAM_END: min(memory >> 23, 0xFF), 0x72: 0x02},
                on_write=self._pam,
            ),
            ISA_BRIDGE: Function(
                0x7000_8086, 0x0601_0000, header=MULTIFUNCTION, status=0x0200, registers=_ISA_REGISTERS
            ),
            IDE: Function(0x7010_8086, 0x0101_0000, status=0x0280),
            POWER: Function(
                *(0x7113_8086, 0x0680_0003),
                status=0x0280,
                registers={INTERRUPT_PIN: 1, PM_BASE: 1, 0x5B: SMI_SET_UP, 0x5F: 0x10, 0x63: 0x60, 0x90: 1},
                on_write=self._pm,
            ),
        }
        self._pam_seen = bytes(7)
        self._pm_seen: int | None = None

    def read(self, port: int, size: int) -> int:
        if port == CONFIG_ADDRESS:
            return self.address if size == 4 else -1
        function = self._selected()
        if function is None:
            return -1
        return function.word(self.address & 0xFC | port & 3, size)

    def write(self, port: int, value: int, size: int) -> None:
        if port == CONFIG_ADDRESS:
            if size == 4:
                self.address = value
            return
        function = self._selected()
        if function is not None:
            function.write(self.address & 0xFC | port & 3, value, size)

    def save(self) -> dict[str, Any]:
        spaces = {f"{device}.{number}": each.space.hex() for (device, number), each in self.functions.items()}
        return {"address": self.address, "functions": spaces}

    def load(self, state: dict[str, Any]) -> None:
        self.address = state["address"]
        for (device, number), function in self.functions.items():
            function.space[:] = bytes.fromhex(state["functions"][f"{device}.{number}"])
        self._pam()
        self._pm()

    def _selected(self) -> Function | None:
        """The function that the address port names, if it is there."""
        address = self.address
        if not address & ADDRESS_ENABLE or address >> 16 & 0xFF:
            return None
        return self.functions.get((address >> 11 & 31, address >> 8 & 7))

    def _pam(self) -> None:
        """Tell about stretches of upper memory that changed hands."""
        seen, self._pam_seen = self._pam_seen, bytes(self.functions[HOST_BRIDGE].space[PAM : PAM + 7])
        if self.on_pam is None or seen == self._pam_seen:
            return
        self.on_pam(0xF0000, 0x10000, self._pam_seen[0] >> 4 & 3)
        for n, register in enumerate(self._pam_seen[1:]):
            self.on_pam(0xC0000 + n * 0x8000, 0x4000, register & 3)
            self.on_pam(0xC4000 + n * 0x8000, 0x4000, register >> 4 & 3)

    def _pm(self) -> None:
        """Tell where the power management's ports are now."""
        function = self.functions[POWER]
        base: int | None = function.word(PM_BASE, 4) & PM_BASE_MASK
        if not function.space[PM_ENABLE] & PM_ENABLED or not base:
            base = None
        if self.on_pm is not None and base != self._pm_seen:
            self.on_pm(base)
        self._pm_seen = base


_ISA_REGISTERS = dict(
    (
        *((0x4C, 0x4D), (0x4E, 0x03), (0x60, 0x80), (0x61, 0x80), (0x62, 0x80), (0x63, 0x80), (0x69, 0x02)),
        *((0x70, 0x80), (0x76, 0x0C), (0x77, 0x0C), (0x78, 0x02), (0xA0, 0x08), (0xA8, 0x0F)),
    )
)
