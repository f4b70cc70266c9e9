"""The comparison in words: which monitor is cheapest and why, and what dominates each mode.

Every sentence is made from figures of the runs; cycles are called cycles of the model. Only a run that
equals bare hardware can win. Port I/O is told apart: it measures a bus and virtual devices more than a
technique, and a slow console would drown everything else.
"""

from __future__ import annotations

from collections.abc import Iterator

from isa.table import BY_NAME
from vmm.compare.runs import Comparison, Run
from vmm.compare.table import times
from vmm.cost import STATUSES, Item
from vmm.cost.prices import CALL_OUT, DELIVERED, EXECUTED, HYPERCALL, INSTRUCTIONS, PORTS, TRANSLATION

MUCH = 0.5

# What a figure's name begins with, and how its events are called.
NAMED = (
    (EXECUTED, "time(s) `{}` executed by the kernel"),
    (CALL_OUT, "call-out(s) for `{}`"),
    (HYPERCALL, "hypercall(s) `{}`"),
    (DELIVERED, "{} delivered by the hardware"),
    ("#PF ", "{} page fault(s)"),
    ("#", "#{} fault(s)"),
    ("instructions ", "translation(s) of {} instructions"),
)


def sentences(comparison: Comparison) -> list[str]:
    """Everything there is to say, the winner first."""
    return [*summary(comparison), *costs(comparison)]


def summary(comparison: Comparison) -> list[str]:
    """Who wins, and what has to be known to believe it."""
    return [*_winner(comparison), *_lucky(comparison), *_translation(comparison), *_ports(comparison)]


def costs(comparison: Comparison) -> list[str]:
    """What dominates each mode, and what nobody has a price for."""
    said = [dominant(run) for run in comparison.runs]
    said.append(_sources(comparison))
    unpriced = sorted({figure for run in comparison.runs for figure in run.cycles.unpriced})
    if unpriced:
        said.append(f"Without a price in {comparison.profile.name}, and so left out: {', '.join(unpriced)}.")
    return said


def _sources(comparison: Comparison) -> str:
    """How the constants that were used are known."""
    profile = comparison.profile
    used = {name for run in comparison.runs for item in run.cycles.items for name in item.constants}
    tags = [profile.constants[name].status for name in sorted(used)]
    known = ", ".join(f"{tags.count(status)} {status}" for status in STATUSES if status in tags)
    return f"The cycles are modelled on: {profile.title}; of {len(tags)} constants used here, {known}."


def differences(comparison: Comparison) -> Iterator[str]:
    """Where a run is not as bare hardware; one line each."""
    for run in comparison.monitored:
        for found in run.differences or ():
            yield (
                f"{run.mode} differs in {found.location}: "
                f"{comparison.bare.mode} has {found.expected}, {run.mode} has {found.actual}"
            )


def ranking(comparison: Comparison) -> list[Run]:
    """The monitors that promise to equal bare hardware and do, the cheapest first, port I/O left out."""
    honest = [run for run in _equal(comparison) if run.result.promises_equivalence]
    return sorted(honest, key=lambda run: run.cycles.without_ports)


def _equal(comparison: Comparison) -> list[Run]:
    return [run for run in comparison.monitored if run.finished and run.equal and not run.result.divergences]


def _winner(comparison: Comparison) -> Iterator[str]:
    if not comparison.bare.finished:
        yield "The guest does not come to its end on bare hardware, so no monitor can be called cheap."
        return
    ranked = ranking(comparison)
    if not ranked:
        if comparison.monitored:
            yield "No monitor ran this guest as bare hardware does, so none is the cheapest."
        return
    best = ranked[0]
    if len(ranked) == 1:
        yield f"{best.mode} is the only monitor equal to bare hardware: {_factor(comparison, best)} its cycles."
        return
    rest = ", ".join(f"{run.mode} {_factor(comparison, run)}" for run in ranked[1:])
    yield (
        f"{best.mode} is the cheapest monitor that equals bare hardware: {_factor(comparison, best)} its cycles, "
        f"port I/O apart ({rest}). {_reason(best, ranked[1])}"
    )


def _factor(comparison: Comparison, run: Run, *apart: str) -> str:
    return times(comparison.slowdown(run, (PORTS, *apart)))


def _lucky(comparison: Comparison) -> Iterator[str]:
    """Equal without a promise: the guest has nothing that fails silently."""
    for run in _equal(comparison):
        if not run.result.promises_equivalence:
            yield (
                f"{run.mode} equals bare hardware here, at {_factor(comparison, run)}, but promises nothing: this "
                "guest executes nothing that would fail silently."
            )


def _translation(comparison: Comparison) -> Iterator[str]:
    """A cost that is paid once says little about a guest that runs for long."""
    for run in ranking(comparison):
        once = run.cycles.of(TRANSLATION)
        if once > MUCH / 2 * run.cycles.without_ports:
            yield (
                f"{run.mode} spends {once:,} cycles on translation, most of them once for each piece of code; "
                f"the longer the guest runs, the nearer it comes to {_factor(comparison, run, TRANSLATION)}."
            )


def _reason(best: Run, second: Run) -> str:
    """The activity in which the winner saves most against the runner-up."""
    activities = {item.activity for run in (best, second) for item in run.cycles.items} - {PORTS}
    saved = {name: second.cycles.of(name) - best.cycles.of(name) for name in activities}
    name = max(sorted(saved), key=saved.__getitem__)
    mine, others = best.cycles.of(name), second.cycles.of(name)
    return f"It saves most on {name}: {mine:,} cycles where {second.mode} spends {others:,}."


def _ports(comparison: Comparison) -> Iterator[str]:
    """Said once, where the console drowns the rest."""
    bare = comparison.bare.cycles
    if bare.total and bare.of(PORTS) > MUCH * bare.total:
        share = 100 * bare.of(PORTS) / bare.total
        port, device = bare.profile["port"], bare.profile["device"]
        yield (
            f"Port I/O is {share:.0f}% of bare hardware's cycles: an access waits {port:,} cycles for a real bus, "
            f"while a virtual device answers in {device:,}. The techniques show in the rest."
        )


def dominant(run: Run) -> str:
    """What most of a run's cycles go to, port I/O apart."""
    spent = {name: cycles for name, cycles in run.cycles.by.items() if name != PORTS}
    if not spent:
        return f"{run.mode} did nothing that costs anything."
    activity = max(spent, key=spent.__getitem__)
    top = max((item for item in run.cycles.items if item.activity == activity), key=lambda item: item.cycles)
    share = f"{run.mode}: {100 * spent[activity] / run.cycles.without_ports:.0f}% of its cycles are"
    if activity == INSTRUCTIONS:
        return f"{share} the guest's own instructions."
    return (
        f"{share} for {activity}, above all {_named(top)} at {top.each:,} cycles each ({_formula(run, top)})."
    )


def _named(item: Item) -> str:
    """A priced figure as a person would say it."""
    figure, count = item.figure, item.count
    for prefix, words in NAMED:
        if figure.startswith(prefix):
            return _plural(count, words.format(figure.removeprefix(prefix)))
    if figure in BY_NAME or figure.startswith("int 0x"):
        return _plural(count, f"trap(s) at `{figure}`")
    return f"{count:,} {figure}"


def _plural(count: int, words: str) -> str:
    """`s` is where the words want an s for more than one."""
    return f"{count:,} {words.replace('(s)', '' if count == 1 else 's')}"


def _formula(run: Run, item: Item) -> str:
    profile = run.cycles.profile
    named = [name.replace("_", " ") for name in item.constants]
    if len(named) == 1:
        return named[0]
    return " + ".join(f"{name} {profile[key]:,}" for name, key in zip(named, item.constants, strict=True))
