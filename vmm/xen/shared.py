"""The shared info page: one frame that hypervisor and guest both read and write.

Its start is vcpu_info[0]: the upcall flags, CR2, the time. The guest maps it wherever it likes; here it
is found by its frame. Layout: `abi`.
"""

from __future__ import annotations

import struct

from isa.memory import Ram


class SharedInfo:
    def __init__(self, ram: Ram, frame: int) -> None:
        self.ram = ram
        self.frame = frame  # machine address

    def read8(self, offset: int) -> int:
        return self.ram.data[self.frame + offset]

    def write8(self, offset: int, value: int) -> None:
        self.ram.write(self.frame + offset, bytes((value,)))

    def read32(self, offset: int) -> int:
        return self.ram.read32(self.frame + offset)

    def write32(self, offset: int, value: int) -> None:
        self.ram.write32(self.frame + offset, value)

    def write(self, offset: int, data: bytes) -> None:
        self.ram.write(self.frame + offset, data)

    def words(self, offset: int, count: int) -> tuple[int, ...]:
        return struct.unpack_from(f"<{count}I", self.ram.data, self.frame + offset)

    def bit(self, offset: int, n: int) -> bool:
        """Bit n of the bitmap at `offset`."""
        return bool(self.read32(offset + n // 32 * 4) >> n % 32 & 1)

    def test_and_set_bit(self, offset: int, n: int) -> bool:
        """Set a bit; whether it was set before."""
        at = offset + n // 32 * 4
        word = self.read32(at)
        self.write32(at, word | 1 << n % 32)
        return bool(word >> n % 32 & 1)

    def clear_bit(self, offset: int, n: int) -> None:
        at = offset + n // 32 * 4
        self.write32(at, self.read32(at) & ~(1 << n % 32))
