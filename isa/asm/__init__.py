"""The assembler: source text of 32-bit x86 kernels to an image with symbols and line numbers.

`assemble` takes a file or a text and gives a `Program` or raises `AsmError`; `encode` does one
instruction. The dialect: Intel operands; directives as GAS or NASM spell them; `;`, `#` and `//`
comments; `label` is an address and `[label]` what is stored there; decimal means decimal.

Reading order: `assembler.py` (statements and stages), `lexer.py`, `expression.py`, `symbols.py`,
`operands.py`, `encoder.py` with `rawforms.py`, `engines.py` and `verify.py`, then `relax.py`. On the
side: `directives.py`, `conditionals.py`, `macros.py`, `reader.py`, `source.py`; and `diagnostics.py`.

Not here: AT&T operands, 16-bit code, object files.
"""

from __future__ import annotations

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
