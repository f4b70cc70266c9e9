"""What two answers to an x87 case may differ in, and what they may not."""

from __future__ import annotations

from accepted import accepted
from x87_cases import IMAGES, TRANSCENDENTAL, Answer, Case

from isa import consts as c

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


LAST_PLACE = "the last place of a transcendental function"


def verdict(oracle: str, ignored: frozenset[str], k: Case, ours: Answer, theirs: Answer) -> tuple[str, dict]:
    """Why a divergence is accepted, and what differs; nothing differs if that is empty."""
    found = {part: x for part, x in difference(k, ours, theirs).items() if part not in ignored}
    if found and k.name in TRANSCENDENTAL and set(found) <= {"stack", "C1"} and one_place(ours, theirs):
        return LAST_PLACE, found
    entry = accepted(oracle, {"name": k.insn.name, "status": ours.status}, found)
    return entry.title if entry is not None and found else "", found
