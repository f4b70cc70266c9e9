"""Every innocuous instruction against Unicorn (QEMU's translator): registers, flags, memory, faults.

Cases are generated at run time from the instruction table. `VMSIM_SEED` repeats a run, `VMSIM_CASES` makes
it longer. Divergences that are accepted stand in `known.toml` with the reason and who is right.
"""

from __future__ import annotations

import os
import tomllib
import warnings
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from cases import FS_BASE, GS_BASE, IMAGE_SIZE, TESTABLE, Case, case, encodings, image
from oracle import Oracle
from unicorn_child import changed

from isa import consts as c
from isa.cpu import Cpu
from isa.disasm import format_insn
from isa.exits import ALL_VECTORS, TrapPolicy
from isa.faults import Fault
from isa.insn import Kind
from isa.memory import PhysicalMemory, Ram
from isa.segment import encode_descriptor
from isa.state import ATTR, BASE, EFLAGS, EIP, FLAT_CODE, FLAT_DATA, LIMIT, SEL
from isa.table import ROWS

pytest.importorskip("unicorn")

SEED = int(os.environ.get("VMSIM_SEED", "0")) or Random().randrange(1, 1 << 32)
CASES = int(os.environ.get("VMSIM_CASES", "24000"))
BATCH = 1000
CODE_AT, CODE_SIZE, GDT_AT = 0x10_0000, 0x10000, 0x20_0000
KNOWN = tomllib.loads(Path(__file__).with_name("known.toml").read_text())["divergence"]
COMPARED = c.ARITHMETIC | c.DF
SHIFTS = frozenset({"shl", "shr", "sar", "shld", "shrd"})
ROTATES = frozenset({"rol", "ror", "rcl", "rcr"})

# selector → base, attributes. 16-bit code has its own base, so that EIP is below 64 KB.
DESCRIPTORS = {
    0x08: (0, FLAT_CODE),
    0x10: (0, FLAT_DATA),
    0x18: (CODE_AT, FLAT_CODE & ~c.ATTR_DB),
    0x20: (0, FLAT_DATA & ~c.ATTR_DB),
    0x28: (FS_BASE, FLAT_DATA),
    0x30: (GS_BASE, FLAT_DATA),
}


def selectors(bits: int, stack: int) -> dict[str, int]:
    flat = dict.fromkeys(("ds", "es"), 0x10)
    ss = 0x10 if stack == 32 else 0x20
    return {**flat, "ss": ss, "fs": 0x28, "gs": 0x30, "cs": 0x08 if bits == 32 else 0x18}


def descriptor_table() -> bytes:
    table = bytearray(0x38)
    for selector, (base, attr) in DESCRIPTORS.items():
        low, high = encode_descriptor(base, c.M32, attr)
        table[selector : selector + 8] = low.to_bytes(4, "little") + high.to_bytes(4, "little")
    return bytes(table)


class Unmapped(Exception):
    """The case touches memory that is not there: it shows nothing."""


class StrictMemory(PhysicalMemory):
    """RAM for image and code, and nothing in between."""

    def frame(self, number: int) -> int:
        at = number << 12
        return at if at < IMAGE_SIZE or CODE_AT <= at < CODE_AT + CODE_SIZE else -1

    def read(self, address: int, size: int) -> int:
        raise Unmapped

    def write(self, address: int, value: int, size: int) -> None:
        raise Unmapped


class Ours:
    """The reference engine, one case at a time."""

    def __init__(self, picture: bytes) -> None:
        self.ram = Ram(CODE_AT + CODE_SIZE)
        self.ram.write(0, picture)
        self.picture = picture
        self.cpu = Cpu(StrictMemory(self.ram), policy=TrapPolicy(exceptions=ALL_VECTORS))
        self.native = os.environ.get("VMSIM_ENGINE") == "native"  # these cases prove that engine, too

    def prepare(self, bits: int, stack: int) -> None:
        s = self.cpu.s
        for name, selector in selectors(bits, stack).items():
            n = c.SEGMENT_NAMES.index(name)
            s[SEL + n], s[LIMIT + n] = selector, c.M32
            s[BASE + n], s[ATTR + n] = DESCRIPTORS[selector]
        self.cpu.sync()

    def run(self, k: Case) -> tuple | None:
        """The answer in the child's terms; None for a case that shows nothing."""
        s = self.cpu.s
        start = k.slot if k.bits == 16 else CODE_AT + k.slot
        self.ram.write(CODE_AT + k.slot, k.insn.raw + b"\x90" * (16 - k.insn.length))
        s[:8] = type(s)("I", k.registers)
        s[EIP], s[EFLAGS] = start, k.eflags
        self.cpu.sync()
        vector = -1
        try:
            while s[EIP] == start:
                fault = self.step()
                if fault is not None:
                    vector = fault.vector
                    break
                if not (k.insn.rep and k.is_string):
                    break
        except Unmapped:
            return None
        finally:
            pieces = self.changes()
        return list(s[:8]), s[EIP], s[EFLAGS], pieces, vector, 0

    def step(self) -> Fault | None:
        """One instruction; the fault it ends in."""
        if self.native and not self.cpu.s[EFLAGS] & (c.TF | c.RF):
            return self.cpu.run(self.cpu.count + 1).fault
        return self.cpu.execute()[1]

    def changes(self) -> list[tuple[int, bytes]]:
        memory = bytes(self.ram.data[:IMAGE_SIZE])
        if memory == self.picture:
            return []
        self.ram.data[:IMAGE_SIZE] = self.picture
        return changed(self.picture, memory)


def undefined(k: Case) -> int:
    """The flags that the SDM leaves undefined in this case; a row's mask is for any operands."""
    mask, name = k.row.undefined, k.row.name
    if name not in SHIFTS | ROTATES:
        return mask
    last = k.insn.operands[-1]
    count = (last.value if last.kind is Kind.IMM else k.registers[c.ECX]) & 31
    if count == 0:
        return 0
    if count == 1:
        mask &= ~c.OF
    if (count <= k.insn.w and name in ("shld", "shrd")) or count < k.insn.w:
        mask &= ~c.CF
    return mask


def difference(k: Case, ours: tuple, theirs: tuple) -> dict[str, tuple]:
    """What differs, by name: (ours, theirs)."""
    names = c.REGISTER_NAMES
    found = {n: (x, y) for n, x, y in zip(names, ours[0], theirs[0], strict=True) if x != y}
    if ours[4] != theirs[4]:
        found["vector"] = (ours[4], theirs[4])
    if theirs[5]:
        found["error"] = (0, theirs[5])
    if ours[1] != theirs[1] and ours[4] == -1:
        found["eip"] = (ours[1], theirs[1])
    compared = COMPARED & ~undefined(k) if ours[4] == -1 else 0
    for name, bit in c.FLAG_BITS.items():
        if (ours[2] ^ theirs[2]) & bit & compared:
            found[name] = (bool(ours[2] & bit), bool(theirs[2] & bit))
    if ours[3] != theirs[3]:
        found["memory"] = (brief(ours[3], theirs[3]), brief(theirs[3], ours[3]))
    return found


def brief(mine: list, other: list) -> str:
    return " ".join(f"{at:#x}:{data.hex()}" for at, data in mine if (at, data) not in other)


def known(k: Case, ours: tuple, found: dict) -> dict | None:
    """The entry of `known.toml` that covers this divergence."""
    facts = {
        "row": k.row.name,
        "width": k.insn.w,
        "address_width": k.insn.aw,
        "bits": k.bits,
        "stack": k.stack,
        "segment": k.insn.segment,
        "vector": ours[4],
        "lock": k.insn.lock,
        "both_repeats": {0xF2, 0xF3} <= set(k.insn.raw[:-1]),
    }
    for entry in KNOWN:
        covered = "differs" not in entry or set(found) <= set(entry["differs"])
        covered = covered and set(entry.get("needs", ())) <= set(found)
        if covered and all(facts[key] in entry[key] for key in facts if key in entry):
            return entry
    return None


def describe(k: Case, found: dict) -> str:
    text = format_insn(k.insn, k.slot, bits=k.bits)
    registers = " ".join(f"{n}={x:x}" for n, x in zip(c.REGISTER_NAMES, k.registers, strict=True))
    changes = "; ".join(f"{n}: ours {show(x)}, unicorn {show(y)}" for n, (x, y) in found.items())
    return f"{k.insn.raw.hex()} {text} [{k.bits}/{k.stack}] {registers} eflags={k.eflags:x}\n    {changes}"


def show(x: object) -> str:
    return f"{x:#x}" if type(x) is int else str(x)


class Tally:
    def __init__(self) -> None:
        self.run: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self.crashes = 0
        self.wrong: dict[str, list[str]] = {}

    def add(self, k: Case, ours: tuple, theirs: tuple | None) -> None:
        if theirs is None:
            self.crashes += 1
            return
        self.run[k.row.name] += 1
        found = difference(k, ours, theirs)
        if not found:
            return
        entry = known(k, ours, found)
        if entry:
            self.accepted[entry["title"]] += 1
        else:
            self.wrong.setdefault(k.row.name, []).append(describe(k, found))

    def report(self) -> str:
        lines = [f"VMSIM_SEED={SEED}: {sum(map(len, self.wrong.values()))} divergences"]
        for name, texts in sorted(self.wrong.items()):
            lines.append(f"-- {name}: {len(texts)} of {self.run[name]}")
            lines += texts[:3]
        return "\n".join(lines)


def batches(random: Random, ours: Ours, tally: Tally, bits: int, stack: int, wanted: int):
    """Lists of (case, our answer), ready for the oracle."""
    ours.prepare(bits, stack)
    ready: list[tuple[Case, tuple]] = []
    done = 0
    for insn in encodings(random, bits):
        k = case(random, insn, bits, stack)
        k.slot = 16 * len(ready)
        answer = ours.run(k)
        if answer is None:
            tally.dropped[k.row.name] += 1
            continue
        ready.append((k, answer))
        done += 1
        if len(ready) == BATCH or done == wanted:
            yield ready
            ready = []
        if done == wanted:
            return


def compare(bits: int, stack: int, wanted: int) -> Tally:
    random = Random(SEED + bits + stack)
    picture = image(random)
    setup = {"image": picture, "code_at": CODE_AT, "code_size": CODE_SIZE, "gdt_at": GDT_AT}
    setup["gdt"] = descriptor_table()
    tally = Tally()
    ours = Ours(picture)
    with Oracle(setup) as oracle:
        for batch in batches(random, ours, tally, bits, stack, wanted):
            base = CODE_AT if bits == 16 else 0
            answers = oracle.ask(selectors(bits, stack), base, [k.wire() for k, _ in batch])
            for (k, mine), theirs in zip(batch, answers, strict=True):
                tally.add(k, mine, theirs)
    return tally


@pytest.mark.parametrize(("bits", "stack", "share"), [(32, 32, 6), (16, 16, 1), (32, 16, 1)])
def test_every_innocuous_instruction_agrees(bits, stack, share, record_property):
    tally = compare(bits, stack, CASES * share // 8)
    counts = {"cases": sum(tally.run.values()), "crashes": tally.crashes, "accepted": dict(tally.accepted)}
    counts["dropped"] = sum(tally.dropped.values())
    for name, n in counts.items():
        record_property(name, n)
    print(f"VMSIM_SEED={SEED} {bits}/{stack}: {counts}")
    if tally.crashes:
        warnings.warn(f"VMSIM_SEED={SEED}: Unicorn died on {tally.crashes} cases, skipped", stacklevel=1)
    assert not tally.wrong, tally.report()
    missing = {ROWS[n].name for n in TESTABLE} - set(tally.run)
    assert share == 1 or not missing, f"never run: {missing}"


def test_a_case_that_kills_unicorn_costs_only_itself():
    """LOCK BT with a register operand aborts the process of Unicorn 2.1.4."""
    nop = (0, b"\x90", [0] * 8, c.FLAGS_ONE, False)
    killer = (16, bytes.fromhex("f00fa3c0"), [0] * 8, c.FLAGS_ONE, False)
    picture = bytes(IMAGE_SIZE)
    setup = {"image": picture, "code_at": CODE_AT, "code_size": CODE_SIZE, "gdt_at": GDT_AT}
    with Oracle({**setup, "gdt": descriptor_table()}) as oracle:
        answers = oracle.ask(selectors(32, 32), 0, [nop, killer, nop])
        assert answers[0] is not None and answers[2] is not None
        assert oracle.crashes == answers.count(None) <= 1
