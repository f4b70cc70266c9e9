"""The x87 part of `verify`: every encoding over the edges of every format, in every engine."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from compare import SHOWN, Tally
from x87_cases import Answer, Case
from x87_compare import verdict
from x87_oracles import Hardware, Softfloat
from x87_processor import X87

from isa.table import ROWS

BATCH = 1000


def judge() -> Hardware | Softfloat:
    """The processor that runs this, or else Unicorn."""
    return Hardware() if Hardware.available() else Softfloat()


def verify_x87(
    wanted: int,
    seed: int,
    engines: tuple[str, ...],
    oracle: Hardware | Softfloat,
    progress: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """`wanted` cases."""
    random, tally = Random(seed), Tally()
    reference, others = X87("reference"), {name: X87(name) for name in engines}
    while tally.judged < wanted:
        asked = oracle.cases(random, BATCH)
        for k, theirs in zip(asked, oracle.ask(asked), strict=True):
            if theirs is None:
                tally.crashes += 1
                continue
            mine = reference.run(k)
            tally.rows[ROWS[k.insn.row].name] += 1
            for name, processor in others.items():
                other = processor.run(k)
                if other == mine:
                    tally.agreed[name] += 1
                else:
                    _wrong(tally, k, mine, other, ("reference", name))
            title, found = verdict(oracle.name, oracle.ignored, k, mine, theirs)
            if found and not title:
                _wrong(tally, k, mine, theirs, ("vmsim", oracle.name))
                continue
            tally.agreed["reference"] += 1
            if title:
                tally.accepted[title] += 1
        progress(tally)
    return tally


def _wrong(tally: Tally, k: Case, mine: Answer, other: Answer, names: tuple[str, str]) -> None:
    texts = tally.wrong.setdefault(k.name, [])
    row = ROWS[k.insn.row]
    rule = f"   {k.describe()}\n   {names[0]:9} {mine}\n   {names[1]:9} {other}\n   rule  {row.doc} (SDM {row.sdm})"
    texts.append(rule if len(texts) < SHOWN else "")
