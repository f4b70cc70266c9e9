"""The display: text that a person would read, registers, and memory in planes."""

import json
import random

from vmm.clock import INSTRUCTIONS_PER_SECOND, Clock
from vmm.devices.mmio import MmioBus
from vmm.devices.vga import CODE_PAGE_437, Cell, Vga
from vmm.devices.vgamemory import PLANE_SIZE, WINDOW

TEXT = 0xB8000


class Board:
    def __init__(self):
        self.clock = Clock()
        self.chip = Vga(self.clock)
        self.bus = MmioBus()
        self.bus.attach(WINDOW, self.chip.memory)

    def set(self, port, index, value):
        self.chip.write(port, index, 1)
        self.chip.write(port + 1, value, 1)

    def get(self, port, index):
        self.chip.write(port, index, 1)
        return self.chip.read(port + 1, 1)

    def put(self, row, column, text, attribute=0x07):
        for n, character in enumerate(text):
            self.bus.write(TEXT + 2 * (80 * row + column + n), ord(character) | attribute << 8, 2)


def test_power_on_shows_80_by_25_blanks():
    board = Board()
    assert board.chip.screen() == [" " * 80] * 25
    assert board.chip.cursor == (0, 0)


def test_what_is_written_is_on_the_screen_in_its_colours():
    board = Board()
    board.put(3, 70, "Hello", 0x1E)
    assert board.chip.screen()[3] == " " * 70 + "Hello" + " " * 5
    assert board.chip.cells()[3][70] == Cell("H", 14, 1)


def test_the_highest_bit_is_a_colour_where_blinking_is_off():
    board = Board()
    board.put(0, 0, "x", 0xF0)
    assert board.chip.cells()[0][0] == Cell("x", 0, 7)
    board.chip.read(0x3DA, 1)
    board.chip.write(0x3C0, 0x30, 1)
    board.chip.write(0x3C0, 0x04, 1)
    assert board.chip.cells()[0][0] == Cell("x", 0, 15)


def test_memory_reads_back_in_every_width():
    board = Board()
    rng = random.Random(1)
    expected = bytearray(0x8000)
    for _ in range(2000):
        size = rng.choice((1, 2, 4))
        at, data = rng.randrange(0x8000 - 4), rng.randbytes(size)
        board.bus.write(TEXT + at, int.from_bytes(data, "little"), size)
        expected[at : at + size] = data
    for at in range(0, 0x8000 - 4, 3):
        if any(expected[at : at + 4]):
            value = board.bus.read(TEXT + at, 4).to_bytes(4, "little")
            assert all(b == e for b, e in zip(value, expected[at : at + 4], strict=True) if e)


def test_the_cursor_is_where_the_crt_controller_says():
    board = Board()
    board.set(0x3D4, 0x0E, 0x07)
    board.set(0x3D4, 0x0F, 0xCF)
    assert board.chip.cursor == (24, 79)
    board.set(0x3D4, 0x0F, 0xD0)
    assert board.chip.cursor is None
    board.set(0x3D4, 0x0E, 0)
    board.set(0x3D4, 0x0A, 0x20)
    assert board.chip.cursor is None, "switched off"


def test_scrolling_by_the_start_address_moves_screen_and_cursor():
    board = Board()
    board.put(1, 0, "second")
    board.set(0x3D4, 0x0D, 80)
    board.set(0x3D4, 0x0F, 85)
    assert board.chip.screen()[0].startswith("second")
    assert board.chip.cursor == (0, 5)


def test_fifty_lines_with_a_font_of_eight():
    board = Board()
    board.set(0x3D4, 0x09, 0x47)
    assert len(board.chip.screen()) == 50


def test_wide_port_writes_set_index_and_data():
    board = Board()
    board.chip.write(0x3D4, 0x0F, 1)
    board.chip.write(0x3D5, 0x21, 1)
    assert board.chip.read(0x3D4, 1) == 0x0F
    assert board.get(0x3D4, 0x0F) == 0x21


def test_protected_registers_keep_what_they_hold():
    board = Board()
    board.set(0x3D4, 0, 0xAA)
    board.set(0x3D4, 7, 0)
    assert (board.get(0x3D4, 0), board.get(0x3D4, 7)) == (0x5F, 0x0F)
    board.set(0x3D4, 0x11, 0x0E)
    board.set(0x3D4, 0, 0xAA)
    assert board.get(0x3D4, 0) == 0xAA


def test_the_attribute_controller_alternates_between_index_and_data():
    board = Board()
    board.chip.read(0x3DA, 1)
    board.chip.write(0x3C0, 0x03, 1)
    board.chip.write(0x3C0, 0x2A, 1)
    board.chip.write(0x3C0, 0x23, 1)
    assert board.chip.read(0x3C1, 1) == 0x2A
    board.chip.write(0x3C0, 0x11, 1)
    assert board.chip.read(0x3C1, 1) == 0x2A, "with bit 5 of the index the palette is the display's"


def test_the_palette_counts_on_by_itself():
    board = Board()
    board.chip.write(0x3C8, 5, 1)
    for value in (1, 2, 3, 4, 5, 0xFF):
        board.chip.write(0x3C9, value, 1)
    board.chip.write(0x3C7, 5, 1)
    assert board.chip.read(0x3C7, 1) == 3
    assert [board.chip.read(0x3C9, 1) for _ in range(6)] == [1, 2, 3, 4, 5, 0x3F]


def test_the_status_follows_the_beam():
    board = Board()
    line, frame = INSTRUCTIONS_PER_SECOND // 31_469, INSTRUCTIONS_PER_SECOND // 70
    seen, retraces, before = set(), 0, 0
    for now in range(0, 2 * frame, line // 10):
        board.clock.advance(now)
        status = board.chip.read(0x3DA, 1)
        seen.add(status)
        retraces += bool(status & ~before & 8)
        before = status
    assert seen == {0, 1, 9}
    assert retraces == 2


def test_a_font_goes_into_plane_2_and_leaves_the_text_alone():
    board = Board()
    board.put(0, 0, "text")
    for port, index, value in ((0x3C4, 2, 4), (0x3C4, 4, 7), (0x3CE, 4, 2), (0x3CE, 5, 0), (0x3CE, 6, 4)):
        board.set(port, index, value)
    assert board.bus.read(TEXT, 2) == 0xFFFF, "the window is elsewhere now"
    for n in range(256):
        board.bus.write(0xA0000 + n, n, 1)
    assert [board.bus.read(0xA0000 + n, 1) for n in range(256)] == list(range(256))
    for port, index, value in ((0x3C4, 2, 3), (0x3C4, 4, 3), (0x3CE, 4, 0), (0x3CE, 5, 0x10), (0x3CE, 6, 14)):
        board.set(port, index, value)
    assert board.chip.screen()[0].startswith("text")


def planar(board):
    for port, index, value in ((0x3C4, 2, 15), (0x3C4, 4, 6), (0x3CE, 5, 0), (0x3CE, 6, 5)):
        board.set(port, index, value)


def plane_bytes(board, at):
    return list(board.chip.memory.data[4 * at : 4 * at + 4])


def test_write_mode_0_rotates_sets_and_masks():
    board = Board()
    planar(board)
    board.bus.write(0xA0010, 0x81, 1)
    assert plane_bytes(board, 0x10) == [0x81] * 4
    board.set(0x3CE, 3, 1)
    board.set(0x3CE, 1, 0b0011)
    board.set(0x3CE, 0, 0b0010)
    board.bus.write(0xA0010, 0x81, 1)
    assert plane_bytes(board, 0x10) == [0x00, 0xFF, 0xC0, 0xC0]
    board.bus.read(0xA0010, 1)
    board.set(0x3CE, 8, 0x0F)
    board.set(0x3CE, 1, 0)
    board.set(0x3CE, 3, 0)
    board.bus.write(0xA0010, 0x55, 1)
    assert plane_bytes(board, 0x10) == [0x05, 0xF5, 0xC5, 0xC5]


def test_write_modes_1_2_and_3():
    board = Board()
    planar(board)
    board.chip.memory.data[0:4] = bytes((1, 2, 3, 4))
    board.bus.read(0xA0000, 1)
    board.set(0x3CE, 5, 1)
    board.bus.write(0xA0005, 0, 1)
    assert plane_bytes(board, 5) == [1, 2, 3, 4]
    board.set(0x3CE, 5, 2)
    board.bus.write(0xA0006, 0b0101, 1)
    assert plane_bytes(board, 6) == [0xFF, 0, 0xFF, 0]
    board.set(0x3CE, 5, 3)
    board.set(0x3CE, 0, 0b1000)
    board.bus.write(0xA0007, 0xF0, 1)
    assert plane_bytes(board, 7) == [1, 2, 3, 0xF4]


def test_the_logical_functions_use_the_latches():
    board = Board()
    planar(board)
    board.chip.memory.data[0:4] = bytes((0x0F,) * 4)
    board.bus.read(0xA0000, 1)
    for function, expected in ((1, 0x03), (2, 0x3F), (3, 0x3C), (0, 0x33)):
        board.set(0x3CE, 3, function << 3)
        board.bus.write(0xA0001, 0x33, 1)
        assert plane_bytes(board, 1) == [expected] * 4


def test_read_mode_1_compares_colours():
    board = Board()
    planar(board)
    board.chip.memory.data[0:4] = bytes((0xF0, 0xFF, 0x00, 0x00))
    board.set(0x3CE, 5, 8)
    board.set(0x3CE, 2, 0b0011)
    board.set(0x3CE, 7, 0b1111)
    assert board.bus.read(0xA0000, 1) == 0xF0
    board.set(0x3CE, 7, 0)
    assert board.bus.read(0xA0000, 1) == 0xFF


def test_chained_addresses_go_round_the_planes():
    board = Board()
    planar(board)
    board.set(0x3C4, 4, 0x0E)
    board.bus.write(0xA0004, 0x44332211, 4)
    assert plane_bytes(board, 1) == [0x11, 0x22, 0x33, 0x44]
    assert board.bus.read(0xA0004, 4) == 0x44332211


def test_the_code_page_has_a_character_for_every_code():
    assert len(CODE_PAGE_437) == 256
    assert all(len(each) == 1 and each.isprintable() for each in CODE_PAGE_437.replace("\xa0", " "))
    assert CODE_PAGE_437[0xC9] == "╔"
    assert CODE_PAGE_437[ord("A")] == "A"


def test_a_guest_may_write_anything_and_a_reload_changes_nothing():
    rng = random.Random(3)
    board = Board()
    for _ in range(30):
        for _ in range(200):
            port = rng.choice((*range(0x3C0, 0x3D0), 0x3D4, 0x3D5, 0x3DA))
            if rng.random() < 0.6:
                board.chip.write(port, rng.randrange(256), 1)
            else:
                board.chip.read(port, 1)
            at, size = rng.randrange(0x20000 - 8), rng.choice((1, 2, 4, 8))
            if rng.random() < 0.5:
                board.bus.write(WINDOW.start + at, rng.getrandbits(8 * size), size)
            else:
                board.bus.read(WINDOW.start + at, size)
        screen = board.chip.screen()
        assert len(screen) == board.chip.rows
        assert board.chip.cursor is None or board.chip.cursor[0] < board.chip.rows
        copy = Board()
        copy.chip.load(json.loads(json.dumps(board.chip.save())))
        assert copy.chip.save() == board.chip.save()
        assert copy.chip.screen() == screen
        assert len(board.chip.memory.data) == 4 * PLANE_SIZE
