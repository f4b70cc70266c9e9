"""`.macro`, `.rept`, `.irp`, `.irpc`: text that is written once and read many times.

Here: definitions with their parameters (`arg`, `arg=default`, `arg:req`, `rest:vararg`), the
splitting of arguments, and the substitution of `\\arg`, `\\@` (a number that differs in each call) and
`\\()` (nothing, to end a name). Substitution works on text, so an argument may be anything; the lines
that come out know which call made them.

Arguments are separated by commas outside of brackets, parentheses and strings, and may be given by
name: `putc char='x'`.
Read next: `reader.py`, which reads the lines made here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from isa.asm.diagnostics import Problem, did_you_mean
from isa.asm.lexer import Cursor, Token
from isa.asm.source import Expansion, Line

if TYPE_CHECKING:
    from isa.asm.assembler import Assembler

_MACRO = frozenset({".macro"}), frozenset({".endm", ".endmacro"})
_REPEAT = frozenset({".rept", ".irp", ".irpc", ".rep"}), frozenset({".endr"})
OPENERS = _MACRO[0] | _REPEAT[0]
_SUBSTITUTE = re.compile(r"\\(@|\(\)|[A-Za-z_][\w$]*)")
_KEYWORD = re.compile(r"\s*([A-Za-z_][\w$]*)\s*=(?!=)\s*(.*)$", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][\w$]*$")


@dataclass
class Parameter:
    """A parameter of a macro."""

    name: str
    default: str | None = None
    required: bool = False
    rest: bool = False


@dataclass
class Macro:
    """A macro: parameters and lines."""

    name: str
    parameters: list[Parameter]
    body: list[Line]
    line: Line
    characters: int = field(init=False)

    def __post_init__(self) -> None:
        self.characters = sum(len(line.text) + 1 for line in self.body)


def rest_of_line(cursor: Cursor, after: Token) -> str:
    """The raw text behind a token, without the comment."""
    return cursor.line.text[after.column - 1 + len(after.text) : cursor.tokens[-1].column - 1]


def split_arguments(text: str) -> list[str]:
    """Cut at commas that are not inside brackets, parentheses or quotes."""
    parts: list[str] = []
    depth = 0
    quote = ""
    start = 0
    skip = False
    for i, c in enumerate(text):
        if skip:
            skip = False
        elif quote:
            if c == "\\":
                skip = True
            elif c == quote:
                quote = ""
        elif c in "\"'":
            quote = c
        elif c in "([":
            depth += 1
        elif c in ")]":
            depth -= 1
        elif c == "," and depth <= 0:
            parts.append(text[start:i].strip())
            start = i + 1
    parts.append(text[start:].strip())
    return [] if parts == [""] else parts


def substitute(text: str, values: Mapping[str, str]) -> str:
    """`text` with every `\\name` that has a value replaced by it."""
    if "\\" not in text:
        return text
    return _SUBSTITUTE.sub(lambda m: values.get(m[1], m[0]), text)


# ----------------------------------------------------------------------------------- definition


def define(asm: Assembler, cursor: Cursor, token: Token) -> None:
    """`.macro name arg, arg=1, arg:req`."""
    body = asm.collect(cursor.line, *_MACRO)
    name = cursor.next()
    if name.kind != "name":
        raise Problem("the macro has no name", token)
    text = rest_of_line(cursor, name).strip()
    parameters = [_parameter(part, name) for part in _split_parameters(text)]
    seen: set[str] = set()
    for parameter in parameters:
        if parameter.name in seen:
            raise Problem(f"two parameters are called `{parameter.name}`", name)
        seen.add(parameter.name)
    if any(p.rest for p in parameters[:-1]):
        raise Problem("only the last parameter can be :vararg", name)
    key = name.text.lower()
    if key in asm.macros:
        old = asm.macros[key].line
        raise Problem(
            f"the macro `{name.text}` is defined twice",
            name,
            notes=(f"first defined at {old.path}:{old.number}",),
        )
    asm.macros[key] = Macro(name.text, parameters, body, cursor.line)


def _split_parameters(text: str) -> list[str]:
    parts = split_arguments(text.lstrip(","))
    if len(parts) == 1 and "=" not in parts[0]:
        parts = parts[0].split()
    return parts


def _parameter(text: str, at: Token) -> Parameter:
    name, equals, default = (part.strip() for part in text.partition("="))
    name, colon, kind = (part.strip() for part in name.partition(":"))
    name = name.removeprefix("\\")
    if not _NAME.match(name):
        raise Problem(
            f"`{text}` cannot be a parameter", at, hint="as in .macro add2 first, second=1, third:req"
        )
    if colon and kind not in ("req", "vararg"):
        raise Problem(f"`:{kind}` is unknown behind a parameter", at, hint="known: :req and :vararg")
    return Parameter(name, default if equals else None, kind == "req", kind == "vararg")


def purge(asm: Assembler, cursor: Cursor, token: Token) -> None:
    """`.purgem name`: forget a macro."""
    name = cursor.next()
    if name.text.lower() not in asm.macros:
        raise Problem(f"there is no macro `{name.text}`", name, hint=did_you_mean(name.text, asm.macros))
    del asm.macros[name.text.lower()]
    cursor.finish()


# ------------------------------------------------------------------------------------ expansion


def call(asm: Assembler, macro: Macro, cursor: Cursor, token: Token) -> None:
    """Read the body of the macro next, with the arguments that follow `token`."""
    values = _bind(macro, split_arguments(rest_of_line(cursor, token)), token)
    asm.macro_calls += 1
    values["@"] = str(asm.macro_calls)
    values["()"] = ""
    extra = sum(map(len, values.values())) * max(1, len(macro.body))
    asm.reader.count(len(macro.body) + 1, macro.characters + extra, cursor.line)
    depth = cursor.line.expansion.depth + 1 if cursor.line.expansion else 1
    why = Expansion(f"macro {macro.name}", cursor.line, depth)
    lines = [Line(b.file, b.number, substitute(b.text, values), why) for b in macro.body]
    asm.reader.push(lines, len(asm.conditionals.stack), cursor.line, is_macro=True)


def _bind(macro: Macro, arguments: list[str], token: Token) -> dict[str, str]:
    values: dict[str, str] = {}
    names = {p.name for p in macro.parameters}
    position = 0
    for i, argument in enumerate(arguments):
        keyword = _KEYWORD.match(argument)
        if keyword and keyword[1] in names:
            values[keyword[1]] = keyword[2]
            continue
        if position >= len(macro.parameters):
            many = len(macro.parameters)
            takes = f"{many} argument{'s' if many != 1 else ''}" if many else "no arguments"
            raise Problem(f"the macro `{macro.name}` takes {takes}, here are {len(arguments)}", token)
        parameter = macro.parameters[position]
        position += 1
        if parameter.rest:
            values[parameter.name] = ", ".join(arguments[i:])
            break
        if argument:
            values[parameter.name] = argument
    for parameter in macro.parameters:
        if parameter.name not in values:
            if parameter.required:
                raise Problem(f"the macro `{macro.name}` needs a value for `{parameter.name}`", token)
            values[parameter.name] = parameter.default or ""
    return values


def leave(asm: Assembler, cursor: Cursor, token: Token) -> None:
    """`.exitm`: end the macro here."""
    depth = asm.reader.leave_macro()
    if depth is None:
        raise Problem("`.exitm` outside of a macro", token)
    del asm.conditionals.stack[depth:]


def repeat(asm: Assembler, cursor: Cursor, token: Token) -> None:
    """`.rept count` … `.endr`."""
    body = asm.collect(cursor.line, *_REPEAT)
    count = asm.absolute(cursor, "the count of .rept")
    cursor.finish()
    if count < 0:
        raise Problem(f"the count of .rept is negative: {count}", token)
    characters = sum(len(line.text) + 1 for line in body)
    asm.reader.count(count * len(body), count * characters, cursor.line)
    why = Expansion("repetition", cursor.line, 1)
    lines = [Line(b.file, b.number, b.text, b.expansion or why) for b in body]
    asm.reader.push(lines * count, len(asm.conditionals.stack), cursor.line)


def each(asm: Assembler, cursor: Cursor, token: Token) -> None:
    """`.irp name, a, b, c` and `.irpc name, abc` … `.endr`."""
    body = asm.collect(cursor.line, *_REPEAT)
    name = cursor.next()
    if name.kind != "name":
        raise Problem(f"{token.text} needs the name of a parameter", token)
    cursor.take(",")
    text = rest_of_line(cursor, name).strip().lstrip(",").strip()
    values = list(text) if token.text.lower() == ".irpc" else split_arguments(text)
    characters = sum(len(line.text) + 1 for line in body) * max(1, len(values)) + len(text) * max(
        1, len(body)
    )
    asm.reader.count(len(values) * len(body), characters, cursor.line)
    lines: list[Line] = []
    for value in values:
        why = Expansion(f"{token.text} with {name.text} = {value}", cursor.line, 1)
        lines += [Line(b.file, b.number, substitute(b.text, {name.text: value, "()": ""}), why) for b in body]
    asm.reader.push(lines, len(asm.conditionals.stack), cursor.line)
