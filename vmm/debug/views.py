"""The guest's registers and tables as data: what `info` decodes, for both sides of a monitor.

Here: names for bits, descriptors, gates, the TSS, and page walks. A walk works on any `Cpu`, the virtual
one (the guest's tables) or the real one (the shadow's); nothing it reads changes. Text is made in
`screens` and `tables`. SDM 3A, 3.4, 4.3, 6.11, 7.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from isa import consts as c
from isa import mmu
from isa.cpu import Cpu
from isa.engine.intwords import IntWords
from isa.faults import Fault
from isa.segment import attr_of, base_of, limit_of
from isa.state import BASE, CR0, CR3, CR4, GDT_BASE, GDT_LIMIT, IDT_BASE, IDT_LIMIT, LIMIT, PDPTE

CR0_NAMES = {
    "PE": c.CR0_PE, "MP": c.CR0_MP, "EM": c.CR0_EM, "TS": c.CR0_TS, "ET": c.CR0_ET, "NE": c.CR0_NE,
    "WP": c.CR0_WP, "AM": c.CR0_AM, "NW": c.CR0_NW, "CD": c.CR0_CD, "PG": c.CR0_PG,
}  # fmt: skip
CR4_NAMES = {
    "VME": c.CR4_VME, "PVI": c.CR4_PVI, "TSD": c.CR4_TSD, "DE": c.CR4_DE, "PSE": c.CR4_PSE,
    "PAE": c.CR4_PAE, "MCE": c.CR4_MCE, "PGE": c.CR4_PGE, "PCE": c.CR4_PCE,
}  # fmt: skip
PTE_NAMES = {
    "P": c.PTE_P, "W": c.PTE_W, "U": c.PTE_U, "PWT": c.PTE_PWT, "PCD": c.PTE_PCD, "A": c.PTE_A,
    "D": c.PTE_D, "PS": c.PDE_PS, "G": c.PTE_G,
}  # fmt: skip
SYSTEM_TYPES = {
    c.TYPE_TSS16: "16-bit TSS", c.TYPE_LDT: "LDT", c.TYPE_TSS16_BUSY: "16-bit TSS, busy",
    c.TYPE_CALL_GATE16: "16-bit call gate", c.TYPE_TASK_GATE: "task gate",
    c.TYPE_INT_GATE16: "16-bit interrupt gate", c.TYPE_TRAP_GATE16: "16-bit trap gate",
    c.TYPE_TSS32: "TSS", c.TYPE_TSS32_BUSY: "TSS, busy", c.TYPE_CALL_GATE32: "call gate",
    c.TYPE_INT_GATE32: "interrupt gate", c.TYPE_TRAP_GATE32: "trap gate",
}  # fmt: skip
GATES = frozenset({4, 5, 6, 7, 12, 14, 15})


def bits(value: int, names: dict[str, int]) -> str:
    """The names of the bits that are set."""
    return " ".join(name for name, bit in names.items() if value & bit)


def flags(eflags: int) -> str:
    """`CF ZF IF IOPL=3`: the flags that are set, and the I/O privilege level."""
    return (bits(eflags, c.FLAG_BITS) + f" IOPL={eflags >> c.IOPL_SHIFT & 3}").strip()


def flag_changes(before: int, after: int) -> list[tuple[str, int, int]]:
    """(name, before, after) of every flag that differs, IOPL as a number."""
    found = [
        (name, int(bool(before & bit)), int(bool(after & bit)))
        for name, bit in c.FLAG_BITS.items()
        if (before ^ after) & bit
    ]
    if (before ^ after) & c.IOPL:
        found.append(("IOPL", before >> c.IOPL_SHIFT & 3, after >> c.IOPL_SHIFT & 3))
    return found


def segment_type(attr: int) -> str:
    """What a descriptor describes."""
    if not attr & c.ATTR_S:
        return SYSTEM_TYPES.get(attr & c.ATTR_TYPE, "reserved")
    if attr & c.TYPE_CODE:
        extra = [", readable"] * bool(attr & c.TYPE_READABLE) + [", conforming"] * bool(
            attr & c.TYPE_CONFORMING
        )
        return "code" + "".join(extra)
    extra = [", writable"] * bool(attr & c.TYPE_WRITABLE) + [", expand-down"] * bool(
        attr & c.TYPE_EXPAND_DOWN
    )
    return "data" + "".join(extra)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """An entry of the GDT (or a gate in it)."""

    selector: int
    base: int
    limit: int
    dpl: int
    present: bool
    wide: bool  # 32-bit
    system: bool  # neither code nor data
    title: str


@dataclass(frozen=True, slots=True)
class Gate:
    """An entry of the IDT."""

    vector: int
    selector: int
    offset: int
    dpl: int
    present: bool
    title: str


def _entries(cpu: Cpu, base: int, limit: int) -> Iterator[tuple[int, int, int]]:
    """(number, low, high) of the 8-byte entries of a table."""
    for n in range((limit + 1) // 8):
        data = cpu.peek((base + 8 * n) & c.M32, 8)
        if data is not None:
            yield n, int.from_bytes(data[:4], "little"), int.from_bytes(data[4:], "little")


def gdt(cpu: Cpu) -> Iterator[Descriptor]:
    """The descriptors of the GDT that are not null."""
    for n, low, high in _entries(cpu, cpu.s[GDT_BASE], cpu.s[GDT_LIMIT]):
        if low or high:
            attr = attr_of(high)
            yield Descriptor(
                n * 8, base_of(low, high), limit_of(low, high), (attr & c.ATTR_DPL) >> c.ATTR_DPL_SHIFT,
                bool(attr & c.ATTR_P), bool(attr & c.ATTR_DB), not attr & c.ATTR_S, segment_type(attr),
            )  # fmt: skip


def idt(cpu: Cpu) -> Iterator[Gate]:
    """The gates of the IDT that are present."""
    for n, low, high in _entries(cpu, cpu.s[IDT_BASE], cpu.s[IDT_LIMIT]):
        attr = attr_of(high)
        if attr & c.ATTR_P:
            dpl = (attr & c.ATTR_DPL) >> c.ATTR_DPL_SHIFT
            offset = (low & c.M16) | (high & 0xFFFF_0000)
            yield Gate(n, low >> 16, offset, dpl, True, segment_type(attr & ~c.ATTR_S))


def tss(cpu: Cpu) -> dict[str, int] | None:
    """The stacks of the inner levels and the I/O map's place; None if there is no TSS to read."""
    s = cpu.s
    if s[LIMIT + c.TR] < 0x67:
        return None
    data = cpu.peek(s[BASE + c.TR], 0x68)
    if data is None:
        return None
    found = {}
    for level in range(3):
        at = 4 + 8 * level
        found[f"esp{level}"] = int.from_bytes(data[at : at + 4], "little")
        found[f"ss{level}"] = int.from_bytes(data[at + 4 : at + 6], "little")
    found["iomap"] = int.from_bytes(data[0x66:0x68], "little")
    return found


@dataclass(frozen=True, slots=True)
class PageWalk:
    """A translation: the entries that were met, and where it came out (None: not mapped)."""

    paging: bool
    root: int
    entries: tuple[tuple[str, int, int], ...]  # (name, its physical address, its value)
    physical: int | None


def walk(cpu: Cpu, linear: int) -> PageWalk:
    """How a processor's tables translate a linear address; no accessed bit is set by looking."""
    s = cpu.s
    if not s[CR0] & c.CR0_PG:
        return PageWalk(False, 0, (), linear)
    looker = _Walker(cpu)
    with suppress(Fault):
        mmu.walk(looker, linear, 0, 0)  # type: ignore[arg-type]
    wide = bool(s[CR4] & c.CR4_PAE)
    met = zip(("PDE", "PTE"), looker.met[:: 1 + wide], strict=False)
    root = s[PDPTE + 2 * (linear >> 30)] if wide else s[CR3]
    entries = tuple((name, at, value) for name, (at, value) in met)
    return PageWalk(True, root & c.PAGE_MASK, entries, cpu.peek_translate(linear))


class _Walker(IntWords):
    """As much of a builder as a page walk needs: notes the entries it meets and changes none."""

    def __init__(self, cpu: Cpu) -> None:
        self.s = cpu.s
        self.memory = cpu.memory
        self.met: list[tuple[int, int]] = []

    def load_physical(self, address: int, w: int) -> int:
        value = int.from_bytes(self.memory.read_bytes(address, w >> 3), "little")
        self.met.append((address, value))
        return value

    def store_physical(self, address: int, value: int, w: int) -> None:
        """Accessed bits stay as they are."""


def host_physical(cpu: Cpu, physical: int) -> int | None:
    """Where in the host's RAM a byte of guest-physical memory lies; None if there is no RAM."""
    frame = cpu.memory.frame(physical >> 12)
    return None if frame < 0 else frame | (physical & 0xFFF)
