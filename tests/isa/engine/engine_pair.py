"""Running the same instructions in two engines, and comparing everything that can differ."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from random import Random

from engine_forms import Form

from isa.consts import ARITHMETIC, DF, ESP, FLAGS_ONE, IOPL
from isa.cpu import Cpu
from isa.decode import decode
from isa.engine.blocks import block_ir
from isa.engine.builder import ATTENTION, BUDGET, DONE, FAULT, GUARD, MEMORY
from isa.engine.native import Compiler, Context
from isa.engine.records import close_record, open_record
from isa.exits import Exit, Reason, TrapPolicy
from isa.faults import Fault
from isa.insn import Insn
from isa.memory import PhysicalMemory, Ram
from isa.model import MODELS
from isa.state import EFLAGS, EIP, FLAG_OP, FLAG_R, new_state

RAM_SIZE = 0x10000
CODE = 0x1000
EVERYTHING = TrapPolicy(exceptions=0xFFFF_FFFF)
INTERESTING = (0, 1, 2, 7, 8, 15, 16, 31, 32, 33, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF)
LARGE = (0x10000, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFF00, 0xFFFFFFFF, 0xFFFF0000)


def decode_all(code: bytes) -> list[Insn]:
    """Instructions that lie one after the other."""
    result = []
    while code:
        result.append(decode(code))
        code = code[result[-1].length :]
    return result


def decodable(forms: Iterable[Form]) -> Iterator[tuple[Form, list[Insn]]]:
    """The forms that are instructions, decoded."""
    for form in forms:
        with suppress(Fault):
            yield form, decode_all(form.code)


def random_word(r: Random) -> int:
    choice = r.randrange(8)
    if choice < 2:
        return r.choice(INTERESTING)
    if choice < 4:
        return r.choice(LARGE)
    if choice < 7:
        return r.randrange(0x4000, 0xC000)  # where memory operands find RAM
    return r.getrandbits(32)


def random_state(r: Random) -> array[int]:
    """Flat protected mode with anything in registers and flags."""
    s = new_state()
    for n in range(8):
        s[n] = random_word(r)
    if r.randrange(8):
        s[ESP] = r.randrange(0x4100, 0xBF00)
    s[EIP] = CODE
    s[EFLAGS] = FLAGS_ONE | r.getrandbits(32) & (ARITHMETIC | DF | IOPL)
    return s


class Pair:
    """A reference processor and native code, over two equal memories."""

    def __init__(
        self,
        seed: int,
        fill: Callable[[Random], bytes] = lambda r: r.randbytes(RAM_SIZE),
        state: Callable[[Random], array[int]] = random_state,
    ) -> None:
        self.random = Random(seed)
        self.state = state
        self.fill = fill(self.random)
        self.ram = Ram(RAM_SIZE)
        self.ram.write(0, self.fill)
        self.cpu = Cpu(PhysicalMemory(self.ram), policy=EVERYTHING, model=MODELS["p2"])
        self.native_ram = bytearray(self.fill)
        self.context = Context(self.native_ram)
        self.cases = 0
        self.reasons: dict[int, int] = {}

    def load(self, code: bytes) -> None:
        """Put code into both memories, everything else as it was at first."""
        self.code = code
        self.ram.write(0, self.fill)
        self.ram.write(CODE, code)
        self.native_ram[:] = self.ram.data
        self.cpu.engine.flush_tlb()

    def compare(self, function: object, instructions: Sequence[Insn], what: str, *, budget: int = 0) -> None:
        """One random state, one run of each, and the same result."""
        start = self.state(self.random)
        native = array("I", start)
        open_record(native)
        weight = budget or sum(i.weight for i in instructions)
        reason = self.context.run(function, native, weight)
        close_record(native)
        done = weight - self.context.left
        if self.native_ram[CODE : CODE + len(self.code)] != self.code:
            self.load(self.code)  # it wrote over itself, which a machine would have noticed
            return
        self.cases += 1
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        exit_ = self.reference(start, done + (reason not in (DONE, BUDGET, ATTENTION)))
        self.check(reason, exit_, native, what, start)

    def reference(self, start: array[int], count: int) -> Exit:
        cpu = self.cpu
        cpu.s[:] = start
        cpu.sync()
        cpu.count = 0
        if count:
            return cpu.run(count)
        return Exit(Reason.UNTIL)

    def check(self, reason: int, exit_: Exit, native: array[int], what: str, start: array[int]) -> None:
        expected = array("I", self.cpu.s)
        if reason in (GUARD, MEMORY):  # the reference has to run this instruction: take its result over
            where = native[EIP]
            assert CODE <= where < CODE + 256, what
            self.redo(native)
        elif reason >= FAULT:
            assert exit_.reason is Reason.FAULT, f"{what}: {exit_}"
            assert exit_.vector == reason - FAULT, what
        else:
            assert exit_.reason is Reason.UNTIL, f"{what}: {exit_} {start.tolist()[:10]}"
        native[FLAG_OP : FLAG_R + 1] = expected[FLAG_OP : FLAG_R + 1]
        if native != expected:
            different = [n for n in range(len(native)) if native[n] != expected[n]]
            lines = [f"word {n}: native {native[n]:#x}, reference {expected[n]:#x}" for n in different]
            raise AssertionError(f"{what}\nfrom {[hex(x) for x in start[:10]]}\n" + "\n".join(lines))
        if self.native_ram != bytes(self.ram.data):
            at = next(n for n in range(RAM_SIZE) if self.native_ram[n] != self.ram.data[n])
            raise AssertionError(f"{what}: memory differs at {at:#x}; from {[hex(x) for x in start[:10]]}")

    def redo(self, native: array[int]) -> None:
        """What the machine does after a cold exit: the reference runs one instruction from there."""
        again = Ram(RAM_SIZE)
        again.write(0, bytes(self.native_ram))
        cpu = Cpu(PhysicalMemory(again), policy=EVERYTHING, model=MODELS["p2"])
        cpu.s[:] = native
        cpu.sync()
        cpu.run(1)
        native[:] = cpu.s
        self.native_ram[:] = again.data


def compile_blocks(compiler: Compiler, prefix: str, blocks: Sequence[Sequence[Insn]]) -> list[object]:
    """Native functions of several blocks, as one module."""
    texts = {f"{prefix}{n}": block_ir(f"{prefix}{n}", b, CODE, loop=False) for n, b in enumerate(blocks)}
    functions = compiler.compile(texts)
    return [functions[name] for name in texts]
