"""`make verify`: millions of random cases through every engine, each compared with Unicorn.

A case is an instruction of any row of the table with its operands, or a few instructions in a row, whose
registers, flags, memory and fault all enter the comparison. The reference engine's answer is compared with
Unicorn's, but for what the SDM leaves undefined and `accepted` excuses; every other engine's must be the
reference engine's to the last bit, reached in exactly as many instructions.

    VMSIM_CASES=N     how many, for each engine
    VMSIM_SEED=N      the same again
    VMSIM_ENGINES=a,b which engines besides the reference
"""

from __future__ import annotations

import os
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from random import Random, SystemRandom

from cases import IMAGE_SIZE, Form, forms, image, state, values
from compare import SHOWN, Case, Found, Setting, Tally, describe, difference, excuse, same, shrink
from oracle import Oracle
from processor import CODE_AT, CODE_SIZE, GDT_AT, Processor, Unmapped, descriptor_table, selectors
from unicorn_child import SLOT
from x87_oracles import Hardware
from x87_verify import judge, verify_x87

from isa.cpu import ENGINES
from isa.engine.native import available

SETTINGS = {Setting(32, 32): 6, Setting(16, 16): 3, Setting(32, 16): 1}  # and their shares
FORMS, STATES = 128, 100  # in a batch, and of a form: compiling one costs more than running it
NATIVE = tuple(name for name in ENGINES if name not in ("auto", "reference") and available())
X87_SHARE = 1
FENCE = b"\xeb\xfe"  # jmp to itself
CASES = 5_500_000  # enough for five million in each engine
Progress = Callable[[Tally], None]


def quiet(tally: Tally) -> None:
    """No progress is shown."""


def tier(engine: str) -> type[Processor]:
    """What runs cases in an engine. Native ones need what is not everywhere."""
    if engine == "reference":
        return Processor
    from tiers import Handlers, Regions

    return Handlers if engine == "handlers" else Regions


class Comparison:
    """The engines and Unicorn, side by side, in one setting."""

    def __init__(self, setting: Setting, seed: int, engines: tuple[str, ...], states: int = STATES) -> None:
        self.setting = setting
        self.states = states
        self.random = Random(seed * 64 + setting.bits + setting.stack // 16)
        self.reference = Processor("reference", setting.bits, setting.stack)
        self.engines = {name: tier(name)(name, setting.bits, setting.stack) for name in engines}
        self.tally = Tally()
        setup = {
            "code_at": CODE_AT,
            "code_size": CODE_SIZE,
            "size": IMAGE_SIZE,
            "gdt_at": GDT_AT,
            "gdt": descriptor_table(),
            "selectors": selectors(setting.bits, setting.stack),
            "base": CODE_AT if setting.bits == 16 else 0,
        }
        self.oracle = Oracle(setup)

    def run(self, wanted: int, progress: Progress = quiet) -> Tally:
        """`wanted` cases that show something."""
        source = forms(self.random, self.setting.bits)
        with self.oracle:
            while self.tally.judged < wanted:
                self.batch(list(islice(source, FORMS)))
                self.tally.regions = sum(engine.entered for engine in self.engines.values())
                progress(self.tally)
        return self.tally

    def batch(self, chosen: list[Form]) -> None:
        """Some forms, each from several states: Unicorn works while we do."""
        random, stack = self.random, self.setting.stack
        supply = values(random, 1 << 10)
        self.picture = image(random, supply)
        self.code = laid_out(form.code for form in chosen)
        asked = [
            Case(slot, form, state(random, form, stack, supply))
            for slot, form in enumerate(chosen)
            for _ in range(self.states)
        ]
        self.oracle.send((self.picture, self.code), [question(k) for k in asked])
        for processor in (self.reference, *self.engines.values()):
            processor.load(self.picture, self.code, chosen)
        answers = [self.reference.run(k.slot, k.form, k.state) for k in asked]
        others = {
            name: [
                mine and processor.run(k.slot, k.form, k.state, mine)
                for k, mine in zip(asked, answers, strict=True)
            ]
            for name, processor in self.engines.items()
        }
        crashes = self.oracle.crashes
        theirs = self.oracle.receive()
        self.tally.crashes += self.oracle.crashes - crashes
        for n, (k, mine) in enumerate(zip(asked, answers, strict=True)):
            self.judge(k, mine, theirs[n], {name: found[n] for name, found in others.items()})

    def judge(self, k: Case, mine: tuple | None, theirs: tuple | None, others: dict) -> None:
        """Enter one case into the tally."""
        tally, name = self.tally, k.form.row.name
        if mine is None or theirs is None:
            tally.dropped += 1
            return
        tally.rows[name] += 1
        for engine, other in others.items():
            if other is not None and other[0] == mine[0] and other[1] == mine[1]:
                tally.agreed[engine] += 1
            else:
                self.wrong(k, difference(k, mine, other, exact=True), ("reference", engine))
        theirs = (array("I", theirs[0]), theirs[1])
        if same(k, mine, theirs):
            tally.agreed["reference"] += 1
            return
        culprit = k if len(k.form.insns) == 1 else self.first_wrong(k)
        first, (found, mine) = mine, self.again(culprit)
        ours_is_steady = culprit is not k or mine[:2] == first[:2]
        if (
            not found and ours_is_steady
        ):  # Unicorn runs past one instruction where it has translated its target uncounted before
            tally.unsteady += 1
            tally.agreed["reference"] += 1
            return
        entry = excuse(culprit, mine, found)
        if entry is not None:
            tally.accepted[entry.title] += 1
            tally.agreed["reference"] += 1
        else:
            self.wrong(culprit, found, ("vmsim", "unicorn"))

    # -- looking into a mismatch ----------------------------------------------------------------------

    def again(self, k: Case) -> tuple[Found, tuple]:
        """Run one case once more, on both sides: what differs, and our answer."""
        answer = self.reference.run(k.slot, k.form, k.state)
        (theirs,) = self.oracle.ask((self.picture, self.code), [question(k)])
        if answer is None or theirs is None:
            raise Unmapped
        return difference(k, answer, (array("I", theirs[0]), theirs[1])), answer

    def first_wrong(self, k: Case) -> Case:
        """The shortest beginning of a row of instructions that differs."""
        for n in range(1, len(k.form.insns)):
            shorter = Case(k.slot, Form(k.form.insns[:n], k.form.bits), k.state)
            if self.differs(shorter):
                return shorter
        return k

    def differs(self, k: Case) -> bool:
        try:
            return bool(self.again(k)[0])
        except Unmapped:
            return False

    def wrong(self, k: Case, found: Found, names: tuple[str, str]) -> None:
        """A mismatch that nothing excuses."""
        texts = self.tally.wrong.setdefault(k.form.row.name, [])
        text = ""
        if len(texts) < SHOWN:
            if names[1] == "unicorn":
                k = shrink(k, self.differs)
                found = self.again(k)[0]
            text = describe(k, self.setting, found, names, self.picture)
        texts.append(text)


def laid_out(codes: Iterable[bytes]) -> bytes:
    """Code in slots, each with a fence at its end, so that nobody looks into the next."""
    return b"".join((code + FENCE).ljust(SLOT, b"\x90") for code in codes).ljust(CODE_SIZE, b"\x90")


def question(k: Case) -> bytes:
    """A case as the child wants it."""
    length = 0 if k.form.one else len(k.form.code)
    return array("I", (k.slot, length, *k.state.registers, k.state.eflags)).tobytes()


def parts(
    cases: int, states: int = STATES
) -> Iterator[tuple[str, int, Callable[[int, int, tuple[str, ...], Progress], Tally]]]:
    """Name, number of cases, and what runs them: every setting, then the x87."""
    whole = sum(SETTINGS.values()) + X87_SHARE
    for setting, share in SETTINGS.items():
        yield str(setting), cases * share // whole, partial(compare, setting, states)
    oracle = "the processor at hand" if Hardware.available() else "Unicorn"
    yield f"x87, against {oracle}", cases * X87_SHARE // whole, compare_x87


def compare(
    setting: Setting,
    states: int,
    wanted: int,
    seed: int,
    engines: tuple[str, ...],
    progress: Progress = quiet,
) -> Tally:
    """One setting."""
    return Comparison(setting, seed, engines, states).run(wanted, progress)


def compare_x87(wanted: int, seed: int, engines: tuple[str, ...], progress: Progress = quiet) -> Tally:
    """The x87."""
    oracle = judge()
    try:
        return verify_x87(wanted, seed, engines, oracle, progress)
    finally:
        oracle.close()


# -- the command --------------------------------------------------------------------------------------------


class Line:
    """How far it is, on a terminal."""

    def __init__(self, name: str, wanted: int) -> None:
        self.name, self.wanted, self.began = name, wanted, time.monotonic()

    def __call__(self, tally: Tally) -> None:
        if sys.stderr.isatty():
            rate = tally.judged / (time.monotonic() - self.began)
            text = (
                f"{self.name}: {tally.judged:,} of {self.wanted:,}, {rate:,.0f}/s, {tally.mismatches} wrong"
            )
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()

    def clear(self) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\r\033[K")


def settings() -> tuple[int, int, tuple[str, ...]]:
    """Cases, seed and engines, as the environment has them."""
    seed = int(os.environ.get("VMSIM_SEED", "0")) or SystemRandom().randrange(1, 1 << 32)
    chosen = os.environ.get("VMSIM_ENGINES")
    engines = tuple(name for name in chosen.split(",") if name) if chosen is not None else NATIVE
    return int(os.environ.get("VMSIM_CASES", "0")) or CASES, seed, engines


def main() -> int:
    """Run everything; the exit status is 1 if anything is wrong."""
    cases, seed, engines = settings()
    print(f"VMSIM_SEED={seed} VMSIM_CASES={cases}; engines: reference {' '.join(engines)}", flush=True)
    agreed: Counter[str] = Counter()
    excuses: Counter[str] = Counter()
    mismatches = regions = 0
    for name, wanted, run in parts(cases):
        line = Line(name, wanted)
        tally = run(wanted, seed, engines, line)
        line.clear()
        print(f"{name}: {summary(tally)}", flush=True)
        if tally.wrong:
            print(tally.report(), flush=True)
        agreed += tally.agreed
        excuses += tally.accepted
        mismatches += tally.mismatches
        regions += tally.regions
    for engine, count in agreed.items():
        print(f"{engine}: {count:,} cases agree")
    print(f"in regions: {regions:,} cases")
    print(f"accepted divergences (tests/differential/accepted.py): {sum(excuses.values()):,}")
    for title, count in excuses.most_common():
        print(f"  {count:>9,}  {title}")
    print(
        f"unexplained mismatches: {mismatches:,}"
        + (f"; VMSIM_SEED={seed} repeats them" if mismatches else "")
    )
    return int(mismatches > 0)


def summary(tally: Tally) -> str:
    """One line about a part."""
    engines = ", ".join(f"{name} {count:,}" for name, count in tally.agreed.items())
    return (
        f"{tally.judged:,} cases of {len(tally.rows)} instructions; agree: {engines}; "
        f"{tally.regions:,} in regions; {tally.dropped:,} showed nothing, Unicorn died on {tally.crashes}, "
        f"answered {tally.unsteady} otherwise alone; "
        f"{tally.mismatches} wrong"
    )


if __name__ == "__main__":
    sys.exit(main())
