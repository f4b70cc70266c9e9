"""What two answers to an x87 case may differ in, and what they may not."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

from x87_cases import IMAGES, TRANSCENDENTAL, Answer, Case

from isa import consts as c

KNOWN = tomllib.loads(Path(__file__).with_name("known.toml").read_text())
STATUS_PARTS = {
    "exceptions": c.FSW_EXCEPTIONS | c.FSW_SF | c.FSW_ES | c.FSW_B,
    "C1": c.FSW_C1,
    "C0 C2 C3": c.FSW_C0 | c.FSW_C2 | c.FSW_C3,
    "TOP": c.FSW_TOP,
}
ANSWERS = c.ZF | c.PF | c.CF
OTHERS = c.OF | c.SF | c.AF


def difference(k: Case, ours: Answer, theirs: Answer) -> dict[str, tuple]:
    """What is not the same; after a fault nothing has happened, so there is nothing to compare."""
    if ours.vector != theirs.vector:
        return {"vector": (ours.vector, theirs.vector)}
    if ours.vector >= 0:
        return {}
    found: dict[str, tuple] = {}
    for part, mask in STATUS_PARTS.items():
        if (ours.status ^ theirs.status) & mask:
            found[part] = (f"{ours.status:04x}", f"{theirs.status:04x}")
    if ours.stack != theirs.stack:
        pairs = list(zip(ours.stack, theirs.stack, strict=True))
        found["stack"] = tuple(f"st{n}: {show(x)} {show(y)}" for n, (x, y) in enumerate(pairs) if x != y)
    for name, x, y in (
        ("control", ours.control, theirs.control),
        ("eflags", ours.eflags & ANSWERS, theirs.eflags & ANSWERS),
        ("other flags", ours.eflags & OTHERS, theirs.eflags & OTHERS),
        ("ax", ours.ax, theirs.ax),
        ("opcode", ours.opcode, theirs.opcode or ours.opcode),  # a system may lose it at a task switch
    ):
        if x != y:
            found[name] = (f"{x:x}", f"{y:x}")
    mine, other = (bytes(comparable(k, answer.memory)) for answer in (ours, theirs))
    if mine != other:
        found["memory"] = (mine[:32].hex(), other[:32].hex())
    return found


def comparable(k: Case, memory: bytes) -> bytearray:
    """Memory without the pointers of an environment."""
    data = bytearray(memory)
    if k.name in IMAGES:
        first, last = (6, 14) if k.insn.w == 16 else (12, 28)
        data[first:last] = bytes(last - first)
    return data


def show(x: int | None) -> str:
    return "empty" if x is None else f"{x:020x}"


def one_place(ours: Answer, theirs: Answer) -> bool:
    """Whether the registers differ by a unit in the last place at most."""

    def near(x: int | None, y: int | None) -> bool:
        if x is None or y is None:
            return x == y
        return x >> 79 == y >> 79 and abs(ordered(x) - ordered(y)) <= 1

    return all(near(x, y) for x, y in zip(ours.stack, theirs.stack, strict=True))


def ordered(x: int) -> int:
    """The magnitude as a number that grows by one from each extended real to the next."""
    exponent, m = x >> 64 & 0x7FFF, x & ((1 << 64) - 1)
    return (max(exponent, 1) - 1 << 63) + m


class Tally:
    """Differences, sorted into what is accepted and what is wrong."""

    def __init__(self, oracle: str, ignored: frozenset[str] = frozenset()) -> None:
        self.known = KNOWN[oracle]
        self.ignored = ignored  # parts that the oracle does not get right at all
        self.accepted: Counter[str] = Counter()
        self.last_place = 0
        self.wrong: dict[str, list[str]] = {}

    def add(self, k: Case, ours: Answer, theirs: Answer) -> None:
        found = {part: x for part, x in difference(k, ours, theirs).items() if part not in self.ignored}
        if k.name in TRANSCENDENTAL and set(found) <= {"stack", "C1"} and one_place(ours, theirs):
            self.last_place += "stack" in found
            return
        if not found:
            return
        for entry in self.known:
            raised = entry.get("status", 0)  # what our status word must have
            if (
                k.insn.name in entry["names"]
                and set(found) <= set(entry["differs"])
                and ours.status & raised == raised
            ):
                self.accepted[entry["title"]] += 1
                return
        self.wrong.setdefault(k.name, []).append(f"{k.describe()}\n    {found}")

    def report(self) -> str:
        lines = []
        for name, texts in sorted(self.wrong.items()):
            lines += [f"-- {name}: {len(texts)}", *texts[:3]]
        return "\n".join(lines)
