"""Random x86 encodings that reach every opcode: shared by the tests of the decoder and of the definitions."""

from __future__ import annotations

from random import Random

PREFIXES = (0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65)
ONE_BYTE = tuple(bytes([n]) for n in range(256) if n != 0x0F and n not in PREFIXES)
TWO_BYTE = tuple(bytes([0x0F, n]) for n in range(256))
OPCODES = ONE_BYTE + TWO_BYTE
X87 = tuple(bytes([n, m]) for n in range(0xD8, 0xE0) for m in range(0xC0, 0x100))


def random_code(random: Random, opcode: bytes, prefixes: tuple[int, ...] = PREFIXES) -> bytes:
    """Fifteen bytes: perhaps prefixes, the opcode, then anything; plain ModR/M bytes are the commonest."""
    front = bytes(random.choice(prefixes) for _ in range(random.choice((0, 0, 0, 1, 1, 2))))
    tail = bytearray(random.randbytes(15))
    if random.random() < 0.3:
        tail[0] |= 0xC0
    return (front + opcode + tail)[:15]
