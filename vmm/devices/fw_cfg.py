"""QEMU's firmware configuration: what SeaBIOS asks the machine that it starts on.

Here: `FirmwareConfig`, the selector at port 510h (16 bits) and the data at 511h (bytes, each read the
next): the signature, the size of memory, the number of processors, and a directory of named files, of
which `etc/e820` is the memory map. `add` puts in more, say an option ROM as `vgaroms/NAME`.

Not here: the DMA interface (the features say so) and writing. Reference: QEMU, docs/specs/fw_cfg.txt.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, ClassVar

FW_SELECTOR, FW_DATA = 0x510, 0x511

(SIGNATURE, FEATURES, UUID, RAM_SIZE, NO_GRAPHIC, CPUS, BOOT_MENU, MAX_CPUS, DIRECTORY) = (
    *(0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x0E, 0x0F, 0x19),
)
IRQ0_OVERRIDE = 0x8002  # arch-local: the timer is input 2 of an I/O APIC
FIRST_FILE = 0x20
TRADITIONAL = 1  # of the features; 2 would be DMA
FILE_ENTRY = struct.Struct(">IHH56s")
E820_ENTRY = struct.Struct("<QQI")
E820_RAM, E820_RESERVED = 1, 2
MAX_NAME = 55


class FirmwareConfig:
    name = "fw_cfg"
    ports: tuple[range, ...] = (range(FW_SELECTOR, FW_DATA + 1),)
    widths: ClassVar[dict[int, int]] = {FW_SELECTOR: 2}

    def __init__(self, memory: int, cpus: int = 1) -> None:
        self.selected = 0
        self.at = 0
        self.items = {
            SIGNATURE: b"QEMU",
            FEATURES: TRADITIONAL.to_bytes(4, "little"),
            UUID: bytes(16),
            RAM_SIZE: memory.to_bytes(8, "little"),
            NO_GRAPHIC: bytes(2),
            CPUS: cpus.to_bytes(2, "little"),
            MAX_CPUS: cpus.to_bytes(2, "little"),
            BOOT_MENU: bytes(2),
            IRQ0_OVERRIDE: (1).to_bytes(4, "little"),
        }
        self.files: dict[str, bytes] = {}
        self.add("etc/e820", e820(((0, memory, E820_RAM),)))

    def add(self, name: str, data: bytes) -> None:
        """A file for the firmware, in place of one of the same name. ValueError if the name is too long."""
        if len(name.encode()) > MAX_NAME:
            raise ValueError(f"{name}: a name has at most {MAX_NAME} bytes")
        self.files[name] = data
        entries = []
        for key, (each, content) in enumerate(sorted(self.files.items()), FIRST_FILE):
            self.items[key] = content
            entries.append(FILE_ENTRY.pack(len(content), key, 0, each.encode()))
        self.items[DIRECTORY] = len(entries).to_bytes(4, "big") + b"".join(entries)

    def read(self, port: int, size: int) -> int:
        if size != 1:
            return -1
        item = self.items.get(self.selected, b"")
        value = item[self.at] if self.at < len(item) else 0
        self.at += 1
        return value

    def write(self, port: int, value: int, size: int) -> None:
        if size == 2:
            self.selected, self.at = value, 0

    def save(self) -> dict[str, Any]:
        return {"selected": self.selected, "at": self.at}

    def load(self, state: dict[str, Any]) -> None:
        self.selected, self.at = state["selected"], state["at"]


def e820(entries: Iterable[tuple[int, int, int]]) -> bytes:
    """A memory map of (address, bytes, type)."""
    return b"".join(E820_ENTRY.pack(*entry) for entry in entries)
