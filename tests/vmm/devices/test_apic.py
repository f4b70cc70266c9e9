"""The local and the I/O APIC: priorities, the timer, messages, lines, and the PIC behind them."""

import json
import random
import struct

import pytest
from reloading import goes_on_alike

from isa.model import MODELS
from vmm.clock import Clock
from vmm.devices import PcDevices
from vmm.devices.apic import LAPIC_BASE
from vmm.devices.ioapic import IOAPIC_BASE
from vmm.devices.mptable import MP_ADDRESS, mp_tables

ID, VERSION, TPR, PPR, EOI, LDR, DFR, SVR = 0x20, 0x30, 0x80, 0xA0, 0xB0, 0xD0, 0xE0, 0xF0
ISR, TMR, IRR, ESR, ICR, ICR_HIGH = 0x100, 0x180, 0x200, 0x280, 0x300, 0x310
TIMER, LINT0, ERROR, INITIAL, CURRENT, DIVIDE = 0x320, 0x350, 0x370, 0x380, 0x390, 0x3E0
MASKED, PERIODIC, LEVEL, LOGICAL = 0x1_0000, 0x2_0000, 0x8000, 0x800
SELF = 0x4_0000
BY_1 = 0xB  # DIVIDE


class Board:
    def __init__(self, *, enabled=True):
        self.pc = PcDevices(Clock(), apic=True)
        self.apic = self.pc.interrupts
        if enabled:
            self[SVR] = 0x1FF

    def __getitem__(self, register):
        return self.pc.mmio.read(LAPIC_BASE + register, 4)

    def __setitem__(self, register, value):
        self.pc.mmio.write(LAPIC_BASE + register, value, 4)

    def io(self, register, value=None):
        self.pc.mmio.write(IOAPIC_BASE, register, 4)
        if value is None:
            return self.pc.mmio.read(IOAPIC_BASE + 0x10, 4)
        return self.pc.mmio.write(IOAPIC_BASE + 0x10, value, 4)

    def route(self, pin, low, high=0):
        self.io(0x11 + 2 * pin, high)
        self.io(0x10 + 2 * pin, low)

    def line(self, irq, level):
        self.pc.pit._pic.set_irq(irq, level)

    def wait(self, instructions):
        self.pc.clock.advance(self.pc.clock.now + instructions)

    def send(self, vector):
        self[ICR] = SELF | vector

    def take(self):
        """The vector that the processor is interrupted with, or None."""
        return self.apic.acknowledge() if self.apic.intr else None

    def taken(self):
        """All vectors in order, each ended at once."""
        out = []
        while (vector := self.take()) is not None:
            out.append(vector)
            self[EOI] = 0
        return out


def start_pic(board):
    for port, value in ((0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0x21, 0)):
        board.pc.bus.write(port, value, 1)


def test_reset_leaves_the_values_of_the_manual():
    board = Board(enabled=False)
    assert board[VERSION] == 0x0005_0014
    assert (board[ID], board[SVR], board[DFR], board[LDR], board[TPR]) == (0, 0xFF, 0xFFFF_FFFF, 0, 0)
    assert (board[TIMER], board[ERROR]) == (MASKED, MASKED)


def test_without_an_apic_the_pic_is_the_processor_s():
    pc = PcDevices(Clock())
    assert pc.interrupts is pc.pic
    assert pc.mmio.read(LAPIC_BASE + VERSION, 4) == 0xFFFF_FFFF


def test_after_reset_the_pic_s_requests_pass():
    board = Board(enabled=False)
    start_pic(board)
    board.line(1, True)
    assert board.take() == 0x21


@pytest.mark.parametrize(("lint0", "passes"), [(0x700, True), (MASKED | 0x700, False), (0x000, False)])
def test_lint0_lets_the_pic_s_requests_pass(lint0, passes):
    board = Board()
    start_pic(board)
    board[LINT0] = lint0
    board.line(1, True)
    assert board.apic.intr is passes


def test_input_0_of_the_io_apic_lets_them_pass_too():
    board = Board()
    start_pic(board)
    board[LINT0] = MASKED
    board.line(1, True)
    assert not board.apic.intr
    board.route(0, 0x700)
    assert board.take() == 0x21


def test_its_own_vectors_come_before_the_pic_s():
    board = Board()
    start_pic(board)
    board.line(1, True)
    board.send(0x31)
    assert [board.take(), board.take(), board.take()] == [0x31, 0x21, None]


def test_the_processor_is_told_when_the_pin_moves():
    board, seen = Board(), []
    board.apic.on_change = lambda: seen.append(board.apic.intr)
    board.send(0x40)
    board.send(0x41)
    board.take()
    board[EOI] = 0
    board.take()
    assert seen == [True, False, True, False]


def test_the_highest_vector_is_first():
    board = Board()
    for vector in (0x31, 0xFE, 0x80, 0x10):
        board.send(vector)
    assert board.taken() == [0xFE, 0x80, 0x31, 0x10]


def test_only_a_higher_class_interrupts_one_in_service():
    board = Board()
    board.send(0x45)
    assert board.take() == 0x45
    board.send(0x4F)
    assert board.take() is None
    board.send(0x50)
    assert board.take() == 0x50
    assert board[PPR] == 0x50
    board[EOI] = 0
    assert (board[PPR], board.take()) == (0x40, None)
    board[EOI] = 0
    assert board.take() == 0x4F


def test_the_task_priority_holds_back_its_class_and_those_below():
    board = Board()
    board[TPR] = 0x52
    board.send(0x5F)
    assert board.take() is None
    assert board[PPR] == 0x52
    board.send(0x60)
    assert board.take() == 0x60
    board[EOI] = 0
    board[TPR] = 0x4F
    assert board.take() == 0x5F


def test_the_registers_show_who_waits_and_who_is_served():
    board = Board()
    board.send(0x31)
    board.send(0xFF)
    assert board[IRR + 0x10] == 1 << 17
    assert board[IRR + 0x70] == 1 << 31
    board.take()
    assert (board[IRR + 0x70], board[ISR + 0x70]) == (0, 1 << 31)


def test_an_acknowledge_that_finds_nobody_is_spurious():
    board = Board()
    board[SVR] = 0x1EF
    assert board.apic.acknowledge() == 0xEF


def test_disabled_it_takes_nothing_and_masks_its_local_vectors():
    board = Board()
    board[TIMER] = 0x40
    board[SVR] = 0xFF
    board.send(0x50)
    assert board.take() is None
    board[TIMER] = 0x40
    assert board[TIMER] == MASKED | 0x40


@pytest.mark.parametrize(
    ("setting", "by"),
    [(0x0, 2), (0x1, 4), (0x2, 8), (0x3, 16), (0x8, 32), (0x9, 64), (0xA, 128), (0xB, 1)],
)
def test_the_timer_counts_100_mhz_divided(setting, by):
    board = Board()
    board[DIVIDE] = setting
    board[INITIAL] = 1_000_000
    board.wait(12_800)
    assert board[CURRENT] == 1_000_000 - 128_000 // by


def test_a_one_shot_interrupts_once():
    board = Board()
    board[DIVIDE] = BY_1
    board[TIMER] = 0x40
    board[INITIAL] = 10_000
    board.wait(999)
    assert board.take() is None
    board.wait(1)
    assert board.taken() == [0x40]
    assert board[CURRENT] == 0
    board.wait(100_000)
    assert board.taken() == []
    assert board.pc.clock.deadline() is None


def test_a_periodic_timer_interrupts_every_period():
    board = Board()
    board[DIVIDE] = 0x3
    board[TIMER] = PERIODIC | 0x40
    board[INITIAL] = 1_000
    times = []
    while len(times) < 5:
        board.pc.clock.advance(board.pc.clock.deadline())
        assert board.taken() == [0x40]
        times.append(board.pc.clock.now)
    assert times == [1_600 * n for n in range(1, 6)]
    board[INITIAL] = 0
    assert board.pc.clock.deadline() is None


def test_a_masked_timer_counts_and_interrupts_nobody():
    board = Board()
    board[DIVIDE] = BY_1
    board[TIMER] = MASKED | 0x40
    board[INITIAL] = 10_000
    assert board.pc.clock.deadline() is None
    board.wait(400)
    assert board[CURRENT] == 6_000
    board[TIMER] = 0x40
    board.wait(600)
    assert board.taken() == [0x40]


def test_another_divider_goes_on_from_the_count():
    board = Board()
    board[DIVIDE] = BY_1
    board[INITIAL] = 10_000
    board.wait(400)
    board[DIVIDE] = 0x0
    assert board[CURRENT] == 6_000
    board.wait(400)
    assert board[CURRENT] == 4_000


@pytest.mark.parametrize(
    ("high", "low", "arrives"),
    [
        (0x00, 0x31, True),
        (0xFF, 0x31, True),
        (0x01, 0x31, False),
        (0x00, 0x80031, True),
        (0x00, 0xC0031, False),
        (0x02, LOGICAL | 0x31, True),
        (0x04, LOGICAL | 0x31, False),
        (0x00, 0x131, True),
        (0x00, 0x4431, False),
    ],
)
def test_messages_reach_whom_they_name(high, low, arrives):
    board = Board()
    board[LDR] = 0x0200_0000
    board[ICR_HIGH] = high << 24
    board[ICR] = low
    assert board.taken() == ([0x31] if arrives else [])
    assert not board[ICR] & 0x1000, "sent"


def test_a_cluster_is_addressed_by_number_and_bit():
    board = Board()
    board[DFR] = 0
    board[LDR] = 0x3200_0000
    for to, arrives in ((0x32, True), (0x31, False), (0x22, False), (0xF2, True)):
        board[ICR_HIGH] = to << 24
        board[ICR] = LOGICAL | 0x31
        assert board.taken() == ([0x31] if arrives else [])


NMI = 4 << 8


@pytest.mark.parametrize(
    ("low", "high", "arrives"),
    [
        (NMI, 0, True),
        (NMI, 5 << 24, False),
        (NMI, 0xFF << 24, True),
        (NMI | 2 << 18, 0, True),
        (NMI | SELF, 0, False),
    ],
)
def test_an_nmi_is_sent_by_message_and_held_back_by_nothing(low, high, arrives):
    board = Board(enabled=False)
    came = []
    board.apic.on_nmi = lambda: came.append(1)
    board[ICR + 0x10] = high
    board[ICR] = low
    assert len(came) == arrives
    assert not board.apic.intr


def test_inputs_may_be_nmis():
    board = Board(enabled=False)
    came = []
    board.apic.on_nmi = lambda: came.append(1)
    assert not board.pc.may_raise_nmi
    board.route(5, NMI)
    assert board.pc.may_raise_nmi
    for level in (True, False, True):
        board.line(5, level)
    assert len(came) == 2


def test_lint0_may_be_one_for_what_the_pic_asks():
    board = Board()
    came = []
    board.apic.on_nmi = lambda: came.append(1)
    start_pic(board)
    board[LINT0] = NMI
    assert board.pc.may_raise_nmi
    board.line(5, True)
    board[TPR] = 0
    assert len(came) == 1 and not board.apic.intr
    copy = Board(enabled=False)
    copy.pc.load(json.loads(json.dumps(board.pc.save())))
    copy.apic.on_nmi = lambda: came.append(1)
    copy[TPR] = 0
    assert len(came) == 1


def test_errors_show_after_the_register_was_written_and_interrupt():
    board = Board()
    board[ERROR] = 0xF0
    board.send(5)
    assert board.taken() == [0xF0]
    assert board[ESR] == 0
    board[ESR] = 0
    assert board[ESR] == 0x20
    board[ESR] = 0
    assert board[ESR] == 0
    board[0x3F0] = 1
    board[ESR] = 0
    assert board[ESR] == 0x80


def test_narrow_writes_are_lost_and_the_gaps_are_empty():
    board = Board()
    board.pc.mmio.write(LAPIC_BASE + TPR, 0x55, 1)
    board.pc.mmio.write(LAPIC_BASE + TPR + 4, 0x55, 4)
    assert (board[TPR], board[TPR + 4]) == (0, 0)


# -- the I/O APIC -----------------------------------------------------------------------------------


def test_the_io_apic_has_24_masked_inputs():
    board = Board()
    assert board.io(1) == 0x0017_0011
    assert [board.io(0x10 + n) for n in range(48)] == [MASKED, 0] * 24
    board.io(0, 0x0F00_0000)
    assert (board.io(0), board.io(2)) == (0x0F00_0000, 0x0F00_0000)
    assert board.io(0x77) == 0


def test_an_entry_keeps_what_can_be_written():
    board = Board()
    board.route(5, 0xFFFF_FFFF, 0xFFFF_FFFF)
    assert (board.io(0x1A), board.io(0x1B)) == (0x1_AFFF, 0xFF00_0000)


@pytest.mark.parametrize("irq", [1, 3, 8, 15])
def test_an_isa_line_comes_as_the_vector_of_its_input(irq):
    board = Board()
    board.route(irq, 0x40 + irq)
    board.line(irq, True)
    assert board.taken() == [0x40 + irq]
    board.line(irq, False)
    board.line(irq, True)
    assert board.taken() == [0x40 + irq]


def test_the_timer_is_input_2():
    board = Board()
    board.route(0, 0x40)
    board.route(2, 0x42)
    board.line(0, True)
    assert board.taken() == [0x42]


def test_an_edge_on_a_masked_input_is_lost():
    board = Board()
    board.route(4, MASKED | 0x44)
    board.line(4, True)
    board.route(4, 0x44)
    assert board.taken() == []


def test_a_level_waits_and_comes_again_until_the_line_falls():
    board = Board()
    board.route(11, MASKED | LEVEL | 0x4B)
    board.line(11, True)
    board.route(11, LEVEL | 0x4B)
    assert board.io(0x10 + 22) & 0x4000, "remote IRR"
    assert board.take() == 0x4B
    assert board[TMR + 0x20] == 1 << 0xB
    assert board.take() is None
    board[EOI] = 0
    assert board.take() == 0x4B
    board.line(11, False)
    board[EOI] = 0
    assert board.take() is None
    assert not board.io(0x10 + 22) & 0x4000


def test_what_is_addressed_to_somebody_else_arrives_nowhere():
    board = Board()
    board.route(4, 0x44, 5 << 24)
    board.line(4, True)
    assert board.taken() == []


def test_the_pic_sees_the_lines_too():
    board = Board()
    start_pic(board)
    board.route(4, 0x44)
    board.line(4, True)
    assert [board.take(), board.take()] == [0x44, 0x24]


# -- the tables -------------------------------------------------------------------------------------


def test_the_tables_add_up_and_name_every_line():
    stepping, _, _, features = MODELS["ppro-apic"].cpuid(1, 0)
    address, data = mp_tables(stepping, features)
    assert address == MP_ADDRESS
    assert data[:4] == b"_MP_"
    assert sum(data[:16]) & 0xFF == 0
    (table_at,) = struct.unpack_from("<I", data, 4)
    table = data[table_at - address :]
    signature, length, revision, _sum, _oem, _product, _ptr, _size, count, lapic, _ext, _ = (
        struct.unpack_from("<4sHBB8s12sIHHIHH", table)
    )
    assert (signature, length, revision, lapic) == (b"PCMP", len(table), 4, LAPIC_BASE)
    assert sum(table) & 0xFF == 0
    at, kinds, pins = 44, [], {}
    for _ in range(count):
        kind = table[at]
        kinds.append(kind)
        if kind == 3:
            pins[table[at + 5]] = table[at + 7]
        at += 20 if kind == 0 else 8
    assert at == len(table)
    assert kinds == [0, 1, 2, *[3] * 15, 4, 4]
    assert pins == {0: 2, **{line: line for line in (1, *range(3, 16))}}


def test_a_guest_may_write_anything_at_any_time_and_a_reload_changes_nothing():
    def scribble(which, seed, count):
        r, log = random.Random(seed), []
        for _ in range(count):
            what, size = r.random(), r.choice((1, 2, 4, 4, 4, 8))
            at = r.choice((LAPIC_BASE + 16 * r.randrange(0x40), LAPIC_BASE, IOAPIC_BASE, IOAPIC_BASE + 0x10))
            at += r.choice((0, 0, 0, r.randrange(0x1000 - 8 - 0x3F0)))
            if what < 0.4:
                which.pc.mmio.write(at, r.getrandbits(8 * size), size)
            elif what < 0.5:
                which[r.choice((SVR, TIMER, INITIAL, EOI, ICR, LINT0))] = r.choice((0x1FF, r.getrandbits(20)))
            elif what < 0.6:
                which.route(r.randrange(24), r.getrandbits(17), r.choice((0, r.getrandbits(32))))
            elif what < 0.7:
                which.line(r.randrange(16), r.random() < 0.5)
            elif what < 0.85:
                log.append(which.pc.mmio.read(at, size))
            elif what < 0.95:
                which.wait(r.choice((1, 10, 100)))
            else:
                log.append(which.apic.acknowledge())
            log.append(which.apic.intr)
        assert which.pc.clock.pending <= 4
        return log

    goes_on_alike(Board, scribble, 82093, 100)
