"""The firmware configuration: keys, the directory, and the same from QEMU."""

import struct

import pytest
from qemu_oracle import QEMU, in_qemu, on_bus

from vmm.clock import Clock
from vmm.devices import PcDevices
from vmm.devices.fw_cfg import E820_RAM, FirmwareConfig

SELECTOR, DATA = 0x510, 0x511


def item(bus, key, size):
    bus.write(SELECTOR, key, 2)
    return bytes(bus.read(DATA, 1) for _ in range(size))


def directory(bus):
    """Name: (size, key), as a firmware reads it."""
    (count,) = struct.unpack(">I", item(bus, 0x19, 4))
    found = {}
    for _ in range(count):
        size, key, _reserved, name = struct.unpack(">IHH56s", bytes(bus.read(DATA, 1) for _ in range(64)))
        found[name.rstrip(b"\0").decode()] = size, key
    return found


def test_the_signature_and_the_features_tell_what_is_there():
    bus = PcDevices(Clock()).bus
    assert item(bus, 0, 4) == b"QEMU"
    assert item(bus, 1, 4) == b"\x01\0\0\0", "no DMA"


def test_the_memory_map_is_one_piece_of_ram():
    bus = PcDevices(Clock(), memory=48 << 20).bus
    size, key = directory(bus)["etc/e820"]
    assert struct.unpack("<QQI", item(bus, key, size)) == (0, 48 << 20, E820_RAM)
    assert item(bus, 3, 8) == (48 << 20).to_bytes(8, "little")
    assert item(bus, 5, 2) == b"\x01\0"


def test_files_are_listed_by_name_and_can_be_replaced():
    pc = PcDevices(Clock())
    pc.fw_cfg.add("vgaroms/some.bin", b"\x55\xaa" * 3)
    pc.fw_cfg.add("bootorder", b"first")
    pc.fw_cfg.add("bootorder", b"second")
    found = directory(pc.bus)
    assert list(found) == ["bootorder", "etc/e820", "vgaroms/some.bin"]
    size, key = found["bootorder"]
    assert item(pc.bus, key, size + 2) == b"second\0\0", "zeros beyond the end"


def test_what_is_not_there_reads_as_zeros():
    assert item(PcDevices(Clock()).bus, 0x7777, 3) == bytes(3)


def test_a_name_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="55 bytes"):
        FirmwareConfig(1 << 20).add("x" * 56, b"")


def test_reading_goes_on_where_a_snapshot_was_taken():
    pc, other = PcDevices(Clock()), PcDevices(Clock())
    item(pc.bus, 0, 2)
    other.load(pc.save())
    assert bytes(other.bus.read(DATA, 1) for _ in range(3)) == b"MU\0"


@pytest.mark.skipif(QEMU is None, reason="QEMU is not installed")
def test_the_keys_of_a_pc_read_as_qemus():
    accesses = []
    for key, size in ((0x00, 6), (0x03, 9), (0x05, 3), (0x0E, 3), (0x0F, 3), (0x8002, 5)):
        accesses += [(SELECTOR, key, 2), *[(DATA, None)] * size]
    options = ("-m", "96M", "-global", "fw_cfg.dma_enabled=off")
    assert on_bus(PcDevices(Clock(), memory=96 << 20).bus, accesses) == in_qemu(accesses, *options)
