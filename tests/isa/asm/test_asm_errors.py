"""What students get wrong, and what they are told: the place and the message of each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from isa.asm import AsmError, assemble

FAR = "\n.space 200\nfar_away: nop"

# source, line, column, part of the message, part of the hint
MISTAKES = [
    ("mvo eax, 1", 1, 1, "unknown instruction `mvo`", "`mov`"),
    ("label: nop\n  jmp lable", 2, 7, "undefined symbol `lable`", "`label`"),
    ("Label: nop\njmp label", 2, 5, "undefined symbol `label`", "case-sensitive"),
    ("mov al, 256", 1, 9, "-128..255", None),
    ("mov al, -129", 1, 9, "-128..255", None),
    ("mov ax, 70000", 1, 9, "16 bits hold -32768..65535", None),
    ("mov eax, 0x1ffffffff", 1, 10, "does not fit `eax`", None),
    (".byte 300", 1, 7, "-128..255", None),
    ("mov eax, bl", 1, 10, "differ in size: 32 and 8 bits", "movzx"),
    ("mov eax, word [ebx]", 1, 10, "differ in size: 32 and 16 bits", None),
    ("mov [ebx], 5", 1, 5, "size of this memory operand is not known", "dword"),
    ("inc [ebx]", 1, 5, "size of this memory operand is not known", "dword"),
    ("movzx eax, [ebx]", 1, 12, "size of this memory operand is not known", "byte"),
    ("fld [eax]", 1, 5, "size of this memory operand is not known", "tbyte"),
    ("mov [eax], [ebx]", 1, 12, "two operands in memory", "register"),
    ("mov 5, eax", 1, 5, "destination of `mov` cannot be a number", "first operand"),
    ("mov eax ebx", 1, 9, "unexpected `ebx`", "commas"),
    ("mov eax,", 1, 9, "expected a value before the end of the line", None),
    ("mov eax, [ebx", 1, 14, "expected `]`", None),
    ("mov eax, [ebx+]", 1, 15, "expected a value but found `]`", None),
    ("mov eax, [ebx*3]", 1, 11, "multiplied by 1, 2, 4 or 8, not by 3", None),
    ("mov eax, [esp*2]", 1, 11, "`esp` cannot be multiplied", None),
    ("mov eax, [eax+ebx+ecx]", 1, 19, "at most two registers", None),
    ("mov eax, [bl]", 1, 11, "`bl` cannot be part of an address", None),
    ("mov eax, [eax+bx]", 1, 10, "cannot mix 16-bit and 32-bit", None),
    ("mov eax, (1+2", 1, 14, "expected `)`", None),
    ("mov ebx, eax + 1", 1, 10, "arithmetic on a register", "brackets"),
    ("movl $5, %eax", 1, 6, "AT&T operand", ".att_syntax"),
    ("movl 5, eax", 1, 1, "unknown instruction `movl`", "AT&T"),
    ("mov %eax, %ebx", 1, 5, "AT&T operand", "percent"),
    ("jmp *eax", 1, 5, "AT&T", "jmp [eax]"),
    ("bits 64", 1, 6, "code of 64 bits is not assembled", None),
    ("bits 16\nmov ax, [bx+cx]", 2, 9, "made of bx or bp and si or di", "32 bits"),
    ("bits 16\nmov ax, [0x12345]", 2, 9, "does not fit in 16 bits", "[dword label]"),
    ("bits 16\nmov ax, [word ebx]", 2, 9, "`ebx` cannot be part of an address of 16 bits", None),
    ("bits 16\npush 0x12345", 2, 6, "16 bits hold", None),
    ("bits 16\njmp 8:0x12345", 2, 5, "16 bits hold", None),
    ("bits 16\njmp x\n.space 0x20000\nx: nop", 2, 5, "a near `jmp` of 16-bit code", "far jump"),
    ("bits 16\nloop x, bx\nx: nop", 2, 9, "cx or ecx", None),
    ("push ax\npushd ax", 2, 7, "`ax` has 16 bits", None),
    ("pushw eax", 1, 7, "`eax` has 32 bits", None),
    ("mov eax, [dword ebx]", 1, 10, "before the bracket", "dword [ebx]"),
    ("mov rax, 1", 1, 5, "undefined symbol `rax`", "64-bit register"),
    ("mov eax, 08", 1, 10, "ambiguous", "write 8"),
    ("mov eax, 017", 1, 10, "ambiguous", "0o17"),
    ("mov eax, 12z", 1, 10, "`12z` is not a number", "0x1f"),
    ("mov eax, 0xfg", 1, 10, "`0xfg` is not a number", None),
    ('db "hello', 1, 4, "string is never closed", "double quote"),
    ("db 'x", 1, 4, "character is never closed", "'A'"),
    ('.asciz "a\\q"', 1, 10, "unknown escape `\\q`", None),
    (".asciz hello", 1, 8, "needs a string", "double quotes"),
    (".bite 5", 1, 1, "unknown directive `.bite`", "`.byte`"),
    (".word 1, 2,", 1, 11, "value is missing after the comma", None),
    ("db 5 dup (0)", 1, 6, "`dup`", "times"),
    ("in al, 0x3f8", 1, 8, "port 0x3f8 does not fit", "mov dx, 0x3f8"),
    ("out 0x3f8, al", 1, 5, "port 0x3f8 does not fit", "out dx, al"),
    ("in bl, dx", 1, 4, "al, ax or eax only", None),
    ("out al, dx", 1, 9, "al, ax or eax only", "out dx, al"),
    ("mov cs, ax", 1, 5, "`cs` cannot be written by mov", "far jump"),
    ("pop cs", 1, 5, "`cs` cannot be popped", None),
    ("mov ds, 0x10", 1, 9, "a number cannot be moved into `ds`", "mov ds, eax"),
    ("mov ax, cr0", 1, 1, "16-bit register, control register", "32-bit"),
    ("mov cr1, eax", 1, 5, "there is no register cr1", "cr0, cr2, cr3 and cr4"),
    ("lock mov [eax], ebx", 1, 1, "`lock` before `mov`", None),
    ("lock nop", 1, 1, "`lock` before `nop`", None),
    ("lock add eax, 1", 1, 1, "destination in memory", None),
    ("rep add eax, 1", 1, 1, "before a string instruction", None),
    ("repne movsb", 1, 1, "no meaning", "rep"),
    ("lgdt eax", 1, 1, "six bytes in memory", "lgdt [label]"),
    ("int 256", 1, 5, "0..255", None),
    ("shl eax, 300", 1, 10, "0..255", None),
    ("ret 70000", 1, 5, "0..65535", None),
    ("loop far_away" + FAR, 1, 6, "200 bytes away", "no longer form"),
    ("jmp short far_away" + FAR, 1, 5, "200 bytes away", "without `short`"),
    ("call short x\nx: nop", 1, 6, "`call` has no short form", None),
    ("jz 1b", 1, 4, "no label `1:` above", "`1f`"),
    ("jmp 9f", 1, 5, "no label `9:` below", "`9b`"),
    ("lea eax, x\nx: nop", 1, 1, "`lea` does not take", "brackets"),
    ("call", 1, 1, "`call` needs an operand", None),
    ("pusha eax", 1, 1, "`pusha` does not take", None),
    ("nop\nfoo: nop\nfoo: nop", 3, 1, "`foo` is defined twice", None),
    ("eax: nop", 1, 1, "`eax` is a register", None),
    ("K = 1\nK: nop", 2, 1, "`K` is defined twice", None),
    ("nop nop", 1, 5, "undefined symbol `nop`", "one instruction"),
    ("start nop", 1, 1, "unknown instruction `start`", "`start:`"),
    ("nop\n.if 1\nnop", 2, 1, "`.endif` is missing", None),
    (".endif", 1, 1, "without .if", None),
    (".macro m\nnop", 1, 1, "`.endm` is missing", None),
    (".endm", 1, 1, "without .macro", None),
    (".if MISSING\n.endif\nnop", 1, 5, "`MISSING`, which is not defined above", None),
    ("x: nop\n.if x > 5\n.endif", 2, 5, "no labels", ".assert"),
    (".align 3", 1, 8, "power of two", None),
    (".space -1", 1, 8, "the count is negative: -1", None),
    ("times 3", 1, 1, "needs something to repeat", "db"),
    ("nop\n.org 0x1000", 2, 6, "cannot go back", "$$"),
    ("times 4-($-$$) db 0\nnop\nx: times 0-($-$$) db 0", 3, 4, "the count is negative: -5", None),
    ("1 + 2", 1, 1, "expected an instruction", None),
    ("%define X 5", 1, 1, "preprocessor", ".equ"),
    ("%macro foo 1", 1, 1, "preprocessor", ".macro"),
    ("#define X 5", 1, 1, "comment", ".equ"),
    ('.error "stop here"', 1, 1, "stop here", None),
    ("X = Y", 1, 5, "undefined symbol `Y`", None),
    ("nop\nA = A + 1", 2, 5, "defined through itself", None),
    ("mov eax, 1/0", 1, 11, "division by zero", None),
    ("mov eax, 1 << 200", 1, 12, "64 bits", None),
    ("jmp 0x10000:0", 1, 5, "a selector has 16 bits", None),
    ("jmp far eax", 1, 5, "needs a selector and an offset", "0x08:label"),
    ("mov eax, short 5", 1, 10, "`short` belongs to a jump", None),
    ("mov eax, [0x100000000]", 1, 10, "does not fit in 32 bits", None),
    ("/* never", 1, 1, "comment is never closed", "*/"),
    ("stosd eax, ebx", 1, 7, "es:[edi]", None),
    ("mov eax, @@@", 1, 10, "undefined symbol", None),
    ("mov eax, \\x", 1, 10, "unexpected character", ".macro"),
    ("rep", 1, 1, "needs an instruction behind it", None),
    (".macro m a:req\n.endm\nm", 3, 1, "needs a value for `a`", None),
    (".macro m a\n.endm\nm 1, 2", 3, 1, "takes 1 argument, here are 2", None),
    ("one: nop\n.x: nop\ntwo: jmp .x", 3, 10, "undefined symbol `.x`", "`one.x`"),
    ("", 1, 1, "nothing to assemble", None),
    ("; only a comment\n", 1, 1, "nothing to assemble", None),
    ("nop\0hlt", 1, 1, "not text", None),
]


@pytest.mark.parametrize(
    ("source", "line", "column", "message", "hint"), MISTAKES, ids=lambda v: repr(v)[:40]
)
def test_a_mistake_is_explained_where_it_stands(
    source: str, line: int, column: int, message: str, hint: str | None
) -> None:
    with pytest.raises(AsmError) as caught:
        assemble(source, name="guest.asm")
    first = caught.value.diagnostics[0]
    assert message in first.message
    assert (first.path, first.line, first.column) == ("guest.asm", line, column)
    if hint is not None:
        assert first.hint is not None
        assert hint in first.hint


def test_the_table_of_mistakes_gives_one_diagnostic_each() -> None:
    for source, *_ in MISTAKES:
        with pytest.raises(AsmError) as caught:
            assemble(source)
        assert len(caught.value.diagnostics) == 1, (source, [d.message for d in caught.value.diagnostics])


def test_five_different_mistakes_are_all_reported() -> None:
    source = "\n".join(
        [
            "start: mov al, 300",
            "  mvo eax, 1",
            "  jmp nowhere",
            '  db "open',
            "  mov eax, [esp*4]",
            "  hlt",
            "  .wrod 5",
        ]
    )
    with pytest.raises(AsmError) as caught:
        assemble(source)
    found = {(d.line, d.message.split(" ")[0]) for d in caught.value.diagnostics}
    assert {line for line, _ in found} == {1, 2, 3, 4, 5, 7}


def test_each_undefined_symbol_is_reported_once_per_place() -> None:
    with pytest.raises(AsmError) as caught:
        assemble("jmp a\ncall b\nmov eax, [a + b]\n.long a, c\n")
    places = [(d.line, d.column, d.message) for d in caught.value.diagnostics]
    assert len(places) == len(set(places)) == 6


def test_no_more_than_fifty_mistakes_are_reported() -> None:
    with pytest.raises(AsmError) as caught:
        assemble("mvo eax, 1\n" * 500)
    assert len(caught.value.diagnostics) == 50


def test_a_diagnostic_is_rendered_with_line_and_caret() -> None:
    with pytest.raises(AsmError) as caught:
        assemble("start:\n    mov al, 256 ; too big", name="guest.asm")
    assert caught.value.diagnostics[0].render().splitlines() == [
        "error: 256 does not fit `al`: 8 bits hold -128..255",
        " --> guest.asm:2:13",
        "  |",
        "2 |     mov al, 256 ; too big",
        "  |             ^^^",
    ]
    assert "guest.asm:2:13" in str(caught.value)


def test_a_caret_stays_under_its_word_behind_tabs() -> None:
    with pytest.raises(AsmError) as caught:
        assemble("\tmov\tal, 256")
    row, caret = caught.value.diagnostics[0].render().splitlines()[3:5]
    assert row[caret.index("^") :].startswith("256")


def test_a_mistake_in_a_macro_names_the_call() -> None:
    with pytest.raises(AsmError) as caught:
        assemble(".macro load r, v\n  mov \\r, \\v\n.endm\n\n  load al, 300\n", name="guest.asm")
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.line, diagnostic.source_line) == (2, "  mov al, 300")
    assert diagnostic.notes == ("in macro load expanded at guest.asm:5",)
    assert "note: in macro load expanded at guest.asm:5" in diagnostic.render()


def test_a_mistake_in_an_included_file_names_both_files(tmp_path: Path) -> None:
    (tmp_path / "lib.inc").write_text("nop\nmvo eax, 1\n")
    main = tmp_path / "main.asm"
    main.write_text('hlt\n.include "lib.inc"\n')
    with pytest.raises(AsmError) as caught:
        assemble(main)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.path.endswith("lib.inc")
    assert diagnostic.line == 2
    assert diagnostic.notes == (f"included from {main}:2",)


def test_a_warning_does_not_stop_the_assembly() -> None:
    program = assemble('.warning "old interface"\nnop')
    assert [(w.message, w.severity) for w in program.warnings] == [("old interface", "warning")]


@pytest.mark.parametrize(
    "data", [b"\x7fELF\x01\x01\x00", b"\xff\xfe\x00n", bytes(range(256)), b"\x90\x90\xf4"]
)
def test_a_binary_is_called_a_binary(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "kernel.bin"
    path.write_bytes(data)
    with pytest.raises(AsmError) as caught:
        assemble(path)
    (diagnostic,) = caught.value.diagnostics
    assert "not text" in diagnostic.message
    assert diagnostic.path == str(path)


def test_a_missing_file_is_an_operating_system_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        assemble(tmp_path / "absent.asm")
