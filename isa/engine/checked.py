"""The definitions on words that refuse what compiled code cannot do.

The reference engine computes on unbounded ints, compiled code modulo 2**w. The language's rule, mask
before you look, makes them agree. A `Checked` word carries both numbers, what the reference has and what
compiled code would have, through every operator, and `Misuse` is raised where they differ and somebody
looks: a comparison, a shift to the right, a store, an operation of the builder. A shift by the width or
more is refused too, and so is whatever may still fault after something has changed.

For tests, at a tenth of the reference engine's speed: `Checker(cpu).execute()`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from isa import fpu
from isa.consts import M32
from isa.engine.words import mask, width_of
from isa.faults import Fault
from isa.insn import Insn, Kind, Operand
from isa.model import DEFAULT
from isa.state import EFLAGS, EIP
from isa.table import ROWS

if TYPE_CHECKING:
    from isa.cpu import Cpu


class Misuse(AssertionError):
    """A definition depends on more than compiled code can know."""


class Checked(int):
    """A word of w bits: as an int the reference's number, `low` the compiled one."""

    w: int
    low: int

    def __new__(cls, number: int, w: int, low: int | None = None) -> Checked:
        self = super().__new__(cls, number)
        self.w = w
        self.low = number if low is None else low & mask(w)
        return self

    __hash__ = int.__hash__

    def see(self) -> int:
        """The number, which must be a word."""
        if int(self) != self.low:
            raise Misuse(f"{int(self):#x} is looked at as a word of {self.w} bits, which holds {self.low:#x}")
        return self.low

    def __bool__(self) -> bool:
        return self.see() != 0

    def _calculating(self) -> int:
        return 32 if self.w == 1 else self.w

    def _meet(self, other: int, calculate: bool) -> tuple[int, int, int]:
        """Width and both compiled numbers where this word meets another."""
        if isinstance(other, Checked):
            w = max(self.w, other.w)
            return (32 if w == 1 and calculate else w), self.low, other.low
        own = self._calculating() if calculate or other < 0 else self.w
        return (
            (own, self.low, other & mask(own)) if other < 0 else (max(own, width_of(other)), self.low, other)
        )

    # -- arithmetic -------------------------------------------------------------------------------
    def __add__(self, other: int) -> Checked:
        w, a, b = self._meet(other, True)
        return Checked(int(self) + int(other), w, a + b)

    __radd__ = __add__

    def __sub__(self, other: int) -> Checked:
        w, a, b = self._meet(other, True)
        return Checked(int(self) - int(other), w, a - b)

    def __rsub__(self, other: int) -> Checked:
        w, a, b = self._meet(other, True)
        return Checked(int(other) - int(self), w, b - a)

    def __neg__(self) -> Checked:
        return self.__rsub__(0)

    def __mul__(self, other: int) -> Checked:
        w, a, b = self._meet(other, True)
        return Checked(int(self) * int(other), w, a * b)

    __rmul__ = __mul__

    def __floordiv__(self, other: int) -> Checked:
        return Checked(self.see() // other, self._calculating())

    def __mod__(self, other: int) -> Checked:
        return Checked(self.see() % other, self._calculating())

    # -- bits -------------------------------------------------------------------------------------
    def __and__(self, other: int) -> Checked:
        if isinstance(other, Checked):
            return Checked(int(self) & int(other), max(self.w, other.w), self.low & other.low)
        return Checked(int(self) & other, self.w, self.low & other)

    __rand__ = __and__

    def __or__(self, other: int) -> Checked:
        w, a, b = self._meet(other, False)
        return Checked(int(self) | int(other), w, a | b)

    __ror__ = __or__

    def __xor__(self, other: int) -> Checked:
        w, a, b = self._meet(other, False)
        return Checked(int(self) ^ int(other), w, a ^ b)

    __rxor__ = __xor__

    def __invert__(self) -> Checked:
        return Checked(~int(self), self._calculating(), ~self.low)

    def _count(self, n: int, w: int) -> int:
        n = n.see() if isinstance(n, Checked) else n
        if not 0 <= n < w:
            raise Misuse(f"a word of {w} bits is shifted by {n}")
        return n

    def __lshift__(self, n: int) -> Checked:
        w = self._calculating()
        n = self._count(n, w)
        return Checked(int(self) << n, w, self.low << n)

    def __rshift__(self, n: int) -> Checked:
        w = self._calculating()
        return Checked(self.see() >> self._count(n, w), w)

    def __rlshift__(self, k: int) -> Checked:
        w = max(32, width_of(k), self.w)
        n = self._count(self, w)
        return Checked(k << n, w, k << n)

    # -- comparisons ------------------------------------------------------------------------------
    def _compare(self, other: int) -> tuple[int, int]:
        if not isinstance(other, Checked) and other < 0:
            raise Misuse(f"an unsigned word is compared with {other}")
        return self.see(), other.see() if isinstance(other, Checked) else other

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, int):
            return NotImplemented
        a, b = self._compare(other)
        return Checked(a == b, 1)

    def __ne__(self, other: object) -> Any:
        if not isinstance(other, int):
            return NotImplemented
        a, b = self._compare(other)
        return Checked(a != b, 1)

    def __lt__(self, other: int) -> Any:
        a, b = self._compare(other)
        return Checked(a < b, 1)

    def __le__(self, other: int) -> Any:
        a, b = self._compare(other)
        return Checked(a <= b, 1)

    def __gt__(self, other: int) -> Any:
        a, b = self._compare(other)
        return Checked(a > b, 1)

    def __ge__(self, other: int) -> Any:
        a, b = self._compare(other)
        return Checked(a >= b, 1)


def word(x: Any, w: int, what: str) -> int:
    """x as a plain int, which must be a word of w bits."""
    number: int = x.see() if isinstance(x, Checked) else x
    if not 0 <= number <= mask(w):
        raise Misuse(f"{what} is {number:#x}, not a word of {w} bits")
    return int(number)


# What the operations of the language take and give: widths in bits, "w" for the one passed as argument
# `w`, "to" likewise, None for what is not a word.
_TAKES: dict[str, tuple[Any, ...]] = {
    "zext": ("w", None, None), "trunc": (128, None), "sext": ("w", None, None), "sar": ("w", "w", None),
    "slt": ("w", "w", None), "umul": ("w", "w", None), "smul": ("w", "w", None),
    "udivmod": ("w", "w", "w", None), "sdivmod": ("w", "w", "w", None), "ctz": ("w", None), "clz": ("w", None),
    "isqrt": ("w", None),
    "load": (None, 32, None), "load_rmw": (None, 32, None), "store": (None, 32, "w", None),
    "probe": (None, 32, None), "load_system": (32, None), "store_system": (32, "w", None),
    "probe_system": (32, None), "load_physical": (32, None), "store_physical": (32, "w", None),
    "change_flags": (None, 32), "set_eflags": (32,), "set_system_flags": (32,), "jump": (32,), "go": (32,),
    "branch": (1, 32),
    "repeat": (), "set_segment": (None, 16, 32, 32, 16), "set_cpl": (2,), "flush_page": (32,),
    "inhibit_interrupts": (), "debug_registers_changed": (), "unblock_nmi": (), "commit": (), "halt": (),
    "intercepts": (32, None), "port_in": (16, None), "port_out": (16, "w", None), "cpuid": (32, 32),
    "timestamp": (), "read_msr": (32,),
    "r80": (3,), "set_r80": (3, 80), "fpu_error": (),
    "write_msr": (32, 32, 32), "eflags": (), "system_flags": (), "cf": (), "pf": (), "af": (), "zf": (),
    "sf": (), "of": (),
}  # fmt: skip
_GIVES: dict[str, Any] = {
    "zext": "to", "trunc": "to", "sext": "to", "sar": "w", "slt": 1, "umul": "w", "smul": "w", "udivmod": "w",
    "sdivmod": "w", "ctz": "w", "clz": "w", "isqrt": "w", "load": "w", "load_rmw": "w", "load_system": "w",
    "load_physical": "w", "eflags": 32, "system_flags": 32, "cf": 1, "pf": 1, "af": 1, "zf": 1, "sf": 1, "of": 1,
    "port_in": "w", "cpuid": 32, "timestamp": 32, "read_msr": 32, "r80": 80,
}  # fmt: skip
_WIDTH_AT = {"zext": {"w": 1, "to": 2}, "sext": {"w": 1, "to": 2}, "trunc": {"to": 1}}
_STORES = {"store", "store_system"}
_CHANGES = {
    "change_flags",
    "set_eflags",
    "set_system_flags",
    "jump",
    "go",
    "set_segment",
    "set_cpl",
    "set_flags",
    "halt",
    "set_r80",
}


class _Words:
    def __init__(self, checker: Checker) -> None:
        self.checker = checker

    def __getitem__(self, n: int) -> Checked:
        if n in (EIP, EFLAGS):
            raise Misuse("EIP and EFLAGS are read by here, next and eflags")
        return Checked(self.checker.cpu.engine.s[n], 32)

    def __setitem__(self, n: int, value: int) -> None:
        self.checker.cpu.engine.s[n] = word(value, 32, "a register's value")
        self.checker.change(f"word {n} of the state")


class Checker:
    """A builder that passes everything on to a `Cpu`'s reference engine, after a look at it."""

    model_flags, model_cr4 = DEFAULT.eflags, DEFAULT.cr4

    def __init__(self, cpu: Cpu) -> None:
        self.cpu = cpu
        self.s = _Words(self)
        self.changed = ""
        self.readable: list[tuple[Any, int, int]] = []  # (segment, from, to) that cannot fault any more
        self.writable: list[tuple[Any, int, int]] = []

    @property
    def next(self) -> Checked:
        return Checked(self.cpu.engine.next, 32)

    @property
    def here(self) -> Checked:
        return Checked(self.cpu.engine.here, 32)

    def change(self, what: str) -> None:
        """Something has changed that a fault would have to undo."""
        self.changed = self.changed or what

    def _access(self, name: str, segment: Any, at: int, size: int) -> None:
        """An access through a segment; what has been accessed in this way before cannot fault any more."""
        safe = self.readable if name == "load" else self.writable
        if any(a <= at and at + size <= z for a, z in self._near(safe, segment, at)):
            return
        if self.changed:
            raise Misuse(f"{name} may fault after {self.changed} has changed")
        lists = [self.readable] if name == "load" else [self.readable, self.writable]
        for places in lists:  # two places on one or two pages have nothing unchecked between them
            near = [*self._near(places, segment, at), (at, at + size)]
            places.append((segment, min(a for a, _ in near), max(z for _, z in near)))

    def _near(self, places: list[tuple[Any, int, int]], segment: Any, at: int) -> list[tuple[int, int]]:
        """The places less than a page away from `at`, address 0 following the last one."""
        moved = [(at + ((a - at + (1 << 31)) & M32) - (1 << 31), z - a) for s, a, z in places if s == segment]
        return [(a, a + length) for a, length in moved if abs(a - at) < 4096]

    def __getattr__(self, name: str) -> Any:
        takes = _TAKES[name]
        engine = getattr(self.cpu.engine, name)

        def operation(*arguments: Any, **named: Any) -> Any:
            def width(w: Any) -> int:
                if not isinstance(w, str):
                    return int(w)
                at = _WIDTH_AT.get(name, {"w": len(takes) - 1})[w]
                return int(arguments[at])

            plain = [
                a if w is None else word(a, width(w), f"an operand of {name}")
                for a, w in zip(arguments, takes, strict=True)
            ]
            self._before(name, plain)
            result = engine(*plain, **named)
            if name in _CHANGES or name in _STORES:
                self.change(name)
            if name not in _GIVES:
                return result
            w = width(_GIVES[name])
            return tuple(Checked(x, w) for x in result) if isinstance(result, tuple) else Checked(result, w)

        return operation

    def _before(self, name: str, plain: list[Any]) -> None:
        """The rule of order: what may fault comes before what changes."""
        if name in ("load", "load_rmw"):
            self._access(name, plain[0], plain[1], plain[2] >> 3)
        elif name == "probe":
            self._access(name, plain[0], plain[1], plain[2])
        elif name == "store":
            self._access(name, plain[0], plain[1], plain[3] >> 3)
        elif name == "probe_system":
            self._access(name, "system", plain[0], plain[1])
        elif name == "store_system":
            self._access(name, "system", plain[0], plain[2] >> 3)
        elif name in ("udivmod", "sdivmod", "load_system") and self.changed:
            raise Misuse(f"{name} may fault after {self.changed} has changed")

    def f80(self, operation: str, form: str, control: int, x: int, y: int) -> tuple[Any, Any]:
        """What of the numbers is written in the language is looked at, too."""
        if operation not in fpu.COMPUTED:
            operands = word(control, 16, "a control word"), word(x, 80, "x"), word(y, 80, "y")
            value, flags = self.cpu.engine.f80(operation, form, *operands)
            return Checked(value, 80), Checked(flags, 32)
        return fpu.compute(self, operation, form, control, x, y)

    # -- operands ---------------------------------------------------------------------------------
    def read(self, o: Operand) -> Any:
        if o.kind in (Kind.IMM, Kind.REL):
            return o.value
        if o.kind is Kind.MEM:
            return self.load(o.n, self.offset(o), o.w)
        return Checked(self.cpu.engine.read(o), o.w)

    def modify(self, o: Operand) -> Any:
        return self.load_rmw(o.n, self.offset(o), o.w) if o.kind is Kind.MEM else self.read(o)

    def write(self, o: Operand, value: int) -> None:
        if o.kind is Kind.MEM:
            self.store(o.n, self.offset(o), value, o.w)
        else:
            self.cpu.engine.write(o, word(value, o.w, "a register's value"))
            self.change(str(o))

    def offset(self, o: Operand) -> Checked:
        return Checked(self.cpu.engine.offset(o), 32)

    # -- flags, and what has no plain signature ---------------------------------------------------
    def set_flags(self, kind: int, w: int, x: int, y: int, r: int) -> None:
        plain = [
            word(value, w, f"{name} of a flags record") for name, value in (("x", x), ("y", y), ("r", r))
        ]
        self.cpu.engine.set_flags(kind, w, *plain)
        self.change("the flags")

    def flush_tlb(self, *, keep_global: bool = False) -> None:
        self.cpu.engine.flush_tlb(keep_global=keep_global)

    def not_modelled(self, what: str) -> None:
        self.cpu.engine.not_modelled(what)

    # -- running ----------------------------------------------------------------------------------
    def execute(self) -> Insn:
        """The instruction at CS:EIP. Raises what it raises, and `Misuse` with its name."""
        engine, s = self.cpu.engine, self.cpu.s
        insn = engine.fetch(s[EIP])
        engine.here, engine.next = s[EIP], (s[EIP] + insn.length) & M32
        self.changed, self.readable, self.writable = "", [], []
        define: Any = ROWS[insn.row].define
        try:
            define(self, insn)
        except Misuse as misuse:
            raise Misuse(f"{insn.name} ({insn.raw.hex()}): {misuse}") from misuse
        except Fault as fault:
            if self.changed:
                why = f"{fault} after {self.changed} has changed"
                raise Misuse(f"{insn.name} ({insn.raw.hex()}): {why}") from fault
            raise
        s[EIP] = engine.next
        return insn
