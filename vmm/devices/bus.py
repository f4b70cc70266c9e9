"""The I/O bus: 65536 ports, each owned by one device or by nobody.

Here: the `Device` protocol and `PortBus`, which finds the owner of a port and cuts wide accesses to the
width of the register they meet: a 16- or 32-bit access to byte registers becomes bytes at consecutive
ports, little end first, as the ISA bus does. Each piece is looked up anew, so an access may run from one
device into the next, and from port FFFFh to port 0. Where nobody answers, a read gives all ones.

A device with wider registers says so in `widths`, {port: bytes}; ports that it leaves out take bytes.
Not here: permission (the TSS bitmap is the CPU's, trapping is the mode's) and memory-mapped I/O.
Read next: debug.py, the smallest devices; pc.py, the set of a PC.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

PORT_MASK = 0xFFFF
BITS_PER_BYTE = 8


class Device(Protocol):
    name: str
    ports: tuple[range, ...]

    def read(self, port: int, size: int) -> int: ...

    def write(self, port: int, value: int, size: int) -> None: ...

    def save(self) -> dict[str, Any]: ...  # plain data, ready for JSON

    def load(self, state: dict[str, Any]) -> None: ...


class PortBus:
    def __init__(self) -> None:
        self._devices: list[Device] = []
        self._owners: dict[int, tuple[Device, int]] = {}  # port: its device, the widest access it takes

    def attach(self, device: Device) -> None:
        """Raises ValueError, and attaches nothing, if a port is taken or there is no such port."""
        ports = [port for span in device.ports for port in span]
        for port in ports:
            if not 0 <= port <= PORT_MASK:
                raise ValueError(f"{device.name}: there is no port {port:#x}")
            if port in self._owners:
                raise ValueError(f"{device.name}: port {port:#x} belongs to {self._owners[port][0].name}")
        widths: Mapping[int, int] = getattr(device, "widths", {})
        self._owners.update({port: (device, widths.get(port, 1)) for port in ports})
        self._devices.append(device)

    def detach(self, device: Device) -> None:
        """Nobody answers at the ports of `device` any more; nothing happens if it was not attached."""
        self._owners = {port: found for port, found in self._owners.items() if found[0] is not device}
        self._devices = [each for each in self._devices if each is not device]

    def read(self, port: int, size: int) -> int:
        device, width = self._owners.get(port & PORT_MASK, (None, 1))
        if size > width:
            half = size // 2
            low = self.read(port, half)
            return low | self.read(port + half, half) << half * BITS_PER_BYTE
        ones = (1 << size * BITS_PER_BYTE) - 1
        return device.read(port & PORT_MASK, size) & ones if device is not None else ones

    def write(self, port: int, value: int, size: int) -> None:
        device, width = self._owners.get(port & PORT_MASK, (None, 1))
        if size > width:
            half = size // 2
            self.write(port, value, half)
            self.write(port + half, value >> half * BITS_PER_BYTE, half)
        elif device is not None:
            device.write(port & PORT_MASK, value & (1 << size * BITS_PER_BYTE) - 1, size)

    def owner(self, port: int) -> Device | None:
        return self._owners.get(port & PORT_MASK, (None, 1))[0]

    @property
    def devices(self) -> tuple[Device, ...]:
        return tuple(self._devices)
