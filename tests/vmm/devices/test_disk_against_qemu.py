"""The same commands to QEMU's IDE disk and to ours: the data, the identity's common words, the signatures.

QEMU reads its file in the background even while its machine stands still, hence the polling. Left out is
where the two differ by right: status bit 4 with errors, the address after a transfer, what lies beyond
the end (QEMU aborts), and everything of DMA.
"""

import random

import pytest
from qemu_oracle import QEMU, in_qemu, on_bus

from vmm.clock import Clock
from vmm.devices import Disk, PcDevices

pytestmark = pytest.mark.skipif(QEMU is None, reason="QEMU is not installed")
IMAGE = random.Random(1).randbytes(512 * 2100)
DATA, ERROR, COUNT, LOW, MID, HIGH, DEVICE, COMMAND = range(0x1F0, 0x1F8)
STATUS = 0x3F6
POLLS = 200
WORDS = [(DATA, None, 2)] * 256
COMMON_WORDS = (0, 1, 3, 6, 47, *range(54, 59), 60, 61, 64, 67, 68)


def task(command, count, low, mid=0, high=0, device=0xE0):
    registers = zip(
        (COUNT, LOW, MID, HIGH, DEVICE, COMMAND), (count, low, mid, high, device, command), strict=True
    )
    return [*registers, *[(STATUS, None)] * POLLS]


@pytest.fixture
def both(tmp_path):
    """What QEMU's disk and ours answer, the polling left out."""
    path = tmp_path / "disk.img"
    path.write_bytes(IMAGE)
    options = ("-drive", f"file={path},format=raw,if=ide,snapshot=on")

    def run(accesses):
        pc, ours = PcDevices(Clock(), disk=Disk(IMAGE)), []
        for access in accesses:
            while pc.ide.status & 0x80 and pc.clock.deadline() is not None:
                pc.clock.advance(pc.clock.deadline())
            ours += on_bus(pc.bus, [access])
        theirs = in_qemu(accesses, *options)
        kept = [
            n for n, access in enumerate(each for each in accesses if each[1] is None) if access[0] != STATUS
        ]
        return [theirs[n] for n in kept], [ours[n] for n in kept]

    return run


def test_the_identity_tells_the_same_of_what_both_are(both):
    theirs, ours = both(task(0xEC, 1, 0) + WORDS)
    assert [ours[word] for word in COMMON_WORDS[:4]] == [theirs[word] for word in COMMON_WORDS[:4]]
    assert [ours[word] for word in COMMON_WORDS[5:12]] == [theirs[word] for word in COMMON_WORDS[5:12]]
    assert ours[47] & 0xFF == theirs[47] & 0xFF


@pytest.mark.parametrize(
    "command",
    [
        task(0x20, 1, 77),
        task(0x20, 1, 0x33, 0x08),
        task(0x20, 1, 5, 1, 0, 0xA3),
        [
            (COUNT, 10),
            (DEVICE, 0xA3),
            (COMMAND, 0x91),
            *[(STATUS, None)] * POLLS,
            *task(0x20, 1, 5, 9, 0, 0xA2),
        ],
    ],
    ids=["lba", "far", "chs", "another shape"],
)
def test_sectors_hold_the_same(both, command):
    theirs, ours = both(command + WORDS)
    assert ours == theirs
    assert len(set(ours)) > 200


def test_what_is_written_reads_back(both):
    data = [(DATA, n * 257 & 0xFFFF, 2) for n in range(256)]
    theirs, ours = both(task(0x30, 1, 9) + data + [(STATUS, None)] * POLLS + task(0x20, 1, 9) + WORDS)
    assert ours == theirs == [value for _port, value, _size in data]


@pytest.mark.parametrize(("command", "count"), [(0x90, 1), (0xE5, 0), (0xF8, 0), (0xC6, 16), (0xE7, 1)])
def test_commands_without_data_leave_the_same_registers(both, command, count):
    registers = [(port, None) for port in range(ERROR, COMMAND + 1)]
    theirs, ours = both(task(command, count, 5) + registers)
    assert ours == theirs
