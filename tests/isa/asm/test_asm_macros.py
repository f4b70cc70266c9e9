"""Macros and repetitions: what they expand to, and where their lines come from."""

from __future__ import annotations

import pytest

from isa.asm import AsmError, assemble

EXPANSIONS = {
    "an argument": (".macro b x\n.byte \\x\n.endm\nb 1\nb 2", "01 02"),
    "two arguments without a comma in the definition": (
        ".macro b x y\n.byte \\x, \\y\n.endm\nb 1, 2",
        "01 02",
    ),
    "a default": (".macro b x, y=7\n.byte \\x, \\y\n.endm\nb 1\nb 1, 2", "01 07 01 02"),
    "an argument by name": (".macro b x=1, y=2\n.byte \\x, \\y\n.endm\nb y=5", "01 05"),
    "a required argument": (".macro b x:req\n.byte \\x\n.endm\nb 3", "03"),
    "a rest": (".macro b x, r:vararg\n.byte \\x\n.byte \\r\n.endm\nb 1, 2, 3", "01 02 03"),
    "a number that differs": (".macro b\nl\\@: .byte l\\@ - $$\n.endm\nb\nb", "00 01"),
    "an end of a name": (".macro b x\n.byte \\x\\()2\n.endm\nb 1", "0c"),
    "an argument with commas in brackets": (".macro b x\n.byte (\\x)\n.endm\nb (1+(2))", "03"),
    "an argument with a comma in a string": ('.macro b x\n.ascii \\x\n.endm\nb "a,b"', "61 2c 62"),
    "a macro in a macro": (".macro a x\n.byte \\x\n.endm\n.macro b x\na \\x\na \\x + 1\n.endm\nb 5", "05 06"),
    "a macro that defines a macro": (".macro d\n.macro e\n.byte 9\n.endm\n.endm\nd\ne", "09"),
    "a condition in a macro": (
        ".macro b x\n.if \\x\n.byte 1\n.else\n.byte 0\n.endif\n.endm\nb 1\nb 0",
        "01 00",
    ),
    "a blank argument": (".macro b x\n.ifb \\x\n.byte 0\n.else\n.byte \\x\n.endif\n.endm\nb\nb 3", "00 03"),
    "leaving early": (".macro b x\n.byte 1\n.if \\x\n.exitm\n.endif\n.byte 2\n.endm\nb 1\nb 0", "01 01 02"),
    "recursion that ends": (".macro r n\n.byte \\n\n.if \\n\nr (\\n - 1)\n.endif\n.endm\nr 3", "03 02 01 00"),
    "a repetition": (".rept 3\n.byte 1\n.endr", "01 01 01"),
    "a repetition in a repetition": (".rept 2\n.byte 1\n.rept 2\n.byte 2\n.endr\n.endr", "01 02 02 01 02 02"),
    "a repetition that counts": ("i = 0\n.rept 3\n.byte i\ni = i + 1\n.endr", "00 01 02"),
    "a repetition of nothing": (".rept 0\n.byte 1\n.endr\n.byte 2", "02"),
    "a list": (".irp r, 1, 2, 3\n.byte \\r * 2\n.endr", "02 04 06"),
    "a list of registers": (".irp r, eax, ebx\npush \\r\n.endr", "50 53"),
    "letters": (".irpc c, 123\n.byte \\c\n.endr", "01 02 03"),
    "a label on the line of a call": (".macro b\n.byte 1\n.endm\nx: b\n.byte x - $$", "01 00"),
    "a macro named like an instruction": (".macro nop\n.byte 0xcc\n.endm\nnop", "cc"),
    "a name in any case": (".macro Put\n.byte 1\n.endm\nPUT", "01"),
    "a macro forgotten": (".macro hlt\n.byte 1\n.endm\nhlt\n.purgem hlt\nhlt", "01 f4"),
    "a test for a macro": (".macro b\n.endm\n.ifdef b\n.byte 1\n.endif", "01"),
    "an operand": (".macro load r, m\nmov \\r, dword ptr \\m\n.endm\nload eax, [ebx+4]", "8b 43 04"),
}


@pytest.mark.parametrize("name", EXPANSIONS)
def test_an_expansion_makes_these_bytes(name: str) -> None:
    source, expected = EXPANSIONS[name]
    assert assemble(source, origin=0).image.hex(" ") == bytes.fromhex(expected).hex(" ")


def test_the_listing_shows_the_lines_of_a_macro_as_expanded() -> None:
    listing = assemble(".macro put c\nmov al, \\c\n.endm\nput 'A'\n").listing()
    assert "mov al, 'A'" in listing
    assert "b0 41" in listing


def test_a_line_of_a_macro_is_found_by_its_address() -> None:
    program = assemble("nop\n.macro put c\nmov al, \\c\n.endm\nput 'A'\n", origin=0)
    line = program.where(2)
    assert line is not None
    assert (line.line, line.text, line.address, line.length) == (3, "mov al, 'A'", 1, 2)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (".macro m\nm\n.endm\nm", "within each other"),
        (".macro m x, x\n.endm", "two parameters are called `x`"),
        (".macro m x:foo\n.endm", "`:foo` is unknown"),
        (".macro m\n.endm\n.macro m\n.endm", "defined twice"),
        (".macro m r:vararg, x\n.endm", "only the last parameter"),
        (".purgem nosuch", "there is no macro"),
        (".exitm", "outside of a macro"),
        (".rept -1\n.endr", "negative"),
        (".rept\nnop\n.endr", "missing"),
        (".macro m\n.if 1\n.endm\nm\nnop", "never closed"),
        ("times 3 m", "unknown instruction"),
        (".macro m\nnop\n.endm\ntimes 3 m", "cannot repeat `m`"),
    ],
)
def test_a_mistake_with_macros_is_an_error(source: str, message: str) -> None:
    with pytest.raises(AsmError, match=message):
        assemble(source)
