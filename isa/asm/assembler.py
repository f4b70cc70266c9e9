"""From source to program: reads lines, understands statements, then encodes, lays out and writes.

Here: `Assembler`, which holds everything that one run needs, and the shape of a statement:

    label:  prefix mnemonic operand, operand      ; comment
    name = expression          name equ expression          data  db 1, 2

Each statement becomes items (`items.py`). When all lines are read every constant is known, so then
the instructions are encoded, the layout found and the bytes written. A statement that cannot be
understood is reported and the next one is tried, at each of these stages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from isa.asm import att, macros
from isa.asm.conditionals import Conditionals
from isa.asm.diagnostics import AsmError, Diagnostic, Fatal, Problem, Reporter
from isa.asm.directives import (
    DATA_WORDS,
    DIRECTIVES,
    READS_LINES,
    is_c_preprocessor,
    preprocessor_hint,
    unknown_directive,
)
from isa.asm.encoder import all_mnemonics, prepare
from isa.asm.expression import ExpressionParser, Node, NotYet, Num, leftmost
from isa.asm.items import Align, Branch, Bytes, Instruction, Item, Repeat
from isa.asm.lexer import Cursor, Token, tokenize
from isa.asm.names import COMMON_MNEMONICS, PREFIXES, REGISTERS
from isa.asm.operands import parse_operands
from isa.asm.program import LineTable, Program, SourceLine
from isa.asm.reader import Reader, directive_of
from isa.asm.relax import MAX_IMAGE, Layout
from isa.asm.source import Library, Line, SourceFile
from isa.asm.symbols import SymbolTable
from isa.asm.widths import CODE16, CODE32

_SEGMENTS = frozenset(name for name, entry in REGISTERS.items() if entry.kind == "segment")


class Assembler:
    """One run over one program."""

    def __init__(self, library: Library, defines: Mapping[str, int], origin: int) -> None:
        self.library = library
        self.origin = origin
        self.mode = CODE32
        self.symbols = SymbolTable(defines)
        self.reporter = Reporter()
        self.reader = Reader()
        self.conditionals = Conditionals(self)
        self.macros: dict[str, macros.Macro] = {}
        self.macro_calls = 0
        self.items: list[Item] = []
        self.commons: list[tuple[Token, int, int]] = []
        """Names of `.comm` with size and alignment: room that comes behind everything else."""
        self.assertions: list[tuple[Node, str, Token]] = []
        self.listed: list[tuple[Line, int]] = []
        self._bytes = 0
        self._bad: set[int] = set()

    # ---- stages

    def run(self, file: SourceFile) -> Program:
        """Everything, or an `AsmError`."""
        try:
            self._read(file)
            self._check_names()
            self._encode()
            self._raise_errors()
            layout = Layout(self.items, self.symbols, self.origin, self.reporter)
            layout.settle()
            image = layout.emit()
            self._check_assertions(layout)
            constants = self._constants(layout)
            if not image and not self.reporter.errors:
                self.reporter.append(
                    Diagnostic(file.path, 1, 1, 1, "nothing to assemble: the source makes no bytes")
                )
        except Problem as problem:
            self.reporter.add(problem)
        except RecursionError:
            self.reporter.add(
                Problem("constants are defined one through another too deeply"), self.listed[-1][0]
            )
        self._raise_errors()
        return self._program(layout, image, constants)

    def run_single(self, file: SourceFile) -> bytes:
        """The bytes of the one instruction that the source consists of, or an `AsmError`."""
        line = file.lines[0] if file.lines else Line(file, 1, "")
        image = b""
        try:
            cursor = Cursor(tokenize(line))
            token = cursor.next()
            if len(file.lines) > 1 or token.kind != "name" or token.text.lower() in DIRECTIVES:
                raise Problem("a single instruction is expected here", line=line)
            self._instruction(cursor, token)
            self._check_names()
            self._encode()
            self._raise_errors()
            layout = Layout(self.items, self.symbols, self.origin, self.reporter)
            layout.settle()
            image = layout.emit()
        except Problem as problem:
            self.reporter.add(problem, line)
        except RecursionError:
            self.reporter.add(Problem("this expression is nested too deeply"), line)
        self._raise_errors()
        return image

    def _raise_errors(self) -> None:
        if self.reporter.errors:
            raise AsmError(self.reporter.errors)

    def _read(self, file: SourceFile) -> None:
        """All lines, in order."""
        reader, conditionals = self.reader, self.conditionals
        reader.push(file.lines, 0, Line(file, 1, ""))
        while reader.frames and not self.reporter.full:
            frame = reader.frames[-1]
            line = reader.next()
            if line is None:
                reader.frames.pop()
                problem = conditionals.close_to(frame.conditionals)
                if problem is not None:
                    self.reporter.add(problem)
                continue
            self.listed.append((line, len(self.items)))
            try:
                if conditionals.skipping:
                    conditionals.skip(line, directive_of(line.text))
                else:
                    self._line(line)
            except Fatal:
                raise
            except Problem as problem:
                self.reporter.add(problem, line)
        for name, size, boundary in self.commons:
            self.listed.append((name.line, len(self.items)))
            self.add(Align(name.line, boundary, b"\0", None))
            self.symbols.define_label(name)
            self.add_repeat(name, Num(name, size), Bytes(name.line, b"\0"))

    def _check_names(self) -> None:
        """Report every undefined name, wherever it stands."""
        for constant in self.symbols.constants.values():
            self._undefined([constant.node])
        for condition, _, _ in self.assertions:
            self._undefined([condition])
        for i, item in enumerate(self.items):
            if self.reporter.full:
                return
            if self._undefined(_expressions(item)):
                self._bad.add(i)

    def _undefined(self, expressions: Sequence[Node]) -> bool:
        found = False
        for expr in expressions:
            if not isinstance(expr, Num) and not self.reporter.full:
                for problem in self.symbols.undefined(expr):
                    self.reporter.add(problem)
                    found = True
        return found

    def _encode(self) -> None:
        """Instructions become bytes and branches; every constant is known by now."""
        symbols = self.symbols
        for i, item in enumerate(self.items):
            if i in self._bad:
                continue
            try:
                if isinstance(item, Instruction):
                    self.items[i] = prepare(item, symbols)
                elif isinstance(item, Repeat):
                    if isinstance(item.unit, Instruction):
                        item.unit = prepare(item.unit, symbols)
                    if isinstance(item.unit, Branch) and item.unit.short and item.unit.long:
                        item.unit.grow()
                        item.unit.short = b""
            except Problem as problem:
                self.reporter.add(problem, item.line)
                if self.reporter.full:
                    return

    def _check_assertions(self, layout: Layout) -> None:
        for condition, message, token in self.assertions:
            try:
                if not condition.value(layout):
                    self.reporter.add(Problem(message, token))
            except Problem as problem:
                self.reporter.add(problem, token.line)

    def _constants(self, layout: Layout) -> dict[str, int]:
        constants: dict[str, int] = {}
        for name, constant in self.symbols.constants.items():
            try:
                constants[name] = constant.node.value(layout)
            except Problem as problem:
                self.reporter.add(problem, constant.line)
        return constants

    def _program(self, layout: Layout, image: bytes, constants: dict[str, int]) -> Program:
        symbols = {
            name: layout.address[label.index] & 0xFFFFFFFF
            for name, label in self.symbols.labels.items()
            if "#" not in name and not name.startswith(".L")
        }
        entry = symbols.get("_start", symbols.get("start", self.origin))
        lines: list[SourceLine] = []
        for (line, first), (_, last) in zip(
            self.listed, [*self.listed[1:], (None, len(self.items))], strict=True
        ):
            at = layout.address[first]
            lines.append(SourceLine(line.path, line.number, line.text, at, layout.address[last] - at))
        return Program(
            self.origin, image, entry, symbols, constants, LineTable(lines), tuple(self.reporter.warnings)
        )

    # ---- what directives use

    @property
    def is_empty(self) -> bool:
        """Whether nothing that takes room has been read yet."""
        return not self.items

    def add(self, item: Item) -> None:
        """Append an item; labels defined from now on lie behind it."""
        self._bytes += item.size
        if self._bytes > MAX_IMAGE:
            raise Fatal(f"the image is larger than {MAX_IMAGE >> 20} MiB", line=item.line)
        self.items.append(item)
        self.symbols.index = len(self.items)

    def add_repeat(self, token: Token, count: Node, unit: Item) -> None:
        """Append `unit` repeated; a count that is known is checked at once."""
        try:
            known = count.value(self.symbols)
        except NotYet:
            known = None
        if known is not None:
            if known < 0:
                raise Problem(f"the count is negative: {known}", leftmost(count))
            if known * max(1, unit.size) > MAX_IMAGE:
                raise Problem(f"this is larger than the largest image, {MAX_IMAGE >> 20} MiB", token)
            self._bytes += known * unit.size
        self.add(Repeat(unit.line, token, count, unit))

    def captured(self, cursor: Cursor) -> list[Item]:
        """The items of the statement at the cursor, not added."""
        mark = len(self.items)
        self._statement(cursor)
        items = self.items[mark:]
        del self.items[mark:]
        self.symbols.index = mark
        return items

    def collect(self, start: Line, openers: frozenset[str], closers: frozenset[str]) -> list[Line]:
        """The body of a block, which is listed where it is written."""
        body = self.reader.collect(start, openers, closers)
        if start.expansion is None:
            self.listed.extend((line, len(self.items)) for line in body)
        return body

    def expression(self, cursor: Cursor) -> Node:
        """Parse an expression without registers."""
        return ExpressionParser(cursor, self.symbols).parse()

    def absolute(self, cursor: Cursor, what: str) -> int:
        """Parse an expression whose value must be known here."""
        if cursor.ended:
            raise Problem(f"{what} is missing", cursor.tokens[max(0, cursor.pos - 1)])
        return self.constant(self.expression(cursor), what)

    def constant(self, expr: Node, what: str) -> int:
        """The value of an expression that must be known here."""
        try:
            return expr.value(self.symbols)
        except NotYet:
            for problem in self.symbols.undefined(expr):
                problem.message = f"{what} uses `{expr.token.text}`, which is not defined above"
                raise problem from None
            raise Problem(
                f"{what} must be known here: constants defined above, but no labels",
                leftmost(expr),
                hint="what depends on addresses can be checked with .assert",
            ) from None

    def include(self, name: str, line: Line) -> None:
        """Read a file next."""
        file = self.library.include(name, line)
        self.reader.push(file.lines, len(self.conditionals.stack), line)

    # ---- statements

    def _line(self, line: Line) -> None:
        text = line.text
        if not text or text.isspace():
            return
        if text.lstrip()[:1] == "#":
            if is_c_preprocessor(text):
                hint = "this assembler has no C preprocessor: use .equ, .include and .ifdef"
                raise Problem("a line that starts with # is a comment", line=line, hint=hint)
            return
        if self.symbols.att and ";" in text:
            self._separated(line)
            return
        self._one(Cursor(tokenize(line)))

    def _one(self, cursor: Cursor) -> None:
        self._labels(cursor)
        if not cursor.ended:
            self._statement(cursor)

    def _separated(self, line: Line) -> None:
        """A line of several statements. What reads on its own is given the rest as lines of their own."""
        parts = att.statements(tokenize(line, separators=True))
        for i, tokens in enumerate(parts):
            word = tokens[0].text.lower()
            if i + 1 < len(parts) and (word in self.macros or word in READS_LINES):
                starts = [part[0].column - 1 for part in parts[i + 1 :]]
                ends = [part[-1].column - 1 for part in parts[i + 1 :]]
                rest = [line.cut(start, end) for start, end in zip(starts, ends, strict=True)]
                self.reader.push(rest, len(self.conditionals.stack), line)
                self._one(Cursor(tokens))
                return
            self._one(Cursor(tokens))

    def _labels(self, cursor: Cursor) -> None:
        while True:
            token = cursor.here
            following = cursor.peek()
            if following.kind != "op" or following.text != ":" or token.kind not in ("name", "num"):
                return
            if token.kind == "num" and not token.text.isdigit():
                raise Problem(f"`{token.text}` cannot be a label", token)
            if token.text.lower() in _SEGMENTS and not self.symbols.att:
                return
            cursor.pos += 2
            self.symbols.define_label(token)

    def _statement(self, cursor: Cursor) -> None:
        token = cursor.next()
        if token.kind != "name":
            self._no_statement(cursor, token)
            return
        word = token.text.lower()
        following = cursor.here
        if following.kind == "op" and following.text == "=":
            cursor.next()
            self._constant(cursor, token)
            return
        if following.kind == "name" and not self.symbols.att:
            second = following.text.lower()
            if second == "equ":
                cursor.next()
                self._constant(cursor, token)
                return
            if second in DATA_WORDS and word not in DIRECTIVES and word not in PREFIXES:
                # NASM lets a label before data stand without a colon.
                self.symbols.define_label(token)
                self._statement(cursor)
                return
        macro = self.macros.get(word)
        if macro is not None:
            macros.call(self, macro, cursor, token)
            return
        handler = DIRECTIVES.get(word)
        if handler is not None:
            handler(self, cursor, token)
            return
        if word[0] == ".":
            raise unknown_directive(token)
        self._instruction(cursor, token)

    def _no_statement(self, cursor: Cursor, token: Token) -> None:
        if token.text == "%" and cursor.here.kind == "name":
            problem = preprocessor_hint(cursor.here.text)
            raise problem.at(token)
        if token.text == "[" and cursor.tokens[-2].text == "]" and cursor.here.kind == "name":
            # NASM's [bits 32], [org 0x7c00]
            inner = [*cursor.tokens[cursor.pos : -2], cursor.tokens[-1]]
            if inner[0].text.lower() in DIRECTIVES:
                self._statement(Cursor(inner))
                return
        raise Problem(f"expected an instruction, a directive or a label, but found `{token.text}`", token)

    def _constant(self, cursor: Cursor, name: Token) -> None:
        if cursor.ended:
            raise Problem(f"`{name.text}` is given no value", name)
        expr = self.expression(cursor)
        cursor.finish()
        self.symbols.define_constant(name, expr)

    def _instruction(self, cursor: Cursor, token: Token) -> None:
        prefixes: list[Token] = []
        while True:
            word = token.text.lower()
            following = cursor.here
            if word in PREFIXES or (word in _SEGMENTS and following.kind == "name"):
                if following.kind != "name":
                    raise Problem(f"`{token.text}` needs an instruction behind it on the same line", token)
                if len(prefixes) >= 6:
                    raise Problem("too many prefixes", token)
                prefixes.append(token)
                token = cursor.next()
                continue
            break
        if self.symbols.att:
            mnemonic, operands = att.parse(token, cursor, self.symbols, all_mnemonics())
            self.add(Instruction(cursor.line, token, operands, tuple(prefixes), self.mode, mnemonic))
            return
        if cursor.here.text.lower() in COMMON_MNEMONICS and token.text.lower() not in all_mnemonics():
            hint = f"if `{token.text}` is a label, write `{token.text}:`"
            raise Problem(f"unknown instruction `{token.text}`", token, hint=hint)
        if cursor.at(":"):
            raise Problem(f"`{token.text}` cannot be a label here", token)
        operands = parse_operands(cursor, self.symbols)
        self.add(Instruction(cursor.line, token, operands, tuple(prefixes), self.mode))


def _expressions(item: Item) -> list[Node]:
    """Every expression in an item, in the order of the source."""
    if isinstance(item, Bytes):
        return [fix.expr for fix in item.fixes]
    if isinstance(item, Instruction):
        found: list[Node] = []
        for operand in item.operands:
            if operand.selector is not None:
                found.append(operand.selector)
            found.append(operand.expr)
        return found
    if isinstance(item, Repeat):
        return [item.count, *_expressions(item.unit)]
    target = getattr(item, "target", None)
    return [target] if target is not None else []


def assemble(
    source: Path | str,
    *,
    name: str = "<string>",
    defines: Mapping[str, int] | None = None,
    include_dirs: Sequence[Path] = (),
    origin: int = 0x100000,
    library: Library | None = None,
) -> Program:
    """Assemble a file (a `Path`) or source text (a `str`).

    Raises `AsmError` with every mistake found, and `OSError` if the file cannot be read. Files named
    in the source are looked for beside the file that names them and in `include_dirs`, nowhere else;
    a `library` that is given has been told where.
    """
    root = source.parent if isinstance(source, Path) else None
    library = library or Library(root, include_dirs)
    try:
        file = library.read_main(source) if isinstance(source, Path) else SourceFile(name, source, None)
    except Problem as problem:
        path = str(source) if isinstance(source, Path) else name
        reporter = Reporter()
        reporter.add(problem)
        found = reporter.errors[0]
        place = found if found.line else Diagnostic(path, 1, 1, 1, found.message, found.hint)
        raise AsmError([place]) from None
    return Assembler(library, defines or {}, origin).run(file)


@lru_cache(maxsize=8192)
def encode(text: str, address: int = 0, bits: int = 32) -> bytes:
    """The bytes of a single instruction that will lie at `address` in code of 16 or 32 bits."""
    try:
        file = SourceFile("<instruction>", text, None)
    except Problem as problem:
        raise AsmError([Diagnostic("<instruction>", 1, 1, 1, problem.message, problem.hint)]) from None
    assembler = Assembler(Library(None, ()), {}, address)
    assembler.mode = CODE16 if bits == 16 else CODE32
    return assembler.run_single(file)
