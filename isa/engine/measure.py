"""How fast the engines are: three small loops, in the reference engine, as one block, and by handlers.

For `vmsim bench` and for whoever changes an engine; tests never time. Figures are wall clock on the
machine at hand, of one loop block that stays in native code: an upper bound for whole guests.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass
from time import perf_counter

from isa.cpu import Cpu
from isa.decode import decode
from isa.engine.blocks import block_ir
from isa.engine.native import Compiler, Context
from isa.engine.records import close_record, open_record
from isa.insn import Insn
from isa.memory import PhysicalMemory, Ram
from isa.state import EIP, new_state

CODE, RAM_SIZE = 0x1000, 1 << 16
LOOPS = {
    # add eax, ecx; adc ebx, eax; rol ebx, 5; xor eax, ebx; dec ecx; jne
    "alu": "01c8 11c3 c1c305 31d8 49 75f4",
    # mov eax, [esi+ecx*4]; add eax, ebx; mov [edi+ecx*4], eax; inc ebx; dec ecx; jns
    "copy": "8b048e 01d8 89048f 43 49 79f4",
    # mov dl, [esi+ecx]; cmp dl, bl; cmova ebx, edx; movzx edx, dl; shr eax, cl; add eax, edx; dec ecx; jns
    "bytes": "8a140e 38da 0f47da 0fb6d2 d3e8 01d0 49 79ee",
}


@dataclass(frozen=True)
class Figure:
    """One row: millions of instructions a second, and what it cost to compile the loop."""

    name: str
    engine: str
    mips: float
    compile_ms: float = 0.0


def decoded(text: str) -> list[Insn]:
    """The instructions of a loop."""
    code, result = bytes.fromhex(text), []
    while code:
        result.append(decode(code))
        code = code[result[-1].length :]
    return result


def measure(count: int = 200_000_000, reference_count: int = 300_000) -> list[Figure]:
    """Run each loop in both engines."""
    compiler = Compiler()
    rows = []
    for name, text in LOOPS.items():
        rows.append(_reference(name, text, reference_count))
        rows.append(_compiled(compiler, name, text, count))
        rows.append(_handlers(name, text, count))
    return rows


def _reference(name: str, text: str, count: int) -> Figure:
    ram = Ram(RAM_SIZE)
    ram.write(CODE, bytes.fromhex(text))
    cpu = Cpu(PhysicalMemory(ram))
    start = perf_counter()
    while cpu.count < count:
        _prepare(cpu.s)
        cpu.sync()
        cpu.run(min(count, cpu.count + 1000))
    return Figure(name, "reference", cpu.count / (perf_counter() - start) / 1e6)


def _handlers(name: str, text: str, count: int) -> Figure:
    ram = Ram(RAM_SIZE)
    ram.write(CODE, bytes.fromhex(text))
    cpu = Cpu(PhysicalMemory(ram), engine="native")
    _prepare(cpu.s)
    cpu.sync()
    start = perf_counter()
    cpu.run(100)  # makes the handlers, or finds them
    compile_ms, first = (perf_counter() - start) * 1e3, cpu.count
    start = perf_counter()
    while cpu.count < count:
        cpu.s[1], cpu.s[EIP] = 180, CODE
        cpu.run(min(count, cpu.count + 1000))
    return Figure(name, "native", (cpu.count - first) / (perf_counter() - start) / 1e6, compile_ms)


def _compiled(compiler: Compiler, name: str, text: str, count: int) -> Figure:
    start = perf_counter()
    function = compiler.compile({name: block_ir(name, decoded(text), CODE)})[name]
    compile_ms = (perf_counter() - start) * 1e3
    ram = bytearray(RAM_SIZE)
    ram[CODE : CODE + len(bytes.fromhex(text))] = bytes.fromhex(text)
    context, state, done = Context(ram), new_state(), 0
    start = perf_counter()
    _prepare(state)
    open_record(state)
    while done < count:  # the block leaves when its counter runs out
        state[1], state[EIP] = 5000, CODE
        context.run(function, state, 1 << 40)
        done += (1 << 40) - context.left
    close_record(state)
    return Figure(name, "compiled", done / (perf_counter() - start) / 1e6, compile_ms)


def _prepare(s: MutableSequence[int]) -> None:
    """Counter, addresses and data of the loops."""
    s[0], s[1], s[3], s[6], s[7], s[EIP] = 1, 180, 2, 0x4000, 0xA000, CODE
