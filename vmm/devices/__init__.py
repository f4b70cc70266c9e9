"""The simulated PC's devices: what the guest finds behind its I/O ports.

Here: bus.py (who owns which port), pic.py (two 8259A), pit.py (8254 and port 61h), uart.py (16550D),
debug.py (ports E9h and F4h), and pc.py, which solders them together.

A device is ranges of ports, `read`, `write`, `save` and `load`. It knows the clock and the interrupt line
it drives, and nothing of a CPU, a monitor or a mode: bare or virtual, a machine gets the same devices.
Whatever bytes a guest writes, whenever it writes them, a device raises no Python exception.

Not here: which accesses reach a device at all; the mode and the monitor decide that.
Read next: bus.py, then pc.py.
"""

from vmm.devices.bus import Device, PortBus
from vmm.devices.debug import DebugConsole, DebugExit
from vmm.devices.pc import PcDevices
from vmm.devices.pic import PicPair
from vmm.devices.pit import Pit
from vmm.devices.uart import Uart

__all__ = ["DebugConsole", "DebugExit", "Device", "PcDevices", "PicPair", "Pit", "PortBus", "Uart"]
