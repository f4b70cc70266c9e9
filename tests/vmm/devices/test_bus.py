"""The bus: who owns a port, and how wide accesses meet byte registers."""

import pytest

from vmm.devices.bus import PortBus


class Recorder:
    """Remembers what reached it; reads give the low byte of the port."""

    def __init__(self, name, *spans, widths=None):
        self.name = name
        self.ports = spans
        self.log = []
        if widths is not None:
            self.widths = widths

    def read(self, port, size):
        self.log.append(("read", port, size))
        return port & 0xFF

    def write(self, port, value, size):
        self.log.append(("write", port, value, size))

    def save(self):
        return {}

    def load(self, state):
        pass


def test_a_byte_access_reaches_the_owner_of_the_port():
    bus, device = PortBus(), Recorder("a", range(0x10, 0x14), range(0x80, 0x81))
    bus.attach(device)
    assert bus.read(0x12, 1) == 0x12
    bus.write(0x80, 0x55, 1)
    assert device.log == [("read", 0x12, 1), ("write", 0x80, 0x55, 1)]
    assert bus.owner(0x13) is device
    assert bus.owner(0x14) is None
    assert bus.devices == (device,)


@pytest.mark.parametrize(("size", "ones"), [(1, 0xFF), (2, 0xFFFF), (4, 0xFFFFFFFF)])
def test_where_nobody_answers_a_read_gives_all_ones_and_a_write_is_lost(size, ones):
    bus = PortBus()
    assert bus.read(0x1234, size) == ones
    bus.write(0x1234, 0, size)


def test_a_wide_access_to_byte_registers_becomes_bytes_little_end_first():
    bus, device = PortBus(), Recorder("a", range(0x10, 0x14))
    bus.attach(device)
    bus.write(0x10, 0x44332211, 4)
    assert device.log == [("write", 0x10 + n, 0x11 * (n + 1), 1) for n in range(4)]
    assert bus.read(0x10, 4) == 0x13121110
    assert bus.read(0x12, 2) == 0x1312


def test_a_wide_access_runs_on_into_the_next_device_or_into_nobody():
    bus = PortBus()
    low, high = Recorder("low", range(0x10, 0x11)), Recorder("high", range(0x11, 0x12))
    bus.attach(low)
    bus.attach(high)
    assert bus.read(0x10, 4) == 0xFFFF1110
    bus.write(0x10, 0xBBAA, 2)
    assert low.log[-1] == ("write", 0x10, 0xAA, 1)
    assert high.log[-1] == ("write", 0x11, 0xBB, 1)


def test_a_wide_access_wraps_at_the_last_port():
    bus, first, last = PortBus(), Recorder("first", range(1)), Recorder("last", range(0xFFFF, 0x10000))
    bus.attach(first)
    bus.attach(last)
    assert bus.read(0xFFFF, 2) == 0x00FF
    bus.write(0xFFFF, 0x2211, 2)
    assert last.log[-1] == ("write", 0xFFFF, 0x11, 1)
    assert first.log[-1] == ("write", 0, 0x22, 1)


def test_a_device_with_wide_registers_gets_what_it_asked_for():
    bus, device = PortBus(), Recorder("disk", range(0x1F0, 0x1F8), widths={0x1F0: 2})
    bus.attach(device)
    bus.write(0x1F0, 0xBEEF, 2)
    bus.write(0x1F0, 0xEF, 1)
    bus.write(0x1F2, 0x2211, 2)
    sizes = [(entry[1], entry[3]) for entry in device.log]
    assert sizes == [(0x1F0, 2), (0x1F0, 1), (0x1F2, 1), (0x1F3, 1)]


def test_what_a_device_returns_is_cut_to_the_size_of_the_access():
    class Wild(Recorder):
        def read(self, port, size):
            return -1

    bus = PortBus()
    bus.attach(Wild("wild", range(1)))
    assert bus.read(0, 1) == 0xFF


def test_overlapping_devices_are_refused_and_nothing_is_attached():
    bus = PortBus()
    bus.attach(Recorder("a", range(0x10, 0x18)))
    with pytest.raises(ValueError, match="b: port 0x17 belongs to a"):
        bus.attach(Recorder("b", range(0x20, 0x22), range(0x17, 0x1A)))
    assert bus.owner(0x20) is None
    assert len(bus.devices) == 1


def test_there_is_no_port_above_ffff():
    with pytest.raises(ValueError, match="no port"):
        PortBus().attach(Recorder("far", range(0xFFFF, 0x10001)))
