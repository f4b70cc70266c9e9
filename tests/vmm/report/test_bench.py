"""`vmsim bench`: figures, ratios and bars from known times; nothing here looks at the clock."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import cli
from vmm.image import Image
from vmm.report import bench, bench_kernels, bench_rows, packages
from vmm.report.bench_rows import ALL_COMPUTE, BOCHS, FASTEST, HANDLERS, QEMU, Findings, Ratio, Row
from vmm.report.contestants import Contestant, Failed, Qemu, Run, measure
from vmm.report.loops import COMPUTE, Loop, loops
from vmm.report.race import FEWEST, Figure, race
from vmm.report.words import Unknown

LOOP = Loop("alu", "a loop", Path("alu.asm"), 1000, "instructions")
START = 0.25


@dataclass(frozen=True)
class Known(Contestant):
    """Takes `START` seconds, and then does so many rounds of a loop in a second."""

    rate: float = 1.0
    fails: bool = False

    def command(self, image: Image, folder: Path) -> list[str]:
        return []

    def run(self, image: Image) -> Run:
        if self.fails:
            raise Failed("it would not")
        at = next(n for n in range(0, len(image.data), 4) if image.data[n : n + 2] == b"RO") + 4
        rounds = int.from_bytes(image.data[at : at + 4], "little")
        return Run(START + (rounds - FEWEST) / self.rate, 1.0, b"0x00000000\n")


@pytest.fixture(autouse=True)
def marked_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images that only say how many rounds there are."""

    def image(self: Loop, rounds: int) -> Image:
        return Image("x", Path("x"), 0, 0, b"RO\0\0" + rounds.to_bytes(4, "little"))

    monkeypatch.setattr(Loop, "image", image)


def said(_text: str) -> None:
    """Progress that nobody reads."""


def test_a_rate_is_work_over_time_without_the_start() -> None:
    slow, fast = race(LOOP, [Known("slow", 1, rate=500), Known("fast", 1, rate=2000)], 3, 2.0, 0, said)
    assert slow.rates == pytest.approx([500_000] * 3)
    assert fast.value == pytest.approx(2_000_000)
    assert fast.spread == pytest.approx((2_000_000, 2_000_000))
    assert slow.work == pytest.approx(500 * 2.0 * 1000, rel=0.01)  # a run takes the wanted time


def test_one_that_compiles_does_at_least_the_wanted_work() -> None:
    contestants = [Known("interpreter", 1, rate=500), Known("translator", 1, True, rate=500)]
    plain, compiling = race(LOOP, contestants, 1, 1.0, 10_000_000, said)
    assert plain.work == pytest.approx(500_000, rel=0.01)
    assert compiling.work == 10_000_000


def test_the_number_of_rounds_is_found_from_far_away() -> None:
    for rate in (3, 3_000_000):
        (figure,) = race(LOOP, [Known("x", 1, rate=rate)], 1, 4.0, 0, said)
        assert figure.work == pytest.approx(rate * 4.0 * 1000, rel=0.1)


def test_one_that_fails_does_not_stop_the_others() -> None:
    good, bad = race(LOOP, [Known("good", 1), Known("bad", 1, fails=True)], 2, 2.0, 0, said)
    assert bad.failure == "it would not" and not bad.rates
    assert len(good.rates) == 2
    assert bench_rows.rows_of("alu", "mips", "", [good, bad])[0].engine == "good"
    assert bench_rows.ratios_of("alu", [good, bad]) == []


def test_ratios_are_taken_round_by_round() -> None:
    rates = {FASTEST: [10.0, 30.0, 20.0], QEMU: [10.0, 10.0, 10.0]}
    (found,) = bench_rows.ratios_of("alu", [Figure(name, values) for name, values in rates.items()])
    assert (found.first, found.second) == (FASTEST, QEMU)
    assert (found.value, found.low, found.high) == (2.0, 1.0, 3.0)
    assert found.bar == 1.15 and found.clears


def test_the_bars() -> None:
    """What is promised of the native engines, against whom."""
    for name in COMPUTE:
        assert bench_rows.ratio_bar(name, FASTEST, QEMU) == 1.15
        assert bench_rows.ratio_bar(name, HANDLERS, BOCHS) == 2.0
    assert bench_rows.ratio_bar("sysc", FASTEST, QEMU) == bench_rows.ratio_bar("pf", FASTEST, QEMU) == 6.0
    assert bench_rows.ratio_bar("repmovs", FASTEST, QEMU) == 1.0
    assert bench_rows.ratio_bar(ALL_COMPUTE, FASTEST, QEMU) == 1.5
    assert bench_rows.ratio_bar("float", FASTEST, QEMU) is None
    assert not Ratio("alu", FASTEST, QEMU, 1.1, 1.0, 1.2, 1.15).clears


def test_a_mean_needs_all_compute_loops() -> None:
    some = [Ratio(name, FASTEST, QEMU, 2.0, 1.0, 4.0) for name in COMPUTE[1:]]
    assert bench_rows.means(some) == []
    (mean,) = bench_rows.means([*some, Ratio(COMPUTE[0], FASTEST, QEMU, 2.0, 1.0, 4.0)])
    assert (mean.value, mean.low, mean.high) == pytest.approx((2.0, 1.0, 4.0))
    assert mean.bar == 1.5 and mean.clears


def test_less_time_is_better_and_more_events_are() -> None:
    assert Row("x", "y", "ms", 100, 90, 110, 200).clears
    assert not Row("x", "y", "mb", 300, 300, 300, 120).clears
    assert not Row("x", "y", "mips", 1, 1, 1, 2).clears
    assert Row("x", "y", "mips", 1, 1, 1).clears


def test_what_is_measured_can_be_chosen() -> None:
    plan = bench.plan_of(only="alu, traps")
    assert plan.loop("alu") and not plan.loop("crc")
    assert plan.wants(bench.LOOPS) and plan.wants(bench.TRAPS) and not plan.wants(bench.PROGRAM)
    everything = bench.plan_of(peers=True)
    assert everything.rounds == 3 and bench.plan_of().rounds == 1
    assert all(everything.wants(part) for part in bench.PARTS) and everything.loop("crc")
    with pytest.raises(Unknown, match=r"`alus`.*alu, sieve"):
        bench.plan_of(only="alus")


# -- the command ------------------------------------------------------------------------------------------------


def vmsim(*arguments: str) -> Result:
    result = CliRunner().invoke(cli.cli, list(arguments), prog_name="vmsim")
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Contestants and programs whose times are known."""
    seconds = itertools.cycle((0.1, 0.3, 0.2))
    monkeypatch.setattr(
        bench, "ours", lambda loop: [Known(FASTEST, 1, True, 3000), Known(HANDLERS, 1, rate=900)]
    )
    monkeypatch.setattr(bench, "peers", lambda: [Known(QEMU, 1, rate=1000), Known(BOCHS, 1, fails=True)])
    monkeypatch.setattr(bench, "Vmsim", lambda name, nominal, **_: Known(name, nominal, rate=1000))
    monkeypatch.setattr(bench, "measure", lambda *_: (Run(next(seconds), 50.0, b""), b""))
    monkeypatch.setattr(bench_kernels, "minos", lambda engine: 2.0)
    monkeypatch.setattr(bench_kernels, "minos_on_qemu", lambda: 0.5)
    monkeypatch.setattr(bench_kernels, "present", lambda: iter(()))
    monkeypatch.setattr(Qemu, "available", lambda self: True)
    yield


@pytest.mark.usefixtures("known")
def test_the_document_has_the_promised_names() -> None:
    data = json.loads(vmsim("bench", "--peers", "--json").stdout)
    assert {"schema", "rows", "ratios"} <= set(data)
    rows = {(row["name"], row["engine"]): row for row in data["rows"]}
    for loop in loops():
        row = rows[loop.name, FASTEST]
        scale = 1e-6 if loop.unit == "mips" else 1
        assert row[loop.unit] == pytest.approx(3000 * loop.work * scale)
        assert row["low"] == pytest.approx(row["high"])
        assert row["what"] == loop.what
        assert data["ratios"][f"{loop.name}: {FASTEST} / {QEMU}"] == pytest.approx(3.0)
    assert data["ratios"][f"{ALL_COMPUTE}: {FASTEST} / {QEMU}"] == pytest.approx(3.0)
    assert {"name": f"sysc: {FASTEST} / {QEMU}", "value": 3.0, "bar": 6.0, "clears": False} in data["bars"]
    (hello,) = [row for row in data["rows"] if row["name"] == "vmsim run hello" and "ms" in row]
    assert hello["ms"] == 200 and hello["bar"] == 200 and hello["clears"]
    assert rows["minos", QEMU]["seconds"] == 0.5
    assert {"name": "alu", "engine": BOCHS, "why": "it would not"} in data["failures"]
    traps = [row for row in data["rows"] if row["name"] == "flags, traps"]
    assert {(row["engine"], row["bar"]) for row in traps} == {
        ("full", 5e6),
        ("naive", None),
        ("rewrite", 5e6),
    }


@pytest.mark.usefixtures("known")
def test_the_screen_shows_bars_beside_figures() -> None:
    shown = click.unstyle(vmsim("bench", "--peers").stdout)
    assert "3.00× ≥ 1.15" in shown and "3.00× ≥ 6" in shown
    assert "alu on bochs: it would not" in shown
    assert "vmsim run hello" in shown and "≤ 200" in shown
    assert shown.index("loops:") < shown.index("under each monitor") < shown.index("whole kernels")


@pytest.mark.usefixtures("known")
def test_without_peers_only_what_is_ours_is_run() -> None:
    data = json.loads(vmsim("bench", "--only", "alu,program", "--json").stdout)
    assert {row["engine"] for row in data["rows"]} == {FASTEST, HANDLERS, "auto"}
    assert data["ratios"] == {}


def test_an_unknown_name_is_a_wrong_command_line() -> None:
    result = vmsim("bench", "--only", "nothing")
    assert result.exit_code == 2
    assert "there is nothing to measure named `nothing`; there are loops, traps" in result.output


# -- programs ---------------------------------------------------------------------------------------------------


def test_a_program_is_measured_to_its_end() -> None:
    run, output = measure([sys.executable, "-c", "import os; print(os.environ['X'])"], {"X": "hello"})
    assert output == b"hello\n"
    assert run.seconds > 0 and run.megabytes > 1


def test_a_program_may_be_ended_by_what_it_writes(tmp_path: Path) -> None:
    path = tmp_path / "console"
    script = f"import time; open({str(path)!r}, 'w').write('here we are'); time.sleep(100)"
    run, _ = measure([sys.executable, "-c", script], {}, until=(path, b"we are"))
    assert run.seconds > 0


def test_a_program_that_dies_is_a_failure() -> None:
    with pytest.raises(Failed, match="signal 9"):
        measure([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], {})


def test_the_kernels_of_packages_are_found_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "PLACES", ())
    monkeypatch.setenv("VMSIM_KERNELS", f"{tmp_path / 'nowhere'}:{tmp_path}")
    assert list(bench_kernels.present()) == []
    for name in ("memtest86+ia32.bin", "grub.img"):  # and no bios.bin, without which GRUB does not start
        (tmp_path / name).touch()
    ((kernel, files),) = bench_kernels.present()
    assert kernel.name == "memtest86+" and files["file"].parent == tmp_path


def test_a_kernel_of_a_package_takes_what_the_two_of_them_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command lines fit: each kernel starts on ours and on QEMU, with all that it needs."""
    asked: list[list[str]] = []

    def note(command: list[str], *_: object, until: object = None) -> tuple[Run, bytes]:
        asked.append(command)
        return Run(1.0, 1.0, b""), b"no goal"

    monkeypatch.setattr(bench_kernels, "measure", note)
    for kernel in bench_kernels.KERNELS:
        files = {name: tmp_path / name for name in ("file", *kernel.files)}
        files["file"].write_bytes(b"")
        (tmp_path / "userland").mkdir(exist_ok=True)
        for action in (
            lambda k=kernel, f=files: bench_kernels.ours(k, f, FASTEST),
            lambda k=kernel, f=files: bench_kernels.on_qemu(k, f),
        ):
            with pytest.raises(Failed):
                action()
            assert str(files["file"]) in " ".join(asked[-1])
            assert not any("{" in word for word in asked[-1])


def test_nothing_found_shows_nothing() -> None:
    from vmm.report.bench_table import parts

    assert list(parts(bench.LOOPS, Findings())) == []
