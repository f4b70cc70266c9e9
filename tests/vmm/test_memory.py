"""The PC's physical address space: RAM, ROM and shadow, devices, wire A20, seen by a processor."""

import pytest

from isa.cpu import Cpu
from isa.exits import Reason
from isa.memory import Ram
from isa.state import EIP, HALTED
from vmm.memory import PAM_READ, PAM_WRITE, AddressMap, PcMemory

RAM_SIZE = 2 << 20
ROM = bytes(n * 7 & 0xFF for n in range(0x20000))  # 128 KB: E0000-FFFFF, and below 4 GB
HLT = 0xF4


class Recorder:
    """Devices behind the hole: remembers accesses, reads give 5Ah."""

    def __init__(self):
        self.log = []

    def read(self, address, size):
        self.log.append(("read", address, size))
        return int.from_bytes(b"\x5a" * size, "little")

    def write(self, address, value, size):
        self.log.append(("write", address, value, size))


class Board:
    """A processor on that memory; `load` and `store` run one instruction each."""

    def __init__(self, rom=b"", scattered=False):
        self.space = Recorder()
        self.layout = AddressMap(RAM_SIZE, space=self.space, rom=rom)
        ram = Ram(RAM_SIZE + len(rom))
        frames = list(reversed(range(0, ram.size, 4096))) if scattered else None
        self.memory = PcMemory(ram, self.layout, frames)
        self.cpu = Cpu(self.memory)

    def execute(self, *code):
        self.memory.write_bytes(0x1000, bytes((*code, HLT)))
        self.run(0x1000)

    def run(self, eip):
        """From `eip` to a HLT."""
        self.cpu.s[EIP], self.cpu.s[HALTED] = eip, 0
        self.cpu.sync()
        assert self.cpu.run(self.cpu.count + 100).reason is Reason.HALT

    def load(self, address):
        self.execute(0xA1, *address.to_bytes(4, "little"))
        return self.cpu.s[0]

    def store(self, address, value):
        self.execute(0xC7, 0x05, *address.to_bytes(4, "little"), *value.to_bytes(4, "little"))


def rom_word(address):
    return int.from_bytes(ROM[address & 0x1FFFF : (address & 0x1FFFF) + 4], "little")


@pytest.fixture(params=[False, True], ids=["in order", "scattered"])
def scattered(request):
    return request.param


def test_the_display_window_belongs_to_devices(scattered):
    board = Board(scattered=scattered)
    board.store(0xB8004, 0x1F41_1F40)
    assert board.load(0xA0000) == 0x5A5A_5A5A
    assert board.space.log == [("write", 0xB8004, 0x1F41_1F40, 4), ("read", 0xA0000, 4)]


def test_an_access_across_the_window_s_end_is_half_device_half_ram(scattered):
    board = Board(scattered=scattered)
    board.store(0x9FFFE, 0x4433_2211)
    assert board.space.log == [("write", 0xA0000, 0x4433, 2)]
    assert board.memory.read_bytes(0x9FFFE, 2) == b"\x11\x22"


def test_beyond_ram_accesses_go_to_devices(scattered):
    board = Board(scattered=scattered)
    assert board.load(0xFEE0_0030) == 0x5A5A_5A5A
    assert board.space.log == [("read", 0xFEE0_0030, 4)]


def test_without_a_rom_the_upper_memory_is_plain_ram(scattered):
    board = Board(scattered=scattered)
    board.store(0xF0000, 0x1234_5678)
    assert board.load(0xF0000) == 0x1234_5678
    assert board.space.log == []


def test_a_rom_appears_below_1_mb_and_below_4_gb_and_ignores_stores(scattered):
    board = Board(ROM, scattered)
    for address in (0xE0000, 0xF0010, 0xFFFF_FFF0, 0xFFFE_0000):
        board.store(address, 0xDEAD_BEEF)
        assert board.load(address) == rom_word(address)
    assert board.memory.read_bytes(0xFFFFC, 4) == ROM[-4:]


def test_where_neither_rom_nor_shadow_is_there_is_nobody(scattered):
    board = Board(ROM, scattered)
    assert board.load(0xC0000) == 0x5A5A_5A5A


def test_only_the_last_128_kb_of_a_larger_rom_appear_below_1_mb():
    rom = bytes(0x20000) + ROM
    board = Board(rom)
    assert board.load(0xE0000) == rom_word(0xE0000)
    assert board.load(0xDFFFC) == 0x5A5A_5A5A
    assert board.load(0xFFFC_0000) == 0


def test_code_runs_from_the_rom():
    board = Board(bytes((0xB8, 0x39, 0x30, 0, 0, HLT)) + bytes(4090))
    board.run(0xFFFF_F000)
    assert board.cpu.s[0] == 0x3039


def test_a_rom_is_copied_into_the_ram_behind_it_as_firmware_does(scattered):
    board = Board(ROM, scattered)
    board.layout.set_pam(0xF0000, 0x10000, PAM_WRITE)
    board.store(0xF0100, rom_word(0xF0100) ^ 0xFFFF_FFFF)
    assert board.load(0xF0100) == rom_word(0xF0100), "reads still see the ROM"
    board.layout.set_pam(0xF0000, 0x10000, PAM_READ | PAM_WRITE)
    assert board.load(0xF0100) == rom_word(0xF0100) ^ 0xFFFF_FFFF
    board.layout.set_pam(0xF0000, 0x10000, PAM_READ)
    board.store(0xF0100, 0)
    assert board.load(0xF0100) == rom_word(0xF0100) ^ 0xFFFF_FFFF, "now it is protected"
    assert board.load(0xEFFFC) == rom_word(0xEFFFC), "the neighbouring block is as it was"


def test_a_store_that_the_shadow_ignores_leaves_decoded_code_alone():
    board = Board(ROM)
    board.layout.set_pam(0xF0000, 0x10000, PAM_READ | PAM_WRITE)
    board.memory.write_bytes(0xF0000, bytes((0xB0, 1, HLT)))
    for writable, expected in ((PAM_READ, 1), (PAM_READ | PAM_WRITE, 2)):
        board.layout.set_pam(0xF0000, 0x10000, writable)
        board.run(0xF0000)
        board.execute(0xC6, 0x05, *(0xF0001).to_bytes(4, "little"), 2)
        board.run(0xF0000)
        assert board.cpu.s[0] & 0xFF == expected


def test_without_wire_a20_odd_megabytes_are_even_ones(scattered):
    board = Board(scattered=scattered)
    board.store(0x100500, 0x1111_1111)
    board.store(0x500, 0x2222_2222)
    board.layout.set_a20(False)
    assert board.load(0x100500) == 0x2222_2222
    board.store(0x100500, 0x3333_3333)
    board.layout.set_a20(True)
    assert board.load(0x500) == 0x3333_3333
    assert board.load(0x100500) == 0x1111_1111


def test_wire_a20_counts_for_devices_too():
    board = Board()
    board.layout.set_a20(False)
    board.load(0xFED0_0000)
    board.load(0x1B8000)
    assert [entry[1] for entry in board.space.log] == [0xFEC0_0000, 0xB8000]


def test_the_choices_are_saved_and_loaded():
    board, other = Board(ROM), Board(ROM)
    board.layout.set_pam(0xC0000, 0x8000, PAM_READ | PAM_WRITE)
    board.layout.set_a20(False)
    board.store(0xC0000, 77)
    other.layout.load(board.layout.save())
    assert other.layout.save() == board.layout.save()
    assert (other.layout.reads, other.layout.mask) == (board.layout.reads, board.layout.mask)
    other.layout.set_a20(True)
    board.layout.load(other.layout.save())
    assert board.load(0xC0000) == 77


def test_the_size_of_memory_leaves_the_rom_out():
    assert Board(ROM).memory.size == RAM_SIZE


@pytest.mark.parametrize("rom", [bytes(100), bytes(32 << 20)])
def test_a_rom_is_whole_pages_and_of_a_size_that_fits(rom):
    with pytest.raises(ValueError, match="ROM"):
        AddressMap(RAM_SIZE, rom=rom)


def test_too_few_frames_are_refused():
    with pytest.raises(ValueError, match="not enough"):
        PcMemory(Ram(4096), AddressMap(RAM_SIZE))
