"""What an IDE disk says about itself: the 256 words of IDENTIFY DEVICE.

Datasheet: ATA-4 (T13/1153D), 8.12. Read next: ide.py.
"""

from __future__ import annotations

from vmm.devices.disk import SECTOR, Disk

SERIAL, REVISION, MODEL = "VM00000001", "1.0", "VMSIM HARDDISK"
MAX_MULTIPLE = 16  # sectors in one block of READ and WRITE MULTIPLE


def _text(text: str, words: int) -> bytes:
    """ATA's strings: padded with blanks, the two characters of a word swapped."""
    padded = text.ljust(2 * words).encode("ascii")
    return b"".join(padded[n : n + 2][::-1] for n in range(0, 2 * words, 2))


def identity(disk: Disk, shape: tuple[int, int], multiple: int) -> bytes:
    """`shape`: the heads and sectors of a track that the host has set; `multiple`: its block size."""
    cylinders, heads, track = disk.shape
    capacity = min(disk.sectors, 0x0FFF_FFFF)
    current = min(capacity // (shape[0] * shape[1]), 0xFFFF)
    shown = current * shape[0] * shape[1]
    words = (
        *((0, 0x0040), (1, cylinders), (3, heads), (4, track * SECTOR), (5, SECTOR), (6, track)),  # fixed
        *((20, 3), (21, MAX_MULTIPLE), (22, 4)),  # the buffer, in sectors; bytes of READ LONG
        *((47, 0x8000 | MAX_MULTIPLE), (59, 0x0100 | multiple if multiple else 0)),
        *((48, 1), (49, 0x0A00)),  # data in 32 bits; LBA, IORDY
        *((51, 0x0200), (53, 0x0003), (54, current), (55, shape[0]), (56, shape[1])),
        *((57, shown & 0xFFFF), (58, shown >> 16), (60, capacity & 0xFFFF), (61, capacity >> 16)),
        *((64, 0x0003), (67, 120), (68, 120)),  # PIO modes 3 and 4, 120 ns; no DMA
        *((80, 0x001E), (82, 0x4000), (83, 0x5000), (84, 0x4000)),  # ATA-1 to ATA-4; NOP, FLUSH CACHE
        *((85, 0x4000), (86, 0x1000), (87, 0x4000)),
    )
    out = bytearray(SECTOR)
    for at, value in words:
        out[2 * at : 2 * at + 2] = value.to_bytes(2, "little")
    for at, text, length in ((10, SERIAL, 10), (23, REVISION, 4), (27, MODEL, 20)):
        out[2 * at : 2 * (at + length)] = _text(text, length)
    return bytes(out)
