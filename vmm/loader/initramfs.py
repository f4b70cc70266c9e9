"""A userland for Linux out of what a person has: the archive that the kernel unpacks as its first root.

    a directory        its files, links and folders
    a source (.asm)    assembled into an ELF program, which is /init
    anything else      is an archive already

To the first two /dev/console is added, without which a kernel's first process has no terminal, and which
nobody but root can make. Format: cpio "newc" (Documentation/driver-api/early-userspace/buffer-format.rst).
Dates, owners and numbers are always the same, so that the same directory gives the same archive.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from isa.asm import assemble
from vmm.image import LoadError, read_file

MAGIC, TRAILER = b"070701", "TRAILER!!!"
DIRECTORY, PROGRAM, CONSOLE = 0o040755, 0o100755, 0o020600
CONSOLE_DEVICE = (5, 1)
SOURCE_SUFFIXES = frozenset({".asm", ".s", ".nasm"})
MAX_SIZE = 1 << 30


class Member(NamedTuple):
    """One file of an archive."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def read_initrd(path: Path) -> bytes:
    """The RAM disk that a path means. `LoadError`, `AsmError`."""
    if path.is_dir():
        return archive(list(_members(path)))
    if path.suffix.lower() in SOURCE_SUFFIXES:
        return archive([Member("init", PROGRAM, assemble(path).elf32())])
    return read_file(path)


def archive(members: list[Member]) -> bytes:
    """The archive of some files, with a console."""
    names = {member.name for member in members}
    console = [Member("dev", DIRECTORY), Member("dev/console", CONSOLE, device=CONSOLE_DEVICE)]
    every = [member for member in console if member.name not in names] + members
    return b"".join(_entry(n, member) for n, member in enumerate([*every, Member(TRAILER, 0)], 1))


def _entry(inode: int, member: Member) -> bytes:
    """Thirteen numbers in hexadecimal, the name, the contents, each filled up to a multiple of four."""
    name = os.fsencode(member.name) + b"\0"
    fields = (inode, member.mode, 0, 0, 1, 0, len(member.data), 0, 0, *member.device, len(name), 0)
    head = MAGIC + b"".join(b"%08X" % field for field in fields) + name
    return head + bytes(-len(head) % 4) + member.data + bytes(-len(member.data) % 4)


def _members(root: Path) -> Iterator[Member]:
    """What is below a directory, folders before what is in them. `LoadError`."""
    size = 0
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted((*folders, *files)):
            path = Path(folder, name)
            shown = str(path.relative_to(root))
            try:
                mode = path.lstat().st_mode
                if stat.S_ISLNK(mode):
                    yield Member(shown, mode, os.fsencode(os.readlink(path)))
                elif stat.S_ISDIR(mode):
                    yield Member(shown, mode)
                elif stat.S_ISREG(mode):
                    size += path.stat().st_size
                    if size > MAX_SIZE:
                        raise LoadError(f"{root}: more than {MAX_SIZE >> 30}G, too much for a RAM disk")
                    yield Member(shown, mode, path.read_bytes())
            except OSError as error:
                raise LoadError(f"{path}: {error.strerror or error}") from None
