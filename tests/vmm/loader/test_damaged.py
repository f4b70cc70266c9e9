"""Loaders and damaged files: cut short, bits turned over, fields set to extremes. A seed is in each name.

Whatever is in a file, the answer is an image that can be placed or a `LoadError`; VMSIM_SEED, VMSIM_CASES.
"""

from __future__ import annotations

import gzip
import os
import random
import struct
from pathlib import Path

import pytest
from loader_kernels import MULTIBOOT_HEADER, PUT, SHOW_MULTIBOOT, program
from test_linux import bzimage, pvh_kernel
from test_multiboot2 import HEADER as MULTIBOOT2
from test_multiboot2 import TAGS

from vmm.image import LoadError, Module, load_image
from vmm.report.packages import folders

SEED = int(os.environ.get("VMSIM_SEED", "20261122"))
CASES = int(os.environ.get("VMSIM_CASES", "150"))
EXTREMES = (0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_F000, 0x10_0000)
HEAD = 1024  # where formats keep what they say
REAL = ("memtest86+ia32.bin", "ipxe.lkrn", "gnumach*.gz", "invaders.exec", "vmlinuz-6.1*-686-pae")


def whole() -> dict[str, bytes]:
    """Files of every format, undamaged."""
    multiboot = program(SHOW_MULTIBOOT + PUT + MULTIBOOT_HEADER.format(flags=3), 0x10_0000)
    made = {
        "multiboot": multiboot.elf32(),
        "multiboot2": program("start: hlt\n" + MULTIBOOT2.format(tags=TAGS)).elf32(),
        "pvh": pvh_kernel(),
        "bzimage": bzimage(b"\xf4" * 512, gzip.compress(pvh_kernel()) + bytes(4)),
        "old kernel": bzimage(b"\xf4" * 512)[:0x206] + b"\x03\x02" + bzimage(b"\xf4" * 512)[0x208:],
        "gzip": gzip.compress(multiboot.elf32()),
        "disk": bytes(510) + b"\x55\xaa" + bytes(2048),
        "a.out": struct.pack("<8I", 0o413, 64, 0, 0, 0, 0, 0, 0) + bytes(64),
        "rom": bytes(0x1_0000 - 16) + b"\xea" + bytes(15),
    }
    for pattern in REAL:
        for found in (path for folder in folders() for path in folder.glob(pattern)):
            made[pattern] = found.read_bytes()
            break
    return made


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A file that something has happened to."""
    harm = bytearray(data)
    kind = rng.randrange(4)
    if kind == 0:
        del harm[rng.choice((rng.randrange(len(harm)), rng.randrange(min(len(harm), HEAD)))) :]
    elif kind == 1:
        for _ in range(rng.randrange(1, 9)):
            harm[rng.randrange(min(len(harm), HEAD))] ^= 1 << rng.randrange(8)
    elif kind == 2:
        at = rng.randrange(0, max(min(len(harm), HEAD) - 4, 1), 2)
        harm[at : at + 4] = struct.pack("<I", rng.choice(EXTREMES))
    else:
        at = rng.randrange(len(harm))
        harm[at : at + rng.randrange(64)] = rng.randbytes(rng.randrange(64))
    return bytes(harm)


@pytest.mark.parametrize("name", whole())
def test_a_damaged_file_is_refused_or_loaded(name: str, tmp_path: Path) -> None:
    data = whole()[name]
    cases = CASES if len(data) < 1 << 20 else CASES // 10
    for n in range(cases):
        rng = random.Random(f"{SEED} {name} {n}")
        path = tmp_path / "damaged"
        path.write_bytes(damaged(data, rng))
        given = {} if n % 2 else {"line": "a=b", "modules": (Module("m", b"12345"),)}
        try:
            image = load_image(path, **given)  # type: ignore[arg-type]
            image.arrange(16 << 20)
        except LoadError as error:
            assert str(error)
        except Exception as error:
            raise AssertionError(f"VMSIM_SEED={SEED}, {name}, case {n}: {error!r}") from error
        else:
            assert 0 <= image.entry < 1 << 32 and image.memory > 0
