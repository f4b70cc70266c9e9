"""QEMU's devices, asked through its monitor: a PC that never starts, so its time stands still."""

import re
import shutil
import subprocess

QEMU = shutil.which("qemu-system-i386")
MACHINE = ("-S", "-display", "none", "-machine", "pc", "-nodefaults", "-monitor", "stdio")


def in_qemu(accesses, *options):
    """What the reads gave. An access is (port, value or None for a read) or (port, value, size)."""
    lines = []
    for port, value, *size in accesses:
        width = {1: "b", 2: "h", 4: "w"}[size[0] if size else 1]
        lines.append(f"i /{width} {port:#x}" if value is None else f"o /{width} {port:#x} {value:#x}")
    script = "\n".join([*lines, "quit", ""]).encode()
    run = subprocess.run(
        [QEMU, *MACHINE, *options], input=script, capture_output=True, timeout=120, check=True
    )
    return [int(value, 16) for value in re.findall(rb"port\w\[\w+\] = (0x[0-9a-f]+)", run.stdout)]


def on_bus(bus, accesses):
    """The same of our bus."""
    seen = []
    for port, value, *size in accesses:
        width = size[0] if size else 1
        if value is None:
            seen.append(bus.read(port, width))
        else:
            bus.write(port, value, width)
    return seen


def assert_agreement(bus, accesses, *options, masks=None):
    """`masks`: for a port, the bits that are compared."""
    reads = [(n, *access) for n, access in enumerate(accesses) if access[1] is None]
    theirs, ours = in_qemu(accesses, *options), on_bus(bus, accesses)
    assert len(theirs) == len(reads)
    for (n, port, *_), expected, actual in zip(reads, theirs, ours, strict=True):
        mask = (masks or {}).get(port, 0xFFFF_FFFF)
        history = [
            tuple(hex(x) if x is not None else "" for x in each) for each in accesses[max(0, n - 12) : n + 1]
        ]
        assert actual & mask == expected & mask, (hex(port), hex(expected), hex(actual), history)
