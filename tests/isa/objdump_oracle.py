"""GNU objdump as a second decoder: what it thinks of many short encodings, parsed into comparable parts."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

AVAILABLE = shutil.which("objdump") is not None
SLOT = 16
PREFIX_WORDS = {"lock", "rep", "repz", "repnz", "bnd", "notrack", "xacquire", "xrelease"}
PREFIX_WORDS |= {"data16", "data32", "addr16", "addr32", "cs", "ds", "es", "ss", "fs", "gs"}
SIZES = {"BYTE": 8, "WORD": 16, "DWORD": 32, "FWORD": 48, "QWORD": 64, "TBYTE": 80}
LINE = re.compile(r"\s*([0-9a-f]+):\t([0-9a-f ]+?)\s*(?:\t(.*))?$")
MEMORY = re.compile(r"(?:(\w+) PTR )?(?:(\w\w):)?(?:\[(.*)\]|(0x[0-9a-f]+))$")


def disassemble(codes: list[bytes], bits: int, folder: Path) -> list[tuple[int, str, list[str]]]:
    """(length, mnemonic, operands) of each code, which is disassembled at its index times `SLOT`."""
    image = folder / "codes.bin"
    image.write_bytes(b"".join(code + b"\x90" * (SLOT - len(code)) for code in codes))
    machine = "i386" if bits == 32 else "i8086"
    command = [
        "objdump",
        "-D",
        "-b",
        "binary",
        "-m",
        machine,
        "-M",
        "intel",
        "-w",
        "--insn-width=16",
        str(image),
    ]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {}
    for line in listing.splitlines():
        if match := LINE.match(line):
            found[int(match[1], 16)] = (len(match[2].split()), *_parts(match[3] or ""))
    return [found.get(n * SLOT, (0, "(bad)", [])) for n in range(len(codes))]


def _parts(text: str) -> tuple[str, list[str]]:
    words = text.split("#")[0].split()
    while len(words) > 1 and words[0] in PREFIX_WORDS:
        words.pop(0)
    name, rest = (words[0], " ".join(words[1:])) if words else ("", "")
    return name, rest.split(",") if rest else []


def memory(text: str) -> tuple[int, str, set[tuple[str, int]], int] | None:
    """(width, segment, {(register, scale)}, displacement) of a memory operand, or None."""
    match = MEMORY.match(text)
    if match is None or not ("[" in text or "PTR" in text or ":" in text):
        return None
    registers: list[tuple[str, int]] = []
    displacement = int(match[4], 16) if match[4] else 0
    for sign, term in re.findall(r"([+-]?)([^+-]+)", match[3] or ""):
        if term.startswith("0x"):
            displacement += int(sign + term, 16)
        else:
            name, _, scale = term.partition("*")
            if name not in ("eiz", "riz"):
                registers.append((name, int(scale or 1)))
    return SIZES.get(match[1] or "", 0), match[2] or "", set(registers), displacement
