"""llvmlite behind one small class: IR text in, callable machine code out.

llvmlite is imported when the first `Compiler` is made, so everything else works without it. No
optimisation passes run: the IR is in SSA form already and code generation at level 1 does the rest, which
was measured to be the best trade of compile time for speed (code without passes at level 1 reaches the
speed of `-O2` at a quarter of its cost). Modules are compiled in batches, because each costs something
by itself; the functions of a `Compiler` live as long as one of them does.
"""

from __future__ import annotations

import ctypes
from array import array
from typing import Any

from isa.engine.builder import CONTEXT_WORDS, ERROR, LEFT, NO_ERROR, RAM, RAM_SIZE
from isa.engine.records import runtime_ir
from isa.engine.ssa import METADATA

DECLARATIONS = "declare i32 @flags(i32, i32, i32, i32) nounwind readnone\n" + "".join(
    f"declare i{w} @llvm.{name}.i{w}(i{w}, i1)\n" for name in ("cttz", "ctlz") for w in (16, 32, 64)
)

NativeFunction = Any  # (state address, context address) -> reason


def available() -> bool:
    """Whether native code can be made here."""
    try:
        import llvmlite.binding  # noqa: F401
    except ImportError:
        return False
    return True


class Compiler:
    """Turns IR into functions, and keeps them."""

    def __init__(self, level: int = 1) -> None:
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self._llvm = llvm
        target = llvm.Target.from_default_triple()
        self._machine = target.create_target_machine(opt=level, cpu=llvm.get_host_cpu_name())
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), self._machine)
        self._add(runtime_ir())

    def _add(self, ir: str) -> None:
        module = self._llvm.parse_assembly(ir)
        module.verify()
        self._engine.add_module(module)
        self._engine.finalize_object()

    def compile(self, functions: dict[str, str]) -> dict[str, NativeFunction]:
        """Compile functions, IR by name, as one module."""
        self._add(DECLARATIONS + "".join(functions.values()) + METADATA)
        return {name: self._function(name) for name in functions}

    def _function(self, name: str) -> NativeFunction:
        prototype = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p)
        function: Any = prototype(self._engine.get_function_address(name))
        function.compiler = self  # the code lives as long as whoever can call it
        return function


class Context:
    """What native code needs beside the state: RAM and budget (`builder` has the layout)."""

    def __init__(self, ram: bytearray) -> None:
        self.words = array("Q", bytes(8 * CONTEXT_WORDS))
        self._ram = (ctypes.c_char * len(ram)).from_buffer(ram)  # keeps it where it is
        self.words[RAM], self.words[RAM_SIZE] = ctypes.addressof(self._ram), len(ram)
        self.address = self.words.buffer_info()[0]

    @property
    def left(self) -> int:
        """What is left of the budget of the last run."""
        return self.words[LEFT]

    @property
    def error(self) -> int | None:
        """The error code of the fault that the last run ended in."""
        return None if self.words[ERROR] == NO_ERROR else self.words[ERROR]

    def run(self, function: NativeFunction, state: array[int], budget: int) -> int:
        """Run a function for at most `budget` instructions; why it stopped."""
        self.words[LEFT] = budget
        reason: int = function(state.buffer_info()[0], self.address)
        return reason
