"""The two worlds: virtual state into the real processor, and back. Ring compression happens here.

The guest kernel believes in ring 0 and runs in ring 1; rings 1 to 3 stay. Its segments are loaded with
DPL 0 turned into 1 and with limits that end below the monitor (segment truncation, AA 3.5). The real
EFLAGS always has IF set and IOPL 0; the guest's IF and IOPL live in the virtual EFLAGS only.

The x87 is the guest's while it runs: its state goes along, and the real CR0 has the guest's TS, EM and MP,
so that its instructions run, or raise #NM, as on bare hardware. Those that show the CS of an earlier one
(FNSTENV, FNSAVE, FXSAVE) would show ring 1: like PUSH CS, they should trap.

`enter` is cheap when no segment has changed since the last time. `leave` brings back what direct
execution changes; `adopt_segments` also brings back segment registers that the guest loaded without a
trap, which only happens where sensitive instructions do not trap.
"""

from __future__ import annotations

from isa import consts as c
from isa.cpu import Cpu
from isa.segment import is_conforming
from isa.state import (
    ATTR,
    BASE,
    CPL,
    CR0,
    EFLAGS,
    EIP,
    FPU,
    FPU_CS,
    FPU_DS,
    FPU_END,
    LIMIT,
    PENDING_DEBUG,
    SEL,
    SHADOW,
    TSC_ADJUST,
)
from isa.table import BY_NAME
from vmm.monitor.vm import MONITOR_BASE

# Flags that the guest's own instructions change directly; the rest of EFLAGS is virtual.
DIRECT_FLAGS = c.ARITHMETIC | c.TF | c.DF | c.NT | c.RF | c.AC | c.ID
VIRTUAL_FLAGS = ~DIRECT_FLAGS & c.M32
SEGMENTS = range(c.ES, c.GS + 1)
DIRECT_CR0 = c.CR0_TS | c.CR0_EM | c.CR0_MP | c.CR0_AM
SHOW_X87_CS = frozenset(BY_NAME[name].index for name in ("fnstenv", "fnsave", "fxsave"))


def compressed_level(level: int) -> int:
    """The ring in which a guest's ring runs."""
    return max(level, 1)


def compressed_attr(attr: int) -> int:
    """A segment's attributes with DPL 0 as 1; system and absent segments stay."""
    if attr & c.ATTR_S and attr & c.ATTR_P and not attr & c.ATTR_DPL:
        return attr | 1 << c.ATTR_DPL_SHIFT
    return attr


def expanded_attr(attr: int) -> int:
    """The inverse: what the guest calls DPL 0 runs as 1."""
    if attr & c.ATTR_S and attr & c.ATTR_DPL == 1 << c.ATTR_DPL_SHIFT:
        return attr & ~c.ATTR_DPL
    return attr


def truncated_limit(base: int, limit: int, attr: int) -> int:
    """The highest limit, up to `limit`, that keeps a segment out of the monitor's space.

    An expand-down segment has its bytes above the limit; it is given the whole of what is below the
    monitor only if it cannot reach it, else nothing (an access then traps and is emulated). One that goes
    around the top of the linear space loses all from the monitor on: it cannot lose its middle.
    """
    down = attr & (c.ATTR_S | c.TYPE_CODE | c.TYPE_EXPAND_DOWN) == c.ATTR_S | c.TYPE_EXPAND_DOWN
    if down:
        return (
            limit if base < MONITOR_BASE and not attr & c.ATTR_DB and base + c.M16 < MONITOR_BASE else c.M32
        )
    room = MONITOR_BASE - 1 - base if base < MONITOR_BASE else 0
    return min(limit, room)


def reaches_around(base: int, limit: int, attr: int) -> bool:
    """Whether a segment goes on at linear address 0 after the top of the space, as GNU Mach's do."""
    down = attr & (c.ATTR_S | c.TYPE_CODE | c.TYPE_EXPAND_DOWN) == c.ATTR_S | c.TYPE_EXPAND_DOWN
    return not down and base + limit > c.M32


class World:
    """The switch between a virtual processor and the real one it runs on."""

    def __init__(self, virtual: Cpu, real: Cpu, *, may_wrap: bool = False) -> None:
        self.virtual = virtual
        self.real = real
        self.may_wrap = may_wrap  # segments around the top may keep what they reach there
        v, r = memoryview(virtual.s), memoryview(real.s)
        self._both_registers = v[0 : EIP + 1], r[0 : EIP + 1]
        self._both_x87 = v[FPU:FPU_END], r[FPU:FPU_END]
        self._wanted = v[SEL : ATTR + c.LDTR]
        self._loaded, self._level = b"", -1  # the guest's segments and level that the real ones stand for

    def forget(self) -> None:
        """The real segments are no longer what `enter` last loaded."""
        self._loaded = b""

    def enter(self) -> None:
        """Load the virtual state, compressed, into the real processor."""
        v, r = self.virtual.s, self.real.s
        registers, real_registers = self._both_registers
        real_registers[:] = registers
        x87, real_x87 = self._both_x87
        real_x87[:] = x87
        r[SHADOW] = r[PENDING_DEBUG] = 0
        r[CR0] = (r[CR0] & ~DIRECT_CR0) | (v[CR0] & DIRECT_CR0) | c.CR0_NE
        r[TSC_ADJUST], r[TSC_ADJUST + 1] = v[TSC_ADJUST], v[TSC_ADJUST + 1]
        wanted = self._wanted.tobytes()
        if v[CPL] != self._level or wanted != self._loaded:
            self._load_segments()
            self._loaded, self._level = wanted, v[CPL]
        self.real.engine.set_eflags((v[EFLAGS] & DIRECT_FLAGS) | c.IF | c.FLAGS_ONE)

    def _load_segments(self) -> None:
        v, engine = self.virtual.s, self.real.engine
        level = compressed_level(v[CPL])
        for n in SEGMENTS:
            selector, attr = v[SEL + n], v[ATTR + n]
            if n in (c.CS, c.SS):
                selector = selector & ~c.SEL_RPL | level
            if n == c.CS and is_conforming(attr):
                attr = attr & ~c.ATTR_DPL
            limit = v[LIMIT + n]
            if not (self.may_wrap and reaches_around(v[BASE + n], limit, attr)):
                limit = truncated_limit(v[BASE + n], limit, attr)
            engine.set_segment(n, selector, v[BASE + n], limit, compressed_attr(attr))
        engine.set_cpl(level)

    def leave(self) -> None:
        """Bring back what direct execution changed: registers, EIP, the direct flags, the x87."""
        v, r = self.virtual.s, self.real.s
        registers, real_registers = self._both_registers
        registers[:] = real_registers
        x87, real_x87 = self._both_x87
        x87[:] = real_x87
        if r[FPU_CS] == r[SEL + c.CS]:
            v[FPU_CS] = v[SEL + c.CS]
        if r[FPU_DS] == r[SEL + c.SS]:
            v[FPU_DS] = v[SEL + c.SS]
        elif r[FPU_DS] == r[SEL + c.CS]:  # through a CS prefix
            v[FPU_DS] = v[SEL + c.CS]
        self.virtual.engine.set_eflags((v[EFLAGS] & VIRTUAL_FLAGS) | (r[EFLAGS] & DIRECT_FLAGS))

    def adopt_segments(self) -> None:
        """Bring back segment registers that direct execution loaded, and the level with them."""
        v, r = self.virtual, self.real.s
        for n in SEGMENTS:
            selector = r[SEL + n]
            if n in (c.CS, c.SS) and selector & c.SEL_RPL == 1:
                selector &= ~c.SEL_RPL
            if selector != v.s[SEL + n] or (r[ATTR + n] == 0) != (v.s[ATTR + n] == 0):
                v.engine.set_segment(n, selector, r[BASE + n], r[LIMIT + n], expanded_attr(r[ATTR + n]))
        v.engine.set_cpl(0 if r[CPL] == 1 else r[CPL])
        self.forget()
