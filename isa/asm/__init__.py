"""The assembler: source text of x86 kernels and boot sectors to an image with symbols and line numbers.

`assemble` takes a file or a text and gives a `Program` or raises `AsmError`; `encode` does one
instruction. The dialect: Intel operands, or AT&T ones behind `.att_syntax`; code of 32 bits, or of 16
behind `bits 16` or `.code16`; directives as GAS or NASM spell them; `;`, `#` and `//` comments; `label`
is an address and `[label]` what is stored there; decimal means decimal.

Reading order: `assembler.py` (statements and stages), `lexer.py`, `expression.py`, `symbols.py`,
`operands.py`, `encoder.py` with `branches.py`, `rawforms.py` and `widths.py`, `engines.py` and
`verify.py`, then `relax.py`. On the side: `att.py` and `attnames.py`, `directives.py`,
`conditionals.py`, `macros.py`, `reader.py`, `source.py`; `elf.py`; and `diagnostics.py`.

Not here: relocatable object files, 64-bit code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isa.lazy import later

if TYPE_CHECKING:
    from isa.asm.assembler import assemble, encode
    from isa.asm.diagnostics import AsmError, Diagnostic
    from isa.asm.engines import EngineError, radix_canary
    from isa.asm.program import LineTable, Program, SourceLine

__all__ = [
    "AsmError",
    "Diagnostic",
    "EngineError",
    "LineTable",
    "Program",
    "SourceLine",
    "assemble",
    "encode",
    "radix_canary",
]

__getattr__ = later(
    __name__,
    {
        **dict.fromkeys(("assemble", "encode"), "assembler"),
        **dict.fromkeys(("AsmError", "Diagnostic"), "diagnostics"),
        **dict.fromkeys(("EngineError", "radix_canary"), "engines"),
        **dict.fromkeys(("LineTable", "Program", "SourceLine"), "program"),
    },
)
