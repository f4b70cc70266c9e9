"""The command line: parses, calls, prints. What is printed is made in `vmm.report` and `vmm.compare`.

stdout is data, stderr is talk. Every import that costs time stands inside the command that needs it, so
that `vmsim --help` is instant. Exit statuses are `ExitStatus`; a guest's mistake never is a traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from vmm.image import Image
    from vmm.machine import Machine, Outcome, Result

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_BUDGET = 50_000_000
DEFAULT_MEMORY = 16 << 20
PAGE = 4096
MAX_MEMORY = 2 << 30
MULTIPLES = {"": 0, "k": 1, "m": 2, "g": 3}


class ExitStatus(IntEnum):
    """What `vmsim` returns to the shell."""

    OK = 0
    INTERNAL_ERROR = 1  # a mistake of vmsim's own
    USAGE = 2
    BAD_GUEST = 3  # cannot be read, assembled or loaded
    GUEST_FAILURE = 4  # the guest says so itself
    GUEST_CRASH = 5  # a triple fault, or something that nobody handles or models
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


# -- the group: errors become one line and a status -----------------------------------------------------


class Vmsim(click.Group):
    """The commands, and the one place where exceptions become exit statuses."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            hint = suggestion(args[0], self.commands)
            raise click.UsageError(f"there is no command `{args[0]}`{hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (KeyboardInterrupt, click.Abort):
            talk("interrupted")
            ctx.exit(ExitStatus.INTERRUPTED)
        except BrokenPipeError:
            # Whoever read our output has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(ExitStatus.OK)
        except Exception as error:
            if type(error).__name__ in ("AsmError", "LoadError"):
                talk(str(error), fg=None)
                ctx.exit(ExitStatus.BAD_GUEST)
            if ctx.params.get("debug"):
                raise
            talk(f"internal error: {type(error).__name__}: {error}", fg="red")
            talk("this is a mistake in vmsim, not in the guest; run with --debug to see where", fg=None)
            ctx.exit(ExitStatus.INTERNAL_ERROR)


def talk(text: str, fg: str | None = "yellow") -> None:
    """A message to the person, on stderr."""
    first, _, rest = text.partition("\n")
    click.echo(click.style(first, fg=fg) + ("\n" + rest if rest else ""), err=True)


def suggestion(word: str, known: Any) -> str:
    """`; did you mean …?`, or nothing."""
    import difflib

    found = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f"; did you mean `{found[0]}`?" if found else ""


# -- kinds of parameters ----------------------------------------------------------------------------------


class Count(click.ParamType):
    """A number of instructions: 500000, 1_000_000, 10M. With `binary`, bytes: 16M is 16 MiB."""

    def __init__(self, binary: bool = False) -> None:
        self.binary = binary
        self.name = "size" if binary else "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = value.strip().lower().replace(",", "")
        unit = text[-1:] if text[-1:] in MULTIPLES and not text.startswith("0x") else ""
        number = text[: len(text) - len(unit)]
        factor: int = (1024 if self.binary else 1000) ** MULTIPLES[unit]
        try:
            result = int(float(number) * factor) if "." in number else int(number, 0) * factor
        except (ValueError, OverflowError):
            self.fail(f"`{value}` is not a {self.name}; write 500000, 1_000_000 or 10M", param, ctx)
        if result <= 0:
            self.fail("must be more than nothing", param, ctx)
        return result


class Named(click.ParamType):
    """One name, or with `many` a list separated by commas, out of those that `known` gives."""

    def __init__(self, name: str, known: Callable[[], list[str]], many: bool = False) -> None:
        self.name = name
        self.known = known
        self.many = many

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        names = [word.strip() for word in value.split(",")] if self.many else [value.strip()]
        known = self.known()
        for name in names:
            if name not in known:
                hint = suggestion(name, known) or f"; there are {', '.join(known)}"
                self.fail(f"there is no {self.name} `{name}`{hint}", param, ctx)
        return list(dict.fromkeys(names)) if self.many else names[0]

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        known = self.known()
        return [click.shell_completion.CompletionItem(n) for n in known if n.startswith(incomplete)]


def mode_names() -> list[str]:
    """The modes there are."""
    from vmm.modes import MODES

    return list(MODES)


def profile_names() -> list[str]:
    """The cost profiles there are."""
    from vmm.cost import profile_names

    return profile_names()


def guest_argument(command: F) -> F:
    """GUEST: a file, or the name of a built-in guest."""
    return click.argument("guest")(command)


def mode_option(command: F) -> F:
    """--mode, bare hardware if not given."""
    kind = Named("mode", mode_names)
    return click.option("--mode", "-m", type=kind, help="The technique; bare hardware by default.")(command)


def run_options(command: F) -> F:
    """What everything that runs a guest takes."""
    options = (
        click.option(
            "--budget",
            type=Count(),
            default=DEFAULT_BUDGET,
            help="Guest instructions at most; 10M and the like.",
        ),
        click.option(
            "--memory", type=Count(binary=True), default=DEFAULT_MEMORY, help="Guest RAM, 16M by default."
        ),
        click.option(
            "--profile",
            type=Named("profile", profile_names),
            help="The machine that cycles are modelled on; p4-672 by default.",
        ),
        json_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


def json_option(command: F) -> F:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def print_json(document: Any) -> None:
    """A JSON document as data."""
    import json

    click.echo(json.dumps(document, indent=2))


def guest_path(name: str) -> Path:
    """The file that a GUEST argument means. Raises `LoadError` with a hint."""
    import guests
    from vmm.image import LoadError

    path = Path(name)
    if path.exists():
        return path
    bare = name.removesuffix(".asm")
    found = guests.find(bare)
    if found is not None:
        return found
    known = {file.stem for file in guests.LIBRARY.glob("*.asm")}
    hint = suggestion(Path(bare).name, known) or "; `vmsim guests` lists the built-in ones"
    raise LoadError(f"{name}: no such file{hint}")


def load(name: str, mode: str, defines: dict[str, int] | None = None) -> Image:
    """The guest, built for a mode."""
    from vmm.compare import build

    return build(guest_path(name), mode, defines)


def machine_for(image: Image, mode: str, memory: int) -> Machine:
    """A machine with the guest in it; a guest that does not fit is the guest's mistake."""
    from vmm.image import LoadError
    from vmm.machine import Machine

    try:
        return Machine(image, mode, memory=memory)
    except ValueError as error:
        raise LoadError(str(error)) from None


def checked_memory(memory: int) -> int:
    """Whole pages, and not more than there is room for."""
    if memory % PAGE or memory > MAX_MEMORY:
        raise click.BadParameter(
            f"must be whole pages of {PAGE} bytes, {MAX_MEMORY >> 30}G at most", param_hint="--memory"
        )
    return memory


def or_bare(mode: str | None) -> str:
    """The mode asked for, else bare hardware."""
    from vmm.modes import BARE

    return mode or BARE


# -- running ----------------------------------------------------------------------------------------------


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


def console_writer() -> Callable[[int], None]:
    """Writes the guest's console to stdout as it comes, byte for byte."""
    stream = click.get_binary_stream("stdout")

    def write(byte: int) -> None:
        stream.write(bytes((byte,)))
        if byte == ord("\n"):
            stream.flush()

    return write


def report_run(result: Result, profile: str | None, as_json: bool) -> None:
    """The end of a run: JSON on stdout, or words on stderr."""
    from vmm.cost import DEFAULT_PROFILE, load_profile, price
    from vmm.report import run as report

    cycles = price(result, load_profile(profile or DEFAULT_PROFILE))
    if as_json:
        print_json(report.document(result, cycles))
        return
    if result.console and not result.console.endswith("\n"):
        click.echo()
    colour = {ExitStatus.OK: "green", ExitStatus.INTERRUPTED: "yellow"}.get(
        ExitStatus.of(result.outcome), "red"
    )
    talk("\n".join(report.summary(result, cycles, columns())), fg=colour)


def columns() -> int:
    """The width to write for."""
    import shutil

    return min(shutil.get_terminal_size().columns, 110)


@cli.command(
    epilog="Examples:  vmsim run hello  |  vmsim run my.asm --mode full --budget 10M  |  vmsim run kernel --json"
)
@guest_argument
@mode_option
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Seconds at most."
)
@run_options
@click.pass_context
def run(
    ctx: click.Context,
    guest: str,
    mode: str | None,
    timeout: float | None,
    budget: int,
    memory: int,
    profile: str | None,
    as_json: bool,
) -> None:
    """Run GUEST under one mode: its console on stdout, what it took on stderr.

    GUEST is an assembly source (.asm), a flat binary, or the name of a built-in guest.
    """
    from vmm.watch import Watch

    mode = or_bare(mode)
    machine = machine_for(load(guest, mode), mode, checked_memory(memory))
    if not as_json:
        machine.devices.on_console = console_writer()
    with Watch(timeout) as watch:
        watch.watch(machine)
        result = watch.judge(machine.run(budget))
    report_run(result, profile, as_json)
    ctx.exit(ExitStatus.of(result.outcome))


# -- sources ----------------------------------------------------------------------------------------------


class Define(click.ParamType):
    """NAME or NAME=VALUE."""

    name = "name[=value]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        name, _, number = value.partition("=")
        try:
            return name.strip(), int(number or "1", 0)
        except ValueError:
            self.fail(f"`{number}` is not a number", param, ctx)


@cli.command(
    epilog="Examples:  vmsim asm my.asm -o my.bin  |  vmsim asm hello --listing  |  vmsim asm kernel -D PARA"
)
@click.argument("file")
@click.option("-o", "output", metavar="FILE", help="Write the flat binary; - is stdout.")
@click.option("--listing", is_flag=True, help="Print addresses and bytes beside the source.")
@click.option("-D", "defines", multiple=True, type=Define(), help="Define a constant, 1 by default.")
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
    import guests
    from isa.asm import AsmError, assemble
    from vmm.report import assembly

    path = guest_path(file)
    try:
        program = assemble(source(path), defines=dict(defines), include_dirs=(guests.LIBRARY,))
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


def source(path: Path) -> Path:
    """A path that can be read as source. Raises `LoadError`."""
    from vmm.image import LoadError

    if path.is_dir():
        raise LoadError(f"{path} is a directory, not a source")
    if not os.access(path, os.R_OK):
        raise LoadError(f"{path}: permission denied")
    return path


def main() -> None:
    """The entry point of the command `vmsim`."""
    cli(prog_name="vmsim")
