"""Disassembly: a guest's bytes as instructions, with symbols and, where there is a source, its lines.

A source says which of its lines are instructions, so data is shown as data. A flat binary does not: it is
read from its start, and bytes that are no instruction are shown as bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isa.asm.directives import DATA_WORDS, DIRECTIVES
from isa.decode import TruncatedCode, decode
from isa.disasm import format_insn
from isa.faults import Fault
from vmm.image import Image, LoadError, SourceLine
from vmm.report.run import SCHEMA
from vmm.report.words import suggestion

BYTES_SHOWN = 8
MAX_INSN = 15


@dataclass(frozen=True, slots=True)
class Row:
    """One instruction, or some bytes of data, at an address."""

    address: int
    data: bytes
    text: str
    symbol: str | None
    source: SourceLine | None


def resolve(image: Image, place: int | str | None) -> int:
    """Where to start: an address, a label, or the beginning of the image. `LoadError`."""
    if place is None:
        return image.origin
    if isinstance(place, str):
        address = image.symbol(place)
        if address is None:
            raise LoadError(f"{image.name} has no label `{place}`{suggestion(place, image.symbols)}")
        place = image.names.physical(address) if image.names else address
    if not image.origin <= place < image.origin + len(image.data):
        end = image.origin + len(image.data)
        raise LoadError(f"{place:#x} is outside of {image.name}, which lies at {image.origin:#x} to {end:#x}")
    return place


def rows(image: Image, start: int) -> Iterator[Row]:
    """Everything from `start` on."""
    labels: dict[int, str] = {}
    for name, at in image.symbols.items():
        labels.setdefault(at, name)
    address, end = start, image.origin + len(image.data)
    while address < end:
        line = image.where(address)
        limit = min(line.address + line.length, end) if line else end
        if line is not None and not is_code(line.text):
            size, text = limit - address, "(data)"
        else:
            size, text = _instruction(image, address, limit)
        data = image.data[address - image.origin : address - image.origin + size]
        yield Row(address, data, text, labels.get(address), line)
        address += size


def is_code(text: str) -> bool:
    """Whether a line of source is instructions (or a macro that makes them) and not data."""
    words = text.split(";")[0].split()
    while words and words[0].endswith(":"):
        words.pop(0)
    first = words[0].lower() if words else ""
    second = words[1].lower() if len(words) > 1 else ""
    return not (first in DIRECTIVES or first in DATA_WORDS or second in DATA_WORDS or first.startswith("."))


def _instruction(image: Image, address: int, limit: int) -> tuple[int, str]:
    offset = address - image.origin
    code = image.data[offset : min(offset + MAX_INSN, limit - image.origin)]
    try:
        insn = decode(code)
    except (Fault, TruncatedCode):
        return 1, f"db {code[0]:#04x}"
    return insn.length, format_insn(insn, address, image.symbolize)


def lines(found: Iterator[Row], width: int | None) -> Iterator[str]:
    """The listing as text: label, source line, then address, bytes and instruction; cut to `width`."""
    for line in _lines(found):
        yield line if width is None or len(line) <= width else line[: width - 1] + "…"


def _lines(found: Iterator[Row]) -> Iterator[str]:
    previous: SourceLine | None = None
    for row in found:
        if row.symbol:
            yield f"{row.symbol}:"
        if row.source is not None and row.source is not previous:
            yield f"; {Path(row.source.path).name}:{row.source.line}  {row.source.text.strip()}"
        previous = row.source
        shown = row.data[:BYTES_SHOWN].hex(" ") + (" …" if len(row.data) > BYTES_SHOWN else "")
        text = f"{len(row.data):,} bytes of data" if row.text == "(data)" else row.text
        yield f"{row.address:08x}  {shown:{3 * BYTES_SHOWN + 1}} {text}"


def document(image: Image, found: Iterator[Row]) -> dict[str, Any]:
    """What `dis --json` prints."""
    return {
        "schema": SCHEMA,
        "guest": image.name,
        "origin": image.origin,
        "rows": [_entry(row) for row in found],
    }


def _entry(row: Row) -> dict[str, Any]:
    source = row.source
    place = {"path": source.path, "line": source.line, "source": source.text} if source else {}
    return {"address": row.address, "bytes": row.data.hex(), "text": row.text, "symbol": row.symbol, **place}
