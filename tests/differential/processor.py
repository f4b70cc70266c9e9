"""Our side: one processor that runs the cases in one engine, on memory that is nowhere else.

Answers are twelve words and what has changed in memory, the same as the oracle's (`unicorn_child`).
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence

from cases import FS_BASE, GS_BASE, IMAGE_SIZE, Form, State
from unicorn_child import ANSWER, NO_VECTOR, SLOT, changed

from isa import consts as c
from isa.cpu import Cpu
from isa.exits import ALL_VECTORS, Reason, TrapPolicy
from isa.memory import PhysicalMemory, Ram
from isa.segment import encode_descriptor
from isa.state import ATTR, BASE, EFLAGS, EIP, FLAT_CODE, FLAT_DATA, LIMIT, SEL

CODE_AT, CODE_SIZE, GDT_AT = 0x55_0000, 0x10000, 0x66_0000  # no edge values, so seldom hit
FORMS_AT_ONCE = CODE_SIZE // SLOT
MOST = 400  # instructions of one case, counting the iterations of REP

# selector → base, attributes. 16-bit code has its own base, so that EIP is below 64 KB.
DESCRIPTORS = {
    0x08: (0, FLAT_CODE),
    0x10: (0, FLAT_DATA),
    0x18: (CODE_AT, FLAT_CODE & ~c.ATTR_DB),
    0x20: (0, FLAT_DATA & ~c.ATTR_DB),
    0x28: (FS_BASE, FLAT_DATA),
    0x30: (GS_BASE, FLAT_DATA),
}
_memcmp = ctypes.CDLL(None).memcmp


def selectors(bits: int, stack: int) -> dict[str, int]:
    flat = dict.fromkeys(("ds", "es"), 0x10)
    ss = 0x10 if stack == 32 else 0x20
    return {**flat, "ss": ss, "fs": 0x28, "gs": 0x30, "cs": 0x08 if bits == 32 else 0x18}


def descriptor_table() -> bytes:
    table = bytearray(0x38)
    for selector, (base, attr) in DESCRIPTORS.items():
        low, high = encode_descriptor(base, c.M32, attr)
        table[selector : selector + 8] = low.to_bytes(4, "little") + high.to_bytes(4, "little")
    return bytes(table)


class Unmapped(Exception):
    """The case touches memory that is not there."""


class StrictMemory(PhysicalMemory):
    """RAM for the image and, not for stores, the code; nothing in between."""

    def frame(self, number: int) -> int:
        at = number << 12
        return at if at < IMAGE_SIZE or CODE_AT <= at < CODE_AT + CODE_SIZE else -1

    def store_frame(self, number: int) -> int:
        return self.frame(number) if number << 12 < IMAGE_SIZE else -1

    def read(self, address: int, size: int) -> int:
        raise Unmapped

    def write(self, address: int, value: int, size: int) -> None:
        raise Unmapped


Answer = tuple[array, list[tuple[int, bytes]], int]
"""Words, changed memory, and how many instructions it took."""


class Processor:
    """A processor in one engine, one case at a time."""

    entered = 0  # cases that began in a region

    def __init__(self, engine: str, bits: int, stack: int) -> None:
        self.bits = bits
        self.ram = Ram(CODE_AT + CODE_SIZE)
        self.memory = (ctypes.c_char * IMAGE_SIZE).from_buffer(self.ram.data)
        policy = TrapPolicy(exceptions=ALL_VECTORS)
        self.cpu = Cpu(StrictMemory(self.ram), policy=policy, engine=engine)
        self.stepping = engine == "reference"  # it finds out how long a case is
        s = self.cpu.s
        for name, selector in selectors(bits, stack).items():
            n = c.SEGMENT_NAMES.index(name)
            s[SEL + n], s[LIMIT + n] = selector, c.M32
            s[BASE + n], s[ATTR + n] = DESCRIPTORS[selector]
        self.cpu.sync()
        self.fresh = bytes(s)

    def load(self, picture: bytes, code: bytes, forms: Sequence[Form]) -> None:
        """Memory and code of a batch, with the forms in its slots."""
        self.picture = picture
        self.ram.write(0, picture)
        self.ram.write(CODE_AT, code)

    def start(self, slot: int) -> int:
        """EIP at the beginning of a slot."""
        return slot * SLOT + (0 if self.bits == 16 else CODE_AT)

    def run(
        self, slot: int, form: Form, state: State, reference: Answer | None = None, beyond: int = 0
    ) -> Answer | None:
        """The answer; None for a case that shows nothing. The `reference` engine's says how many instructions
        to run; `beyond` of them are added."""
        cpu, s = self.cpu, self.cpu.s
        start = self.start(slot)
        s[:8] = array("I", state.registers)
        s[EIP] = start
        cpu.engine.set_eflags(state.eflags)
        cpu.engine.attention = False
        before = cpu.count
        try:
            if reference is not None:
                leave = cpu.run(before + reference[2] + beyond)
            elif form.one:
                leave = cpu.run(before + 1)
            else:
                leave = cpu.run(before + MOST, {CODE_AT + slot * SLOT + len(form.code)})
        except Unmapped:
            cpu.engine.settle()
            self.changes()
            return None
        vector = NO_VECTOR
        if leave.reason is Reason.FAULT:
            assert leave.fault is not None
            vector = leave.fault.vector
        elif reference is None and not form.one and leave.reason is Reason.UNTIL:
            self.changes()
            return None  # far too long
        elif leave.reason not in (Reason.UNTIL, Reason.BREAKPOINT):
            raise AssertionError(f"{form.code.hex()}: {leave.reason}")
        words = array("I", [*s[: EFLAGS + 1].tolist(), vector, 0])
        return words, self.changes(), cpu.count - before + (vector != NO_VECTOR)

    def changes(self) -> list[tuple[int, bytes]]:
        """What differs from the image, which is put back."""
        if not _memcmp(self.memory, self.picture, IMAGE_SIZE):
            return []
        found = changed(self.picture, self.memory.raw)
        ctypes.memmove(self.memory, self.picture, IMAGE_SIZE)
        return found


assert ANSWER == EFLAGS + 3
