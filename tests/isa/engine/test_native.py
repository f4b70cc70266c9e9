"""Native code as a library: there without llvmlite as far as possible, and owned by whoever can call it."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest
from engine_pair import CODE, decode_all

from isa.engine.blocks import block_ir
from isa.engine.builder import BUDGET, DONE
from isa.engine.native import Compiler, Context, available
from isa.engine.records import open_record
from isa.state import EIP, new_state


def test_everything_imports_without_llvmlite() -> None:
    program = (
        "import sys; sys.modules['llvmlite'] = None; sys.modules['llvmlite.binding'] = None\n"
        "import isa.engine.measure, isa.engine.checked\n"
        "from isa.engine.native import available\n"
        "sys.exit(available())"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.skipif(not available(), reason="llvmlite is not installed")
class TestNativeCode:
    def test_a_function_keeps_its_code(self) -> None:
        function = Compiler().compile({"f": block_ir("f", decode_all(b"\x40"), CODE)})["f"]
        gc.collect()
        state, context = new_state(), Context(bytearray(4096))
        open_record(state)
        assert context.run(function, state, 1) == DONE
        assert (state[0], state[EIP], context.left) == (1, CODE + 1, 0)

    def test_nothing_runs_beyond_the_budget(self) -> None:
        function = Compiler().compile({"f": block_ir("f", decode_all(b"\x40\x40"), CODE)})["f"]
        state, context = new_state(), Context(bytearray(4096))
        assert context.run(function, state, 1) == BUDGET
        assert (state[0], context.left) == (0, 1)

    def test_broken_ir_is_an_error_and_no_abort(self) -> None:
        broken = "define i32 @f(ptr %a, ptr %b) {\n%y = add i32 %x, 1\n%x = add i32 1, 1\nret i32 %y\n}\n"
        with pytest.raises(RuntimeError, match="dominate"):
            Compiler().compile({"f": broken})

    def test_the_figures_can_be_taken(self) -> None:
        from isa.engine.measure import measure

        rows = measure(count=1000, reference_count=1000)
        assert [(row.name, row.engine) for row in rows[:2]] == [("alu", "reference"), ("alu", "compiled")]
