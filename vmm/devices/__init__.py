"""The simulated PC's devices: what the guest finds behind its I/O ports and in its memory space.

Here: bus.py (who owns which port), mmio.py (who owns which page), and the devices:

    interrupts           pic.py (two 8259A), apic.py (local), ioapic.py, mptable.py
    time                 pit.py (8254 and port 61h), cmos.py (clock and CMOS memory)
    people               uart.py (16550D), keyboard.py with keys.py, vga.py with vgamemory.py
    storage              ide.py with identify.py and disk.py
    the board            pci.py, acpi_pm.py, system.py (wire A20, reset), fw_cfg.py, debug.py

pc.py solders them together. A device is ranges of ports, `read`, `write`, `save` and `load`. It knows the
clock and the interrupt line it drives (irq.py), and nothing of a CPU, a monitor or a mode: bare or virtual,
a machine gets the same devices. Whatever bytes a guest writes, whenever it writes them, a device raises no
Python exception.

Not here: which accesses reach a device at all; the mode and the monitor decide that.
Read next: bus.py, then pc.py.
"""

from vmm.devices.acpi_pm import PowerManagement
from vmm.devices.apic import LocalApic
from vmm.devices.bus import Device, PortBus
from vmm.devices.cmos import Cmos
from vmm.devices.debug import DebugConsole, DebugExit
from vmm.devices.disk import Disk
from vmm.devices.fw_cfg import FirmwareConfig
from vmm.devices.ide import Ide
from vmm.devices.ioapic import IoApic
from vmm.devices.keyboard import KeyboardController
from vmm.devices.mmio import MmioBus
from vmm.devices.pc import PcDevices
from vmm.devices.pci import PciBus
from vmm.devices.pic import PicPair
from vmm.devices.pit import Pit
from vmm.devices.system import SystemControl
from vmm.devices.uart import Uart
from vmm.devices.vga import Vga

__all__ = [
    "Cmos",
    "DebugConsole",
    "DebugExit",
    "Device",
    "Disk",
    "FirmwareConfig",
    "Ide",
    "IoApic",
    "KeyboardController",
    "LocalApic",
    "MmioBus",
    "PcDevices",
    "PciBus",
    "PicPair",
    "Pit",
    "PortBus",
    "PowerManagement",
    "SystemControl",
    "Uart",
    "Vga",
]
