"""The command line: parses, calls, prints. What is printed is made in `vmm.report` and `vmm.compare`.

stdout is data, stderr is talk. Every import that costs time stands inside the command that needs it, so
that `vmsim --help` is instant. Exit statuses are `ExitStatus`; a guest's mistake is never a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from vmm.report.status import ExitStatus

if TYPE_CHECKING:
    from pathlib import Path

    from vmm.compare import Comparison
    from vmm.machine import Machine, Result

Decorator = Callable[[Any], Any]

MAX_COLUMNS = 110
PIPE_COLUMNS = 160


# -- the group: exceptions become one line and a status ---------------------------------------------------


class Vmsim(click.Group):
    """The commands, and the one place where exceptions become exit statuses."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (KeyboardInterrupt, click.Abort):
            talk("interrupted")
            ctx.exit(ExitStatus.INTERRUPTED)
        except BrokenPipeError:  # whoever read our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(ExitStatus.OK)
        except Exception as error:
            if type(error).__name__ in ("AsmError", "LoadError"):
                talk(str(error), colour="red")
                ctx.exit(ExitStatus.BAD_GUEST)
            if type(error).__name__ == "Unknown":
                raise click.UsageError(str(error), ctx) from None
            if ctx.params.get("debug"):
                raise
            talk(f"internal error: {type(error).__name__}: {error}", colour="red")
            talk("this is a mistake in vmsim, not in the guest; `vmsim --debug …` shows where", colour=None)
            ctx.exit(ExitStatus.INTERNAL_ERROR)


def talk(text: str, colour: str | None = "yellow") -> None:
    """A message to the person, on stderr; its first line in colour."""
    first, newline, rest = text.partition("\n")
    click.echo(click.style(first, fg=colour) + newline + rest, err=True)


def columns() -> int:
    """The width to write for."""
    import shutil

    return min(shutil.get_terminal_size().columns, MAX_COLUMNS)


def print_json(document: Any) -> None:
    """A JSON document as data."""
    import json

    click.echo(json.dumps(document, indent=2))


def examples(*commands: str) -> str:
    """The end of a help text: one example a line."""
    return "\b\nExamples:\n" + "\n".join(f"  vmsim {command}" for command in commands)


@click.group(
    cls=Vmsim,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("run hello", "run my.asm --mode full", "compare kernel", "explain popf", "guests"),
)
@click.option("--debug", is_flag=True, envvar="VMSIM_DEBUG", help="Show the traceback of an internal error.")
@click.version_option(package_name="vmsim")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """A laboratory of virtualization: one x86 kernel, bare and under every kind of monitor, every trap
    seen, counted, priced and explained."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        ctx.color = False
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def command(*shown: str) -> Decorator:
    """A command of `vmsim`, with examples for its help."""
    return cli.command(epilog=examples(*shown))


# -- parameters ---------------------------------------------------------------------------------------------


class Read(click.ParamType[Any]):
    """A parameter as `vmm.report.words` reads it, imported when there is something to read."""

    def __init__(self, name: str, what: str) -> None:
        self.name = name
        self.what = what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        from vmm.report import words

        try:
            return getattr(words, f"read_{self.what}")(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


COUNT = Read("count", "count")

guest_argument: Decorator = click.argument("guest")
json_option: Decorator = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
mode_option: Decorator = click.option(
    "--mode", "-m", type=Read("mode", "mode"), help="The technique; bare hardware if not given."
)
profile_option: Decorator = click.option(
    "--profile", type=Read("name", "profile"), help="The machine that cycles are modelled on: p4-672, i386."
)


def options_of(table: str) -> Decorator:
    """The options of a table in `vmm.report.options`; one that the command has already stays its own."""

    def add(function: Any) -> Any:
        from vmm.report import options

        taken = {name for param in getattr(function, "__click_params__", ()) for name in param.opts}
        for name, metavar, read, text, many in reversed(getattr(options, table)):
            if name not in taken:
                kind: Any = {"type": Read(metavar, read) if read else str, "metavar": metavar}
                kind = {"multiple": many, **kind} if metavar else {"is_flag": True}
                function = click.option(name, help=text, **kind)(function)
        return function

    return add


def guest_path(name: str) -> Path:
    """The file that a GUEST argument means. `LoadError`."""
    from vmm.report.words import guest_path

    return guest_path(name)


def machine_for(guest: str, mode: str | None, options: dict[str, Any]) -> Machine:
    """A machine with the guest in it, as the options of MACHINE say. `LoadError`, `AsmError`."""
    from vmm.session import machine_for

    return machine_for(guest_path(guest), mode, **options)


# -- running ------------------------------------------------------------------------------------------------


@command("run hello", "run my.asm --mode full --budget 10M", "run kernel --json")
@guest_argument
@mode_option
@options_of("MACHINE")
@options_of("CONSOLE")
@options_of("BUDGET")
@profile_option
@json_option
@click.pass_context
def run(ctx: click.Context, /, guest: str, mode: str | None, as_json: bool, **options: Any) -> None:
    """Run GUEST under one mode.

    Its console goes to stdout as it comes, what it took to stderr. GUEST is an assembly source (.asm), a
    kernel (ELF, Multiboot, bzImage), a disk, a flat binary, or the name of a built-in guest.
    """
    from vmm.report.live import tell_compiling
    from vmm.terminal import Terminal, screen
    from vmm.watch import Watch

    terminal = Terminal(
        machine_for(guest, mode, options),
        None if as_json else sys.stdout.buffer,
        options["until"],
        log=sys.stderr.buffer if options["log"] else None,
        reboots=not options["no_reboot"],
    )
    terminal.feed(options["input"], options["prompt"], sys.stdin)
    tell_compiling(sys.stderr, lambda: not terminal.machine.devices.console.rpartition(b"\n")[2])
    with Watch(options["timeout"]) as watch:
        terminal.on_machine = watch.watch
        result = watch.judge(terminal.run(options["budget"]))
    if not as_json and result.console and not result.console.endswith("\n"):
        click.echo()
    for line in screen(terminal.machine) if options["screen"] else ():
        click.echo(line, err=as_json)
    sys.stdout.flush()
    report_run(result, options["profile"], as_json)
    ctx.exit(ExitStatus.of(result.outcome))


def report_run(result: Result, profile: str | None, as_json: bool) -> None:
    """The end of a run: JSON on stdout, or words on stderr."""
    from vmm.cost import load_profile, price
    from vmm.report import run as report

    cycles = price(result, load_profile(profile))
    if as_json:
        print_json(report.document(result, cycles))
        return
    status = ExitStatus.of(result.outcome)
    colour = {ExitStatus.OK: "green", ExitStatus.INTERRUPTED: "yellow"}.get(status, "red")
    talk("\n".join(report.summary(result, cycles, columns())), colour)


@command("compare kernel", "compare popf --modes full --strict", "compare my.asm --json")
@guest_argument
@click.option("--modes", type=Read("names", "modes"), help="Modes, by commas; all that apply if not given.")
@click.option("--strict", is_flag=True, help="A divergence counts also where no equivalence is promised.")
@click.option("--memory", type=Read("size", "size"), help="Guest memory; what it needs if not given.")
@options_of("BUDGET")
@profile_option
@json_option
@click.pass_context
def compare(ctx: click.Context, /, guest: str, strict: bool, as_json: bool, **options: Any) -> None:
    """Run GUEST under every mode, and compare.

    What each did (counted), what it would have cost (modelled), and whether it equals bare hardware.
    """
    from vmm.compare import compare
    from vmm.compare.document import document
    from vmm.cost import load_profile
    from vmm.report.live import Progress
    from vmm.watch import Watch

    profile, progress = load_profile(options["profile"]), Progress(sys.stderr)
    limits = {name: options[name] for name in ("budget", "memory") if options[name]}
    with Watch(options["timeout"]) as watch:

        def starts(mode: str, machine: Machine) -> None:
            progress.show(f"running under {mode} …")
            watch.watch(machine)

        found = compare(
            guest_path(guest), options["modes"], profile, on_start=starts, judge=watch.judge, **limits
        )
    progress.clear()
    print_json(document(found)) if as_json else print_comparison(found)
    ctx.exit(comparison_status(found, strict))


def comparison_status(comparison: Comparison, strict: bool) -> ExitStatus:
    """The worst that happened."""
    outcomes = [run.result.outcome for run in comparison.runs]
    if "error" in outcomes:
        return ExitStatus.INTERNAL_ERROR
    if comparison.interrupted:
        return ExitStatus.INTERRUPTED
    if comparison.broken_promises(strict=strict):
        return ExitStatus.DIVERGENCE
    return ExitStatus.of(outcomes[0])


def print_comparison(comparison: Comparison) -> None:
    """The table, and below it the words."""
    from vmm.compare import screen

    width = None if sys.stdout.isatty() else PIPE_COLUMNS
    screen.show(comparison, click.get_current_context().color is not False, width, MAX_COLUMNS)


# -- sources ------------------------------------------------------------------------------------------------


@command("asm my.asm -o my.bin", "asm hello --listing", "asm kernel -D PARA")
@click.argument("file")
@click.option("-o", "output", metavar="FILE", help="Write the flat binary; - is stdout.")
@click.option("--listing", is_flag=True, help="Print addresses and bytes beside the source.")
@click.option("-D", "defines", multiple=True, type=Read("name[=value]", "define"), help="Define a constant.")
@json_option
@click.pass_context
def asm(ctx: click.Context, /, file: str, output: str | None, as_json: bool, **options: Any) -> None:
    """Assemble FILE, or report every mistake."""
    from isa.asm import AsmError
    from vmm.report import assembly

    path = guest_path(file)
    try:
        program = assembly.assemble_file(path, dict(options["defines"]))
    except AsmError as error:
        if not as_json:
            raise
        print_json(assembly.failure(path, error.diagnostics))
        ctx.exit(ExitStatus.BAD_GUEST)
    for warning in program.warnings:
        talk(warning.render())
    if output:
        with click.open_file(output, "wb") as stream:
            stream.write(program.image)
    if as_json:
        print_json(assembly.document(path, program))
    elif options["listing"]:
        click.echo(program.listing(), nl=False)
    elif output != "-":
        click.echo(assembly.summary(path, program, output))


@command("dis hello", "dis kernel --start main --count 20", "dis my.bin --json")
@click.argument("file")
@click.option(
    "--start", type=Read("place", "address"), help="An address or a label; the beginning if not given."
)
@click.option("--count", type=COUNT, help="Lines at most.")
@json_option
def dis(file: str, start: int | str | None, count: int | None, as_json: bool) -> None:
    """Disassemble FILE.

    A source is shown with its lines and labels; anything else is a flat binary."""
    from itertools import islice

    from vmm.compare import build
    from vmm.modes import BARE
    from vmm.report import listing

    image = build(guest_path(file), BARE)
    rows = islice(listing.rows(image, listing.resolve(image, start)), count)
    if as_json:
        print_json(listing.document(image, rows))
        return
    for line in listing.lines(rows, columns() if sys.stdout.isatty() else None):
        click.echo(line)


# -- knowledge ----------------------------------------------------------------------------------------------


@command("explain popf", "explain mov cr0, eax", "explain '#PF hidden'")
@click.argument("words", metavar="NAME", nargs=-1, required=True)
@json_option
def explain(words: tuple[str, ...], as_json: bool) -> None:
    """Explain an instruction, a fault or a trap.

    Of an instruction: its class, what each mode does with it, and its one definition. NAME may also be an
    exception (#PF, 14), a kind of trap (#PF hidden, callout) or an ending (triple-fault).
    """
    from vmm.report import explain as explaining

    found = explaining.find(" ".join(words))
    if as_json:
        print_json(explaining.document(found))
        return
    styles: dict[str, dict[str, Any]] = {"head": {"bold": True}, "code": {"fg": "cyan"}}
    for style, line in explaining.lines(found, columns()):
        click.echo(click.style(line, **styles[style]) if style in styles else line)


@command("classify", "classify --json")
@json_option
def classify(as_json: bool) -> None:
    """Find the classes of Popek and Goldberg by experiment.

    Every instruction is run in supervisor and user mode, on the x86 as it was built and on one whose
    sensitive instructions all trap. It takes some seconds."""
    from vmm.report import classes

    results = list(classes.experiments())
    if as_json:
        print_json(classes.document(results))
        return
    styles: dict[str, dict[str, Any]] = {"head": {"bold": True}, "silent": {"fg": "yellow"}}
    for style, line in classes.lines(results):
        click.echo(click.style(line, **styles[style]) if style in styles else line)


@command("guests", "guests popf", "guests --json")
@click.argument("name", required=False)
@json_option
def guests(name: str | None, as_json: bool) -> None:
    """List the built-in guests, or show one.

    Of one its source is shown; the comment at its top is its specification."""
    from vmm.report import catalogue

    path = guest_path(name) if name else None
    if as_json:
        print_json(catalogue.document(path))
        return
    for line in catalogue.lines(path, columns()):
        click.echo(line)


@command("doctor", "doctor --json")
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check that everything is here and works."""
    from vmm.report import doctor as examining

    found = list(examining.checks())
    if as_json:
        print_json(examining.document(found))
    for colour, text in () if as_json else map(examining.line, found):
        click.echo(click.style(text, fg=colour or None))
    ctx.exit(ExitStatus.OK if examining.healthy(found) else ExitStatus.INTERNAL_ERROR)


@command("bench", "bench --only alu,sysc --rounds 3", "bench --peers", "bench --json")
@options_of("BENCH")
@json_option
@click.pass_context
def bench(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    """Measure how fast vmsim is on this computer, alone or beside its peers."""
    from vmm.report import bench_table

    width = None if sys.stdout.isatty() else PIPE_COLUMNS
    found = bench_table.bench(sys.stderr, ctx.color is not False, width, as_json=as_json, **options)
    if as_json:
        print_json(found)


# -- looking inside -----------------------------------------------------------------------------------------


@command(
    "trace hello -m full",
    "trace kernel -m naive --kind trap,diverged",
    "trace kernel --format jsonl -o k.jsonl",
)
@guest_argument
@mode_option
@options_of("MACHINE")
@click.option("--kind", "kinds", type=Read("KINDS", "kinds"), help="What, by commas; a wrong word lists all.")
@click.option(
    "--format", "style", type=click.Choice(["text", "jsonl"]), default="text", help="How to show it."
)
@click.option("--limit", type=COUNT, help="Events at most.")
@click.option("-o", "out", type=click.File("w", encoding="utf-8"), default="-", help="Where to write.")
@options_of("BUDGET")
@click.pass_context
def trace(ctx: click.Context, /, guest: str, mode: str | None, **options: Any) -> None:
    """Run GUEST and show events as they happen."""
    from vmm.machine import DEFAULT_BUDGET
    from vmm.trace import run_trace
    from vmm.watch import Watch

    machine = machine_for(guest, mode, options)
    kinds, style, limit, out = (options[name] for name in ("kinds", "style", "limit", "out"))
    with Watch(options["timeout"]) as watch:
        watch.watch(machine)
        result = watch.judge(
            run_trace(machine, kinds, style, limit, out, options["budget"] or DEFAULT_BUDGET)
        )
    report_run(result, None, as_json=False)
    ctx.exit(ExitStatus.of(result.outcome))


@command(
    "debug kernel -m full", "debug hello -e 'break main; continue; registers'", "debug my.asm -x commands.txt"
)
@guest_argument
@mode_option
@click.option("-e", "inline", metavar="COMMANDS", help="Commands separated by semicolons; then it ends.")
@click.option("-x", "script", type=click.File(encoding="utf-8"), metavar="FILE", help="Commands, one a line.")
@options_of("MACHINE")
@click.pass_context
def debug(
    ctx: click.Context, /, guest: str, mode: str | None, inline: str | None, script: Any, **options: Any
) -> None:
    """Step through GUEST, forwards and back.

    Both sides of its monitor are shown: what the guest believes, and what is real."""
    from vmm.debug import shell

    commands = script.read().splitlines() if script else []
    commands += inline.split(";") if inline else []
    machine = machine_for(guest, mode, options)
    ctx.exit(
        shell.run(machine, [line.strip() for line in commands] if script or inline else None, sys.stdout)
    )


def main() -> None:
    """The entry point of the command `vmsim`."""
    cli(prog_name="vmsim")
