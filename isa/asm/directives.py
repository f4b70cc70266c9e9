"""Directives: data, room, alignment, symbols, files, and those that change nothing here.

Here: one table from spelling to handler; GAS and NASM spellings of the same thing share one. A
handler is called with the assembler, the cursor behind the directive, and the directive's token.

The image is one flat piece in the order of the source. So `.text`, `.data`, `.rodata`, `.bss` and
`.section` are accepted but move nothing, and room in `.bss` is zero bytes in the image. Alignment is
filled with `nop` (0x90) unless another filling is given.

Not here: `.if` (`conditionals.py`), `.macro` and `.rept` (`macros.py`).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from isa.asm import macros
from isa.asm.conditionals import PARTS, TESTS
from isa.asm.diagnostics import Problem, did_you_mean
from isa.asm.expression import Num
from isa.asm.items import Align, Bytes, Fix, Instruction, Org
from isa.asm.lexer import Cursor, Token
from isa.asm.names import words
from isa.asm.widths import CODE16, CODE16GCC, CODE32, Mode

if TYPE_CHECKING:
    from isa.asm.assembler import Assembler

Handler = Callable[["Assembler", Cursor, Token], None]

# ----------------------------------------------------------------------------------------- data


def _data(width: int) -> Handler:
    limit = 1 << (8 * width)

    def handler(asm: Assembler, cursor: Cursor, token: Token) -> None:
        data = bytearray()
        fixes: list[Fix] = []
        while not cursor.ended:
            here = cursor.here
            if here.kind in ("string", "char") and cursor.peek().text in (",", ""):
                cursor.next()
                data += here.data
                if here.kind == "string" or len(here.data) > width:
                    data += bytes(-len(here.data) % width)
                elif len(here.data) < width:
                    data += bytes(width - len(here.data))
            else:
                expr = asm.expression(cursor)
                if isinstance(expr, Num) and -limit // 2 <= expr.number < limit:
                    data += (expr.number & (limit - 1)).to_bytes(width, "little")
                else:
                    fixes.append(Fix(len(data), width, expr))
                    data += bytes(width)
            if not cursor.take(","):
                break
            if cursor.ended:
                raise Problem("a value is missing after the comma", cursor.tokens[cursor.pos - 1])
        if not cursor.ended and cursor.here.text.lower() == "dup":
            raise Problem(
                "`dup` is not known here", cursor.here, hint="write times 10 db 0, or .fill 10, 1, 0"
            )
        cursor.finish()
        if not data:
            raise Problem(f"`{token.text}` needs a value", token)
        asm.add(Bytes(cursor.line, bytes(data), tuple(fixes)))

    return handler


def _text(closing: bytes) -> Handler:
    def handler(asm: Assembler, cursor: Cursor, token: Token) -> None:
        data = bytearray()
        while True:
            part = cursor.next()
            if part.kind != "string":
                hint = "write the text in double quotes" if part.kind != "end" else None
                raise Problem(
                    f"`{token.text}` needs a string", part if part.kind != "end" else token, hint=hint
                )
            data += part.data + closing
            if not cursor.take(","):
                break
        cursor.finish()
        asm.add(Bytes(cursor.line, bytes(data)))

    return handler


def _real(fmt: str) -> Handler:
    def handler(asm: Assembler, cursor: Cursor, token: Token) -> None:
        data = b""
        while True:
            sign = -1.0 if cursor.take("-") else 1.0
            part = cursor.next()
            if part.kind not in ("float", "num"):
                raise Problem(f"`{token.text}` needs a number", part if part.kind != "end" else token)
            try:
                data += struct.pack(fmt, sign * float(part.text))
            except (ValueError, OverflowError):
                raise Problem(f"`{part.text}` is no number that fits `{token.text}`", part) from None
            if not cursor.take(","):
                break
        cursor.finish()
        asm.add(Bytes(cursor.line, data))

    return handler


# ------------------------------------------------------------------------------ room and places


def _fill_byte(asm: Assembler, cursor: Cursor) -> int:
    """An optional `, value` for filling."""
    if not cursor.take(","):
        return 0
    if cursor.here.text.lower() == "db":
        cursor.next()
    at = cursor.here
    value = asm.absolute(cursor, "the filling")
    if not -128 <= value <= 255:
        raise Problem(f"the filling is a byte; {value} does not fit", at)
    return value & 0xFF


def _room(unit: int) -> Handler:
    """`.space n, fill`; `resd n`."""

    def handler(asm: Assembler, cursor: Cursor, token: Token) -> None:
        if cursor.ended:
            raise Problem(f"`{token.text}` needs an amount", token)
        count = asm.expression(cursor)
        fill = _fill_byte(asm, cursor)
        cursor.finish()
        asm.add_repeat(token, count, Bytes(cursor.line, bytes([fill]) * unit))

    return handler


def _fill(asm: Assembler, cursor: Cursor, token: Token) -> None:
    """`.fill count, size, value`."""
    if cursor.ended:
        raise Problem("`.fill` needs a count", token, hint=".fill count, size, value")
    count = asm.expression(cursor)
    size, value = 1, 0
    if cursor.take(","):
        at = cursor.here
        size = asm.absolute(cursor, "the size of .fill")
        if not 0 <= size <= 8:
            raise Problem(f"the size of .fill is 0 to 8 bytes, not {size}", at)
        if cursor.take(","):
            value = asm.absolute(cursor, "the value of .fill")
    cursor.finish()
    unit = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    asm.add_repeat(token, count, Bytes(cursor.line, unit))


def _times(asm: Assembler, cursor: Cursor, token: Token) -> None:
    """`times count <data or instruction>`."""
    count = asm.expression(cursor)
    if cursor.ended:
        raise Problem("`times` needs something to repeat", token, hint="as in times 8 db 0")
    word = cursor.here.text.lower()
    if word in asm.macros or DIRECTIVES.get(word, _TIMES_DATA[0]) not in _TIMES_DATA:
        raise Problem(f"`times` cannot repeat `{cursor.here.text}`", cursor.here, hint="use .rept … .endr")
    items = asm.captured(cursor)
    if len(items) != 1 or not isinstance(items[0], Bytes | Instruction):
        raise Problem("`times` repeats one piece of data or one instruction", token)
    asm.add_repeat(token, count, items[0])


def _align(power: bool) -> Handler:
    def handler(asm: Assembler, cursor: Cursor, token: Token) -> None:
        at = cursor.here
        if cursor.ended:
            raise Problem(f"`{token.text}` needs a boundary", token)
        value = asm.absolute(cursor, "the boundary")
        if power and not 0 <= value <= 24:
            raise Problem(f"`{token.text}` takes a power of two from 0 to 24, not {value}", at)
        boundary = 1 << value if power else value or 1
        if boundary < 1 or boundary & (boundary - 1) or boundary > 1 << 24:
            raise Problem(f"the boundary is a power of two up to 16 MiB, not {value}", at)
        fill = b""
        limit = None
        if cursor.at(",") and cursor.peek().text != ",":
            fill = bytes([_fill_byte(asm, cursor)])
        else:
            cursor.take(",")
        if cursor.take(","):
            limit = asm.absolute(cursor, "the largest filling")
        cursor.finish()
        asm.add(Align(cursor.line, boundary, fill, limit))

    return handler


def _org(asm: Assembler, cursor: Cursor, token: Token) -> None:
    at = cursor.here
    if cursor.ended:
        raise Problem("`.org` needs an address", token)
    target = asm.expression(cursor)
    fill = _fill_byte(asm, cursor)
    cursor.finish()
    if asm.is_empty:
        value = asm.constant(target, "the first .org")
        if not 0 <= value <= 0xFFFFFFFF:
            raise Problem(f"{value} is no address of 32 bits", at)
        asm.origin = value
    else:
        asm.add(Org(cursor.line, at, target, fill))


# -------------------------------------------------------------------------------------- symbols


def _set(once: bool) -> Handler:
    def handler(asm: Assembler, cursor: Cursor, token: Token) -> None:
        name = cursor.next()
        if name.kind != "name":
            raise Problem(f"`{token.text}` needs a name", token, hint=f"{token.text} NAME, value")
        cursor.expect(",", f"{token.text} NAME, value")
        expr = asm.expression(cursor)
        cursor.finish()
        asm.symbols.define_constant(name, expr, once)

    return handler


def _assert(asm: Assembler, cursor: Cursor, token: Token) -> None:
    """`.assert condition, "message"`: checked when all addresses are known."""
    condition = asm.expression(cursor)
    message = "this assertion does not hold"
    if cursor.take(","):
        text = cursor.next()
        if text.kind != "string":
            raise Problem("the message is a string", text)
        message = text.data.decode("utf-8", "replace")
    cursor.finish()
    asm.assertions.append((condition, message, token))


# ---------------------------------------------------------------------------------------- files


def _file_name(cursor: Cursor, token: Token) -> Token:
    name = cursor.next()
    if name.kind not in ("string", "char"):
        raise Problem(f"`{token.text}` needs the name of a file in quotes", token)
    return name


def _include(asm: Assembler, cursor: Cursor, token: Token) -> None:
    name = _file_name(cursor, token)
    cursor.finish()
    try:
        asm.include(name.data.decode("utf-8", "replace"), cursor.line)
    except Problem as problem:
        raise problem.placed(name) from None


def _incbin(asm: Assembler, cursor: Cursor, token: Token) -> None:
    """`.incbin "file", skip, count`."""
    name = _file_name(cursor, token)
    skip, count = 0, None
    if cursor.take(","):
        skip = asm.absolute(cursor, "the number of bytes to skip")
        if cursor.take(","):
            count = asm.absolute(cursor, "the number of bytes")
    cursor.finish()
    try:
        text = name.data.decode("utf-8", "replace")
        data = asm.library.read(asm.library.find(text, cursor.line), text)
    except Problem as problem:
        raise problem.placed(name) from None
    if skip < 0 or (count is not None and count < 0) or skip + (count or 0) > len(data):
        raise Problem(f"`{text}` has only {len(data)} bytes", name)
    asm.add(Bytes(cursor.line, data[skip:] if count is None else data[skip : skip + count]))


def _common(asm: Assembler, cursor: Cursor, token: Token) -> None:
    """`.comm name, size, alignment`: zeros behind everything else."""
    name = cursor.next()
    if name.kind != "name":
        raise Problem(f"`{token.text}` needs a name", token, hint=f"{token.text} NAME, size, alignment")
    cursor.expect(",", f"{token.text} NAME, size, alignment")
    at = cursor.here
    size = asm.absolute(cursor, "the size")
    boundary = asm.absolute(cursor, "the alignment") if cursor.take(",") else 4
    cursor.finish()
    if size < 0 or boundary < 1 or boundary & (boundary - 1) or boundary > 1 << 24:
        raise Problem("room has a size, and a power of two as its alignment", at)
    asm.commons.append((name, size, boundary))


# ------------------------------------------------------------------------- messages and settings


def _message(severity: str) -> Handler:
    def handler(asm: Assembler, cursor: Cursor, token: Token) -> None:
        text = cursor.next()
        said = text.data.decode("utf-8", "replace") if text.kind in ("string", "char") else ""
        asm.reporter.add(Problem(said or f"{token.text} was reached", token), severity=severity)

    return handler


def _end(asm: Assembler, cursor: Cursor, token: Token) -> None:
    asm.reader.frames.clear()
    asm.conditionals.stack.clear()


def _accepted(asm: Assembler, cursor: Cursor, token: Token) -> None:
    """Says something to a linker; there is none here."""
    cursor.pos = len(cursor.tokens) - 1


def _refused(message: str, hint: str | None = None) -> Handler:
    def handler(asm: Assembler, cursor: Cursor, token: Token) -> None:
        raise Problem(message, token, hint=hint)

    return handler


_MODES = {16: CODE16, 32: CODE32}


def _bits(asm: Assembler, cursor: Cursor, token: Token) -> None:
    at = cursor.here
    value = asm.absolute(cursor, "the width of the code")
    cursor.finish()
    if value not in _MODES:
        raise Problem(f"code of {value} bits is not assembled; this is a 32-bit machine", at)
    asm.mode = _MODES[value]


def _mode(mode: Mode) -> Handler:
    def handler(asm: Assembler, cursor: Cursor, token: Token) -> None:
        cursor.finish()
        asm.mode = mode

    return handler


def _syntax(att: bool) -> Handler:
    refused = "noprefix" if att else "prefix"

    def handler(asm: Assembler, cursor: Cursor, token: Token) -> None:
        if cursor.here.text.lower() == refused:
            hint = "AT&T registers have a percent sign, Intel ones have none"
            raise Problem(f"`{token.text} {refused}` is not supported", cursor.here, hint=hint)
        if cursor.here.text.lower() in ("prefix", "noprefix"):
            cursor.next()
        cursor.finish()
        asm.symbols.att = att

    return handler


def _condition(asm: Assembler, cursor: Cursor, token: Token) -> None:
    asm.conditionals.open(cursor, token)


def _condition_part(asm: Assembler, cursor: Cursor, token: Token) -> None:
    asm.conditionals.part(cursor, token)


def _stray(opener: str) -> Handler:
    def handler(asm: Assembler, cursor: Cursor, token: Token) -> None:
        raise Problem(f"`{token.text}` without {opener}", token)

    return handler


_FOR_A_LINKER = words(
    """
    .global .globl .extern .weak .local .hidden .type .size .file .ident .loc .line .text .data .rodata .bss
    .section .previous .arch .cpu .version .title .psize .list .nolist .intel_mnemonic .att_mnemonic
    .cfi_sections .cfi_startproc .cfi_endproc .cfi_def_cfa .cfi_def_cfa_offset .cfi_def_cfa_register
    .cfi_adjust_cfa_offset .cfi_offset .cfi_restore .cfi_remember_state .cfi_restore_state
    global extern section segment cpu default
    """
)

_BYTE, _WORD, _LONG, _QUAD = (_data(width) for width in (1, 2, 4, 8))
_ASCII, _ASCIZ = _text(b""), _text(b"\0")
_TIMES_DATA = (_BYTE, _WORD, _LONG, _QUAD, _ASCII, _ASCIZ)

DIRECTIVES: dict[str, Handler] = {
    **dict.fromkeys((".byte", "db", ".db"), _BYTE),
    **dict.fromkeys((".word", ".short", ".2byte", ".hword", ".value", "dw", ".dw"), _WORD),
    **dict.fromkeys((".long", ".int", ".4byte", "dd", ".dd", ".dword"), _LONG),
    **dict.fromkeys((".quad", ".8byte", "dq", ".dq", ".qword"), _QUAD),
    ".ascii": _ASCII,
    **dict.fromkeys((".asciz", ".string", ".string8"), _ASCIZ),
    **dict.fromkeys((".float", ".single"), _real("<f")),
    ".double": _real("<d"),
    **dict.fromkeys((".space", ".skip", ".zero", "resb"), _room(1)),
    "resw": _room(2),
    "resd": _room(4),
    "resq": _room(8),
    ".fill": _fill,
    "times": _times,
    **dict.fromkeys((".align", ".balign", "align"), _align(False)),
    ".p2align": _align(True),
    **dict.fromkeys((".org", "org"), _org),
    **dict.fromkeys((".set", ".equ"), _set(False)),
    ".equiv": _set(True),
    ".assert": _assert,
    ".include": _include,
    ".incbin": _incbin,
    ".error": _message("error"),
    ".err": _message("error"),
    ".warning": _message("warning"),
    ".end": _end,
    **dict.fromkeys(_FOR_A_LINKER, _accepted),
    ".att_syntax": _syntax(True),
    ".intel_syntax": _syntax(False),
    **dict.fromkeys((".code16", "use16"), _mode(CODE16)),
    **dict.fromkeys((".code32", "use32"), _mode(CODE32)),
    ".code16gcc": _mode(CODE16GCC),
    **dict.fromkeys((".code64", "use64"), _refused("64-bit code is not assembled; this is a 32-bit machine")),
    **dict.fromkeys((".comm", ".lcomm"), _common),
    "bits": _bits,
    ".macro": macros.define,
    ".purgem": macros.purge,
    ".exitm": macros.leave,
    **dict.fromkeys((".rept", ".rep"), macros.repeat),
    **dict.fromkeys((".irp", ".irpc"), macros.each),
    **dict.fromkeys((".endm", ".endmacro"), _stray(".macro")),
    ".endr": _stray(".rept"),
    **dict.fromkeys(TESTS, _condition),
    **dict.fromkeys(PARTS, _condition_part),
}

READS_LINES = frozenset({".include", *macros.OPENERS, *TESTS, *PARTS})
"""Directives after which it is open which line comes next."""

DATA_WORDS = words("db dw dd dq resb resw resd resq times")
"""Words before which a label may stand without a colon."""

_PREPROCESSOR = {
    "define": "write NAME = value, or .equ NAME, value",
    "assign": "write .set NAME, value",
    "macro": "write .macro NAME arg, arg … .endm",
    "endmacro": "macros are written .macro … .endm",
    "rep": "write .rept count … .endr",
    "endrep": "repetitions are written .rept … .endr",
    "include": 'write .include "file"',
    "if": "write .if condition … .endif",
    "ifdef": "write .ifdef NAME … .endif",
    "ifndef": "write .ifndef NAME … .endif",
    "else": "write .else",
    "elif": "write .elseif condition",
    "endif": "write .endif",
    "error": 'write .error "text"',
    "undef": "a constant cannot be undefined; .set gives it another value",
}
_NOTED = re.compile(r'#(define\s+\w|include\s*[<"]|ifn?def\s+\w+\s*$|endif\s*$|undef\s+\w+\s*$)')


def preprocessor_hint(word: str) -> Problem:
    """What to write in place of a directive of another assembler's preprocessor."""
    hint = _PREPROCESSOR.get(word.lower(), "directives start with a dot, as in .equ, .macro, .if")
    return Problem(f"`%{word}` belongs to another assembler's preprocessor", hint=hint)


def unknown_directive(token: Token) -> Problem:
    """A word with a dot in front that is neither directive nor label."""
    text = token.text.lower()
    hint = did_you_mean(text, [d for d in DIRECTIVES if d.startswith(".")])
    return Problem(
        f"unknown directive `{token.text}`", token, hint=hint or f"if this is a label, write `{token.text}:`"
    )


def is_c_preprocessor(text: str) -> bool:
    """`#define X 5` would be a comment here, which is not what was meant."""
    return _NOTED.match(text.lstrip()) is not None
