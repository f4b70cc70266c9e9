"""The headers of the guests say what they must, and every guest assembles in each of its builds."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

import guests
from guests import Guest, HeaderError
from isa.asm import Program, assemble

GUESTS = {guest.name: guest for guest in guests.catalogue()}
NAMES = sorted(GUESTS)
BOOT_SECTORS = ["boot"]
KERNELS = [name for name in NAMES if name not in BOOT_SECTORS]
WITH_PARA = [name for name in NAMES if GUESTS[name].has_para]
MODES = {"native", "full", "rewrite", "para"}


@cache
def build(name: str, para: bool) -> Program:
    return assemble(GUESTS[name].path, defines={"PARA": 1} if para else {})


def test_the_catalogue_holds_every_source_in_the_folder() -> None:
    assert sorted(path.stem for path in guests.LIBRARY.glob("*.asm")) == NAMES
    assert set(guests.READING_ORDER) <= set(NAMES)
    assert list(GUESTS)[: len(guests.READING_ORDER)] == list(guests.READING_ORDER)


@pytest.mark.parametrize("name", NAMES)
def test_a_header_is_complete(name: str) -> None:
    guest = GUESTS[name]
    assert guest.title.endswith(".")
    assert len(guest.summary) > 80
    assert set(guest.modes) <= MODES
    assert "native" in guest.modes
    assert guest.expected.endswith("\n")
    assert guest.expected.isascii()


@pytest.mark.parametrize("name", NAMES)
def test_a_guest_does_not_name_the_mode_it_runs_in(name: str) -> None:
    words = GUESTS[name].expected.lower().replace(":", " ").split()
    assert not {"native", "bare", "para", "paravirtual", "xen", "hypercall", "monitor"} & set(words)


@pytest.mark.parametrize("name", NAMES)
def test_a_guest_assembles_without_a_warning(name: str) -> None:
    program = build(name, para=False)
    assert program.entry == program.symbols["_start"]
    assert program.origin == (0x7C00 if name in BOOT_SECTORS else 0x100000)
    assert not program.warnings


@pytest.mark.parametrize("name", WITH_PARA)
def test_the_paravirtual_port_assembles_without_a_warning(name: str) -> None:
    assert not build(name, para=True).warnings


PRIVILEGED = re.compile(
    r"(lgdt|lidt|lldt|ltr|lmsw|clts|hlt|inv\w*|wbinvd|rdmsr|wrmsr|cli|sti|in|out|ins\w|outs\w|iretd?)\b"
    r"|mov .*\b[cd]r\d"
)
SILENT = re.compile(r"(pushfd?|popfd?|sgdt|sidt|sldt|str|smsw)\b")


@pytest.mark.parametrize("name", WITH_PARA)
def test_the_paravirtual_kernel_has_no_privileged_and_no_silent_instruction(name: str) -> None:
    program = build(name, para=True)
    user = program.symbols.get("user_begin", 1 << 32)  # a program in ring 3 may try what it likes
    for line in program.lines:
        if line.address < user:
            words = line.text.strip()
            assert not PRIVILEGED.match(words) and not SILENT.match(words), (
                f"{line.path}:{line.line}: {words}"
            )


@pytest.mark.parametrize("name", BOOT_SECTORS)
def test_a_boot_sector_is_one_sector_with_its_mark_at_the_end(name: str) -> None:
    image = build(name, para=False).image
    assert len(image) == 512
    assert image[-2:] == b"\x55\xaa"


@pytest.mark.parametrize("name", KERNELS)
def test_an_image_carries_a_multiboot_header_with_addresses(name: str) -> None:
    program = build(name, para=False)
    at = program.symbols["multiboot_header"] - program.origin
    words = [int.from_bytes(program.image[at + i : at + i + 4], "little") for i in range(0, 32, 4)]
    magic, flags, checksum, header, load, load_end, bss_end, entry = words
    assert at % 4 == 0 and at + 32 <= 8192
    assert (magic, flags) == (0x1BADB002, 0x10000)
    assert (magic + flags + checksum) % (1 << 32) == 0
    assert (header, load, load_end, bss_end) == (program.origin + at, program.origin, 0, 0)
    assert entry == program.entry


@pytest.mark.parametrize("name", NAMES)
def test_the_places_where_naive_fails_are_labels_of_the_program(name: str) -> None:
    for divergence in GUESTS[name].naive:
        assert divergence.label in build(name, para=False).symbols


def test_a_guest_is_found_by_its_bare_name_only() -> None:
    assert guests.find("hello") == guests.LIBRARY / "hello.asm"
    for name in ("no-such-guest", "../guests/hello", "lib/boot", "hello.asm", "", "hello\n"):
        assert guests.find(name) is None


HEADER = """\
; toy: a title.
;
; What it does.
;
;   indented
;
; expect:
;   | one
;   |
;   |  two
;
; modes: native para
; naive: POPF at here
; naive: MOV r, CS at there

main:
; not the header
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "toy.asm"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_header_is_read_field_by_field(tmp_path: Path) -> None:
    guest = guests.read(write(tmp_path, HEADER))
    assert guest == Guest(
        name="toy",
        path=tmp_path / "toy.asm",
        title="a title.",
        summary="What it does.\n\n  indented",
        modes=("native", "para"),
        expected="one\n\n two\n",
        naive=(guests.Divergence("POPF", "here"), guests.Divergence("MOV r, CS", "there")),
    )
    assert guest.has_para


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("toy:", "boy:", "first line"),
        ("; modes: native para\n", "", "lacks `modes:`"),
        ("expect:", "expected", "nothing but fields|lacks"),
        ("POPF at here", "POPF", "INSTRUCTION at label"),
        ("; naive: MOV", "; also MOV", "nothing but fields"),
    ],
)
def test_a_bad_header_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(HeaderError, match=message):
        guests.read(write(tmp_path, HEADER.replace(old, new)))
