"""The commands of the interpreter: each a method with its usage, its short names and its help.

`Commands` parses arguments, calls the `Debugger` and writes screens; it knows no terminal. Errors for
people are `CommandError`, `DebugError` and `ExpressionError`. The table `COMMANDS` is filled by the
decorator `command`; `shell` looks words up in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from vmm.debug.breakpoints import EVENTS
from vmm.debug.engine import Debugger, Stopped
from vmm.debug.paint import Paint
from vmm.debug.places import place
from vmm.debug.screens import Screens
from vmm.debug.tables import TranslatedLine, gdt_text, idt_text, page_text, tss_text
from vmm.events import Trap
from vmm.report.words import suggestion

SIZES = {"b": 1, "w": 2, "d": 4}
MAX_SHOWN = 1 << 16
INFOS = ("breakpoints", "trap", "monitor", "gdt", "idt", "tss", "page", "translation", "registers")


class CommandError(Exception):
    """The command was not understood; the message is for people."""


class Quit(Exception):
    """The user has had enough."""


@dataclass(frozen=True, slots=True)
class Command:
    """A word people type. `repeats`: an empty line does it again."""

    name: str
    shorts: tuple[str, ...]
    usage: str
    call: Callable[[Commands, str], None]
    repeats: bool

    @property
    def help(self) -> str:
        text = self.call.__doc__ or ""
        return "\n".join(line.strip() for line in text.strip().splitlines())


COMMANDS: dict[str, Command] = {}
Method = Callable[["Commands", str], None]


def command(usage: str, *shorts: str, repeats: bool = False) -> Callable[[Method], Method]:
    """Register a method under the first word of its usage and under short names."""

    def register(method: Method) -> Method:
        name = usage.split()[0]
        COMMANDS[name] = Command(name, shorts, usage, method, repeats)
        return method

    return register


def find(word: str) -> Command:
    """The command that a word means: its name, a short name, or the beginning of one name only."""
    if word in COMMANDS:
        return COMMANDS[word]
    for known in COMMANDS.values():
        if word in known.shorts:
            return known
    begun = [name for name in COMMANDS if name.startswith(word)]
    if len(begun) == 1:
        return COMMANDS[begun[0]]
    if begun:
        raise CommandError(f"`{word}` could be {' or '.join(begun)}")
    raise CommandError(f"there is no command `{word}`{suggestion(word, COMMANDS)}; `help` lists them")


def _number(text: str, what: str, default: int = 1) -> int:
    """A positive count."""
    if not text:
        return default
    try:
        value = int(text, 0)
    except ValueError:
        raise CommandError(f"`{text}` is not a number of {what}") from None
    if value < 1:
        raise CommandError(f"a number of {what} is at least 1")
    return value


class Commands:
    """The commands over one debugger. `write` takes lines."""

    def __init__(self, debugger: Debugger, write: Callable[[Iterable[str]], None], paint: Paint) -> None:
        self.debugger = debugger
        self.write = write
        self.screens = Screens(debugger, paint)

    def show(self, stopped: Stopped) -> None:
        """Write a stop."""
        self.write(self.screens.stop(stopped))

    # -- moving -------------------------------------------------------------------------------------

    @command("step [N | into]", "s", "si", repeats=True)
    def step(self, rest: str) -> None:
        """Execute one guest instruction, or N of them.
        A fault or interrupt on the way is delivered, and the handler's first instruction counts.
        `step into` is `into`."""
        if rest == "into":
            return self.into("")
        self.show(self.debugger.step(_number(rest, "instructions")))
        return None

    @command("over", "o", "n", "ni", repeats=True)
    def over(self, rest: str) -> None:
        """Execute one instruction; a CALL, an INT or a repeated string instruction as a whole."""
        self.show(self.debugger.over())

    @command("into", "i", repeats=True)
    def into(self, rest: str) -> None:
        """Execute one guest instruction and step into the monitor: what trapped and why, what was
        emulated and which virtual state changed, what was delivered to the guest, which shadow
        entries and translations were made."""
        real = self.debugger.real
        before = real[:] if real is not None else None
        self.write(self.screens.into(self.debugger.step(), before))

    @command("continue [N]", "c", "cont", repeats=True)
    def resume(self, rest: str) -> None:
        """Run until a breakpoint, a watch or an event stops the guest (the N-th time), or it ends.
        Ctrl-C comes back to the prompt."""
        self.show(self.debugger.resume(_number(rest, "stops")))

    @command("until LOCATION", "u")
    def until(self, rest: str) -> None:
        """Run until the guest comes to a place: a label, file:line, or an address."""
        self.show(self.debugger.run_to(self.debugger.resolve(rest)))

    @command("back [N]", "k", "rs", repeats=True)
    def back(self, rest: str) -> None:
        """Go one guest instruction back, or N, by running again from the start."""
        self.show(self.debugger.back(_number(rest, "instructions")))

    @command("reset")
    def reset(self, rest: str) -> None:
        """Start the guest anew. Breakpoints stay."""
        self.show(self.debugger.reset())

    # -- stopping -----------------------------------------------------------------------------------

    @command("break LOCATION [if EXPR] | EVENT [KIND]", "b")
    def break_(self, rest: str) -> None:
        """Stop before the instruction at a place, if a condition holds; or after an event:
        `break trap [KIND]`, `break inject [VECTOR]`, `break fault [NAME]`, `break int [VECTOR]`,
        `break hypercall [NAME]`, `break diverge [KIND]`. Without an argument: list them."""
        if not rest:
            return self.list_breaks()
        word, _, detail = rest.partition(" ")
        if word in EVENTS:
            added = self.debugger.break_on(word, detail.strip())
            self.write([f"breakpoint {added.number} {added}"])
            return None
        place_text, _, condition = rest.partition(" if ")
        stop = self.debugger.break_at(place_text, condition.strip())
        where = place(self.debugger.machine.image, stop.address)
        self.write([f"breakpoint {stop.number} {stop}: {stop.address:08x}, {where}"])
        return None

    @command("watch ADDRESS [SIZE]", "w")
    def watch(self, rest: str) -> None:
        """Stop after the instruction that changes SIZE bytes (4) at an address of the guest."""
        text, _, size = rest.rpartition(" ")
        if not text or not size.isdecimal():
            text, size = rest, "4"
        if not 1 <= int(size) <= 4096:
            raise CommandError("a watch covers 1 to 4096 bytes")
        added = self.debugger.watch(text, int(size))
        self.write([f"watch {added.number} {added}"])

    @command("delete N | all", "del")
    def delete(self, rest: str) -> None:
        """Forget a breakpoint or watch by its number, or all."""
        numbers = list(self.debugger.breaks) if rest == "all" else [_number(rest, "a breakpoint", 0)]
        for number in numbers:
            self.debugger.delete(number)

    def list_breaks(self) -> None:
        lines = [
            f"{n:3}  {'watch' if stop.__class__.__name__ == 'Watch' else 'break'} {stop}"
            + (f"  (stopped {stop.hits} times)" if stop.hits else "")
            for n, stop in self.debugger.breaks.items()
        ]
        self.write(lines or ["no breakpoints"])

    # -- looking ------------------------------------------------------------------------------------

    @command("regs", "r", "registers")
    def regs(self, rest: str) -> None:
        """The guest's registers, `*` where changed since the last stop; below, what the real
        processor has otherwise."""
        self.write(self.screens.registers(self.debugger.before))

    @command("info TOPIC [ADDRESS]", "inf")
    def info(self, rest: str) -> None:
        """Topics: breakpoints, trap [N] (the last traps and what came of them), monitor (virtual and
        real state, counters), gdt, idt, tss, page ADDRESS (the guest's and the shadow's walk),
        translation (the guest's code beside the cache's), registers."""
        word, _, argument = rest.partition(" ")
        if not word:
            raise CommandError(f"info about what? {', '.join(INFOS)}")
        begun = [topic for topic in INFOS if topic.startswith(word)]
        if word not in INFOS and len(begun) != 1:
            hint = f": {' or '.join(begun)}?" if begun else suggestion(word, INFOS)
            raise CommandError(f"there is no info about `{word}`{hint}")
        topic = word if word in INFOS else begun[0]
        TOPICS[topic](self, argument.strip())

    def info_trap(self, argument: str) -> None:
        wanted = _number(argument, "traps")
        episodes: list[list[int]] = []
        history = list(self.debugger.history)
        for n, event in enumerate(history):
            if isinstance(event, Trap):
                episodes.append([])
            if episodes:
                episodes[-1].append(n)
        if not episodes:
            raise CommandError("nothing has trapped yet")
        for numbers in episodes[-wanted:]:
            events = [history[n] for n in numbers]
            same = [event for event in events if event.count <= events[0].count + 1]
            self.write([f"after {events[0].count:,} instructions:", *self.screens.teller.steps(same)])

    def info_page(self, argument: str) -> None:
        if not argument:
            raise CommandError("the page of which address? `info page ADDRESS`")
        self.write(page_text(self.debugger, self.debugger.resolve(argument)))

    def info_translation(self, argument: str) -> None:
        mode = self.debugger.machine.mode
        listing = getattr(mode, "listing", None)
        if listing is None:
            raise CommandError(f"{mode.name} translates nothing: the guest's own code runs")
        at = self.debugger.resolve(argument) if argument else self.debugger.eip
        lines: list[TranslatedLine] = listing(at)
        if not lines:
            raise CommandError(f"{place(self.debugger.machine.image, at)} has not been translated")
        self.write(self.screens.translation(lines, at))

    @command("memory [physical] ADDRESS [COUNT] [b|w|d]", "x", "m")
    def memory(self, rest: str) -> None:
        """COUNT (64, or 16 words) bytes, words or dwords at an address as the guest sees it, in hex
        and ASCII; `physical` takes guest-physical addresses."""
        words = rest.split()
        physical = bool(words) and "physical".startswith(words[0]) and len(words[0]) > 3
        words = words[physical:]
        size = SIZES[words.pop()] if len(words) > 1 and words[-1] in SIZES else 0
        count = 0
        if len(words) > 1 and words[-1].isdecimal() and words[-2] not in ("+", "-", "*", "&", "|", "^"):
            count = _number(words.pop(), "cells")
        if not words:
            raise CommandError("the memory at which address?")
        count = count or (16 if size > 1 else 64)
        if count * (size or 1) > MAX_SHOWN:
            raise CommandError(f"at most {MAX_SHOWN:,} bytes at a time")
        address = self.debugger.resolve(" ".join(words))
        self.write(self.screens.memory(address, count, size or 1, physical=physical))

    @command("disassemble [LOCATION] [N]", "d")
    def disassemble(self, rest: str) -> None:
        """N instructions (10) at a place, or from the next one: with labels, source lines, `=>` at
        the next instruction and ● at breakpoints."""
        words = rest.split()
        count = 10
        if words and words[-1].isdecimal() and (len(words) == 1 or words[-2] not in ("+", "-", "*")):
            count = _number(words.pop(), "instructions")
        address = self.debugger.resolve(" ".join(words)) if words else self.debugger.eip
        self.write(self.screens.disassembly(address, min(count, MAX_SHOWN)))

    @command("list [LOCATION]", "l")
    def list_(self, rest: str) -> None:
        """The source around a place, or around the next instruction."""
        self.write(self.screens.listing(self.debugger.resolve(rest) if rest else self.debugger.eip))

    @command("print EXPR", "p")
    def print_(self, rest: str) -> None:
        """The value of an expression: registers, flags, symbols, [memory], + - * & | ^ ~ << >> and
        comparisons, e.g. `print word [esp + 4] & 0xff`."""
        value = self.debugger.evaluate(rest)
        signed = f" = {value - (1 << 32)}" if value >> 31 else ""
        name = place(self.debugger.machine.image, value)
        known = f"  {name}" if not name.startswith("0x") else ""
        self.write([f"{value:#x} = {value}{signed}{known}"])

    @command("console")
    def console(self, rest: str) -> None:
        """All that the guest has printed."""
        text = self.debugger.machine.devices.console.decode("latin-1")
        self.write(text.splitlines() or ["the guest has printed nothing"])

    # -- the interpreter itself ----------------------------------------------------------------------

    @command("help [COMMAND]", "h", "?")
    def help(self, rest: str) -> None:
        """What a command does; without one, all of them."""
        if rest:
            known = find(rest.split()[0])
            shorts = f"   (short: {', '.join(known.shorts)})" if known.shorts else ""
            self.write([f"{known.usage}{shorts}", *(f"  {line}" for line in known.help.splitlines())])
            return
        for known in COMMANDS.values():
            first = known.help.splitlines()[0]
            short = known.shorts[0] if known.shorts else ""
            self.write([f"  {short:2} {known.usage:42} {first}"])
        self.write(
            ["An empty line repeats the last step; a place is a label, file:line, address or expression."]
        )

    @command("quit", "q", "exit")
    def quit(self, rest: str) -> None:
        """Leave the debugger."""
        raise Quit


TOPICS: dict[str, Callable[[Commands, str], None]] = {
    "breakpoints": lambda self, _: self.list_breaks(),
    "trap": Commands.info_trap,
    "monitor": lambda self, _: self.write(self.screens.monitor()),
    "gdt": lambda self, _: self.write(gdt_text(self.debugger)),
    "idt": lambda self, _: self.write(idt_text(self.debugger)),
    "tss": lambda self, _: self.write(tss_text(self.debugger)),
    "page": Commands.info_page,
    "translation": Commands.info_translation,
    "registers": lambda self, _: self.regs(""),
}
