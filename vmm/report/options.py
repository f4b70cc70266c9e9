"""Options of the command line as data: what makes a machine, and what its console is connected to.

Of each: its name, what is shown for its value (nothing: it is a switch), how `words` reads it (None: a text
as it stands), the help.
Nothing is imported here, for `vmsim --help` reads it.
"""

from __future__ import annotations

from typing import NamedTuple


class Option(NamedTuple):
    """One option."""

    name: str
    metavar: str
    read: str | None
    help: str
    many: bool = False


MACHINE = (
    Option("--memory", "SIZE", "size", "Guest memory; 16M, or what the guest needs, if not given."),
    Option("--cpu", "NAME", "model", "The processor: 386, 486, pentium, ppro, p2; ppro-apic, p2-apic."),
    Option("--format", "NAME", "format", "What GUEST is, if it is not recognised; a wrong word lists all."),
    Option("--append", "TEXT", None, "The kernel's command line."),
    Option(
        "--initrd", "FILE", None, "The kernel's RAM disk: an archive, a directory, or a source for /init."
    ),
    Option("--module", "'FILE WORDS'", None, "A boot module; may be given again.", many=True),
    Option("--disk", "FILE", None, "The first disk; the file stays as it is."),
    Option("--bios", "FILE", None, "The machine's firmware; GUEST is then the disk it boots."),
    Option("--rom", "FILE", None, "An option ROM for that firmware; may be given again.", many=True),
)
BUDGET = (
    Option(
        "--budget",
        "COUNT",
        "budget",
        "Guest instructions at most, or `none`; 10G if not given (compare: 1G).",
    ),
    Option("--timeout", "SECONDS", "seconds", "Seconds at most."),
)
CONSOLE = (
    Option("--input", "TEXT|FILE|-", None, "What the guest reads from COM1; - is stdin."),
    Option("--prompt", "TEXT", None, "Type the input line by line, each when the console has printed this."),
    Option("--until", "TEXT", None, "End well when the console has printed this."),
    Option("--screen", "", None, "Print the display's text at the end."),
    Option("--log", "", None, "Show what the firmware logs at port 402h, on stderr."),
    Option("--no-reboot", "", None, "End when the guest resets the machine."),
)
BENCH = (
    Option("--peers", "", None, "Measure QEMU, Bochs and Unicorn beside it, where they are; takes minutes."),
    Option("--only", "NAMES", None, "Loops or parts, by commas; a wrong word lists all."),
    Option("--rounds", "COUNT", "count", "Measurements of each; 1, with peers 3."),
)
