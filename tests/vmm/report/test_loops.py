"""The loops of `vmsim bench`: what their headers say is true, and they end alike wherever they run."""

from __future__ import annotations

import zlib

import pytest

from vmm.machine import Machine, Outcome
from vmm.report.bench import peers
from vmm.report.bench_rows import UNICORN
from vmm.report.contestants import Contestant, Failed, Vmsim
from vmm.report.loops import COMPUTE, INSTRUCTIONS, ORDER, Loop, loops

LOOPS = {loop.name: loop for loop in loops()}
NEED_TRAPS = ("sysc", "pf")  # and Unicorn delivers none
LONG = 50_000_000


def run(loop: Loop, rounds: int) -> tuple[int, str]:
    """Instructions, and what was printed."""
    result = Machine(loop.image(rounds)).run(LONG)
    assert result.outcome is Outcome.SUCCESS, result.text
    return result.instructions, result.console


def test_every_loop_has_its_place() -> None:
    assert tuple(LOOPS) == ORDER
    assert set(COMPUTE) <= {name for name, loop in LOOPS.items() if loop.what == INSTRUCTIONS}


@pytest.mark.parametrize("name", LOOPS)
def test_a_round_is_always_the_same_work(name: str) -> None:
    """And as much as the header says, where that is instructions; the checksum depends on all of it."""
    loop = LOOPS[name]
    counts, printed = zip(*(run(loop, rounds) for rounds in (1, 2, 4)), strict=True)
    a_round = counts[1] - counts[0]
    assert counts[2] - counts[1] == 2 * a_round
    if loop.what == INSTRUCTIONS:
        assert a_round == loop.work
    else:
        assert a_round >= loop.work
    assert len(set(printed)) == len(printed) or name == "sieve"  # which starts anew in each round


def test_the_results_are_right() -> None:
    """Where it is known what they must be: primes below 65,536, Fibonacci's number, a CRC."""
    text = bytes(n * n + (n >> 8) & 0xFF for n in range(0x4000))
    for name, expected in (("sieve", 6542), ("fib", 6765), ("crc", zlib.crc32(text))):
        assert run(LOOPS[name], 1)[1] == f"{expected:#010x}\n"


@pytest.mark.parametrize("contestant", peers(), ids=lambda contestant: contestant.name)
@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_prints_the_same_on_a_peer(name: str, contestant: Contestant) -> None:
    loop = LOOPS[name]
    if contestant.name == UNICORN and name in NEED_TRAPS:
        with pytest.raises(Failed, match="CPU exception"):
            contestant.run(loop.image(2))
        return
    assert contestant.run(loop.image(2)).checksum.decode() == run(loop, 2)[1]


def test_the_command_is_a_contestant_too() -> None:
    loop = LOOPS["alu"]
    found = Vmsim("ours", 1, engine="reference").run(loop.image(2))
    assert found.checksum.decode() == run(loop, 2)[1]
    assert found.seconds > 0 and found.megabytes > 1


def test_a_contestant_that_does_not_arrive_says_so() -> None:
    loop = LOOPS["alu"]
    broken = loop.image(1)
    entry = broken.entry - broken.origin
    data = broken.data[:entry] + b"\x0f\x0b" + broken.data[entry + 2 :]  # UD2
    with pytest.raises(Failed, match=r"triple|exception"):
        Vmsim("ours", 1, engine="reference").run(type(broken)(**{**vars(broken), "data": data}))
