"""The debugger's screens: a stop, the registers, code, memory, the monitor. Text out, nothing changes.

`Screens` draws for one `Debugger` with one `Paint`. Changes since the last stop are marked with `*` and,
on a terminal, with colour; where a monitor stands between, the real processor's values follow the guest's.
Tables are drawn in `tables`, one instruction's monitor work in `steps`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from pathlib import Path

from isa import consts as c
from isa.disasm import format_insn
from isa.state import (
    CPL,
    CR0,
    CR2,
    CR3,
    CR4,
    EFLAGS,
    EIP,
    GDT_BASE,
    GDT_LIMIT,
    HALTED,
    IDT_BASE,
    IDT_LIMIT,
    NAMES,
    SEL,
    SHADOW,
)  # fmt: skip
from vmm.debug.breakpoints import AddressBreak
from vmm.debug.engine import Debugger, Stopped
from vmm.debug.paint import Paint
from vmm.debug.places import exact_symbol, fetch, place, source, source_file, symbol
from vmm.debug.steps import Teller
from vmm.debug.tables import TranslatedLine
from vmm.debug.views import CR0_NAMES, CR4_NAMES, bits, flag_changes, flags
from vmm.events import Diverged, Event

SHOWN_EVENTS, LAST_EVENTS = 8, 3  # so many are shown whole, of more the last
SELECTORS = c.SEGMENT_NAMES
BYTES_WIDTH = 30  # ten bytes in hex
CHANGES_PER_LINE = 5
TOLD_ALWAYS = (Diverged,)


class Screens:
    """Text about one debugger's guest."""

    def __init__(self, debugger: Debugger, paint: Paint) -> None:
        self.debugger = debugger
        self.paint = paint

    @property
    def teller(self) -> Teller:
        return Teller(self.debugger.machine.image, self.paint)

    # -- a stop -------------------------------------------------------------------------------------

    def stop(self, stopped: Stopped, *, events: bool = True) -> list[str]:
        """Why, where, the source line, the next instruction, what changed."""
        lines = []
        if stopped.why:
            lines.append(self.paint("warn" if stopped.ended else "head", f"— {stopped.why}"))
        if stopped.ended:
            lines += [self.paint("dim", f"  {line}") for line in stopped.ended.details]
        if events:
            lines += self.events(stopped.events)
        return lines + self.here() + self.changed(stopped.before)

    def events(self, events: tuple[Event, ...]) -> list[str]:
        """What happened on the way, a headline each, the last few of them."""
        many = len(events) > SHOWN_EVENTS
        left = len(events) - LAST_EVENTS
        lines = [self.paint("dim", f"  {left} events on the way, then")] if many else []
        for event in events[-LAST_EVENTS:] if many else events:
            first, *rest = self.teller.lines(event)
            lines.append(f"  {first}")
            if isinstance(event, TOLD_ALWAYS):
                lines += [f"      {line}" for line in rest]
        return lines

    def here(self) -> list[str]:
        """Where the guest is."""
        debugger, paint = self.debugger, self.paint
        mode, eip = debugger.machine.mode, debugger.eip
        s, real = debugger.state, debugger.real
        ring = f"ring {s[CPL]}" + (f", run in ring {real[CPL]}" if real and real[CPL] != s[CPL] else "")
        waits = ", halted" if s[HALTED] else ""
        where = place(debugger.machine.image, eip)
        lines = [
            f"{paint('dim', f'[{debugger.count:,}] {mode.name}')}  {paint('head', where)}  {ring}{waits}"
        ]
        line = source(debugger.machine.image, eip)
        if line is not None:
            lines.append(f"  {line.line:5} {paint('dim', '|')} {line.text.expandtabs()}")
        return [*lines, self.instruction(eip)]

    def instruction(self, address: int, *, mark: bool = True) -> str:
        """`=> 00100345  9d        popf`."""
        insn = fetch(self.debugger.machine, address)
        sign = "=>" if mark and address == self.debugger.eip else "  "
        at = f"{self.breakpoint_mark(address)}{sign} {self.paint('address', f'{address:08x}')}"
        if insn is None:
            return f"{at}  {self.paint('warn', 'no instruction can be read here')}"
        text = format_insn(insn, address, lambda to: symbol(self.debugger.machine.image, to))
        return f"{at}  {insn.raw.hex(' '):{BYTES_WIDTH}} {text}"

    def breakpoint_mark(self, address: int) -> str:
        stops = self.debugger.breaks.values()
        here = any(isinstance(stop, AddressBreak) and stop.address == address for stop in stops)
        return self.paint("warn", "●") if here else " "

    def changed(self, before: array[int]) -> list[str]:
        """Registers that are no longer what they were, one line."""
        s, found = self.debugger.state, []
        for name, n in NAMES.items():
            if before[n] == s[n] or n in (EIP, CPL) or name.endswith(("_attr", "_limit", "_base")):
                continue
            if n == EFLAGS:
                what = " ".join(f"{flag} {x}→{y}" for flag, x, y in flag_changes(before[n], s[n]))
                found.append(f"eflags {what}")
            else:
                width = 4 if name in SELECTORS else 8
                found.append(f"{name} {before[n]:0{width}x}→{s[n]:0{width}x}")
        if before[CPL] != s[CPL]:
            found.insert(0, f"ring {before[CPL]}→{s[CPL]}")
        rows = [found[n : n + CHANGES_PER_LINE] for n in range(0, len(found), CHANGES_PER_LINE)]
        return [f"   {self.paint('changed', '  '.join(row))}" for row in rows]

    def into(self, stopped: Stopped, before_real: array[int] | None) -> list[str]:
        """One instruction, and what the monitor did about it."""
        debugger = self.debugger
        if not debugger.machine.mode.monitored:
            head = "no monitor here: the processor does this by itself"
        elif before_real is None:
            head = f"the guest knows that it runs in ring {stopped.before[CPL]}, over a monitor"
        else:
            head = (
                f"the guest in ring {stopped.before[CPL]} runs in ring {before_real[CPL]}; real EFLAGS "
                f"{flags(before_real[EFLAGS])}, virtual {flags(stopped.before[EFLAGS])}"
            )
        lines = [self.paint("dim", f"     {head}")]
        steps = self.teller.steps(stopped.events)
        if not steps:
            direct = "executed; nothing trapped, the monitor saw nothing of it"
            steps = ["  -. " + (direct if debugger.machine.mode.monitored else "executed")]
        real = debugger.real
        if real is not None and stopped.events:
            after = f"in ring {real[CPL]}, real EFLAGS {flags(real[EFLAGS])}"
            steps.append(f"{len(stopped.events) + 1:3}. {self.paint('monitor', 'resume'.ljust(10))}{after}")
        return lines + steps + self.stop(stopped, events=False)

    # -- registers ----------------------------------------------------------------------------------

    def registers(self, before: array[int]) -> list[str]:
        """The guest's virtual state, and beside it the real processor's where it differs."""
        s = self.debugger.state

        def word(name: str, n: int, width: int = 8) -> str:
            mark = "*" if before[n] != s[n] else " "
            return self.paint("changed" if mark == "*" else "", f"{name} {s[n]:0{width}x}{mark}")

        lines = [" ".join(word(c.REGISTER_NAMES[n], n) for n in row) for row in (range(4), range(4, 8))]
        ring = f"ring {s[CPL]}" + ("*" if before[CPL] != s[CPL] else "")
        lines.append(f"{word('eip', EIP)} {word('eflags', EFLAGS)} {flags(s[EFLAGS])}  {ring}")
        lines.append(" ".join(word(name, SEL + n, 4) for n, name in enumerate(SELECTORS)))
        lines.append(
            f"{word('cr0', CR0)} [{bits(s[CR0], CR0_NAMES)}] {word('cr2', CR2)} {word('cr3', CR3)} "
            f"{word('cr4', CR4)} [{bits(s[CR4], CR4_NAMES)}]"
        )
        lines.append(
            f"gdt {s[GDT_BASE]:08x}/{s[GDT_LIMIT]:04x}  idt {s[IDT_BASE]:08x}/{s[IDT_LIMIT]:04x}"
            + ("  halted" if s[HALTED] else "")
            + ("  interrupts wait one instruction" if s[SHADOW] else "")
        )
        return lines + self.differences()

    def differences(self) -> list[str]:
        """What the real processor has otherwise than the guest believes."""
        real, s = self.debugger.real, self.debugger.state
        if real is None:
            return []
        found = [f"ring {real[CPL]}"] if real[CPL] != s[CPL] else []
        found += [
            f"{name} {real[SEL + n]:04x}" for n, name in enumerate(SELECTORS) if real[SEL + n] != s[SEL + n]
        ]
        found += [f"{name} {y}" for name, _x, y in flag_changes(s[EFLAGS], real[EFLAGS])]
        found += [f"{name} {real[n]:08x}" for name, n in (("cr0", CR0), ("cr3", CR3)) if real[n] != s[n]]
        return [self.paint("monitor", f"real: {'  '.join(found)}")] if found else []

    # -- code ---------------------------------------------------------------------------------------

    def disassembly(self, address: int, count: int) -> list[str]:
        """Instructions with their labels and source lines."""
        lines: list[str] = []
        image, last = self.debugger.machine.image, None
        for _ in range(count):
            name, line = exact_symbol(image, address), source(image, address)
            if name:
                lines.append(self.paint("head", f"{name}:"))
            if line is not None and line is not last:
                lines.append(self.paint("dim", f"   {Path(line.path).name}:{line.line}  {line.text.strip()}"))
            last = line
            lines.append(self.instruction(address))
            insn = fetch(self.debugger.machine, address)
            address = (address + (insn.length if insn else 1)) & c.M32
            if insn is None:
                break
        return lines

    def listing(self, address: int, around: int = 5) -> list[str]:
        """The source around an address."""
        line = source(self.debugger.machine.image, address)
        text = source_file(line.path) if line else ()
        if line is None or not text:
            return self.disassembly(address, 2 * around)
        first, last = max(1, line.line - around), min(len(text), line.line + around)
        lines = [self.paint("dim", Path(line.path).name)]
        for n in range(first, last + 1):
            row = f"{'=>' if n == line.line else '  '} {n:5} | {text[n - 1].expandtabs()}"
            lines.append(self.paint("head", row) if n == line.line else row)
        return lines

    def translation(self, lines: Iterable[TranslatedLine], here: int) -> list[str]:
        """A unit of the guest's code, and beside each instruction what stands for it in the cache."""
        rows = []
        for line in lines:
            sign = "=>" if line.address == here and line.text else "  "
            left = f"{sign} {line.address:08x}  {line.text:32} {line.treatment:10}" if line.text else ""
            for n, (at, code) in enumerate(line.code or ((0, ""),)):
                own = left if n == 0 else ""
                beside = f"{at:08x}  {code}" if code else ""
                note = "" if line.text or n else f"({line.treatment})".rjust(len(sign) + 54)
                rows.append(f"{own or note:58} {self.paint('dim', '|')} {beside}")
        return rows

    # -- memory -------------------------------------------------------------------------------------

    def memory(self, address: int, count: int, size: int, *, physical: bool = False) -> list[str]:
        """Hex and ASCII, sixteen bytes a row; what is not mapped says so."""
        guest, lines = self.debugger.machine.mode.guest, []
        total = count * size
        for at in range(0, total, 16):
            where, width = (address + at) & c.M32, min(16, total - at)
            data = guest.memory.read_bytes(where, width) if physical else guest.peek(where, width)
            head = self.paint("address", f"{where:08x}")
            if data is None:
                lines.append(f"{head}  not mapped")
                continue
            words = (int.from_bytes(data[n : n + size], "little") for n in range(0, width, size))
            cells = " ".join(f"{word:0{2 * size}x}" for word in words)
            text = "".join(chr(b) if 32 <= b < 127 else "." for b in data)
            full = 16 // size * (2 * size + 1)
            lines.append(f"{head}  {cells:{full}} {text}")
        return lines

    # -- the monitor --------------------------------------------------------------------------------

    def monitor(self) -> list[str]:
        """The mode, the guest's privileged state against the processor's, and what was counted."""
        debugger = self.debugger
        mode, pic = debugger.machine.mode, debugger.machine.devices.pic
        s, real = debugger.state, debugger.real
        lines = [f"{self.paint('head', mode.name)}: {mode.title}"]
        if not mode.monitored:
            lines.append("there is no monitor: what the guest sees is the processor")
        elif real is None:
            lines.append(f"the guest sees the processor as it is: ring {s[CPL]}, EFLAGS {flags(s[EFLAGS])}")
        else:
            lines.append(self.paint("dim", f"{'':8}{'guest believes':24}processor has"))
            for name, x, y in (
                ("ring", str(s[CPL]), str(real[CPL])),
                ("eflags", flags(s[EFLAGS] & ~c.ARITHMETIC), flags(real[EFLAGS] & ~c.ARITHMETIC)),
                *((name, f"{s[n]:08x}", f"{real[n]:08x}") for name, n in (("cr0", CR0), ("cr3", CR3))),
                (
                    "gdt",
                    f"{s[GDT_BASE]:08x}/{s[GDT_LIMIT]:04x}",
                    f"{real[GDT_BASE]:08x}/{real[GDT_LIMIT]:04x}",
                ),
                (
                    "idt",
                    f"{s[IDT_BASE]:08x}/{s[IDT_LIMIT]:04x}",
                    f"{real[IDT_BASE]:08x}/{real[IDT_LIMIT]:04x}",
                ),
            ):
                lines.append(f"{name:8}{x:24}{self.paint('monitor', y) if x != y else y}")
        state = "pending" if pic.intr else "none pending"
        lines.append(
            f"interrupts: {state}; requested {pic.master.irr:02x}/{pic.slave.irr:02x}, "
            f"in service {pic.master.isr:02x}/{pic.slave.isr:02x}, "
            f"masked {pic.master.imr:02x}/{pic.slave.imr:02x}"
        )
        ledger = debugger.machine.ledger
        counted = [f"{name} {n:,}" for name, n in ledger.traps.most_common()]
        lines.append(f"traps: {', '.join(counted) or 'none'}")
        work = [f"{name} {n:,}" for name, n in sorted(ledger.work.items())]
        lines.append(f"work: {', '.join(work) or 'none'}")
        if ledger.divergences:
            lines.append(self.paint("warn", f"divergences: {len(ledger.divergences)}"))
        return lines
