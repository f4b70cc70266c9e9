"""The PCI bus: who is there, what can be written, and what the board does about it."""

import json
import random

import pytest
from qemu_oracle import QEMU, in_qemu, on_bus

from vmm.clock import Clock
from vmm.devices import PcDevices
from vmm.devices.pci import HOST_BRIDGE, Function, PciBus

ADDRESS, DATA = 0xCF8, 0xCFC


class Board:
    def __init__(self):
        self.pam, self.pm = [], []
        self.pci = PciBus(16 << 20, lambda *stretch: self.pam.append(stretch), self.pm.append)

    def select(self, device, function, register, bus=0):
        address = 1 << 31 | bus << 16 | device << 11 | function << 8 | register
        self.pci.write(ADDRESS, address, 4)

    def read(self, device, function, register, size=4):
        self.select(device, function, register & 0xFC)
        return self.pci.read(DATA + (register & 3), size) & (1 << 8 * size) - 1

    def write(self, device, function, register, value, size=4):
        self.select(device, function, register & 0xFC)
        self.pci.write(DATA + (register & 3), value, size)


def test_four_functions_are_there_and_nobody_else():
    board = Board()
    found = {}
    for device in range(32):
        for function in range(8):
            identity = board.read(device, function, 0)
            if identity != 0xFFFF_FFFF:
                found[device, function] = identity
    assert found == {(0, 0): 0x12378086, (1, 0): 0x70008086, (1, 1): 0x70108086, (1, 3): 0x71138086}
    board.select(0, 0, 0, bus=1)
    assert board.pci.read(DATA, 4) == -1


def test_the_address_port_takes_and_gives_32_bits_only():
    pc = PcDevices(Clock())
    pc.bus.write(ADDRESS, 0x8000_0800, 4)
    pc.bus.write(ADDRESS, 0x12, 1)
    pc.bus.write(ADDRESS, 0x1234, 2)
    assert pc.bus.read(ADDRESS, 4) == 0x8000_0800
    assert pc.bus.read(ADDRESS, 2) == 0xFFFF
    assert pc.bus.read(DATA, 4) == 0x7000_8086


def test_without_the_enable_bit_nobody_answers():
    pc = PcDevices(Clock())
    pc.bus.write(ADDRESS, 0x0000_0800, 4)
    assert pc.bus.read(DATA, 4) == 0xFFFF_FFFF


def test_data_are_read_in_every_width():
    pc = PcDevices(Clock())
    pc.bus.write(ADDRESS, 0x8000_0000, 4)
    assert [pc.bus.read(DATA + n, 1) for n in range(4)] == [0x86, 0x80, 0x37, 0x12]
    assert [pc.bus.read(DATA + n, 2) for n in (0, 1, 2)] == [0x8086, 0x3780, 0x1237]


def test_identity_and_class_cannot_be_written():
    board = Board()
    for register in (0x00, 0x08, 0x2C):
        before = board.read(0, 0, register)
        board.write(0, 0, register, 0xFFFF_FFFF)
        assert board.read(0, 0, register) == before


@pytest.mark.parametrize(("ports", "size", "sized"), [(True, 16, 0xFFFF_FFF1), (False, 4096, 0xFFFF_F000)])
def test_a_base_address_register_tells_its_size(ports, size, sized):
    function = Function(0x1234_5678, 0)
    function.add_region(2, size, ports=ports)
    function.write(0x18, 0xFFFF_FFFF, 4)
    assert function.word(0x18, 4) == sized
    function.write(0x18, 0xC123_4567, 4)
    assert function.region(2) == 0xC123_4567 & sized & ~1
    assert function.word(0x14, 4) == 0


def test_pam_tells_where_reads_and_writes_of_upper_memory_go():
    board = Board()
    board.write(0, 0, 0x59, 0x30, 1)
    assert (0xF0000, 0x10000, 3) in board.pam
    board.pam.clear()
    board.write(0, 0, 0x5A, 0x21, 1)
    assert board.pam[:3] == [(0xF0000, 0x10000, 3), (0xC0000, 0x4000, 1), (0xC4000, 0x4000, 2)]
    assert sum(size for _address, size, _access in board.pam) == 0x40000
    board.pam.clear()
    board.write(0, 0, 0x60, 0xFF, 1)
    assert board.pam == []


def test_power_management_is_where_its_base_says_while_it_is_switched_on():
    board = Board()
    board.write(1, 3, 0x40, 0x0601)
    board.write(1, 3, 0x80, 1, 1)
    board.write(1, 3, 0x40, 0xB001)
    board.write(1, 3, 0x80, 0, 1)
    assert board.pm == [0x600, 0xB000, None]


def test_a_snapshot_tells_pam_and_power_management_again():
    board, other = Board(), Board()
    board.write(0, 0, 0x5F, 0x33, 1)
    board.write(1, 3, 0x40, 0x0601)
    board.write(1, 3, 0x80, 1, 1)
    state = json.loads(json.dumps(board.pci.save()))
    other.pci.load(state)
    assert other.pci.save() == state
    assert other.pm == [0x600]
    assert (0xE8000, 0x4000, 3) in other.pam


@pytest.mark.skipif(QEMU is None, reason="QEMU is not installed")
@pytest.mark.parametrize("written", [None, 0xFFFF_FFFF, 0])
def test_the_functions_read_as_qemus_do_before_and_after_writing(written):
    """But for what is not there: bus mastering and its base, the SMBus, SMIs."""
    ours_alone = {(9, 0x08), (9, 0x20), (0x0B, 0x58), (0x0B, 0x90), (0x0B, 0xD0)}
    accesses, places = [], []
    for function in (0x00, 0x08, 0x09, 0x0B):
        for register in range(0, 256, 4):
            if (function, register) not in ours_alone:
                accesses.append((ADDRESS, 1 << 31 | function << 8 | register, 4))
                accesses += [] if written is None else [(DATA, written, 4)]
                accesses.append((DATA, None, 4))
                places.append((function, hex(register)))
    pc = PcDevices(Clock(), memory=64 << 20)
    theirs = dict(zip(places, in_qemu(accesses, "-m", "64M"), strict=True))
    assert dict(zip(places, on_bus(pc.bus, accesses), strict=True)) == theirs


def test_a_guest_may_write_anything_and_a_reload_changes_nothing():
    rng = random.Random(33)
    pc = PcDevices(Clock())
    for _ in range(50):
        for _ in range(100):
            register = rng.randrange(64) * 4
            function = rng.choice((0x00, 0x08, 0x09, 0x0B, rng.randrange(256)))
            pc.bus.write(ADDRESS, rng.choice((1, 1, 1, 0)) << 31 | function << 8 | register, 4)
            pc.bus.write(DATA + rng.randrange(4), rng.getrandbits(32), rng.choice((1, 2, 4)))
            pc.bus.read(DATA + rng.randrange(4), rng.choice((1, 2, 4)))
        copy = PcDevices(Clock())
        copy.load(json.loads(json.dumps(pc.save())))
        assert copy.save() == pc.save()
        assert copy.power.ports == pc.power.ports
        assert copy.pci.functions[HOST_BRIDGE].space == pc.pci.functions[HOST_BRIDGE].space
