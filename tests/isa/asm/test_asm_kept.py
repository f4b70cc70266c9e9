"""A program that was assembled before is the program that would be assembled now."""

from __future__ import annotations

from pathlib import Path

import pytest

from isa import cache
from isa.asm import AsmError, Program, kept
from isa.asm.assembler import assemble

MAIN = '.include "part.inc"\nstart: mov eax, VALUE\n.incbin "data.bin"\nnow: hlt\n'


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VMSIM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "src").mkdir()
    (tmp_path / "inc").mkdir()
    (tmp_path / "inc" / "part.inc").write_text("VALUE = 7\n")
    (tmp_path / "src" / "data.bin").write_bytes(b"abc")
    path = tmp_path / "src" / "main.asm"
    path.write_text(MAIN)
    return path


def again(source: Path, **defines: int) -> Program:
    """Assembled by way of the cache, and what it has to be."""
    folders = (source.parent.parent / "inc",)
    found = kept.assemble(source, defines, folders)
    wanted = assemble(source, defines=defines, include_dirs=folders)
    for name in ("origin", "image", "entry", "symbols", "constants", "warnings"):
        assert getattr(found, name) == getattr(wanted, name)
    assert list(found.symbols) == list(wanted.symbols)
    assert found.lines.listed == wanted.lines.listed
    return found


def is_kept(source: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the assembler is not needed."""
    with monkeypatch.context() as patch:
        patch.setattr("isa.asm.assembler.assemble", lambda *_, **__: 1 / 0)
        try:
            kept.assemble(source, {}, (source.parent.parent / "inc",))
        except ZeroDivisionError:
            return False
    return True


def test_the_second_time_nothing_is_assembled(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_kept(source, monkeypatch)
    again(source)
    assert is_kept(source, monkeypatch)
    again(source)


def test_whatever_it_was_made_from_counts(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again(source)
    for path, text in (
        (source, MAIN + "nop\n"),
        (source.parent.parent / "inc" / "part.inc", "VALUE = 8\n"),
        (source.parent / "data.bin", "abd"),
        (source.parent / "part.inc", "VALUE = 9\n"),  # found first from now on
    ):
        path.write_text(text)
        assert not is_kept(source, monkeypatch)
        again(source)
        assert is_kept(source, monkeypatch)
    assert again(source, DEFINED=1).constants["DEFINED"] == 1


def test_equal_sources_in_two_places_are_two_programs(source: Path) -> None:
    again(source)
    other = source.parent.parent / "other"
    other.mkdir()
    (other / "main.asm").write_text(MAIN)
    (other / "data.bin").write_bytes(b"xyz")
    assert b"xyz" in again(other / "main.asm").image


def test_a_damaged_file_is_made_again(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again(source)
    (file,) = (source.parent.parent / "cache" / kept.FOLDER).iterdir()
    whole = file.read_bytes()
    for damage in (b"", whole[:-1], whole[:20] + b"\0" + whole[21:], whole + b"x"):
        file.write_bytes(damage)
        assert not is_kept(source, monkeypatch)
        again(source)
        assert is_kept(source, monkeypatch)
    cache.write(file, b"sound, and no program")
    assert not is_kept(source, monkeypatch)


@pytest.mark.parametrize("place", ["", "/proc/nowhere"])
def test_without_a_place_it_is_assembled_each_time(
    source: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("VMSIM_CACHE", place)
    again(source)
    assert not is_kept(source, monkeypatch)


def test_mistakes_are_told_each_time(source: Path) -> None:
    source.write_text("mov eax, nobody\n")
    for _ in range(2):
        with pytest.raises(AsmError, match="nobody"):
            kept.assemble(source, {})
