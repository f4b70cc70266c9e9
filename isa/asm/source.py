"""Where source text comes from: files, lines, and the chain of expansions behind a line.

Here: `Line`, the unit the assembler reads, which knows its file, its number and the macro calls that
brought it about; `SourceFile`, a file cut into lines with its block comments blanked out; `Library`,
which finds what `.include` and `.incbin` name and refuses everything outside the allowed folders.

Not here: tokens (`lexer.py`), the order in which lines are read (`reader.py`).

An assembler that reads any file its source names would let a downloaded exercise copy the user's
files into a guest. So a path is followed through its symbolic links and must then lie in the folder
of the main source or in one of the folders given by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from isa import cache
from isa.asm.diagnostics import Fatal, Problem

MAX_SOURCE_BYTES = 16 << 20

_BLOCK_COMMENT = re.compile(
    r"""
      "(?:[^"\\\n]|\\.)*"            # strings and characters may hold comment signs
    | '(?:[^'\\\n]|\\.)*'
    | (?:;|\#|//)[^\n]*              # so may line comments
    | (?P<block>/\*.*?(?:\*/|\Z))
    """,
    re.VERBOSE | re.DOTALL,
)
# Characters that no source has any use for; their presence means the file is no text.
_NOISE = re.compile("[\x00-\x08\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Expansion:
    """Why a line exists that is in no file as it stands: a macro call or a repetition."""

    what: str
    line: Line
    depth: int


class Line:
    """One line of source text."""

    __slots__ = ("expansion", "file", "number", "text")

    def __init__(self, file: SourceFile, number: int, text: str, expansion: Expansion | None = None) -> None:
        self.file = file
        self.number = number
        self.text = text
        self.expansion = expansion

    @property
    def path(self) -> str:
        """The path as shown to the user."""
        return self.file.path

    def cut(self, start: int, end: int) -> Line:
        """A line with a part of this one at the same columns."""
        return Line(self.file, self.number, " " * start + self.text[start:end], self.expansion)

    def extent(self) -> tuple[int, int]:
        """Column and length of the text without the space around it."""
        stripped = self.text.strip()
        return len(self.text) - len(self.text.lstrip()) + 1 if stripped else 1, max(1, len(stripped))

    def notes(self) -> tuple[str, ...]:
        """The expansions and inclusions that led here, innermost first."""
        out: list[str] = []
        line = self
        while len(out) < 8:
            if line.expansion is not None:
                step = line.expansion
                out.append(f"in {step.what} expanded at {step.line.path}:{step.line.number}")
                line = step.line
            elif line.file.included_from is not None:
                line = line.file.included_from
                out.append(f"included from {line.path}:{line.number}")
            else:
                break
        return tuple(out)


class SourceFile:
    """One file (or string) of source, cut into lines."""

    def __init__(self, path: str, text: str, folder: Path | None, included_from: Line | None = None) -> None:
        self.path = path
        self.folder = folder
        self.included_from = included_from
        noise = _NOISE.search(text)
        if noise is not None:
            raise _not_text(path, f"byte 0x{ord(noise.group()):02x} at offset {noise.start()}", included_from)
        if len(text) > MAX_SOURCE_BYTES:
            raise Fatal(f"`{path}` is longer than {MAX_SOURCE_BYTES >> 20} MiB", line=included_from)
        text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        if "/*" in text:
            text = self._blank_comments(text)
        self.lines = [Line(self, n, t) for n, t in enumerate(text.split("\n"), 1)]
        if self.lines and not self.lines[-1].text:
            self.lines.pop()

    def _blank_comments(self, text: str) -> str:
        """Replace block comments by spaces, keeping every other character at its place."""

        def blank(match: re.Match[str]) -> str:
            block = match.group("block")
            if block is None:
                return match.group()
            if len(block) < 4 or not block.endswith("*/"):
                number = text.count("\n", 0, match.start()) + 1
                column = match.start() - (text.rfind("\n", 0, match.start()) + 1) + 1
                first = block.split("\n", 1)[0]
                line = Line(self, number, text.split("\n")[number - 1])
                raise Fatal(
                    "this comment is never closed",
                    line=line,
                    column=column,
                    length=len(first),
                    hint="end it with */",
                )
            return re.sub(r"[^\n]", " ", block)

        return _BLOCK_COMMENT.sub(blank, text)


def _not_text(path: str, why: str, line: Line | None) -> Fatal:
    return Fatal(
        f"`{path}` is not assembly source: it is not text ({why})",
        line=line,
        hint="a finished binary is run, not assembled; source must be UTF-8 text",
    )


class Library:
    """Finds and reads the files that a program consists of."""

    def __init__(self, root: Path | None, include_dirs: Sequence[Path]) -> None:
        self.include_dirs = [Path(d) for d in include_dirs]
        allowed = [*([root] if root is not None else []), *self.include_dirs]
        self._allowed = [d.resolve() for d in allowed]
        self._text: dict[Path, str] = {}
        self._named: dict[Path, str] = {}  # where a file was found, as it was looked for
        self.main = b""
        self.asked: dict[str, str | None] = {}
        """Every other file that was wanted: a digest of its contents, or None where there was none."""

    def read_main(self, path: Path) -> SourceFile:
        """The file the user asked for; `OSError` is the caller's to handle."""
        self.main = data = path.read_bytes()
        return SourceFile(str(path), self._decode(data, str(path), None), path.parent)

    def include(self, name: str, line: Line) -> SourceFile:
        """The source file named in an `.include` on `line`."""
        path = self.find(name, line)
        text = self._text.get(path)
        if text is None:
            text = self._text[path] = self._decode(self.read(path, name), name, line)
        return SourceFile(str(path), text, path.parent, line)

    def read(self, path: Path, name: str) -> bytes:
        """The bytes of a file that `find` allowed."""
        try:
            if path.stat().st_size > MAX_SOURCE_BYTES:
                raise Problem(f"`{name}` is larger than {MAX_SOURCE_BYTES >> 20} MiB")
            data = path.read_bytes()
            self.asked[self._named.get(path, str(path))] = cache.digest(data)
            return data
        except OSError as error:
            raise Problem(f"cannot read `{name}`: {error.strerror or error}") from None

    def find(self, name: str, line: Line) -> Path:
        """The file that `name` means on `line`: beside that line's own file, else in the include folders."""
        if not name or "\0" in name:
            raise Problem("the name of a file is missing here")
        here = [line.file.folder] if line.file.folder is not None else []
        outside = False
        for folder in [*here, *self.include_dirs]:
            try:
                path = (folder / name).resolve()
                self._named[path] = str((folder / name).absolute())
                if not path.is_file():
                    self.asked[self._named[path]] = None
                    continue
            except (OSError, ValueError, RuntimeError):
                continue
            if any(path.is_relative_to(allowed) for allowed in self._allowed):
                return path
            outside = True
        if outside:
            raise Problem(
                f"`{name}` lies outside the folders this program may read",
                hint="put it beside the source, or pass its folder as an include folder",
            )
        searched = ", ".join(str(f) for f in [*here, *self.include_dirs]) or "no folder is set to search"
        raise Problem(f"there is no file `{name}`", hint=f"searched: {searched}")

    @staticmethod
    def _decode(data: bytes, name: str, line: Line | None) -> str:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _not_text(name, f"byte 0x{data[error.start]:02x} at offset {error.start}", line) from None
