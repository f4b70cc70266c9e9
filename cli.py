"""The command line: parses, calls, prints. What is printed is made in `vmm.report` and `vmm.compare`.

stdout is data, stderr is talk. Every import that costs time stands inside the command that needs it, so
that `vmsim --help` is instant. Exit statuses are `ExitStatus`; a guest's mistake is never a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pathlib import Path

    from vmm.compare import Comparison
    from vmm.image import Image
    from vmm.machine import Machine, Outcome, Result

Decorator = Callable[[Any], Any]

BUDGET = 50_000_000
MEMORY = 16 << 20
MAX_COLUMNS = 110
PIPE_COLUMNS = 160


class ExitStatus(IntEnum):
    """What `vmsim` returns to the shell."""

    OK = 0
    INTERNAL_ERROR = 1  # a mistake of vmsim's own
    USAGE = 2
    BAD_GUEST = 3  # cannot be read, assembled or loaded
    GUEST_FAILURE = 4  # the guest says so itself
    GUEST_CRASH = 5  # a triple fault, a fault that nobody handled, or something that is not modelled
    BUDGET = 6  # instructions or time used up
    DIVERGENCE = 7  # a mode that promises equivalence broke its promise
    INTERRUPTED = 130

    @classmethod
    def of(cls, outcome: Outcome) -> ExitStatus:
        """The status for the end of a run."""
        return {
            "success": cls.OK,
            "failure": cls.GUEST_FAILURE,
            "triple-fault": cls.GUEST_CRASH,
            "unhandled": cls.GUEST_CRASH,
            "unsupported": cls.GUEST_CRASH,
            "budget": cls.BUDGET,
            "interrupted": cls.INTERRUPTED,
        }.get(str(outcome), cls.INTERNAL_ERROR)


# -- the group: exceptions become one line and a status ---------------------------------------------------


class Vmsim(click.Group):
    """The commands, and the one place where exceptions become exit statuses."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            from vmm.report.words import suggestion

            raise click.UsageError(
                f"there is no command `{args[0]}`{suggestion(args[0], self.commands)}", ctx
            )
        return super().resolve_command(ctx, args)

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


guest_argument: Decorator = click.argument("guest")
json_option: Decorator = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
mode_option: Decorator = click.option(
    "--mode", "-m", type=Read("mode", "mode"), help="The technique; bare hardware if not given."
)
budget_option: Decorator = click.option(
    "--budget",
    type=Read("count", "count"),
    default=BUDGET,
    help="Guest instructions at most; 50M if not given.",
)
memory_option: Decorator = click.option(
    "--memory", type=Read("size", "size"), default=MEMORY, help="Guest memory; 16M if not given."
)
profile_option: Decorator = click.option(
    "--profile", type=Read("name", "profile"), help="The machine that cycles are modelled on: p4-672, i386."
)
timeout_option: Decorator = click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Seconds at most."
)


def run_options(command: Any) -> Any:
    """What everything takes that runs a guest to its end."""
    for option in (json_option, profile_option, memory_option, timeout_option, budget_option):
        command = option(command)
    return command


def print_json(document: Any) -> None:
    """A JSON document as data."""
    import json

    click.echo(json.dumps(document, indent=2))


def guest_path(name: str) -> Path:
    """The file that a GUEST argument means. `LoadError`."""
    from vmm.report.words import guest_path

    return guest_path(name)


def machine_for(guest: str, mode: str | None, memory: int) -> Machine:
    """A machine with the guest in it, built for the mode."""
    from vmm.compare import build
    from vmm.image import LoadError
    from vmm.machine import Machine
    from vmm.modes import BARE

    image: Image = build(guest_path(guest), mode or BARE)
    try:
        return Machine(image, mode or BARE, memory=memory)
    except ValueError as error:
        raise LoadError(str(error)) from None


@click.group(
    cls=Vmsim,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Examples:  vmsim run hello  |  vmsim compare kernel  |  vmsim explain popf  |  vmsim guests",
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


# -- running ------------------------------------------------------------------------------------------------


def console_writer() -> Callable[[int], None]:
    """Writes the guest's console to stdout as it comes, byte for byte."""
    stream = sys.stdout.buffer

    def write(byte: int) -> None:
        stream.write(bytes((byte,)))
        if byte == ord("\n"):
            stream.flush()

    return write


@cli.command(
    epilog="Examples:  vmsim run hello  |  vmsim run my.asm -m full --budget 10M  |  vmsim run kernel --json"
)
@guest_argument
@mode_option
@run_options
@click.pass_context
def run(
    ctx: click.Context,
    guest: str,
    mode: str | None,
    budget: int,
    timeout: float | None,
    memory: int,
    profile: str | None,
    as_json: bool,
) -> None:
    """Run GUEST under one mode: its console on stdout, what it took on stderr.

    GUEST is an assembly source (.asm), a flat binary, or the name of a built-in guest.
    """
    from vmm.watch import Watch

    machine = machine_for(guest, mode, memory)
    if not as_json:
        machine.devices.on_console = console_writer()
    with Watch(timeout) as watch:
        watch.watch(machine)
        result = watch.judge(machine.run(budget))
    report_run(result, profile, as_json)
    ctx.exit(ExitStatus.of(result.outcome))


def report_run(result: Result, profile: str | None, as_json: bool) -> None:
    """The end of a run: JSON on stdout, or words on stderr."""
    from vmm.cost import DEFAULT_PROFILE, load_profile, price
    from vmm.report import run as report

    cycles = price(result, load_profile(profile or DEFAULT_PROFILE))
    if as_json:
        print_json(report.document(result, cycles))
        return
    stream = sys.stdout.buffer
    if result.console and not result.console.endswith("\n"):
        stream.write(b"\n")
    stream.flush()
    status = ExitStatus.of(result.outcome)
    colour = {ExitStatus.OK: "green", ExitStatus.INTERRUPTED: "yellow"}.get(status, "red")
    talk("\n".join(report.summary(result, cycles, columns())), colour)


@cli.command(
    epilog="Examples:  vmsim compare kernel  |  vmsim compare popf --modes full  |  vmsim compare my.asm --json"
)
@guest_argument
@click.option("--modes", type=Read("names", "modes"), help="Modes, by commas; all that apply if not given.")
@click.option("--strict", is_flag=True, help="A divergence counts also where no equivalence is promised.")
@run_options
@click.pass_context
def compare(
    ctx: click.Context,
    guest: str,
    modes: list[str] | None,
    strict: bool,
    budget: int,
    timeout: float | None,
    memory: int,
    profile: str | None,
    as_json: bool,
) -> None:
    """Run GUEST under every mode, and compare: what each did, what it cost, whether it is equal."""
    from vmm import compare as comparing
    from vmm.cost import DEFAULT_PROFILE, load_profile
    from vmm.watch import Watch

    costs = load_profile(profile or DEFAULT_PROFILE)
    with Watch(timeout) as watch, Progress() as progress:

        def starts(mode: str, machine: Machine) -> None:
            progress.show(mode)
            watch.watch(machine)

        comparison = comparing.compare(
            guest_path(guest), modes, costs, budget=budget, memory=memory, on_start=starts, judge=watch.judge
        )
    if as_json:
        from vmm.compare.document import document

        print_json(document(comparison))
    else:
        print_comparison(comparison)
    ctx.exit(comparison_status(comparison, strict))


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


class Progress:
    """Which mode is running, on a terminal only."""

    def __enter__(self) -> Progress:
        self.shown = 0
        self.wanted = sys.stderr.isatty()
        return self

    def show(self, mode: str) -> None:
        """Replace what is shown."""
        if self.wanted:
            text = f"running under {mode} …"
            click.echo("\r" + text.ljust(self.shown), nl=False, err=True)
            self.shown = len(text)

    def __exit__(self, *error: object) -> None:
        if self.shown:
            click.echo("\r" + " " * self.shown + "\r", nl=False, err=True)


def print_comparison(comparison: Comparison) -> None:
    """The table, and below it the words."""
    from rich.console import Console

    from vmm.compare import screen

    console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS, highlight=False)
    for part in screen.parts(comparison, min(console.width, MAX_COLUMNS)):
        console.print(part, soft_wrap=isinstance(part, str))


# -- sources ------------------------------------------------------------------------------------------------


@cli.command(
    epilog="Examples:  vmsim asm my.asm -o my.bin  |  vmsim asm hello --listing  |  vmsim asm kernel -D PARA"
)
@click.argument("file")
@click.option("-o", "output", metavar="FILE", help="Write the flat binary; - is stdout.")
@click.option("--listing", is_flag=True, help="Print addresses and bytes beside the source.")
@click.option("-D", "defines", multiple=True, type=Read("name[=value]", "define"), help="Define a constant.")
@json_option
@click.pass_context
def asm(
    ctx: click.Context,
    file: str,
    output: str | None,
    listing: bool,
    defines: tuple[tuple[str, int], ...],
    as_json: bool,
) -> None:
    """Assemble FILE and say what came of it; every mistake is reported with its place."""
    from isa.asm import AsmError
    from vmm.report import assembly

    path = guest_path(file)
    try:
        program = assembly.assemble_file(path, dict(defines))
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
    elif listing:
        click.echo(program.listing(), nl=False)
    elif output != "-":
        click.echo(assembly.summary(path, program, output))


def main() -> None:
    """The entry point of the command `vmsim`."""
    cli(prog_name="vmsim")
