"""Feeds random words of the language to the assembler; run as a child process by the fuzz test.

Usage: asm_soup.py SEED COUNT. Prints `ok COUNT` at the end; a traceback, a hang or a dead process is
what the test looks for.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from isa.asm import AsmError, assemble
from isa.asm.directives import DIRECTIVES
from isa.asm.encoder import all_mnemonics
from isa.asm.names import PREFIXES, REGISTERS, RESERVED

MNEMONICS = sorted(all_mnemonics())
WORDS = [
    *REGISTERS,
    *RESERVED,
    *PREFIXES,
    *[
        "0",
        "1",
        "-1",
        "127",
        "128",
        "255",
        "256",
        "0xffffffff",
        "0x100000000",
        "10h",
        "101b",
        "1b",
        "1f",
        "'A'",
        '"xyz"',
        "label",
        ".local",
        "$",
        "$$",
        ".",
        "foo",
    ],
    *[
        ",",
        ",",
        ",",
        ",",
        ",",
        "[",
        "[",
        "]",
        "]",
        "(",
        ")",
        "+",
        "-",
        "*",
        "/",
        "%",
        ":",
        "=",
        "!",
        "~",
        "<<",
        ">>",
        "==",
        "&&",
        "%",
        "\\",
        "@",
        "#",
        ";",
        "'",
        '"',
        "{",
        "}",
        "?",
        "`",
        "^",
        "|",
    ],
]
ADDRESSES = [
    "[eax]",
    "[ebx+ecx*4-8]",
    "es:[edi]",
    "fs:[0]",
    "[esi]",
    "[edi]",
    "[label]",
    "[bx+si]",
    "[bp-3]",
    "[esp+0x1000]",
    "[0xfffffff0]",
    "[bx]",
    "es:[di]",
    "[si]",
    "[word label]",
    "[dword 5]",
]
SIZES = ["", "", "byte ", "word ", "dword ptr ", "fword ptr ", "qword ptr ", "tbyte ptr ", "xmmword ptr "]
NUMBERS = ["0", "1", "5", "-4", "127", "128", "0x1000", "0xffff", "0xffffffff", "-129", "label", "8:label"]


ATT_OPERANDS = """
%eax %bx %cl %cr0 %ds %st(1) %xmm1 $5 $-1 $300 $label $0x12345678 (%eax) 4(%ebx,%ecx,2) -1(%bp,%di) label
label(,%eax,4) %fs:0
%es:(%edi) (%esi) *%eax *(%ebx) *label (%dx) %dx 5 0x60 (%al) 3(%esp,%esp,3) $ % ( ) , 4( %zz 1f
""".split()
HEADS = ["", "", "bits 16\n", ".code16gcc\n", ".att_syntax\n", ".att_syntax\n.code16\n"]


def att(rng: random.Random) -> str:
    """A line of AT&T words."""
    head = rng.choice(MNEMONICS) + rng.choice(["", "", "b", "w", "l"])
    if rng.random() < 0.2:
        head = f"{rng.choice(list(PREFIXES))}{rng.choice(['', ';'])} {head}"
    rest = rng.choice(["", "", "; nop"])
    return f"{head} {', '.join(rng.choice(ATT_OPERANDS) for _ in range(rng.choice((0, 1, 2, 2, 3))))}{rest}"


def soup(rng: random.Random) -> str:
    """A line of words that may or may not mean something."""
    kind = rng.randrange(6)
    head = rng.choice(MNEMONICS)
    if kind == 0:
        head = f"{rng.choice(list(PREFIXES))} {head}"
    if kind == 1:
        head = rng.choice(list(DIRECTIVES))
    if kind <= 2:
        return f"{head} {' '.join(rng.choice(WORDS) for _ in range(rng.randrange(8)))}"
    return f"{head} {', '.join(operand(rng) for _ in range(rng.choice((0, 1, 1, 2, 2, 2, 3))))}"


def operand(rng: random.Random) -> str:
    """Something that is an operand of some instruction."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(NUMBERS)
    if kind == 1:
        return rng.choice(SIZES) + rng.choice(ADDRESSES)
    return rng.choice(list(REGISTERS))


def main() -> None:
    """Assemble COUNT programs of a few lines each."""
    rng = random.Random(int(sys.argv[1]))
    count = int(sys.argv[2])
    for _ in range(count):
        head = rng.choice(HEADS)
        line = att if "att" in head else soup
        text = head + "label:\n" + "\n".join(line(rng) for _ in range(rng.randrange(1, 6)))
        started = time.process_time()
        try:
            assemble(text)
        except AsmError as error:
            for diagnostic in error.diagnostics:
                diagnostic.render()
        except BaseException:
            print("failed on:", text, file=sys.stderr)
            raise
        taken = time.process_time() - started
        if taken > 1:
            raise SystemExit(f"{taken:.1f} s for: {text}")
    print("ok", count)


if __name__ == "__main__":
    main()
