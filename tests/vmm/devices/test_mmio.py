"""The memory-mapped side: who owns a page, and what accesses meet."""

import pytest

from vmm.devices.mmio import MmioBus


class Recorder:
    """Remembers what reached it; reads give the low byte of each offset."""

    def __init__(self, name="a"):
        self.name = name
        self.log = []

    def read(self, offset, size):
        self.log.append(("read", offset, size))
        return int.from_bytes(bytes((offset + n) & 0xFF for n in range(size)), "little")

    def write(self, offset, value, size):
        self.log.append(("write", offset, value, size))


def test_an_access_reaches_the_region_at_its_offset():
    bus, region = MmioBus(), Recorder()
    bus.attach(range(0x4000, 0x6000), region)
    assert bus.read(0x5012, 2) == 0x1312
    bus.write(0x4000, 0x1_2345_6789, 4)
    assert region.log == [("read", 0x1012, 2), ("write", 0, 0x2345_6789, 4)]
    assert bus.owner(0x5FFF) is region
    assert bus.owner(0x6000) is None
    assert bus.pages() == {4, 5}


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_where_nobody_answers_a_read_gives_ones_and_a_write_is_lost(size):
    bus = MmioBus()
    assert bus.read(0xFEE0_0020, size) == (1 << 8 * size) - 1
    bus.write(0xFEE0_0020, 1, size)


def test_what_crosses_an_end_is_cut_into_bytes():
    bus, region = MmioBus(), Recorder()
    bus.attach(range(0x1000, 0x2000), region)
    assert bus.read(0x1FFE, 4) == 0xFFFF_FFFE
    assert bus.read(0x0FFF, 2) == 0x00FF
    bus.write(0x0FFE, 0x4433_2211, 4)
    assert region.log[-2:] == [("write", 0, 0x33, 1), ("write", 1, 0x44, 1)]


def test_odd_sizes_are_cut_into_bytes():
    bus, region = MmioBus(), Recorder()
    bus.attach(range(0x1000, 0x2000), region)
    assert bus.read(0x1010, 3) == 0x121110
    assert [entry[2] for entry in region.log] == [1, 1, 1]


def test_a_page_belongs_to_one_region_and_regions_are_whole_pages():
    bus = MmioBus()
    bus.attach(range(0x1000, 0x3000), Recorder("first"))
    with pytest.raises(ValueError, match="second: page 0x2000 belongs to first"):
        bus.attach(range(0x2000, 0x4000), Recorder("second"))
    assert bus.owner(0x3000) is None
    for span in (range(0x4000, 0x4800), range(0x4800, 0x5800), range(0), range(0x4000, 0x8000, 2)):
        with pytest.raises(ValueError, match="whole pages"):
            bus.attach(span, Recorder("third"))
