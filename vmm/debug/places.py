"""Places in a guest: from what people write to an address, and from an address to what people read.

A place is an expression (`popf_here`, `main + 4`, `0x100020`, `[esp]`) or `file:line` of the source. Names
in expressions are, in this order: the guest's registers and their parts, its flags (`if`, `zf`, `iopl`),
`cpl` and `count`, then symbols and constants of the program.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from isa import consts as c
from isa.asm import SourceLine
from isa.decode import TruncatedCode, decode
from isa.faults import Fault
from isa.insn import Insn
from isa.state import ATTR, EFLAGS, NAMES
from vmm.debug.expression import ExpressionError, evaluate
from vmm.image import Image
from vmm.machine import Machine
from vmm.report.words import suggestion

_FILE_LINE = re.compile(r"([^\s:]+):(\d+)")


class GuestScope:
    """The names and the memory of the guest in a machine, as the guest sees them."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def value(self, name: str) -> int | None:
        found = self.register(name.lower())
        if found is not None:
            return found
        image = self.machine.image
        symbol = image.symbol(name)
        return image.program.constants.get(name) if symbol is None and image.program else symbol

    def register(self, name: str) -> int | None:
        """A register, part of one, flag, or the count."""
        s = self.machine.mode.guest.s
        if name in NAMES:
            return s[NAMES[name]]
        if name in c.REGISTER16_NAMES:
            return s[c.REGISTER16_NAMES.index(name)] & c.M16
        if name in c.REGISTER8_NAMES:
            n = c.REGISTER8_NAMES.index(name)
            return s[n & 3] >> (8 if n > 3 else 0) & c.M8
        if name.upper() in c.FLAG_BITS:
            return int(bool(s[EFLAGS] & c.FLAG_BITS[name.upper()]))
        if name == "iopl":
            return s[EFLAGS] >> c.IOPL_SHIFT & 3
        return self.machine.mode.count if name == "count" else None

    def suggestion(self, name: str) -> str:
        return suggestion(name, [*NAMES, *self.machine.image.symbols])

    def memory(self, address: int, size: int) -> bytes | None:
        return self.machine.mode.guest.peek(address, size)


def resolve(text: str, machine: Machine) -> int:
    """The address of a place. Raises `ExpressionError`."""
    match = _FILE_LINE.fullmatch(text.strip())
    if match is not None:
        return _line_address(match[1], int(match[2]), machine.image)
    return evaluate(text, GuestScope(machine))


def _line_address(file: str, number: int, image: Image) -> int:
    """The first bytes at or after a line of a source file."""
    lines = list(image.program.lines) if image.program else []
    here = [line for line in lines if line.path == file or Path(line.path).name == file]
    if not here:
        files = {Path(line.path).name for line in lines}
        raise ExpressionError(f"no code comes from `{file}`{suggestion(file, files)}")
    after = [line for line in here if line.line >= number]
    if not after:
        raise ExpressionError(f"`{file}` makes no code at line {number} or after it")
    return min(after, key=lambda line: (line.line, line.address)).address


def symbol(image: Image, address: int) -> str | None:
    """`label+0x4`, if the guest has symbols and the address lies in its image."""
    return image.symbolize(address)


def exact_symbol(image: Image, address: int) -> str | None:
    """The label that stands at the address itself."""
    name = symbol(image, address)
    return name if name and image.symbol(name) == address else None


def place(image: Image, address: int) -> str:
    """`popf.asm:41 (write_flags+0x1)`: all that is known of a place."""
    location, name = image.location(address), symbol(image, address)
    return location if name is None or name == location else f"{location} ({name})"


def source(image: Image, address: int) -> SourceLine | None:
    """The source line of an address."""
    return image.where(address)


@lru_cache(maxsize=64)
def source_file(path: str) -> tuple[str, ...]:
    """The lines of a source file, read once; none if it is no longer there."""
    try:
        return tuple(Path(path).read_text(encoding="utf-8", errors="replace").splitlines())
    except OSError:
        return ()


def fetch(machine: Machine, address: int) -> Insn | None:
    """The instruction at a linear address of the guest, as it would be executed; nothing changes."""
    guest = machine.mode.guest
    bits = 32 if guest.s[ATTR + c.CS] & c.ATTR_DB else 16
    code = guest.peek(address, 15)
    if code is None:
        code = guest.peek(address, c.PAGE_SIZE - address % c.PAGE_SIZE)
    if not code:
        return None
    try:
        return decode(code[:15], bits)
    except (TruncatedCode, Fault):
        return None
