"""The guest's descriptor tables, task and page tables as text, with the shadow's walk beside the guest's."""

from __future__ import annotations

from typing import Protocol

from isa.cpu import Cpu
from isa.state import GDT_BASE, GDT_LIMIT, IDT_BASE, IDT_LIMIT, NAMES
from vmm.debug.engine import Debugger
from vmm.debug.places import place
from vmm.debug.views import PTE_NAMES, bits, gdt, host_physical, idt, tss, walk


class TranslatedLine(Protocol):
    """A guest instruction beside its translation, as a mode's `listing` gives it; without text it is glue."""

    @property
    def address(self) -> int: ...

    @property
    def text(self) -> str: ...

    @property
    def treatment(self) -> str: ...

    @property
    def code(self) -> tuple[tuple[int, str], ...]: ...


def gdt_text(debugger: Debugger) -> list[str]:
    """`0008  code, readable  base 00000000  limit ffffffff  DPL 0`."""
    guest = debugger.machine.mode.guest
    lines = [f"GDT at {guest.s[GDT_BASE]:08x}, limit {guest.s[GDT_LIMIT]:#x}"]
    for d in gdt(guest):
        extra = ("" if d.present else "  not present") + ("" if d.wide or d.system else "  16-bit")
        lines.append(
            f"  {d.selector:04x}  {d.title:22} base {d.base:08x}  limit {d.limit:08x}  DPL {d.dpl}{extra}"
        )
    return lines if len(lines) > 1 else [*lines, "  no descriptors: the guest has not loaded a table"]


def idt_text(debugger: Debugger) -> list[str]:
    """Gates; runs of equal handlers are not folded, absent gates are left out."""
    guest = debugger.machine.mode.guest
    lines = [f"IDT at {guest.s[IDT_BASE]:08x}, limit {guest.s[IDT_LIMIT]:#x}"]
    image = debugger.machine.image
    for g in idt(guest):
        lines.append(
            f"  {g.vector:02x}  {g.title:15} {g.selector:04x}:{g.offset:08x}  DPL {g.dpl}  {place(image, g.offset)}"
        )
    return lines if len(lines) > 1 else [*lines, "  no gates: the guest has not loaded a table"]


def tss_text(debugger: Debugger) -> list[str]:
    """The stacks of the task's inner levels."""
    guest = debugger.machine.mode.guest
    found = tss(guest)
    selector, base = guest.s[NAMES["tr"]], guest.s[NAMES["tr_base"]]
    head = f"TSS {selector:04x} at {base:08x}"
    if found is None or not selector:
        return [f"{head}: the guest has not loaded a task register"]
    stacks = [f"  ring {n}: {found[f'ss{n}']:04x}:{found[f'esp{n}']:08x}" for n in range(3)]
    return [head, *stacks, f"  I/O map at offset {found['iomap']:#x}"]


def _walk_lines(cpu: Cpu, linear: int, title: str, target: str) -> tuple[list[str], int | None]:
    found = walk(cpu, linear)
    if not found.paging:
        return [f"{title}: paging is off, {target} {linear:08x}"], linear
    lines = [f"{title}: root {found.root:08x}"]
    for name, at, value in found.entries:
        lines.append(f"  {name} at {at:08x} = {value:08x}  {bits(value, PTE_NAMES) or 'not present'}")
    where = f"{target} {found.physical:08x}" if found.physical is not None else "not mapped"
    return [*lines, f"  → {where}"], found.physical


def page_text(debugger: Debugger, linear: int) -> list[str]:
    """The guest's walk of a linear address, the host's frame, and the shadow's walk."""
    mode = debugger.machine.mode
    bare = debugger.real is None
    lines, gpa = _walk_lines(
        mode.guest, linear, f"guest's tables for gva {linear:08x}", "physical" if bare else "gpa"
    )
    if bare:
        return lines
    hpa = host_physical(mode.guest, gpa) if gpa is not None else None
    if gpa is not None:
        lines.append("  no RAM of the host" if hpa is None else f"  gpa {gpa:08x} lies at hpa {hpa:08x}")
    shadow, found = _walk_lines(mode.cpu, linear, "the processor's (shadow) tables", "hpa")
    lines += shadow
    if found is None:
        lines.append("  the first access will be a hidden page fault" if hpa is not None else "")
    elif hpa is not None:
        agree = "agree" if found == hpa else "DIFFER"
        lines.append(f"  guest and shadow {agree}")
    return [line for line in lines if line]
