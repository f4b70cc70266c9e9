"""The disk: every command of a driver, its timing, its interrupt, and what becomes of the host's file."""

import random

import pytest
from reloading import goes_on_alike

from vmm.clock import Clock
from vmm.devices import PcDevices
from vmm.devices.disk import SECTOR, Disk

BASE, ALTERNATE = 0x1F0, 0x3F6
BSY, DRDY, DSC, DRQ, ERR = 0x80, 0x40, 0x10, 0x08, 0x01
READY = DRDY | DSC


def content(sectors=2100):
    rng = random.Random(sectors)
    return b"".join(n.to_bytes(4, "little") + rng.randbytes(SECTOR - 4) for n in range(sectors))


IMAGE = content()


class Board:
    """A driver in Python."""

    def __init__(self, source=IMAGE):
        self.pc = PcDevices(Clock(), disk=Disk(source))
        self.pc.firmware()
        self.pc.bus.write(0xA1, 0, 1)
        self.pc.bus.write(0x21, 0xFB, 1)
        self.interrupts = 0

    def out(self, register, value, size=1):
        self.pc.bus.write(BASE + register, value, size)

    def get(self, register, size=1):
        return self.pc.bus.read(BASE + register, size)

    def status(self):
        return self.pc.bus.read(ALTERNATE, 1)

    def wait(self):
        """Until the disk is not busy."""
        while self.status() & BSY:
            self.pc.clock.advance(self.pc.clock.deadline())
        self.count()
        return self.status()

    def count(self):
        """Take the interrupt, if there is one."""
        if self.pc.pic.intr:
            assert self.pc.pic.acknowledge() == 0x76
            self.get(7)
            for port in (0xA0, 0x20):
                self.pc.bus.write(port, 0x20, 1)
            self.interrupts += 1

    def command(self, command, *, lba=None, chs=None, count=1, features=0, slave=False):
        self.out(1, features)
        self.out(2, count & 0xFF)
        if chs is not None:
            cylinder, head, number = chs
            task = (number, cylinder & 0xFF, cylinder >> 8, head)
        else:
            lba = lba or 0
            task = (lba & 0xFF, lba >> 8 & 0xFF, lba >> 16 & 0xFF, 0x40 | lba >> 24)
        for register, value in enumerate(task, 3):
            self.out(register, value | (0xA0 | slave << 4 if register == 6 else 0))
        self.out(7, command)

    def take(self, sectors, block=1, size=2):
        """Read data as a driver does, waiting before every block."""
        out = b""
        while len(out) < sectors * SECTOR:
            assert self.wait() == READY | DRQ
            room = min(block * SECTOR, sectors * SECTOR - len(out))
            out += b"".join(self.get(0, size).to_bytes(size, "little") for _ in range(room // size))
        return out

    def put(self, data, block=1, size=2):
        for start in range(0, len(data), block * SECTOR):
            assert self.wait() == READY | DRQ
            piece = data[start : start + block * SECTOR]
            for n in range(0, len(piece), size):
                self.out(0, int.from_bytes(piece[n : n + size], "little"), size)
        return self.wait()


def sectors(first, count):
    return IMAGE[first * SECTOR : (first + count) * SECTOR]


def test_without_a_disk_the_channels_float():
    pc = PcDevices(Clock())
    assert [pc.bus.read(port, 1) for port in (0x1F7, 0x3F6, 0x177, 0x376)] == [0xFF] * 4


def test_the_secondary_channel_is_empty():
    assert Board().pc.bus.read(0x177, 1) == 0xFF


def test_identify_tells_shape_size_and_name():
    board = Board()
    board.command(0xEC)
    assert board.status() == BSY
    data = board.take(1)
    words = [int.from_bytes(data[n : n + 2], "little") for n in range(0, SECTOR, 2)]
    assert words[0] == 0x0040
    assert (words[1], words[3], words[6]) == (2, 16, 63)
    assert words[49] & 0x0200, "LBA"
    assert words[60] | words[61] << 16 == 2100
    assert words[57] | words[58] << 16 == 2 * 16 * 63
    swapped = b"".join(data[n : n + 2][::-1] for n in range(54, 94, 2))
    assert swapped.decode().rstrip() == "VMSIM HARDDISK"
    assert board.wait() == READY
    assert board.interrupts == 1


@pytest.mark.parametrize("size", [1, 2, 4])
def test_sectors_are_read_by_lba_in_every_width(size):
    board = Board()
    board.command(0x20, lba=1000, count=3)
    assert board.take(3, size=size) == sectors(1000, 3)
    assert board.wait() == READY
    assert board.interrupts == 3


def test_a_count_of_0_is_256_sectors():
    board = Board()
    board.command(0x20, lba=7, count=0)
    assert board.take(256) == sectors(7, 256)


def test_sectors_are_read_by_cylinder_head_and_sector():
    board = Board()
    board.command(0x20, chs=(1, 2, 3), count=2)
    assert board.take(2) == sectors((16 + 2) * 63 + 2, 2)


def test_another_shape_can_be_set():
    board = Board()
    board.out(2, 10)
    board.out(6, 0xA3)
    board.out(7, 0x91)
    board.count()
    board.command(0x20, chs=(5, 3, 10))
    assert board.take(1) == sectors((5 * 4 + 3) * 10 + 9, 1)
    board.command(0x20, chs=(5, 4, 1))
    assert board.wait() == READY | ERR
    assert board.get(1) == 0x10


def test_written_sectors_read_back_and_the_source_stays():
    board = Board()
    board.command(0x30, lba=5, count=2)
    assert board.status() == READY | DRQ, "the first block is wanted at once, without an interrupt"
    assert board.put(b"\xa5" * SECTOR + b"\x5a" * SECTOR) == READY
    assert board.interrupts == 2
    board.command(0x20, lba=4, count=4)
    assert board.take(4) == sectors(4, 1) + b"\xa5" * SECTOR + b"\x5a" * SECTOR + sectors(7, 1)
    assert sorted(board.pc.ide.disk.overlay) == [5, 6]


@pytest.mark.parametrize(("multiple", "count"), [(2, 5), (8, 8), (16, 40)])
def test_multiple_sectors_are_a_block_with_one_interrupt(multiple, count):
    board = Board()
    board.command(0xC6, count=multiple)
    board.wait()
    blocks = -(-count // multiple)
    board.interrupts = 0
    board.command(0xC4, lba=100, count=count)
    assert board.take(count, multiple) == sectors(100, count)
    assert board.interrupts == blocks
    board.interrupts = 0
    data = random.Random(1).randbytes(count * SECTOR)
    board.command(0xC5, lba=300, count=count)
    assert board.put(data, multiple) == READY
    assert board.interrupts == blocks
    board.command(0x20, lba=300, count=count)
    assert board.take(count) == data


def test_multiple_sectors_want_a_block_size_first():
    board = Board()
    board.command(0xC4, lba=0)
    assert board.wait() == READY | ERR
    assert board.get(1) == 0x04
    for size, error in ((3, ERR), (32, ERR), (16, 0)):
        board.command(0xC6, count=size)
        assert board.wait() == READY | error


@pytest.mark.parametrize("command", [0x20, 0x30, 0x40])
def test_beyond_the_end_there_is_no_sector(command):
    board = Board()
    board.command(command, lba=2100)
    assert board.wait() == READY | ERR
    assert board.get(1) == 0x10
    assert board.interrupts == 1


def test_a_read_that_runs_over_the_end_gives_what_there_is():
    board = Board()
    board.command(0x20, lba=2099, count=2)
    assert board.take(1) == sectors(2099, 1)
    assert board.wait() == READY | ERR
    assert board.get(1) == 0x10


@pytest.mark.parametrize("command", [0x10, 0x40, 0x70, 0xE0, 0xE7])
def test_commands_without_data_end_with_an_interrupt(command):
    board = Board()
    board.command(command)
    assert board.status() == BSY
    assert board.wait() == READY
    assert board.interrupts == 1


@pytest.mark.parametrize("command", [0x00, 0x08, 0x25, 0xA1, 0xC8, 0xCA, 0xFF])
def test_what_the_disk_does_not_know_it_aborts(command):
    board = Board()
    board.command(command)
    assert board.wait() == READY | ERR
    assert board.get(1) == 0x04


@pytest.mark.parametrize(
    ("features", "count", "error"), [(0x03, 0x0C, 0), (0x03, 0x42, ERR), (0x82, 0, 0), (0x99, 0, ERR)]
)
def test_features(features, count, error):
    board = Board()
    board.command(0xEF, features=features, count=count)
    assert board.wait() == READY | error


def test_the_power_state_and_the_last_address_can_be_asked():
    board = Board()
    board.command(0xE5, count=0)
    board.wait()
    assert board.get(2) == 0xFF
    board.command(0xF8)
    board.wait()
    assert board.get(3) | board.get(4) << 8 == 2099


def test_reading_the_status_ends_the_interrupt_and_the_alternate_does_not():
    board = Board()
    board.command(0xE7)
    while board.status() & BSY:
        board.pc.clock.advance(board.pc.clock.deadline())
    assert board.pc.ide.interrupt
    board.get(7)
    assert not board.pc.ide.interrupt


def test_without_permission_the_disk_does_not_interrupt():
    board = Board()
    board.pc.bus.write(ALTERNATE, 0x02, 1)
    board.command(0xE7)
    board.wait()
    assert board.interrupts == 0
    board.pc.bus.write(ALTERNATE, 0, 1)
    board.count()
    assert board.interrupts == 1, "it was pending"


def test_a_software_reset_leaves_the_signature():
    board = Board()
    board.command(0x20, lba=0x12345, count=9)
    board.pc.bus.write(ALTERNATE, 0x04, 1)
    assert board.status() == BSY
    board.pc.clock.advance(board.pc.clock.now + 10**8)
    assert board.status() == BSY, "as long as it is held"
    board.pc.bus.write(ALTERNATE, 0x00, 1)
    assert board.wait() == READY
    assert [board.get(n) for n in range(1, 7)] == [1, 1, 1, 0, 0, 0xA0]
    assert board.interrupts == 0


def test_the_diagnostic_leaves_the_signature_and_interrupts():
    board = Board()
    board.command(0x90, lba=5)
    assert board.wait() == READY
    assert (board.get(1), board.interrupts) == (1, 1)


def test_there_is_no_slave():
    board = Board()
    board.command(0xEC, slave=True)
    assert (board.get(7), board.status(), board.interrupts) == (0, 0, 0)
    board.out(6, 0xA0)
    assert board.get(7) == READY


def test_a_busy_disk_takes_no_command():
    board = Board()
    board.command(0x20, lba=9)
    board.out(7, 0xEC)
    assert board.take(1) == sectors(9, 1)


def test_data_that_nobody_asked_for_are_lost():
    board = Board()
    board.out(0, 0xFFFF, 2)
    assert board.get(0, 2) == 0
    board.command(0x20, lba=9)
    board.wait()
    board.out(0, 0xFFFF, 2)
    assert board.take(1) == sectors(9, 1)


def test_a_file_of_the_host_is_read_and_changes_only_by_commit(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(IMAGE[: 100 * SECTOR + 7])
    board = Board(path)
    assert board.pc.ide.disk.sectors == 101
    board.command(0x20, lba=100)
    assert board.take(1) == sectors(100, 1)[:7] + bytes(SECTOR - 7)
    board.command(0x30, lba=3)
    board.put(b"\x77" * SECTOR)
    assert path.read_bytes() == IMAGE[: 100 * SECTOR + 7]
    copy = tmp_path / "copy.img"
    board.pc.ide.disk.commit(copy)
    expected = sectors(0, 3) + b"\x77" * SECTOR + sectors(4, 96) + sectors(100, 1)[:7] + bytes(SECTOR - 7)
    assert copy.read_bytes() == expected
    board.pc.ide.disk.commit(path)
    assert path.read_bytes() == expected[: 100 * SECTOR + 7]


def test_a_disk_can_be_larger_than_its_image_and_refuses_what_is_no_sector():
    disk = Disk(b"abc", sectors=10)
    assert (disk.sectors, disk.read(0)[:4], disk.read(9)) == (10, b"abc\0", bytes(SECTOR))
    for sector, data in ((10, bytes(SECTOR)), (-1, bytes(SECTOR)), (0, b"short")):
        with pytest.raises(ValueError, match="sector"):
            disk.write(sector, data)


def test_the_cmos_knows_the_disk():
    pc = PcDevices(Clock(), disk=Disk(IMAGE))
    assert (pc.cmos.memory[0x12], pc.cmos.memory[0x19]) == (0xF0, 47)
    assert list(pc.cmos.memory[0x1B:0x24]) == [2, 0, 16, 0xFF, 0xFF, 0xC8, 2, 0, 63]
    assert sum(pc.cmos.memory[0x10:0x2E]) == pc.cmos.memory[0x2E] << 8 | pc.cmos.memory[0x2F]


def test_a_guest_may_write_anything_at_any_time_and_a_reload_changes_nothing():
    commands = (*(0x20, 0x30, 0xC4, 0xC5, 0xC6, 0xEC, 0xEF, 0x91, 0x90, 0x40), *(0x10, 0xE7, 0xF8, 0xE5))

    def scribble(which, seed, count):
        r, log = random.Random(seed), []
        for _ in range(count):
            what = r.random()
            register, size = r.randrange(8), r.choice((1, 2, 4))
            if what < 0.1:
                which.command(r.choice(commands), lba=r.randrange(2200), count=r.randrange(20))
            elif what < 0.2:
                which.out(register, r.getrandbits(8 * size), size)
            elif what < 0.25:
                which.pc.bus.write(ALTERNATE, r.choice((0, 0, 0, 2, 4, r.randrange(256))), 1)
            elif what < 0.5:
                log += [which.get(0, 4) for _ in range(r.randrange(300))]
            elif what < 0.7:
                for _ in range(r.randrange(300)):
                    which.out(0, r.getrandbits(16), 2)
            elif what < 0.9:
                log.append(which.get(register, size))
            else:
                which.pc.clock.advance(which.pc.clock.now + r.choice((1, 1000, 10**6)))
            log.append((which.status(), which.pc.pic.intr))
        return log

    goes_on_alike(Board, scribble, 1366, 60)
