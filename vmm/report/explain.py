"""`vmsim explain`: what an instruction is, what each mode does with it, and its one definition.

The row of the table and the definition's own source are shown, not a description of them, so what is
explained is what runs. Exceptions, kinds of traps and endings come from `glossary`.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import isa
from isa.asm import AsmError, encode
from isa.asm.names import ALIASES
from isa.capstone_ids import X as x86_const
from isa.decode import decode
from isa.faults import Fault
from isa.table import BY_ID, BY_NAME, ROWS, Row
from vmm.modes import MODES
from vmm.modes.words import treatment
from vmm.report.glossary import Term, terms
from vmm.report.run import SCHEMA
from vmm.report.words import Unknown, suggestion

ROOT = Path(isa.__file__).resolve().parent.parent
LABEL = 11


def find(text: str) -> Row | Term:
    """What a word means. Raises `Unknown` with the closest word there is."""
    word = " ".join(text.lower().split())
    found = _row(word)
    if found is not None:
        return found
    for term in terms():
        if word in (name.lower() for name in (term.name, *term.aliases)):
            return term
    row = _encoded(text)
    if row is not None:
        return row
    names = [*BY_NAME, *(name.lower() for term in terms() for name in (term.name, *term.aliases))]
    hint = (
        suggestion(word, names) or "; try an instruction (popf, `mov cr0, eax`), a fault (#PF) or a trap kind"
    )
    raise Unknown(f"nothing is known of `{text}`{hint}")


def _row(word: str) -> Row | None:
    """An instruction by the table's name, or by any name the decoder knows it under."""
    if word in BY_NAME:
        return BY_NAME[word]
    word = ALIASES.get(word, word)
    number = getattr(x86_const, f"X86_INS_{word.upper()}", None) if word.isidentifier() else None
    return BY_ID.get(number) if number else None


def _encoded(text: str) -> Row | None:
    """The row of an instruction written out with its operands."""
    try:
        return ROWS[decode(encode(text)).row]
    except (AsmError, Fault):
        return None


def related(row: Row) -> list[str]:
    """Rows that share the mnemonic: MOV is four instructions."""
    stem = row.name.split(" ")[0]
    return [other.name for other in ROWS if other.name.split(" ")[0] == stem and other is not row]


def sources(row: Row) -> list[tuple[str, str]]:
    """The definition and the routines of its own file that it calls: (place, source) each."""
    called = [row.define, *_routines(row.define)]
    return [(_place(function), inspect.getsource(function).rstrip()) for function in called]


def _routines(define: Any) -> Iterator[Any]:
    for name in define.__code__.co_names:
        value = define.__globals__.get(name)
        if isinstance(value, FunctionType) and value.__module__ == define.__module__:
            yield value


def _place(function: Any) -> str:
    path = Path(inspect.getsourcefile(function) or "?").resolve()
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    return f"{shown}:{inspect.getsourcelines(function)[1]}"


def document(found: Row | Term) -> dict[str, Any]:
    """What `explain --json` prints."""
    if isinstance(found, Term):
        return {
            "schema": SCHEMA,
            "name": found.name,
            "title": found.title,
            "text": found.text,
            **dict(found.facts),
        }
    return {
        "schema": SCHEMA,
        "name": found.name,
        "text": found.doc,
        "class": found.sensitive.value,
        "privilege": found.privilege.value,
        "touches": found.touches,
        "rule": found.rule,
        "sdm": found.sdm,
        "modes": {name: treatment(mode, found) for name, mode in MODES.items()},
        "related": related(found),
        "source": [{"place": place, "text": text} for place, text in sources(found)],
    }


def lines(found: Row | Term, width: int) -> Iterator[tuple[str, str]]:
    """(style, line): `head`, `text` or `code`."""
    if isinstance(found, Term):
        yield "head", f"{found.name}: {found.title}"
        yield from (("text", line) for line in _wrap(found.text, width, "  ", "  "))
        for label, text in found.facts:
            yield from _fact(label, text, width)
        return
    yield "head", f"{found.name.upper()}"
    yield from (("text", line) for line in _wrap(found.doc, width, "  ", "  "))
    yield from _fact("class", f"{found.sensitive.value} (Popek and Goldberg)", width)
    yield from _fact("privilege", found.privilege.value, width)
    yield from _fact("touches", found.touches, width)
    yield from _fact("rule", found.rule, width)
    yield from _fact("SDM", f"volume {found.sdm}", width)
    yield from _fact("see also", ", ".join(related(found)), width)
    yield "text", ""
    yield "head", "What becomes of it in the guest's kernel"
    for name, mode in MODES.items():
        yield from _fact(name, treatment(mode, found), width)
    for place, text in sources(found):
        yield "text", ""
        yield "head", place
        yield from (("code", line) for line in text.splitlines())


def _fact(label: str, text: str, width: int) -> Iterator[tuple[str, str]]:
    if text:
        for line in _wrap(text, width, f"  {label:{LABEL}}", " " * (LABEL + 2)):
            yield "text", line


def _wrap(text: str, width: int, first: str, rest: str) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest)
