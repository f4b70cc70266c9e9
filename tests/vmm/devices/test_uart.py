"""The 16550D by its registers, and its interrupt at IRQ 4 of the PIC."""

import json

import pytest

from vmm.clock import INSTRUCTIONS_PER_SECOND, Clock
from vmm.devices.pic import PicPair
from vmm.devices.uart import Uart

DATA, IER, IIR, FCR, LCR, MCR, LSR, MSR, SCR = 0, 1, 2, 2, 3, 4, 5, 6, 7


class Line:
    """COM1 with its interrupt, and what it sent."""

    def __init__(self):
        self.clock = Clock()
        self.pic = PicPair()
        for port, value in ((0x20, 0x11), (0x21, 0x20), (0x21, 0x04), (0x21, 0x01)):
            self.pic.write(port, value, 1)
        self.sent = bytearray()
        self.uart = Uart(self.clock, self.pic, self.sent.append)

    def out(self, register, *values):
        for value in values:
            self.uart.write(0x3F8 + register, value, 1)

    def get(self, register):
        return self.uart.read(0x3F8 + register, 1)

    @property
    def irq(self):
        return bool(self.pic.master.lines & 0x10)

    def reader(self, *, fcr=0xC7, ier=0x01):
        """As a driver sets it up: 115200 8N1, FIFOs with trigger 14, DTR, RTS and OUT2."""
        self.out(LCR, 0x80)
        self.out(DATA, 1)
        self.out(IER, 0)
        self.out(LCR, 0x03)
        self.out(FCR, fcr)
        self.out(MCR, 0x0B)
        self.out(IER, ier)
        return self


FOUR_CHARACTERS = -(-4 * 10 * INSTRUCTIONS_PER_SECOND // 115_200)


def test_a_byte_written_is_sent_at_once_and_the_transmitter_is_empty_again():
    line = Line()
    for byte in b"hello":
        assert line.get(LSR) & 0x60 == 0x60
        line.out(DATA, byte)
    assert line.sent == b"hello"


def test_the_divisor_is_behind_dlab():
    line = Line()
    line.out(LCR, 0x83)
    line.out(DATA, 0x34)
    line.out(IER, 0x12)
    assert (line.get(DATA), line.get(IER)) == (0x34, 0x12)
    line.out(LCR, 0x03)
    assert line.get(IER) == 0
    assert line.uart.divisor == 0x1234
    assert line.sent == b""


@pytest.mark.parametrize(("register", "kept"), [(IER, 0x0F), (LCR, 0xFF), (MCR, 0x1F), (SCR, 0xFF)])
def test_a_register_reads_back_the_bits_it_has(register, kept):
    line = Line()
    line.out(register, 0xFF)
    assert line.get(register) == kept


def test_the_status_registers_cannot_be_written():
    line = Line()
    line.out(LSR, 0xFF)
    line.out(MSR, 0xFF)
    assert (line.get(LSR), line.get(MSR)) == (0x60, 0xB0)


def test_iir_shows_the_fifos_only_when_they_are_enabled():
    line = Line()
    assert line.get(IIR) == 0x01
    line.out(FCR, 0x01)
    assert line.get(IIR) == 0xC1
    line.out(FCR, 0xC0)
    assert line.get(IIR) == 0x01


def test_the_other_end_waits_until_the_guest_listens_and_loses_nothing():
    line = Line()
    line.uart.feed(bytes(range(40)))
    line.reader()
    assert bytes(line.get(DATA) for _ in range(40)) == bytes(range(40))
    assert line.get(LSR) == 0x60


def test_a_guest_that_only_polls_lsr_is_listening():
    line = Line()
    line.uart.feed(b"ab")
    received = bytearray()
    while line.get(LSR) & 1:
        received.append(line.get(DATA))
    assert received == b"ab"


def test_an_empty_fifo_reads_as_zero_and_an_empty_rbr_as_the_byte_it_held():
    for fcr, again in ((0xC7, 0), (0x00, 0x61)):
        line = Line().reader(fcr=fcr)
        line.uart.feed(b"a")
        assert (line.get(DATA), line.get(DATA)) == (0x61, again)


def test_received_data_interrupts_at_the_trigger_level_and_not_below():
    line = Line().reader()
    line.uart.feed(b"x" * 13)
    assert not line.irq
    assert line.get(IIR) == 0xC1
    line.uart.feed(b"x")
    assert line.irq
    assert line.get(IIR) == 0xC4
    line.get(DATA)
    assert not line.irq


@pytest.mark.parametrize(("fcr", "trigger"), [(0x07, 1), (0x47, 4), (0x87, 8), (0xC7, 14)])
def test_the_trigger_level_is_in_fcr(fcr, trigger):
    line = Line().reader(fcr=fcr)
    line.uart.feed(b"x" * (trigger - 1))
    assert not line.irq
    line.uart.feed(b"x")
    assert line.irq


def test_bytes_below_the_trigger_time_out_after_four_characters():
    line = Line().reader()
    line.uart.feed(b"ok")
    line.clock.advance(FOUR_CHARACTERS - 1)
    assert not line.irq
    line.clock.advance(FOUR_CHARACTERS)
    assert line.irq
    assert line.get(IIR) == 0xCC
    line.get(DATA)
    assert not line.irq
    line.clock.advance(2 * FOUR_CHARACTERS)
    assert line.irq
    line.get(DATA)
    assert line.clock.deadline() is None


def test_each_byte_and_each_read_starts_the_time_out_again():
    line = Line().reader()
    line.uart.feed(b"a")
    line.clock.advance(FOUR_CHARACTERS - 1)
    line.uart.feed(b"b")
    line.clock.advance(2 * FOUR_CHARACTERS - 2)
    assert not line.irq
    line.get(DATA)
    line.clock.advance(3 * FOUR_CHARACTERS - 3)
    assert not line.irq
    line.clock.advance(3 * FOUR_CHARACTERS - 2)
    assert line.irq


def test_without_fifos_each_byte_interrupts_and_there_is_no_time_out():
    line = Line().reader(fcr=0)
    line.uart.feed(b"ab")
    assert line.clock.deadline() is None
    assert line.get(IIR) == 0x04
    assert (line.get(DATA), line.get(DATA)) == (0x61, 0x62)
    assert not line.irq


def test_the_transmitter_interrupts_when_enabled_and_reading_iir_ends_it():
    line = Line().reader(ier=0)
    assert not line.irq
    line.out(IER, 0x02)
    assert line.irq
    assert line.get(IIR) == 0xC2
    assert not line.irq
    assert line.get(IIR) == 0xC1
    line.out(IER, 0x02)
    assert not line.irq, "it was enabled before"
    line.out(IER, 0)
    line.out(IER, 0x02)
    assert line.irq


def test_each_byte_sent_makes_a_new_edge_for_the_pic():
    line = Line().reader(ier=0x02)
    for byte in b"abc":
        assert line.pic.intr
        assert line.pic.acknowledge() == 0x24
        line.out(DATA, byte)
        line.pic.write(0x20, 0x20, 1)
    assert line.sent == b"abc"
    assert line.pic.intr


def test_reading_iir_for_another_cause_leaves_the_transmitters_interrupt():
    line = Line().reader(ier=0x03, fcr=0x07)
    line.uart.feed(b"a")
    assert line.get(IIR) == 0xC4
    line.get(DATA)
    assert line.get(IIR) == 0xC2


def test_the_interrupt_reaches_the_pc_only_through_out2():
    line = Line().reader(ier=0x02)
    assert line.irq
    line.out(MCR, 0x03)
    assert not line.irq
    assert line.get(IIR) == 0xC2, "the chip itself still asks"
    line.out(MCR, 0x0B)
    assert not line.irq, "reading IIR has ended it"


def test_loopback_receives_what_it_sends_and_sends_nothing_out():
    line = Line()
    line.out(MCR, 0x1E)
    line.out(DATA, 0xAE)
    assert line.get(LSR) & 1
    assert line.get(DATA) == 0xAE
    assert line.sent == b""


def test_loopback_holds_back_the_other_end():
    line = Line().reader()
    line.out(MCR, 0x1B)
    line.uart.feed(b"z")
    assert not line.get(LSR) & 1
    line.out(MCR, 0x0B)
    assert line.get(DATA) == ord("z")


def test_loopback_turns_the_modem_controls_into_the_modem_status():
    line = Line()
    for control, status in ((0x02, 0x10), (0x01, 0x20), (0x04, 0x40), (0x08, 0x80), (0x0F, 0xF0), (0, 0)):
        line.out(MCR, 0x10 | control)
        assert line.get(MSR) & 0xF0 == status


def test_modem_status_remembers_changes_until_it_is_read():
    line = Line()
    line.out(MCR, 0x10)
    assert line.get(MSR) == 0x0B, "CTS, DSR and DCD went; there was no ring"
    assert line.get(MSR) == 0x00
    line.out(MCR, 0x14)
    assert line.get(MSR) == 0x40, "the beginning of a ring is no event"
    line.out(MCR, 0x10)
    assert line.get(MSR) == 0x04, "its end is"


def test_a_modem_status_change_interrupts_last_of_all():
    line = Line().reader(ier=0x0B, fcr=0x07)
    line.out(MCR, 0x12)
    line.out(MCR, 0x0B)
    line.uart.feed(b"a")
    assert line.get(IIR) == 0xC4
    line.get(DATA)
    assert line.get(IIR) == 0xC2
    assert line.get(IIR) == 0xC0
    line.get(MSR)
    assert line.get(IIR) == 0xC1


def test_an_overrun_is_the_first_interrupt_and_reading_lsr_ends_it():
    line = Line()
    line.out(FCR, 0x01)
    line.out(IER, 0x05)
    line.out(MCR, 0x10)
    for byte in range(17):
        line.out(DATA, byte)
    assert line.get(IIR) == 0xC6
    assert line.get(LSR) == 0x63
    assert line.get(LSR) == 0x61
    assert [line.get(DATA) for _ in range(16)] == list(range(16)), "a full FIFO loses the newcomer"


def test_without_fifos_an_overrun_loses_the_older_byte():
    line = Line()
    line.out(MCR, 0x10)
    line.out(DATA, 1, 2)
    assert line.get(LSR) & 0x03 == 0x03
    assert line.get(DATA) == 2


@pytest.mark.parametrize(("fcr", "survives"), [(0x03, False), (0x00, False), (0x05, True), (0x01, True)])
def test_fcr_clears_the_receiver_when_told_and_when_the_mode_changes(fcr, survives):
    line = Line()
    line.out(FCR, 0x01)
    line.out(MCR, 0x10)
    line.out(DATA, 7)
    line.out(FCR, fcr)
    assert bool(line.get(LSR) & 1) is survives


def test_a_reloaded_uart_goes_on_where_it_was():
    line = Line().reader(ier=0x0F)
    line.uart.feed(bytes(range(30)))
    for _ in range(20):
        line.get(DATA)
    line.get(IIR)
    line.clock.advance(100)
    state = json.loads(json.dumps([line.clock.save(), line.pic.save(), line.uart.save()]))
    copy = Line()
    copy.clock.load(state[0])
    copy.pic.load(state[1])
    copy.uart.load(state[2])
    assert copy.clock.deadline() == line.clock.deadline()
    for each in (line, copy):
        each.clock.advance(FOUR_CHARACTERS + 5)
    assert copy.get(IIR) == line.get(IIR) == 0xCC
    assert [copy.get(DATA) for _ in range(10)] == [line.get(DATA) for _ in range(10)] == list(range(20, 30))
    assert copy.uart.save() == line.uart.save()
