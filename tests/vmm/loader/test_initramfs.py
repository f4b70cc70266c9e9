"""RAM disks out of directories and sources: what is in the archive is what was there, and a console."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from isa.asm import AsmError
from vmm.image import LoadError
from vmm.loader.initramfs import read_initrd


def members(data: bytes) -> dict[str, tuple[int, bytes]]:
    """Names, modes and contents, read by the format's own rules."""
    found, at = {}, 0
    while True:
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, length = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 109 + length].decode()
        at += (110 + length + 3) & ~3
        if name == "TRAILER!!!":
            return found
        found[name] = (mode, data[at : at + size])
        at += (size + 3) & ~3


def test_a_directory_becomes_an_archive(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool").write_bytes(b"12345")
    (tmp_path / "bin" / "tool").chmod(0o755)
    (tmp_path / "bin" / "sh").symlink_to("tool")
    found = members(read_initrd(tmp_path))
    assert found["bin/tool"] == (0o100755, b"12345")
    assert found["bin/sh"][1] == b"tool" and found["bin/sh"][0] & 0o170000 == 0o120000
    assert found["dev/console"] == (0o020600, b"")
    assert list(found).index("bin") < list(found).index("bin/tool")
    assert read_initrd(tmp_path) == read_initrd(tmp_path)


@pytest.mark.skipif(shutil.which("cpio") is None, reason="needs cpio")
def test_cpio_reads_it(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "motd").write_text("hello")
    listed = subprocess.run(
        ["cpio", "-t", "--quiet"], input=read_initrd(tmp_path), capture_output=True, check=True
    )
    assert listed.stdout.decode().split() == ["dev", "dev/console", "etc", "etc/motd"]


def test_a_source_becomes_the_first_program(tmp_path: Path) -> None:
    source = tmp_path / "init.asm"
    source.write_text("org 0x08048000\nglobal _start\n_start: mov eax, 1\nint 0x80\n")
    mode, data = members(read_initrd(source))["init"]
    assert mode == 0o100755 and data.startswith(b"\x7fELF")
    source.write_text("nonsense here\n")
    with pytest.raises(AsmError):
        read_initrd(source)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="no such file"):
        read_initrd(tmp_path / "absent")
    assert members(read_initrd(tmp_path)) == {"dev": (0o040755, b""), "dev/console": (0o020600, b"")}
