"""Where everything comes to lie: jumps grow until nothing changes, then the bytes are written.

Here: `Layout`, which first takes every jump as short, gives each item its address, and lets those
jumps grow that do not reach; again, until none does. A jump never shrinks back, so this ends. Room
that depends on labels (`.org`, alignment, `times 510-($-$$)`) is measured anew in every round.

Then `emit` fills the holes in the bytes with the final values and says which do not fit.

Not here: how instructions are encoded (`encoder.py`).
"""

from __future__ import annotations

from isa.asm.diagnostics import Fatal, Problem, Reporter
from isa.asm.expression import Name, Node, leftmost
from isa.asm.items import Align, Branch, Bytes, Fix, Item, Org, Repeat
from isa.asm.symbols import SymbolTable

MAX_IMAGE = 16 << 20
MAX_ROUNDS = 80
_NOP = b"\x90"


class Layout:
    """Addresses of all items; also the `Context` in which every expression has a value."""

    def __init__(self, items: list[Item], symbols: SymbolTable, origin: int, reporter: Reporter) -> None:
        self.items = items
        self.symbols = symbols
        self.origin = origin
        self.reporter = reporter
        self.address = [origin] * (len(items) + 1)
        self.epoch = 1
        # While a repeated unit is written, `.` in it moves on; a label before it does not.
        self._shifted = -1
        self._shift = 0

    # ---- Context

    def name(self, name: Name) -> int:
        label = self.symbols.labels.get(name.name)
        if label is not None:
            return self.address[label.index]
        constant = self.symbols.constants.get(name.name)
        if constant is None:
            raise Problem(f"undefined symbol `{name.token.text}`", name.token)
        return self.symbols.constant_value(constant, name.token, self)

    def here(self, index: int) -> int:
        return self.address[index] + (self._shift if index == self._shifted else 0)

    def start(self) -> int:
        return self.origin

    # ---- rounds

    def settle(self) -> None:
        """Find sizes and addresses that agree with each other."""
        movable = [
            (i, item)
            for i, item in enumerate(self.items)
            if isinstance(item, Branch) and item.short and item.long
        ]
        self._measure()
        for turn in range(MAX_ROUNDS):
            moved = self._measure()
            # A long chain of jumps that push each other out of reach is cut short: most reach anyway.
            reach = 127 if turn < 20 else 100 if turn < 40 else 0
            grown = False
            for i, item in movable:
                if not -reach - 1 <= self._distance(item, i) <= reach:
                    item.grow()
                    grown = True
            if not grown and not moved:
                return
            if grown:
                movable = [(i, item) for i, item in movable if item.is_short]
        raise Fatal(
            "the addresses never settle: some room depends on a label that lies behind it",
            hint="look for .org, .space or times whose amount depends on a later label",
        )

    def _measure(self) -> bool:
        """One pass over all items: sizes that depend on addresses, and addresses. Whether any moved."""
        self.epoch += 1
        address = self.address
        at = self.origin
        moved = False
        limit = self.origin + MAX_IMAGE
        for i, item in enumerate(self.items):
            if address[i] != at:
                address[i] = at
                moved = True
            if type(item) is Align:
                item.size = self._padding(item, at)
            elif type(item) is Org:
                item.size = self._gap(item, at)
            elif type(item) is Repeat:
                item.size = self._amount(item)
            at += item.size
            if at > limit:
                raise Fatal(
                    f"the image is larger than {MAX_IMAGE >> 20} MiB",
                    line=item.line,
                    hint="this is where it grew",
                )
        if address[-1] != at:
            address[-1] = at
            moved = True
        self.epoch += 1
        return moved

    @staticmethod
    def _padding(item: Align, at: int) -> int:
        size = -at % item.boundary
        return 0 if item.limit is not None and size > item.limit else size

    def _gap(self, item: Org, at: int) -> int:
        # A label behind may still move; only the last round decides whether it lies ahead.
        return min(max(0, item.target.value(self) - at), MAX_IMAGE + 1)

    def _amount(self, item: Repeat) -> int:
        return min(max(0, item.count.value(self)) * item.unit.size, MAX_IMAGE + 1)

    def _distance(self, item: Branch, index: int) -> int:
        distance = item.target.value(self) - self.here(index) - item.size
        # What lies further off than a segment is long does not come near by wrapping around.
        half = 1 << 15 if item.width == 2 and -(1 << 16) < distance < 1 << 16 else 1 << 31
        return (distance + half) % (2 * half) - half

    # ---- bytes

    def emit(self) -> bytes:
        """The image. Problems go to the reporter, each at its own line."""
        out = bytearray()
        for i, item in enumerate(self.items):
            try:
                self._emit(item, i, out)
            except Problem as problem:
                self.reporter.add(problem, item.line)
                out += bytes(max(0, self.address[i + 1] - self.origin - len(out)))
        return bytes(out)

    def _emit(self, item: Item, index: int, out: bytearray) -> None:
        if isinstance(item, Bytes):
            if item.fixes:
                data = bytearray(item.data)
                for fix in item.fixes:
                    self._fill(data, fix)
                out += data
            else:
                out += item.data
        elif isinstance(item, Branch):
            out += self._branch(item, index)
        elif isinstance(item, Align):
            pattern = item.fill or _NOP
            out += (pattern * (item.size // len(pattern) + 1))[: item.size]
        elif isinstance(item, Org):
            target = item.target.value(self)
            if target < self.address[index]:
                raise Problem(
                    f".org cannot go back: here is {self.address[index]:#x}, it says {target:#x}",
                    item.token,
                    hint="addresses are linear: write .org $$ + offset for a place relative to the start",
                )
            out += bytes([item.fill]) * item.size
        elif isinstance(item, Repeat):
            self._repeat(item, index, out)

    def _repeat(self, item: Repeat, index: int, out: bytearray) -> None:
        count = item.count.value(self)
        if count < 0:
            raise Problem(
                f"the count is negative: {count}",
                item.token,
                hint="what comes before is already larger than that",
            )
        unit = item.unit
        if isinstance(unit, Bytes) and not unit.fixes:
            out += unit.data * count
            return
        self._shifted = index
        for k in range(count):
            self._shift = k * unit.size
            self.epoch += 1
            self._emit(unit, index, out)
        self._shifted = -1
        self.epoch += 1

    def _fill(self, data: bytearray, fix: Fix) -> None:
        value = fix.expr.value(self)
        bits = fix.width * 8
        if not -(1 << (bits - 1)) <= value < 1 << bits:
            raise _unfit(value, bits, fix.expr)
        data[fix.offset : fix.offset + fix.width] = (value & ((1 << bits) - 1)).to_bytes(fix.width, "little")

    def _branch(self, item: Branch, index: int) -> bytes:
        distance = self._distance(item, index)
        if item.is_short:
            if not -128 <= distance <= 127:
                hint = (
                    "write it without `short`"
                    if item.mnemonic[0] == "j" and item.mnemonic not in _SHORT_ONLY
                    else (f"jump over a near jmp instead; `{item.mnemonic}` has no longer form")
                )
                raise Problem(
                    f"the target is {distance} bytes away; a short `{item.mnemonic}` reaches -128..127",
                    item.token,
                    hint=hint,
                )
            return item.prefix + item.short + (distance & 0xFF).to_bytes(1, "little")
        if item.width == 2 and not -0x8000 <= distance <= 0x7FFF:
            raise Problem(
                f"the target is {distance} bytes away; a near `{item.mnemonic}` of 16-bit code reaches 32 KiB",
                item.token,
                hint="code in another segment is reached by a far jump: jmp 0x1000:label",
            )
        wrapped = distance & ((1 << 8 * item.width) - 1)
        return item.prefix + item.long + wrapped.to_bytes(item.width, "little")


_SHORT_ONLY = frozenset({"jecxz", "jcxz"})


def _unfit(value: int, bits: int, expr: Node) -> Problem:
    shown = str(value) if abs(value) < 1 << 16 else hex(value)
    return Problem(
        f"{shown} does not fit in {bits} bits: they hold {-(1 << (bits - 1))}..{(1 << bits) - 1}",
        leftmost(expr),
    )
